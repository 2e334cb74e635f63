//! Guests that die, each in its own way.

use std::time::Duration;

use hearth_wasm::Failure;

use crate::{LONG, exchange, failure, function, get, run, text};

#[test]
fn a_trap_says_what_it_was() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        let Failure::Trap(text) = failure(&abuse, "/trap").await else {
            panic!("not a trap");
        };
        assert!(text.contains("unreachable"), "{text}");
        // Nothing stays: the next call is served.
        assert_eq!(crate::text(&abuse, "/counter").await, "1\n");
    });
}

#[test]
fn a_panic_is_in_the_log() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        let (answer, _, log) = exchange(&abuse, get("/panic"), LONG).await;
        assert!(matches!(answer, Err(Failure::Trap(_))));
        assert!(log.text("stderr").contains("this is what it says"));
    });
}

#[test]
fn a_stack_that_overflows_is_a_trap() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        assert!(matches!(failure(&abuse, "/stack").await, Failure::Trap(_)));
    });
}

#[test]
fn loops_end_at_the_deadline() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        for path in ["/loop", "/loop-in-host", "/sleep?ms=3600000"] {
            let within = Duration::from_millis(200);
            let (answer, ending, _) = exchange(&abuse, get(path), within).await;
            assert_eq!(answer.err(), Some(Failure::Timeout), "{path}");
            assert_eq!(ending.failure, Some(Failure::Timeout), "{path}");
            assert!(ending.usage.duration >= within / 2, "{path}");
        }
    });
}

#[test]
fn an_answer_that_is_none_is_a_failure() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        assert_eq!(failure(&abuse, "/no-response").await, Failure::NoResponse);
        let Failure::BadResponse(text) = failure(&abuse, "/respond-error").await else {
            panic!("not a bad response");
        };
        assert!(text.contains("internal-error"), "{text}");
        assert!(text.contains("on purpose"), "{text}");
        assert!(matches!(
            failure(&abuse, "/exit?code=3").await,
            Failure::Trap(text) if text.contains("exited with status 1")
        ));
    });
}

#[test]
fn a_guest_that_dies_late_breaks_its_body_off() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        let (answer, ending, _) = exchange(&abuse, get("/late-trap"), LONG).await;
        let failure = match answer {
            Ok(response) => response.into_body().expect_err("a broken body"),
            Err(failure) => failure,
        };
        assert!(matches!(failure, Failure::Trap(_)));
        assert_eq!(ending.failure, Some(failure));
    });
}

#[test]
fn one_call_fails_and_others_do_not() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        let (trap, fine) = tokio::join!(failure(&abuse, "/trap"), text(&abuse, "/sleep?ms=1"));
        assert!(matches!(trap, Failure::Trap(_)));
        assert_eq!(fine, "slept\n");
    });
}
