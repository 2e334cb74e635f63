//! What a guest may take.

use std::time::Duration;

use bytes::Bytes;
use hearth_wasm::{Failure, Wall};

use crate::{
    LONG, SHARED, call, exchange, failure, function, get, grants, options, program, run, text,
};

#[test]
fn memory_is_refused_and_counted() {
    run(async {
        let abuse = function("abuse.wasm", |grants| grants.memory_bytes = 32 << 20).await;
        let (answer, ending, _) = exchange(&abuse, get("/grow?mib=1000"), LONG).await;
        let body = answer.expect("a response").into_body().expect("a body");
        let body = String::from_utf8_lossy(&body).into_owned();
        let got: u64 = body
            .lines()
            .find_map(|line| line.strip_prefix("got=")?.parse().ok())
            .expect("a number");
        assert!((20..32).contains(&got), "{body}");
        assert!(ending.usage.peak_memory_bytes <= 32 << 20);
        assert!(ending.usage.peak_memory_bytes > got << 20);

        assert_eq!(failure(&abuse, "/gobble").await, Failure::OutOfMemory);
    });
}

#[test]
fn all_memories_and_tables_count_together() {
    run(async {
        for (guest, memory_bytes, exit_code) in [
            ("memories.wasm", 512 << 20, 0),
            ("memories.wasm", 300 << 20, 1),
            // The pool's bound for one table comes before the function's for all.
            ("tables.wasm", 512 << 20, 1),
        ] {
            let hoard = function(guest, |grants| grants.memory_bytes = memory_bytes).await;
            let (call, mut watch) = call(LONG);
            let end = hoard.command(Bytes::new(), call).await.expect("an end");
            assert_eq!(end.exit_code, exit_code, "{guest}");
            let peak = watch.ending().await.usage.peak_memory_bytes;
            assert!(peak <= memory_bytes, "{guest}: {peak}");
        }
    });
}

#[test]
fn a_guest_that_needs_more_than_it_has_at_its_start_is_out_of_memory() {
    run(async {
        let hello = function("hello.wasm", |grants| grants.memory_bytes = 64 << 10).await;
        assert_eq!(failure(&hello, "/").await, Failure::OutOfMemory);
    });
}

#[test]
fn handles_of_the_host_are_bounded() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        for kind in ["pollables", "requests", "fields"] {
            let path = format!("/handles?kind={kind}");
            assert!(
                matches!(failure(&abuse, &path).await, Failure::Trap(_)),
                "{kind}"
            );
        }
    });
}

#[test]
fn random_bytes_of_one_call_are_bounded() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        let some = text(&abuse, "/random?bytes=4096").await;
        assert!(some.starts_with("bytes=4096\ndiffers=true"), "{some}");
        assert!(matches!(
            failure(&abuse, "/random?bytes=1000000000").await,
            Failure::Trap(_)
        ));
    });
}

#[test]
fn the_environment_is_what_was_granted() {
    run(async {
        let abuse = function("abuse.wasm", |grants| {
            grants.environment = vec![("NAME".to_owned(), "value".to_owned())];
        })
        .await;
        assert_eq!(text(&abuse, "/env").await, "NAME=value\n");
        let bare = function("abuse.wasm", |_| {}).await;
        assert_eq!(text(&bare, "/env").await, "");
    });
}

#[test]
fn headers_of_a_response_are_bounded() {
    run(async {
        let abuse = function("abuse.wasm", |_| {}).await;
        assert!(
            text(&abuse, "/many-headers?count=10&bytes=100")
                .await
                .contains("None")
        );
        assert!(matches!(
            failure(&abuse, "/many-headers?count=100000&bytes=100").await,
            Failure::Trap(text) if text.contains("size of fields")
        ));
    });
}

#[test]
fn calls_wait_in_turn_for_an_instance_and_not_for_ever() {
    run(async {
        let one = Wall::new(options(1, 1 << 30)).expect("a wall");
        let abuse = one.function(program(&one, "abuse.wasm").await, grants());

        let (first, mut watch) = call(LONG);
        let response = abuse.request(get("/never-finish"), first).await;
        let body = response.expect("a response").into_body();

        let (answer, ending, _) =
            exchange(&abuse, get("/counter"), Duration::from_millis(100)).await;
        let failure = answer.expect_err("no room");
        assert!(matches!(failure, Failure::NoRoom | Failure::Timeout));
        assert_eq!(ending.usage.init, None);

        let waiting = exchange(&abuse, get("/counter"), LONG);
        let leaving = async {
            drop(body);
            watch.ending().await
        };
        let ((answer, _, _), _) = tokio::join!(waiting, leaving);
        assert!(answer.is_ok());
    });
}

#[test]
fn an_idle_instance_makes_room_for_another_function() {
    run(async {
        let one = Wall::new(options(1, 1 << 30)).expect("a wall");
        let mut reused = grants();
        reused.reuse = 10;
        let abuse = one.function(program(&one, "abuse.wasm").await, reused);
        let hello = one.function(program(&one, "hello.wasm").await, grants());
        assert_eq!(text(&abuse, "/counter").await, "1\n");
        assert_eq!(text(&hello, "/").await, "Hello, World!\n");
        assert_eq!(text(&abuse, "/counter").await, "1\n");
    });
}

#[test]
fn the_memory_of_all_instances_is_bounded() {
    run(async {
        let small = Wall::new(options(8, 64 << 20)).expect("a wall");
        let mut large = grants();
        large.memory_bytes = 1 << 30;
        let abuse = small.function(program(&small, "abuse.wasm").await, large);
        assert!(text(&abuse, "/grow?mib=1000").await.contains("got="));
        assert!(matches!(
            failure(&abuse, "/gobble").await,
            Failure::Internal(_)
        ));
        // All of it was given back.
        assert_eq!(text(&abuse, "/counter").await, "1\n");
    });
}

#[test]
fn one_wall_serves_many_at_once() {
    run(async {
        let hello = function("hello.wasm", |_| {}).await;
        let calls: Vec<_> = (0..500)
            .map(|_| {
                let hello = hello.clone();
                SHARED.0.spawn(async move { text(&hello, "/").await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.expect("a call"), "Hello, World!\n");
        }
    });
}
