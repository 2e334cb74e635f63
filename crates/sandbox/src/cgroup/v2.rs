//! One sandbox's group in the unified hierarchy.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use super::{MAX_PROCESSES, read_key, remove_folder, write};
use crate::protocol::Meter;

#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    folder: File,
}

impl Group {
    pub(super) fn make(root: &Path, name: &str) -> io::Result<Self> {
        let path = root.join(name);
        fs::create_dir(&path)?;
        let group = File::open(&path).map(|folder| Self {
            path: path.clone(),
            folder,
        });
        match group.and_then(|group| write(&path, "pids.max", MAX_PROCESSES).map(|()| group)) {
            Ok(group) => Ok(group),
            Err(error) => {
                remove_folder(&path);
                Err(error)
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    pub(super) fn limit(&self, memory_bytes: u64) -> io::Result<()> {
        write(&self.path, "memory.max", memory_bytes)?;
        if self.path.join("memory.swap.max").exists() {
            write(&self.path, "memory.swap.max", 0)?;
        }
        Ok(())
    }

    pub(super) fn limit_cpu(&self, quota_us: u64, period_us: u64) -> io::Result<()> {
        // The burst must never exceed the quota: take it back before the quota shrinks. Linux 5.14 and later have it.
        let bursts = self.path.join("cpu.max.burst").exists();
        if bursts {
            write(&self.path, "cpu.max.burst", 0)?;
        }
        write(&self.path, "cpu.max", format!("{quota_us} {period_us}"))?;
        if bursts {
            write(&self.path, "cpu.max.burst", quota_us)?;
        }
        Ok(())
    }

    pub(super) fn free_cpu(&self) -> io::Result<()> {
        if self.path.join("cpu.max.burst").exists() {
            write(&self.path, "cpu.max.burst", 0)?;
        }
        write(&self.path, "cpu.max", "max")
    }

    pub(super) fn ran_out_of_memory(&self) -> bool {
        read_key(&self.path.join("memory.events"), "oom_kill").is_some_and(|kills| kills > 0)
    }

    pub(super) fn meter(&self) -> Meter {
        Meter::V2 {
            group: self.path.clone(),
        }
    }
}
