//! Commands: standard input, output, exit code.

use std::time::Duration;

use bytes::Bytes;
use hearth_wasm::Failure;

use crate::{LONG, call, function, run};

#[test]
fn a_command_takes_its_input_and_gives_its_output() {
    run(async {
        let command = function("command.wasm", |grants| {
            grants.environment = vec![("NAME".to_owned(), "value".to_owned())];
        })
        .await;
        let (call, mut watch) = call(LONG);
        let input = Bytes::from(r#"{"log": "a line", "exit": 3}"#);
        let end = command.command(input, call).await.expect("an end");
        // `wasi:cli/exit` of 0.2 knows success and failure.
        assert_eq!(end.exit_code, 1);
        let stdout = String::from_utf8_lossy(&end.stdout).into_owned();
        assert!(stdout.contains(r#""exit": 3"#), "{stdout}");
        assert!(stdout.contains(r#"["NAME"]"#), "{stdout}");
        assert_eq!(watch.log.text("stderr"), "a line\n");
        assert_eq!(watch.log.text("stdout"), "");
        assert_eq!(watch.ending().await.failure, None);
    });
}

#[test]
fn a_command_fails_as_it_does() {
    run(async {
        let command = function("command.wasm", |grants| grants.output_bytes = 1 << 20).await;
        for (input, within, expected) in [
            (r#"{"loop": 1}"#, Duration::from_millis(200), "time"),
            (r#"{"panic": 1}"#, LONG, "unreachable"),
        ] {
            let (call, mut watch) = call(within);
            let failure = command
                .command(Bytes::from(input), call)
                .await
                .expect_err("a failure");
            assert!(failure.to_string().contains(expected), "{failure}");
            assert_eq!(watch.ending().await.failure, Some(failure));
        }
        let (call, mut watch) = call(LONG);
        let flood = command
            .command(Bytes::from(r#"{"write_mib": 2}"#), call)
            .await;
        assert_eq!(flood, Err(Failure::OutputTooLarge));
        assert_eq!(watch.ending().await.failure, Some(Failure::OutputTooLarge));
    });
}

#[test]
fn a_command_that_needs_too_much_stack_is_ended() {
    run(async {
        let stack = function("stack.wasm", |_| {}).await;
        let (call, _watch) = call(LONG);
        let failure = stack.command(Bytes::new(), call).await;
        assert!(
            matches!(&failure, Err(Failure::Trap(text)) if text.contains("stack")),
            "{failure:?}"
        );
    });
}
