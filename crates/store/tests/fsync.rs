//! No answer goes out before an fsync that covers it, as the kernel sees it.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::process::Command;

use support::{ANSWERED, be_the_child, child_of, database, wait_for_end};
use tempfile::TempDir;

const COMMITS: u64 = 50;

#[test]
fn child() {
    be_the_child();
}

#[test]
fn an_fsync_comes_before_each_answer() {
    let tracing_works = Command::new("strace")
        .args(["-o", "/dev/null", "true"])
        .status();
    if !tracing_works.is_ok_and(|status| status.success()) {
        println!("SKIPPED: strace is not installed or may not trace here");
        return;
    }
    let folder = TempDir::new().unwrap();
    let trace = folder.path().join("trace");
    let calls = "trace=fsync,fdatasync,write,pwrite64";
    let wrapper = [
        "strace",
        "-f",
        "-y",
        "-s",
        "64",
        "-e",
        calls,
        "-o",
        trace.to_str().unwrap(),
    ];
    wait_for_end(
        child_of(&wrapper, &database(folder.path()), 7, COMMITS),
        COMMITS,
    );

    let trace = std::fs::read_to_string(trace).unwrap();
    let (mut logged, mut synced, mut answers) = (false, false, 0);
    for line in trace.lines() {
        let of_the_log = line.contains("hearth.db-wal>");
        if of_the_log && line.contains(" pwrite64(") {
            // Written again after the last sync: what counts is a sync from here on.
            (logged, synced) = (true, false);
        } else if of_the_log && (line.contains(" fsync(") || line.contains(" fdatasync(")) {
            assert!(!line.contains("= -1"), "{line}");
            synced = logged;
        } else if line.contains(" write(2") && line.contains(ANSWERED) {
            assert!(synced, "answered without an fsync of the log: {line}");
            (logged, synced) = (false, false);
            answers += 1;
        }
    }
    assert!(answers == COMMITS, "the trace shows {answers} answers");
}
