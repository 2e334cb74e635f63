//! Landlock: which files may be touched, even if every mount were writable.

use std::io;
use std::path::Path;

use hearth_types::folder;
use landlock::{
    ABI, Access, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus, Scope, make_bitflags,
};

use super::Folder;

/// The newest version whose rights are known here. An older kernel enforces those that it has.
const VERSION: ABI = ABI::V7;

/// The devices that may be written to.
const WRITABLE_DEVICES: [&str; 5] = [
    "dev/null",
    "dev/zero",
    "dev/full",
    "dev/random",
    "dev/urandom",
];

/// Confines this process and its children: reading and executing everywhere below `root`, writing in `tmp`, in those of
/// `folders` that may be written and to harmless devices, no abstract sockets of and no signals to processes outside.
pub(super) fn enforce(root: &Path, folders: &[Folder]) -> io::Result<()> {
    let opened = |path: &str| PathFd::new(root.join(path)).map_err(io::Error::other);
    let write: BitFlags<AccessFs> = make_bitflags!(AccessFs::{WriteFile | Truncate});
    // Plain files and folders. A link that the host follows would lead it wherever the function likes; pipes and sockets
    // would hold up whoever opens them.
    let share: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
        ReadFile | ReadDir | WriteFile | Truncate | RemoveFile | RemoveDir | MakeReg | MakeDir | Refer
    });
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(VERSION))
        .and_then(|rules| rules.scope(Scope::from_all(VERSION)))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    for (path, access) in [
        ("", AccessFs::from_read(VERSION)),
        ("tmp", AccessFs::from_all(VERSION)),
    ] {
        rules = rules
            .add_rule(PathBeneath::new(opened(path)?, access))
            .map_err(io::Error::other)?;
    }
    for shared in folders {
        if shared.access == folder::Access::ReadWrite {
            let opened = PathFd::new(root.join(&shared.place)).map_err(io::Error::other)?;
            rules = rules
                .add_rule(PathBeneath::new(opened, share))
                .map_err(io::Error::other)?;
        }
    }
    for device in WRITABLE_DEVICES {
        rules = rules
            .add_rule(PathBeneath::new(opened(device)?, write))
            .map_err(io::Error::other)?;
    }
    match rules.restrict_self().map_err(io::Error::other)?.ruleset {
        RulesetStatus::NotEnforced => Err(io::Error::other("the kernel has no Landlock")),
        RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
    }
}
