//! Folders of the node's host that functions may have, and how a function has one (`FileSystemConfigs`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::arn::FolderArn;
use crate::name::{AccountId, FolderName};

/// A folder that the node's configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// Where it is on the host: absolute, without links.
    pub path: PathBuf,
    /// What functions may do there.
    pub access: Access,
    /// Whose functions may have it.
    pub accounts: BTreeSet<AccountId>,
}

/// What functions may do in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Look.
    #[default]
    Read,
    /// Make, change and remove files and folders as well.
    ReadWrite,
}

/// The folders of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folders(pub BTreeMap<FolderName, Folder>);

impl Folders {
    /// The folder that an ARN names, if functions of that account may have it: another account's is as if it were not
    /// there.
    pub fn find(&self, arn: &FolderArn) -> Option<&Folder> {
        let folder = self.0.get(&arn.name)?;
        folder.accounts.contains(&arn.account).then_some(folder)
    }
}

/// A folder as a function has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderUse {
    /// Which one; of the function's own account and region.
    pub arn: FolderArn,
    /// Where it is inside: `/mnt/` and a name.
    pub path: MountPath,
}

/// Where a folder is inside: `/mnt/` and one name (service model, `LocalMountPath`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MountPath(String);

impl MountPath {
    /// Characters (service model).
    pub const CHARS: usize = 160;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for MountPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for MountPath {
    type Err = crate::name::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_prefix("/mnt/").unwrap_or_default();
        let fits = text.len() <= Self::CHARS
            && !name.is_empty()
            // The service's pattern takes these two, which lead elsewhere.
            && name != "."
            && name != ".."
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if fits {
            return Ok(Self(text.to_owned()));
        }
        Err(crate::name::NameError {
            kind: "mount path",
            rule: "/mnt/ and a name of letters, digits, dots, hyphens and underscores",
            value: text.chars().take(80).collect(),
        })
    }
}

crate::text::as_text!(MountPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_path_is_one_name_below_mnt() {
        for good in ["/mnt/a", "/mnt/photos-2.x_y", "/mnt/..."] {
            assert_eq!(good.parse::<MountPath>().unwrap().as_str(), good);
        }
        let long = format!("/mnt/{}", "a".repeat(156));
        for bad in [
            "",
            "/mnt",
            "/mnt/",
            "/mnt/.",
            "/mnt/..",
            "/mnt/a/b",
            "mnt/a",
            "/tmp/a",
            "/mnt/a b",
            "/mnt/\u{e4}",
            &long,
        ] {
            assert!(bad.parse::<MountPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_is_there_for_its_accounts_alone() {
        let folder = Folder {
            path: "/srv/photos".into(),
            access: Access::Read,
            accounts: ["111111111111".parse().unwrap()].into(),
        };
        let folders = Folders([("photos".parse().unwrap(), folder)].into());
        let find = |account: &str, name: &str| {
            let arn = format!("arn:aws:elasticfilesystem:us-east-1:{account}:access-point/{name}");
            folders.find(&arn.parse().unwrap()).is_some()
        };
        assert!(find("111111111111", "photos"));
        assert!(!find("222222222222", "photos"));
        assert!(!find("111111111111", "letters"));
    }
}
