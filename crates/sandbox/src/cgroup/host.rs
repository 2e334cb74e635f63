//! Which cgroups the host has, which of them are ours to write, and what dead launchers left there.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::v1::Roots;
use super::{parent, remove_folder, write};

/// The controllers that the wall needs.
const NEEDED: [&str; 3] = ["memory", "cpu", "pids"];

/// Lets the groups below have these controllers.
const HAND_ON: &str = "+memory +cpu +pids";

/// The group of Hearth's own processes in a delegated cgroup v2.
const MEMBERS: &str = "hearth-main";

/// Where groups can be made.
#[derive(Clone, Debug)]
pub(crate) enum Hierarchy {
    /// The parent folder in each v1 hierarchy.
    V1(Roots),
    /// The parent folder in the unified hierarchy.
    V2(PathBuf),
}

impl Hierarchy {
    /// The parent folders.
    pub(super) fn roots(&self) -> Vec<&Path> {
        match self {
            Self::V1(roots) => roots.folders(),
            Self::V2(root) => vec![root],
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::V1(roots) => format!("version 1, for example {}", roots.memory.display()),
            Self::V2(root) => format!("version 2, {}", root.display()),
        }
    }
}

/// Finds a hierarchy with all needed controllers that can be written to. `companions` are the processes of Hearth: a
/// delegated cgroup v2 that holds only these is divided further, which moves them into a group of their own.
///
/// # Errors
/// A sentence that says what was found instead.
pub(crate) fn discover(companions: &[i32]) -> Result<Hierarchy, String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
    let unified = find_v2(&mounts, &own, companions);
    unified.or_else(|why_not_v2| {
        find_v1(&mounts)
            .map_err(|why_not_v1| format!("version 2: {why_not_v2}; version 1: {why_not_v1}"))
    })
}

/// The mount points and roots of file systems of a kind, with their options.
fn mounted<'a>(
    mounts: &'a str,
    kind: &'a str,
) -> impl Iterator<Item = (&'a str, PathBuf, &'a str)> {
    mounts.lines().filter_map(move |line| {
        let (place, file_system) = line.split_once(" - ")?;
        let mut file_system = file_system.split(' ');
        if file_system.next()? != kind {
            return None;
        }
        let options = file_system.nth(1).unwrap_or_default();
        let mut place = place.split(' ').skip(3);
        Some((place.next()?, PathBuf::from(place.next()?), options))
    })
}

fn find_v1(mounts: &str) -> Result<Hierarchy, String> {
    let find = |controller: &str| {
        mounted(mounts, "cgroup")
            .find(|(_, _, options)| options.split(',').any(|option| option == controller))
            .map(|(_, folder, _)| folder)
            .ok_or_else(|| format!("no {controller} controller"))
    };
    let [memory, cpu, pids] = NEEDED.map(find);
    let roots = Roots {
        memory: parent(&memory?),
        cpu: parent(&cpu?),
        pids: parent(&pids?),
        cpuacct: find("cpuacct").ok().map(|folder| parent(&folder)),
    };
    for folder in roots.folders() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    Ok(Hierarchy::V1(roots))
}

fn find_v2(mounts: &str, own: &str, companions: &[i32]) -> Result<Hierarchy, String> {
    let (root, mount, _) = mounted(mounts, "cgroup2").next().ok_or("not mounted")?;
    let offered = |folder: &Path, file: &str| -> Result<(), String> {
        let list = fs::read_to_string(folder.join(file))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        match NEEDED
            .iter()
            .find(|needed| !list.split_whitespace().any(|word| word == **needed))
        {
            Some(missing) => Err(format!("no {missing} controller in {}", folder.display())),
            None => Ok(()),
        }
    };
    offered(&mount, "cgroup.controllers")?;
    // The group that we are in, if it was delegated to us (systemd's `Delegate=yes`, a container's own root).
    let own = own
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or("not a member")?;
    let below = own.strip_prefix(root.trim_end_matches('/')).unwrap_or(own);
    let own = mount.join(below.trim_start_matches('/'));
    // An earlier launcher of the same process has already divided it.
    let own = if own.ends_with(MEMBERS) {
        own.parent().unwrap_or(&mount).to_owned()
    } else {
        own
    };
    let delegated = || -> Result<Hierarchy, String> {
        offered(&own, "cgroup.controllers")?;
        let members =
            fs::read_to_string(own.join("cgroup.procs")).map_err(|error| error.to_string())?;
        let strangers = members
            .lines()
            .any(|pid| pid.parse().is_ok_and(|pid| !companions.contains(&pid)));
        if strangers {
            return Err(format!(
                "{} holds other processes than Hearth's",
                own.display()
            ));
        }
        // Processes may only live in groups whose controllers are not handed on.
        let members = own.join(MEMBERS);
        fs::create_dir_all(&members).map_err(|error| format!("{}: {error}", members.display()))?;
        for pid in companions {
            write(&members, "cgroup.procs", pid).map_err(|error| error.to_string())?;
        }
        write(&own, "cgroup.subtree_control", HAND_ON).map_err(|error| error.to_string())?;
        prepare_v2(&own)
    };
    delegated().or_else(|why_not| {
        // As root the top will do: it may hold processes and hand on controllers at once.
        offered(&mount, "cgroup.subtree_control")
            .and_then(|()| prepare_v2(&mount))
            .map_err(|_| why_not)
    })
}

fn prepare_v2(above: &Path) -> Result<Hierarchy, String> {
    let folder = parent(above);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    write(&folder, "cgroup.subtree_control", HAND_ON).map_err(|error| error.to_string())?;
    Ok(Hierarchy::V2(folder))
}

/// Makes the folder of one launcher below a parent folder.
pub(super) fn make_parent(hierarchy: &Hierarchy, root: &Path, owner: &str) -> io::Result<()> {
    let folder = root.join(owner);
    fs::create_dir_all(&folder)?;
    match hierarchy {
        Hierarchy::V1(_) => Ok(()),
        Hierarchy::V2(_) => [root, &folder]
            .into_iter()
            // The parent too: another launcher that left may just have removed it.
            .try_for_each(|group| write(group, "cgroup.subtree_control", HAND_ON)),
    }
}

/// This process as a folder name: pid, start time, and the pid namespace that the pid belongs to.
pub(super) fn owner_name() -> io::Result<String> {
    let pid = std::process::id();
    let started = start_time(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(format!("{pid}-{started}-{}", pid_namespace()?))
}

fn pid_namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

/// When a process started, in clock ticks since boot: field 22 of `/proc/<pid>/stat`, proc(5).
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name, may hold blanks and brackets: count from its end.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// Removes a group whose last processes may still be dying.
fn remove_soon(group: &Path) {
    /// At most 100 ms for each: whatever is left then waits for the next start.
    const ATTEMPTS: u32 = 20;
    const PAUSE: Duration = Duration::from_millis(5);
    for _ in 0..ATTEMPTS {
        if remove_folder(group) {
            break;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Removes what dead launchers left below a parent folder, as far as it can be told that they are dead.
pub(super) fn remove_stale(root: &Path) {
    let (Ok(entries), Ok(namespace)) = (fs::read_dir(root), pid_namespace()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let mut parts = name
            .to_str()
            .unwrap_or_default()
            .split('-')
            .map(str::parse::<u64>);
        let (Some(Ok(pid)), Some(Ok(started)), Some(Ok(space))) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let alive = u32::try_from(pid).ok().and_then(start_time) == Some(started);
        if space == namespace && !alive {
            let groups = fs::read_dir(entry.path()).into_iter().flatten().flatten();
            for group in groups.filter(|group| group.path().is_dir()) {
                // Dying is charged to their share of the processor: under a small one it takes minutes.
                for (file, unlimited) in [("cpu.cfs_quota_us", "-1"), ("cpu.max", "max")] {
                    // Each hierarchy has one of them, or neither.
                    if group.path().join(file).exists() {
                        let _ = fs::write(group.path().join(file), unlimited);
                    }
                }
                // Their pid 1 died with the launcher; whoever is left has no one who answers for it.
                for pid in fs::read_to_string(group.path().join("cgroup.procs"))
                    .unwrap_or_default()
                    .lines()
                {
                    if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
                        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                    }
                }
                remove_soon(&group.path());
            }
            remove_folder(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
25 1 0:22 / /proc rw,relatime - proc proc rw
30 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
31 24 0:28 /docker/1f /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
32 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate";

    #[test]
    fn mounts_are_found_by_kind_and_option() {
        let v1: Vec<_> = mounted(MOUNTS, "cgroup").collect();
        assert_eq!(v1.len(), 2);
        assert_eq!(
            v1[0],
            (
                "/",
                PathBuf::from("/sys/fs/cgroup/cpu,cpuacct"),
                "rw,cpu,cpuacct"
            )
        );
        assert_eq!(v1[1].0, "/docker/1f");
        assert_eq!(
            mounted(MOUNTS, "cgroup2").next().unwrap().1,
            PathBuf::from("/sys/fs/cgroup/unified")
        );
    }

    #[test]
    fn a_missing_controller_is_named() {
        assert_eq!(find_v1(MOUNTS).unwrap_err(), "no pids controller");
    }

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = start_time(std::process::id()).unwrap();
        assert!(own > 0);
        assert!(owner_name().unwrap().contains(&format!("-{own}-")));
    }
}
