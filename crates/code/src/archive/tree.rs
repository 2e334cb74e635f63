//! What a package holds, as a tree in memory. Whether a link may stand is decided here, before anything touches a disk.

use std::collections::BTreeMap;

/// Files, folders and links of one package, including folders that no entry names. Each costs an inode and up to a
/// block beyond its bytes: 131,072 of them are half a gigabyte of disk at most, and more than any package within the
/// size bound that was ever seen.
const NODES: usize = 131_072;
/// Links that one path may go through (Linux: path_resolution(7), `ELOOP` after 40).
const LINK_HOPS: usize = 40;
/// Steps that checking all links of a package may take: with some microseconds each, seconds at most.
const LINK_STEPS: usize = 1_000_000;
/// Bytes of a link's target, as of any path here.
pub(super) const TARGET_BYTES: u64 = 1_024;

/// Where a file's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The archive: its index in a list of layers, 0 for a single package.
    pub(crate) archive: usize,
    /// The entry in it.
    pub(crate) entry: usize,
}

/// One thing in a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Where its bytes are.
        place: Place,
        /// How many.
        size: u64,
        /// Any of the three execute bits was set.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// As it will be written.
        target: String,
    },
}

/// Paths and what is there. A parent is always there, and before its children in the order of the map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Everything, parents first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files().map(|(_, size)| size).sum()
    }

    /// Places and sizes of all files.
    pub(super) fn files(&self) -> impl Iterator<Item = (Place, u64)> {
        self.nodes.values().filter_map(|node| match node {
            Node::File { place, size, .. } => Some((*place, *size)),
            Node::Folder | Node::Link { .. } => None,
        })
    }

    /// Adds what an entry stands for. Folders may be named twice, nothing else.
    ///
    /// # Errors
    /// The rule that is broken; the tree is then of no use.
    pub(super) fn insert(&mut self, path: &str, node: Node) -> Result<(), &'static str> {
        for (end, _) in path.match_indices('/') {
            match self.nodes.get(&path[..end]) {
                Some(Node::Folder) => {}
                Some(_) => return Err("lies under something that is not a folder"),
                None => {
                    self.nodes.insert(path[..end].to_owned(), Node::Folder);
                }
            }
        }
        match self.nodes.get(path) {
            None => {
                self.nodes.insert(path.to_owned(), node);
            }
            Some(Node::Folder) if node == Node::Folder => {}
            Some(_) => return Err("has the path of another entry"),
        }
        if self.nodes.len() > NODES {
            return Err("is one file or folder too many: there may be 131072");
        }
        Ok(())
    }

    /// Lays `upper` over this tree: its files and links hide what has their paths, and folders of both become one.
    ///
    /// # Errors
    /// If there are too many nodes; the tree is then of no use.
    pub(super) fn overlay(&mut self, upper: Tree) -> Result<(), &'static str> {
        for (path, node) in upper.nodes {
            let both_folders = node == Node::Folder && self.nodes.get(&path) == Some(&Node::Folder);
            if both_folders {
                continue;
            }
            // '0' is the character after '/': the range is everything below the path.
            let below: Vec<String> = self
                .nodes
                .range(format!("{path}/")..format!("{path}0"))
                .map(|(path, _)| path.clone())
                .collect();
            for hidden in below {
                self.nodes.remove(&hidden);
            }
            self.nodes.insert(path, node);
        }
        if self.nodes.len() > NODES {
            return Err("the layers hold more than 131072 files and folders together");
        }
        Ok(())
    }

    /// Checks that every link, followed through other links as the kernel would, stays in the tree. Where it leads to
    /// nothing, it may stand.
    ///
    /// # Errors
    /// The path of a link and the rule that it breaks.
    pub(super) fn check_links(&self) -> Result<(), (&str, &'static str)> {
        let mut steps = 0;
        for (path, node) in &self.nodes {
            if let Node::Link { target } = node {
                self.follow(path, target, &mut steps)
                    .map_err(|rule| (path.as_str(), rule))?;
            }
        }
        Ok(())
    }

    fn follow(&self, path: &str, target: &str, steps: &mut usize) -> Result<(), &'static str> {
        let mut at: Vec<&str> = path.split('/').collect();
        at.pop();
        let mut hops = 0;
        let mut ahead: Vec<&str> = Vec::new();
        let mut enter = |target: &'_ str| {
            hops += 1;
            if target.is_empty() || target.contains('\0') {
                return Err("is a link whose target is no path");
            }
            if target.starts_with('/') {
                return Err("is a link to an absolute path; use a relative one");
            }
            if hops > LINK_HOPS {
                return Err("is a link that goes round in circles");
            }
            Ok(())
        };
        enter(target)?;
        ahead.extend(target.split('/').rev());
        while let Some(component) = ahead.pop() {
            *steps += 1;
            if *steps > LINK_STEPS {
                return Err("is a link too many");
            }
            match component {
                "" | "." => {}
                ".." => {
                    if at.pop().is_none() {
                        return Err("is a link that leads out of the package");
                    }
                }
                name => {
                    at.push(name);
                    if let Some(Node::Link { target }) = self.nodes.get(&at.join("/")) {
                        enter(target)?;
                        at.pop();
                        ahead.extend(target.split('/').rev());
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(entry: usize) -> Node {
        Node::File {
            place: Place { archive: 0, entry },
            size: 1,
            executable: false,
        }
    }

    fn link(target: &str) -> Node {
        Node::Link {
            target: target.to_owned(),
        }
    }

    fn tree<'a>(nodes: impl IntoIterator<Item = (&'a str, Node)>) -> Tree {
        let mut tree = Tree::default();
        for (path, node) in nodes {
            tree.insert(path, node).unwrap();
        }
        tree
    }

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn parents_are_made_and_come_first() {
        let tree = tree([
            ("a/b/c", file(0)),
            ("a.txt", file(1)),
            ("a/b", Node::Folder),
        ]);
        assert_eq!(paths(&tree), ["a", "a.txt", "a/b", "a/b/c"]);
    }

    #[test]
    fn collisions_are_refused_and_case_is_kept_apart() {
        let mut some = tree([("a", file(0)), ("d/x", file(1)), ("l", link("d"))]);
        for (path, node) in [
            ("a", file(2)),
            ("a", Node::Folder),
            ("a/x", file(2)),
            ("d", file(2)),
            ("d", link("a")),
            ("l/x", file(2)),
        ] {
            assert!(some.clone().insert(path, node).is_err(), "{path}");
        }
        some.insert("A", file(3)).unwrap();
    }

    #[test]
    fn an_upper_layer_hides_what_has_its_paths() {
        let mut lower = tree([
            ("both/low", file(0)),
            ("file", file(1)),
            ("gone/x/y", file(2)),
            ("gone-not", file(3)),
            ("link", link("both")),
        ]);
        let upper = tree([
            ("both/up", file(4)),
            ("file/now/folder", file(5)),
            ("gone", file(6)),
            ("link/x", file(7)),
        ]);
        lower.overlay(upper).unwrap();
        assert_eq!(
            paths(&lower),
            [
                "both",
                "both/low",
                "both/up",
                "file",
                "file/now",
                "file/now/folder",
                "gone",
                "gone-not",
                "link",
                "link/x"
            ]
        );
    }

    #[test]
    fn links_that_stay_inside_may_stand() {
        tree([
            ("a/b/c", file(0)),
            ("up", link("a/b/../b/c")),
            ("a/b/root", link("../..")),
            ("a/through", link("b/root/a/b/c")),
            ("dangling", link("nowhere/../x")),
            ("self", link(".")),
        ])
        .check_links()
        .unwrap();
    }

    #[test]
    fn links_that_lead_out_are_refused() {
        let out = [
            vec![("l", link("../x"))],
            vec![("l", link("/etc/passwd"))],
            vec![("l", link("")), ("a", file(0))],
            vec![("a/l", link("b/../../../x"))],
            // Read as text it stays inside; followed as the kernel does it leaves: d/e is the root.
            vec![("d/e", link("..")), ("l", link("d/e/../x"))],
            vec![("a", link("b")), ("b", link("a"))],
            vec![("a", link("a/x"))],
        ];
        for nodes in out {
            let tree = tree(nodes);
            assert!(tree.check_links().is_err(), "{tree:?}");
        }
    }

    #[test]
    fn a_merged_tree_is_checked_as_a_whole() {
        let mut lower = tree([("l", link("d/e/../x")), ("d/e/f", file(0))]);
        lower.check_links().unwrap();
        lower.overlay(tree([("d/e", link(".."))])).unwrap();
        assert!(lower.check_links().is_err());
    }

    #[test]
    fn nodes_and_the_work_for_links_are_bounded() {
        let mut many = Tree::default();
        let result = (0..NODES).try_for_each(|n| many.insert(&format!("d{n}/f"), file(0)));
        assert!(result.is_err());

        let long = "x/../".repeat(200) + "x";
        let mut links = Tree::default();
        for n in 0..5_000 {
            links.insert(&format!("l{n}"), link(&long)).unwrap();
        }
        assert!(links.check_links().is_err());
    }
}
