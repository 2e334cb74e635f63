//! Limits on memory, processor and number of processes, by cgroup v2 or v1, whichever the host has.
//!
//! All groups of one launcher live in a folder `hearth/<owner>`, whose name says which process owns it: the launcher of a
//! later run removes the folders of owners that are dead. Attaching a process to a v1 group takes 80 µs at the median
//! but up to 19 ms at the 99th percentile and making one takes its time as well, so groups are made ahead of need.

mod host;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use host::{Hierarchy, discover};

use crate::protocol::Meter;
use crate::spec::{StartCpu, Usage};

/// AWS's documentation ("Configure Lambda function memory"): at 1,769 MB a function has one virtual processor.
const MIB_PER_CPU: u64 = 1769;

/// The period of the processor quota in µs. The kernel grants no quota below 1 ms a period, and a function that has
/// used its quota stands still until the next period. 20 ms is the shortest round period in which the smallest Lambda
/// function (128 MiB, 7 % of a processor) gets more than 1 ms, so that it stands still for 18.5 ms at most; with the
/// usual 100 ms it would be 93 ms.
const PERIOD_US: u64 = 20_000;

/// The kernel's lower bound of a quota (`min_cfs_quota_period` in `kernel/sched/core.c`), in µs.
const MIN_QUOTA_US: u64 = 1_000;

/// The quota while [`StartCpu::Boost`] lasts: two processors.
const BOOST_QUOTA_US: u64 = 2 * PERIOD_US;

/// AWS's documentation ("Lambda quotas"): an environment has at most 1,024 processes and threads.
pub(crate) const MAX_PROCESSES: u64 = 1024;

/// Groups kept ready: a burst of this many launches pays nothing for making them.
const READY: usize = 4;

/// The processor quota of a memory size in µs a period.
fn quota_us(memory_mib: u32, cpu: StartCpu) -> u64 {
    let share = (u64::from(memory_mib) * PERIOD_US / MIB_PER_CPU).max(MIN_QUOTA_US);
    match cpu {
        StartCpu::Share => share,
        StartCpu::Boost => share.max(BOOST_QUOTA_US),
    }
}

/// The launcher's groups.
#[derive(Debug)]
pub(crate) struct Groups {
    hierarchy: Hierarchy,
    /// This launcher's folder name below `hearth`.
    owner: String,
    made: u64,
    ready: Vec<Group>,
    /// Groups that could not be removed yet because the kernel had not let go of their last process.
    condemned: Vec<Group>,
}

impl Groups {
    /// Makes this launcher's folder and removes those of dead ones.
    ///
    /// # Errors
    /// When the hierarchy is not ours to write.
    pub(crate) fn new(hierarchy: Hierarchy) -> io::Result<Self> {
        for root in hierarchy.roots() {
            host::remove_stale(root);
        }
        let owner = host::owner_name()?;
        for root in hierarchy.roots() {
            host::make_parent(&hierarchy, root, &owner)?;
        }
        let mut groups = Self {
            hierarchy,
            owner,
            made: 0,
            ready: Vec::new(),
            condemned: Vec::new(),
        };
        let first = groups.make()?;
        groups.ready.push(first);
        Ok(groups)
    }

    /// A word for the report: `v1` or `v2`, and where.
    pub(crate) fn describe(&self) -> String {
        self.hierarchy.describe()
    }

    /// A group without processes and limits, from those kept ready if there is one.
    ///
    /// # Errors
    /// When the kernel refuses to make one more.
    pub(crate) fn take(&mut self) -> io::Result<Group> {
        self.ready.pop().map_or_else(|| self.make(), Ok)
    }

    /// Removes a group whose processes are all dead, now or in a later [`Groups::tend`].
    pub(crate) fn remove(&mut self, group: Group) {
        if !group.remove() {
            self.condemned.push(group);
        }
    }

    /// Makes one group ahead, or removes one that was left: a piece of work for a quiet moment.
    pub(crate) fn tend(&mut self) {
        if self.ready.len() < READY
            && let Ok(group) = self.make()
        {
            self.ready.push(group);
        }
        self.condemned.retain(|group| !group.remove());
    }

    /// Whether [`Groups::tend`] has something to do.
    pub(crate) fn wants_tending(&self) -> bool {
        self.ready.len() < READY || !self.condemned.is_empty()
    }

    /// Removes everything of this launcher. Returns whether nothing is left.
    pub(crate) fn clear(&mut self) -> bool {
        self.condemned.append(&mut self.ready);
        self.condemned.retain(|group| !group.remove());
        let mut clean = self.condemned.is_empty();
        for root in self.hierarchy.roots() {
            clean &= remove_folder(&root.join(&self.owner));
            // Shared with other launchers: fails, rightly, while they have groups.
            let _ = fs::remove_dir(root);
        }
        clean
    }

    fn make(&mut self) -> io::Result<Group> {
        self.made += 1;
        let name = format!("{}/{}", self.owner, self.made);
        Ok(match &self.hierarchy {
            Hierarchy::V1(roots) => Group::V1(v1::Group::make(roots, &name)?),
            Hierarchy::V2(root) => Group::V2(v2::Group::make(root, &name)?),
        })
    }
}

/// The group of one sandbox.
#[derive(Debug)]
pub(crate) enum Group {
    V1(v1::Group),
    V2(v2::Group),
}

impl Group {
    /// Sets the limits of a new sandbox.
    ///
    /// # Errors
    /// When the kernel refuses a value.
    pub(crate) fn limit(&self, memory_mib: u32, cpu: StartCpu) -> io::Result<()> {
        let bytes = u64::from(memory_mib) * 1024 * 1024;
        match self {
            Self::V1(group) => group.limit(bytes)?,
            Self::V2(group) => group.limit(bytes)?,
        }
        self.limit_cpu(memory_mib, cpu)
    }

    /// Sets the processor's share alone.
    ///
    /// # Errors
    /// As [`Group::limit`].
    pub(crate) fn limit_cpu(&self, memory_mib: u32, cpu: StartCpu) -> io::Result<()> {
        let quota = quota_us(memory_mib, cpu);
        match self {
            Self::V1(group) => group.limit_cpu(quota, PERIOD_US),
            Self::V2(group) => group.limit_cpu(quota, PERIOD_US),
        }
    }

    /// Takes the processor's limit away, for processes that have been killed. Their last work is the kernel's, but it
    /// counts as theirs: within the share of a small function, a thousand processes take minutes to die.
    ///
    /// # Errors
    /// As [`Group::limit`].
    pub(crate) fn free_cpu(&self) -> io::Result<()> {
        match self {
            Self::V1(group) => group.free_cpu(),
            Self::V2(group) => group.free_cpu(),
        }
    }

    /// The folder into which a process can be cloned (v2).
    pub(crate) fn born_in(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::V1(_) => None,
            Self::V2(group) => Some(group.folder()),
        }
    }

    /// Moves a process in, if it was not born there (v1).
    ///
    /// # Errors
    /// When the process is gone.
    pub(crate) fn attach(&self, pid: i32) -> io::Result<()> {
        match self {
            Self::V1(group) => group.attach(pid),
            Self::V2(_) => Ok(()),
        }
    }

    /// Whether the kernel killed a process of the group for want of memory.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        match self {
            Self::V1(group) => group.ran_out_of_memory(),
            Self::V2(group) => group.ran_out_of_memory(),
        }
    }

    /// Where to read what it uses.
    pub(crate) fn meter(&self) -> Meter {
        match self {
            Self::V1(group) => group.meter(),
            Self::V2(group) => group.meter(),
        }
    }

    fn remove(&self) -> bool {
        match self {
            Self::V1(group) => group.folders().all(remove_folder),
            Self::V2(group) => remove_folder(group.path()),
        }
    }
}

/// Removes a group's folder; `true` if it is gone.
fn remove_folder(folder: &Path) -> bool {
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Writes one control file.
fn write(folder: &Path, file: &str, value: impl ToString) -> io::Result<()> {
    let path = folder.join(file);
    // Not `fs::write`: these files are not created, and some refuse O_TRUNC.
    let mut control = fs::OpenOptions::new().write(true).open(&path)?;
    io::Write::write_all(&mut control, value.to_string().as_bytes())
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Reads a control file that holds one number.
fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Reads one number from a control file of `key value` lines.
fn read_key(path: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok())
}

/// What a group used so far; `None` without a group, or once it is removed.
pub(crate) fn read_usage(meter: &Meter) -> Option<Usage> {
    match meter {
        Meter::V1 { memory, cpuacct } => Some(Usage {
            peak_memory_bytes: read_number(&memory.join("memory.max_usage_in_bytes"))?,
            cpu: Duration::from_nanos(
                cpuacct
                    .as_ref()
                    .and_then(|folder| read_number(&folder.join("cpuacct.usage")))
                    .unwrap_or_default(),
            ),
        }),
        Meter::V2 { group } => Some(Usage {
            // Linux 5.19 and later know the peak.
            peak_memory_bytes: read_number(&group.join("memory.peak"))
                .or_else(|| read_number(&group.join("memory.current")))?,
            cpu: Duration::from_micros(read_key(&group.join("cpu.stat"), "usage_usec")?),
        }),
        Meter::Polled => None,
    }
}

/// The folder that all launchers share.
fn parent(mount: &Path) -> PathBuf {
    mount.join("hearth")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_follows_the_memory_size() {
        assert_eq!(quota_us(1769, StartCpu::Share), PERIOD_US);
        assert_eq!(quota_us(3538, StartCpu::Share), 2 * PERIOD_US);
        assert_eq!(quota_us(128, StartCpu::Share), 1447);
    }

    #[test]
    fn the_quota_never_falls_below_what_the_kernel_takes() {
        assert_eq!(quota_us(1, StartCpu::Share), MIN_QUOTA_US);
    }

    #[test]
    fn a_boost_never_slows_a_large_function_down() {
        assert_eq!(quota_us(128, StartCpu::Boost), 2 * PERIOD_US);
        assert_eq!(
            quota_us(10_240, StartCpu::Boost),
            quota_us(10_240, StartCpu::Share)
        );
    }
}
