//! The process wall, tried on real processes.
//!
//! Every test runs as the user who started it and, if that is root, all run once more as an unprivileged user: both
//! ways must hold. Without the standard harness, because the launcher is this program started again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ends;
mod inward;
mod limits;
mod runtimes;
mod shared;
mod view;
mod world;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

/// The unprivileged user: `nobody` on most hosts.
const NOBODY: u32 = 65_534;

fn main() -> ExitCode {
    hearth_sandbox::run_launcher_if_asked();
    if ends::play_victim_if_asked() || view::play_masked_if_asked() {
        return ExitCode::SUCCESS;
    }
    let root = rustix::process::geteuid().is_root();
    let user = if root { "root" } else { "user" };
    let tests = [
        view::tests(),
        limits::tests(),
        ends::tests(),
        inward::tests(),
        runtimes::tests(),
        shared::tests(),
    ]
    .concat();
    let trials = tests
        .into_iter()
        .map(|Test { name, needs, body }| {
            let missing = needs.is_some_and(|program| !std::path::Path::new(program).exists());
            let run = move || {
                body();
                Ok(())
            };
            Trial::test(format!("{user}::{name}"), run).with_ignored_flag(missing)
        })
        .collect();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    let mut passed = !conclusion.has_failed();
    if root {
        let again = Command::new("/proc/self/exe")
            .args(std::env::args_os().skip(1))
            .uid(NOBODY)
            .gid(NOBODY)
            .env("TMPDIR", "/tmp")
            .current_dir("/")
            .status();
        passed &= again.is_ok_and(|status| status.success());
    }
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One test.
#[derive(Clone, Copy)]
struct Test {
    name: &'static str,
    /// A program of the host without which the test is skipped.
    needs: Option<&'static str>,
    body: fn(),
}

/// A list of tests by the names of their functions.
macro_rules! tests {
    ($($name:ident $(needs $program:literal)?),* $(,)?) => {
        pub(crate) fn tests() -> Vec<crate::Test> {
            vec![$({
                #[allow(unused_mut, unused_assignments, reason = "not every test needs a program")]
                let mut needs = None;
                $(needs = Some($program);)?
                crate::Test { name: stringify!($name), needs, body: $name }
            }),*]
        }
    };
}
pub(crate) use tests;
