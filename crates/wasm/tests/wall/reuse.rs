//! Instances that serve more than one request.

use crate::{failure, function, run, text};

#[test]
fn an_instance_is_fresh_for_each_request_unless_it_may_be_used_again() {
    run(async {
        let fresh = function("abuse.wasm", |_| {}).await;
        assert_eq!(text(&fresh, "/counter").await, "1\n");
        assert_eq!(text(&fresh, "/counter").await, "1\n");

        let reused = function("abuse.wasm", |grants| grants.reuse = 3).await;
        for served in ["1\n", "2\n", "3\n", "1\n"] {
            assert_eq!(text(&reused, "/counter").await, served);
        }
    });
}

#[test]
fn an_instance_that_failed_is_not_used_again() {
    run(async {
        let reused = function("abuse.wasm", |grants| grants.reuse = 100).await;
        for path in ["/trap", "/no-response", "/respond-error", "/unfinished"] {
            assert_eq!(text(&reused, "/counter").await, "1\n", "{path}");
            failure(&reused, path).await;
        }
        assert_eq!(text(&reused, "/counter").await, "1\n");
        assert_eq!(text(&reused, "/counter").await, "2\n");
    });
}

#[test]
fn only_the_first_request_of_an_instance_has_an_init() {
    run(async {
        for guest in ["hello.wasm", "hello-p3.wasm"] {
            let hello = function(guest, |grants| grants.reuse = 10).await;
            for first in [true, false, false] {
                let (answer, ending, _) =
                    crate::exchange(&hello, crate::get("/"), crate::LONG).await;
                assert!(answer.is_ok(), "{guest}");
                assert_eq!(ending.usage.init.is_some(), first, "{guest}");
            }
        }
    });
}
