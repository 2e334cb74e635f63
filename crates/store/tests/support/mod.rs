//! A second process that commits, and what it has said.
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
    let me = std::env::current_exe().unwrap();
    let mut words = wrapper
        .iter()
        .map(std::ffi::OsStr::new)
        .chain([me.as_os_str()]);
    Command::new(words.next().unwrap())
        .args(words)
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(DATABASE, database)
        .env(SEED, seed.to_string())
        .env(COMMITS, commits.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
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
