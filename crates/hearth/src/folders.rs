//! Folders of this host that functions may have: of the configuration, held against each other and the node's own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hearth_types::folder::{Access, Folder, Folders};

use crate::config::{Config, Place};

/// The folders of the configuration, each where it really is.
///
/// # Errors
/// One that is not there; one that lies in the data folder or has it inside; a bucket or another folder that lies in one
/// which functions may write to: they could put a link in its place, and would then choose what others are given.
pub(crate) fn of(config: &Config) -> anyhow::Result<Folders> {
    let mut folders = Folders::default();
    for (name, folder) in &config.folders {
        let found = Folder {
            path: apart(&folder.path, &config.data)
                .with_context(|| format!("open folders.{name}"))?,
            access: folder.access,
            accounts: match &folder.accounts {
                Some(accounts) => accounts.clone(),
                None => [config.account.clone()].into(),
            },
        };
        folders.0.insert(name.clone(), found);
    }
    let named = folders
        .0
        .iter()
        .map(|(name, folder)| (format!("folders.{name}"), folder.path.clone()));
    let buckets = config
        .storage
        .buckets
        .iter()
        .filter_map(|(name, bucket)| match &bucket.place {
            Place::Folder(path) => Some((format!("storage.buckets.{name}"), real(path).ok()?)),
            Place::Store(_) | Place::Token(_) => None,
        });
    for (inner, path) in named.chain(buckets) {
        let outer = folders.0.iter().find(|(_, outer)| {
            outer.access == Access::ReadWrite && path != outer.path && path.starts_with(&outer.path)
        });
        if let Some((outer, _)) = outer {
            anyhow::bail!(
                "{inner} lies in folders.{outer}, where functions could put something else in its place; take it out of \
                 there, or let that be read alone"
            );
        }
    }
    Ok(folders)
}

/// A folder itself, which must be apart from the node's own.
pub(crate) fn apart(folder: &Path, data: &Path) -> anyhow::Result<PathBuf> {
    anyhow::ensure!(
        folder.is_absolute(),
        "the folder {} must be absolute",
        folder.display()
    );
    let (folder_is, data) = (real(folder)?, real(data)?);
    anyhow::ensure!(folder_is.is_dir(), "{} is no folder", folder.display());
    anyhow::ensure!(
        !folder_is.starts_with(&data) && !data.starts_with(&folder_is),
        "{} and the data folder lie in each other; use a folder of its own",
        folder.display()
    );
    Ok(folder_is)
}

fn real(folder: &Path) -> anyhow::Result<PathBuf> {
    folder
        .canonicalize()
        .with_context(|| format!("find the folder {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeArgs;

    /// What comes of a configuration; `{}` is a folder with `data`, `photos`, `photos/new` and `away`.
    fn read(text: &str) -> Result<Folders, String> {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["data", "photos/new", "away"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(dir.path().join("photos"), dir.path().join("link")).unwrap();
        let file = dir.path().join("hearth.toml");
        std::fs::write(&file, text.replace("{}", dir.path().to_str().unwrap())).unwrap();
        let config = Config::resolve(&NodeArgs {
            data: Some(dir.path().join("data")),
            config: Some(file),
            ..NodeArgs::default()
        });
        of(&config.unwrap()).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_folder_is_read_by_the_nodes_account_unless_more_is_said() {
        let folders = read("[folders.photos]\npath = '{}/link'").unwrap();
        let photos = &folders.0[&"photos".parse().unwrap()];
        assert!(photos.path.ends_with("photos"), "{photos:?}");
        assert_eq!(photos.access, Access::Read);
        assert_eq!(photos.accounts, ["000000000000".parse().unwrap()].into());
    }

    #[test]
    fn what_lies_in_each_other_is_apart_or_only_read() {
        let both = |access: &str| {
            format!(
                "[folders.outer]\npath = '{{}}/photos'\naccess = '{access}'\n[folders.inner]\npath = '{{}}/photos/new'"
            )
        };
        read(&both("read")).unwrap();
        let refused = read(&both("read-write")).unwrap_err();
        assert!(
            refused.contains("folders.inner lies in folders.outer"),
            "{refused}"
        );
        let bucket = |folder: &str| {
            format!(
                "[folders.outer]\npath = '{{}}/photos'\naccess = 'read-write'\n[storage.buckets.inner]\nfolder = '{{}}/{folder}'"
            )
        };
        read(&bucket("photos")).unwrap();
        assert!(read(&bucket("photos/new")).is_err());
    }

    #[test]
    fn neither_missing_nor_relative_nor_the_nodes_own() {
        for (path, why) in [
            ("{}/missing", "find the folder"),
            ("photos", "must be absolute"),
            ("{}/data", "lie in each other"),
            ("{}", "lie in each other"),
            ("{}/hearth.toml", "is no folder"),
        ] {
            let refused = read(&format!("[folders.photos]\npath = '{path}'")).unwrap_err();
            assert!(refused.contains(why), "{path}: {refused}");
            assert!(refused.contains("folders.photos"), "{refused}");
        }
    }
}
