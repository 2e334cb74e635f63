//! Memory without cgroups: looks at all processes of a sandbox from time to time.
//!
//! Weaker than a cgroup in two ways: between two looks a function can take more than its limit (`RLIMIT_DATA` bounds
//! what one process can), and pages shared after `fork` count for each process.

use std::fs;
use std::time::Duration;

use crate::spec::Usage;

/// How often to look. A process that writes to fresh memory at 1 GiB/s is found after 100 MiB too much.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// One sandbox under watch.
#[derive(Debug)]
pub(super) struct Watch {
    pid: i32,
    limit_bytes: u64,
    peak_bytes: u64,
    cpu: Duration,
}

impl Watch {
    pub(super) fn new(pid: i32, memory_mib: u32) -> Self {
        Self {
            pid,
            limit_bytes: u64::from(memory_mib) * 1024 * 1024,
            peak_bytes: 0,
            cpu: Duration::ZERO,
        }
    }

    /// Looks once; gives the use if the peak has grown.
    pub(super) fn measure(&mut self) -> Option<Usage> {
        let mut bytes = 0;
        let mut ticks = 0;
        let mut waiting = children(self.pid);
        while let Some(pid) = waiting.pop() {
            bytes += resident_bytes(pid).unwrap_or_default();
            ticks += cpu_ticks(pid).unwrap_or_default();
            waiting.extend(children(pid));
        }
        let second = rustix::param::clock_ticks_per_second();
        self.cpu = self
            .cpu
            .max(Duration::from_millis(ticks * 1000 / second.max(1)));
        if bytes <= self.peak_bytes {
            return None;
        }
        self.peak_bytes = bytes;
        Some(self.usage())
    }

    /// Whether it was ever seen above its limit.
    pub(super) fn over(&self) -> bool {
        self.peak_bytes > self.limit_bytes
    }

    pub(super) fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            peak_memory_bytes: self.peak_bytes,
            cpu: self.cpu,
        }
    }
}

fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// Resident memory that is not a file's: second less third field of `/proc/<pid>/statm`, proc(5).
fn resident_bytes(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let mut fields = text
        .split(' ')
        .skip(1)
        .map(|field| field.trim().parse::<u64>());
    let (resident, shared) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some(resident.saturating_sub(shared) * rustix::param::page_size() as u64)
}

/// Fields 14 to 17 of `/proc/<pid>/stat`: own and children's, user and system.
fn cpu_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(4);
    Some(fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_be_measured() {
        let pid = std::process::id().cast_signed();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(cpu_ticks(pid).is_some());
    }
}
