//! What has changed between what is known of objects and what is there.

use std::collections::{BTreeMap, BTreeSet};

use hearth_store::storage::KnownObject;

use crate::record::What;

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Bytes.
    pub size: u64,
    /// What tells contents apart.
    pub etag: String,
    /// What is another after each change of it.
    pub stamp: String,
}

/// What a look has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Objects that are there, whole, by key.
    pub objects: BTreeMap<String, Found>,
    /// Keys of which nothing can be said now: what is known of them stays. One that ends in a slash stands for all that
    /// begin with it.
    pub held: BTreeSet<String>,
}

impl Seen {
    fn holds(&self, key: &str) -> bool {
        let folders = key.match_indices('/').map(|(at, _)| &key[..=at]);
        self.held.contains(key) || folders.into_iter().any(|folder| self.held.contains(folder))
    }
}

/// A change of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its key.
    pub key: String,
    /// What happened.
    pub what: What,
    /// Its stamp from now on, if it is there.
    pub stamp: Option<String>,
}

/// What has changed: what was removed first, so that a renamed object goes before it comes, each by key.
pub fn between(known: &[KnownObject], seen: Seen) -> Vec<Change> {
    let gone =
        |known: &&KnownObject| !seen.objects.contains_key(&known.key) && !seen.holds(&known.key);
    let mut changes: Vec<_> = known
        .iter()
        .filter(gone)
        .map(|known| Change {
            key: known.key.clone(),
            what: What::Removed,
            stamp: None,
        })
        .collect();
    let stamps: BTreeMap<&str, &str> = known
        .iter()
        .map(|known| (known.key.as_str(), known.stamp.as_str()))
        .collect();
    let came = seen
        .objects
        .into_iter()
        .filter(|(key, found)| stamps.get(key.as_str()) != Some(&found.stamp.as_str()))
        .map(|(key, found)| Change {
            key,
            what: What::Created {
                size: found.size,
                etag: found.etag,
            },
            stamp: Some(found.stamp),
        });
    changes.extend(came);
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(key: &str, stamp: &str) -> KnownObject {
        KnownObject {
            key: key.to_owned(),
            stamp: stamp.to_owned(),
        }
    }

    fn seen(objects: &[(&str, &str)], held: &[&str]) -> Seen {
        let found = |stamp: &str| Found {
            size: 1,
            etag: "e".to_owned(),
            stamp: stamp.to_owned(),
        };
        Seen {
            objects: objects
                .iter()
                .map(|(key, stamp)| ((*key).to_owned(), found(stamp)))
                .collect(),
            held: held.iter().map(|&key| key.to_owned()).collect(),
        }
    }

    fn told(changes: &[Change]) -> Vec<(&str, &str)> {
        changes
            .iter()
            .map(|change| (change.what.event(), change.key.as_str()))
            .collect()
    }

    #[test]
    fn new_other_and_missing_objects_are_changes() {
        let before = [known("a", "1"), known("b", "1"), known("c", "1")];
        let changes = between(&before, seen(&[("a", "1"), ("b", "2"), ("d", "1")], &[]));
        let expected = [
            ("ObjectRemoved:Delete", "c"),
            ("ObjectCreated:Put", "b"),
            ("ObjectCreated:Put", "d"),
        ];
        assert_eq!(told(&changes), expected);
    }

    #[test]
    fn nothing_is_said_of_what_is_held() {
        let before = [
            known("a", "1"),
            known("dark/x/y", "1"),
            known("darker", "1"),
        ];
        let changes = between(&before, seen(&[], &["a", "dark/"]));
        assert_eq!(told(&changes), [("ObjectRemoved:Delete", "darker")]);
    }
}
