//! One sandbox's group in each of the v1 hierarchies.

use std::io;
use std::path::{Path, PathBuf};

use super::{MAX_PROCESSES, read_key, remove_folder, write};
use crate::protocol::Meter;

/// Where the parent folder of each controller is; several controllers may be mounted as one.
#[derive(Clone, Debug)]
pub(crate) struct Roots {
    pub(super) memory: PathBuf,
    pub(super) cpu: PathBuf,
    pub(super) pids: PathBuf,
    /// Only counts, so it may be missing.
    pub(super) cpuacct: Option<PathBuf>,
}

impl Roots {
    /// Each folder once.
    pub(super) fn folders(&self) -> Vec<&Path> {
        let mut folders: Vec<&Path> = vec![&self.memory, &self.cpu, &self.pids];
        folders.extend(self.cpuacct.as_deref());
        folders.sort_unstable();
        folders.dedup();
        folders
    }
}

#[derive(Debug)]
pub(crate) struct Group(Roots);

impl Group {
    pub(super) fn make(roots: &Roots, name: &str) -> io::Result<Self> {
        let group = Self(Roots {
            memory: roots.memory.join(name),
            cpu: roots.cpu.join(name),
            pids: roots.pids.join(name),
            cpuacct: roots.cpuacct.as_ref().map(|root| root.join(name)),
        });
        for folder in group.folders() {
            if let Err(error) = std::fs::create_dir(folder) {
                group.folders().for_each(|folder| _ = remove_folder(folder));
                return Err(io::Error::new(
                    error.kind(),
                    format!("{}: {error}", folder.display()),
                ));
            }
        }
        write(&group.0.pids, "pids.max", MAX_PROCESSES)?;
        Ok(group)
    }

    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.0.folders().into_iter()
    }

    pub(super) fn limit(&self, memory_bytes: u64) -> io::Result<()> {
        let memory = &self.0.memory;
        write(memory, "memory.limit_in_bytes", memory_bytes)?;
        if memory.join("memory.memsw.limit_in_bytes").exists() {
            write(memory, "memory.memsw.limit_in_bytes", memory_bytes)?;
        } else {
            // Kernels without swap accounting: at least prefer to kill over swapping.
            write(memory, "memory.swappiness", 0)?;
        }
        Ok(())
    }

    pub(super) fn limit_cpu(&self, quota_us: u64, period_us: u64) -> io::Result<()> {
        let cpu = &self.0.cpu;
        // The burst must never exceed the quota: take it back before the quota shrinks. Linux 5.14 and later have it.
        let bursts = cpu.join("cpu.cfs_burst_us").exists();
        if bursts {
            write(cpu, "cpu.cfs_burst_us", 0)?;
        }
        write(cpu, "cpu.cfs_period_us", period_us)?;
        write(cpu, "cpu.cfs_quota_us", quota_us)?;
        if bursts {
            write(cpu, "cpu.cfs_burst_us", quota_us)?;
        }
        Ok(())
    }

    pub(super) fn free_cpu(&self) -> io::Result<()> {
        let cpu = &self.0.cpu;
        if cpu.join("cpu.cfs_burst_us").exists() {
            write(cpu, "cpu.cfs_burst_us", 0)?;
        }
        write(cpu, "cpu.cfs_quota_us", -1)
    }

    pub(super) fn attach(&self, pid: i32) -> io::Result<()> {
        self.folders()
            .try_for_each(|folder| write(folder, "cgroup.procs", pid))
    }

    pub(super) fn ran_out_of_memory(&self) -> bool {
        read_key(&self.0.memory.join("memory.oom_control"), "oom_kill")
            .is_some_and(|kills| kills > 0)
    }

    pub(super) fn meter(&self) -> Meter {
        Meter::V1 {
            memory: self.0.memory.clone(),
            cpuacct: self.0.cpuacct.clone(),
        }
    }
}
