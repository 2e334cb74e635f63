//! Real functions in real environments behind the real wall.
//!
//! Without the standard harness, because the sandbox's launcher is this program started again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod at_once;
mod bounds;
mod components;
mod concurrency;
mod ends;
mod hostile;
mod init;
mod languages;
mod logs;
mod processes;
mod rig;
mod speed;
mod streaming;
mod web;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// One test: its name and what it does.
type Test = (&'static str, fn() -> rig::Body);

fn main() -> ExitCode {
    hearth_sandbox::run_launcher_if_asked();
    hearth_wasm::process::run_if_asked();
    let mut arguments = Arguments::from_args();
    // Each test starts several processes; more at once only slow each other down.
    arguments.test_threads.get_or_insert(4);
    let tests = [
        at_once::tests(),
        bounds::tests(),
        components::tests(),
        concurrency::tests(),
        ends::tests(),
        hostile::tests(),
        init::tests(),
        languages::tests(),
        logs::tests(),
        processes::tests(),
        streaming::tests(),
        web::tests(),
    ]
    .concat();
    let mut trials: Vec<Trial> = tests
        .into_iter()
        .map(|(name, body)| {
            Trial::test(name, move || {
                rig::run(body());
                Ok(())
            })
        })
        .collect();
    // What components do, they do in processes of their accounts' as well.
    trials.extend(components::tests().into_iter().map(|(name, body)| {
        Trial::test(format!("{name}::in_a_process"), move || {
            rig::run(processes::inside(body));
            Ok(())
        })
    }));
    trials.push(
        Trial::test("processes::report", || {
            rig::run(processes::report());
            Ok(())
        })
        .with_ignored_flag(true),
    );
    trials.push(
        Trial::test("speed::report", || {
            rig::run(speed::report());
            Ok(())
        })
        .with_ignored_flag(true),
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}
