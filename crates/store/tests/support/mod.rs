//! A second process that commits, and what it has said; what the kernel saw of it; a small disk.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hearth_store::conformance::model::Model;
use hearth_store::conformance::random::Random;
use hearth_store::{SqliteStore, Store};

/// Tells the test binary, run again, that it is the child: where its database is.
const DATABASE: &str = "HEARTH_STORE_TEST_DATABASE";
/// And its seed.
const SEED: &str = "HEARTH_STORE_TEST_SEED";
/// And after how many commits it ends, as suddenly as if it were killed.
const COMMITS: &str = "HEARTH_STORE_TEST_COMMITS";
/// What the child writes before the number of each commit that was answered.
pub(crate) const ANSWERED: &str = "answered ";

pub(crate) fn database(folder: &Path) -> PathBuf {
    folder.join("hearth.db")
}

/// Runs the child's part if this process is one: commits the seed's sequence, and writes a line for each
/// answer that was Ok.
pub(crate) fn be_the_child() {
    let (Ok(path), Ok(seed)) = (std::env::var(DATABASE), std::env::var(SEED)) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let store = SqliteStore::open(path).unwrap();
    let mut sequence = Sequence::new(seed.parse().unwrap());
    runtime.block_on(async {
        let commits: u64 = std::env::var(COMMITS).unwrap().parse().unwrap();
        for n in 1..=commits {
            store.commit(sequence.next_commit()).await.unwrap();
            // One write call a line, so that the parent never reads half of one.
            use std::io::Write;
            std::io::stderr()
                .write_all(format!("{ANSWERED}{n}\n").as_bytes())
                .unwrap();
        }
        // Nothing is dropped: the store is not closed.
        std::process::exit(0);
    });
}

/// A seed's commits that fit, one after the other.
pub(crate) struct Sequence {
    random: Random,
    pub(crate) model: Model,
}

impl Sequence {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            model: Model::default(),
        }
    }

    pub(crate) fn next_commit(&mut self) -> Vec<hearth_store::Change> {
        loop {
            let changes = self.random.changes(&self.model.contents());
            if self.model.commit(&changes).is_ok() {
                return changes;
            }
        }
    }
}

/// This test binary again, to run only the test `child` (which calls [`be_the_child`]).
pub(crate) fn child_of(wrapper: &[&str], database: &Path, seed: u64, commits: u64) -> Child {
    again(wrapper)
        .env(DATABASE, database)
        .env(SEED, seed.to_string())
        .env(COMMITS, commits.to_string())
        .spawn()
        .unwrap()
}

/// This test binary run again, by way of `wrapper`, for its test `child` alone. What that says comes on its standard
/// error; what it is to do is for its variables to say.
pub(crate) fn again(wrapper: &[&str]) -> Command {
    let me = std::env::current_exe().unwrap();
    let mut words = wrapper
        .iter()
        .map(std::ffi::OsStr::new)
        .chain([me.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Waits until the child has made all its commits and has ended without closing its store.
pub(crate) fn wait_for_end(child: Child, commits: u64) {
    let said = child.wait_with_output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8(said.stderr).unwrap();
    let answered = said
        .lines()
        .filter(|line| line.starts_with(ANSWERED))
        .count();
    assert_eq!(answered as u64, commits);
}

/// Reads answers until `enough` of them came, kills the child (SIGKILL), reads what was still in the pipe.
/// The number of answers.
pub(crate) fn kill_after(mut child: Child, enough: u64, pause: std::time::Duration) -> u64 {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut answered = 0;
    let mut line = String::new();
    while answered < enough {
        line.clear();
        assert_ne!(
            lines.read_line(&mut line).unwrap(),
            0,
            "the child ended by itself"
        );
        if line.starts_with(ANSWERED) {
            answered += 1;
        }
    }
    // Not to wait for anything: to end up anywhere within a commit.
    std::thread::sleep(pause);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    answered
        + rest
            .lines()
            .filter(|line| line.starts_with(ANSWERED))
            .count() as u64
}

/// The command that has the kernel's view of a process written to `trace`, if that can be had here.
pub(crate) fn strace(trace: &Path) -> Option<Vec<&str>> {
    let works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status();
    if !works.is_ok_and(|status| status.success()) {
        println!("SKIPPED: strace is not installed or may not trace here");
        return None;
    }
    let calls = "trace=fsync,fdatasync,write,pwrite64";
    let mut wrapper = vec!["strace", "-f", "-y", "-s", "64", "-e", calls, "-o"];
    wrapper.extend(trace.to_str());
    Some(wrapper)
}

/// How many answers a trace shows. Each must come after an fsync of the log of `database` that covers what was written.
pub(crate) fn answers_after_fsync(trace: &Path, database: &Path) -> u64 {
    let log = format!("{}-wal>", database.file_name().unwrap().display());
    let trace = std::fs::read_to_string(trace).unwrap();
    let (mut logged, mut synced, mut answers) = (false, false, 0);
    for line in trace.lines() {
        let of_the_log = line.contains(&log);
        if of_the_log && line.contains(" pwrite64(") {
            // Written again after the last sync: what counts is a sync from here on.
            (logged, synced) = (true, false);
        } else if of_the_log && (line.contains(" fsync(") || line.contains(" fdatasync(")) {
            assert!(!line.contains("= -1"), "{line}");
            synced = logged;
        } else if line.contains(" write(2") && line.contains(&format!("\"{ANSWERED}")) {
            assert!(synced, "answered without an fsync of the log: {line}");
            (logged, synced) = (false, false);
            answers += 1;
        }
    }
    answers
}

/// A small file system of its own, taken away at the end.
pub(crate) struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    pub(crate) fn mount() -> Option<Self> {
        let folder = tempfile::TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        println!("SKIPPED: mounting a small file system needs root");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all of its space; what is removed to give it back.
    pub(crate) fn fill(&self) -> PathBuf {
        let ballast = self.path().join("ballast");
        let mut file = std::fs::File::create(&ballast).unwrap();
        while std::io::Write::write(&mut file, &[1; 4096]).is_ok() {}
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}
