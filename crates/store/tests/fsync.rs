//! No answer goes out before an fsync that covers it, as the kernel sees it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use support::{answers_after_fsync, be_the_child, child_of, database, strace, wait_for_end};
use tempfile::TempDir;

const COMMITS: u64 = 50;

#[test]
fn child() {
    be_the_child();
}

#[test]
fn an_fsync_comes_before_each_answer() {
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let Some(wrapper) = strace(&trace) else {
        return;
    };
    let database = database(folder.path());
    wait_for_end(child_of(&wrapper, &database, 7, COMMITS), COMMITS);
    let answers = answers_after_fsync(&trace, &database);
    assert!(answers == COMMITS, "the trace shows {answers} answers");
}
