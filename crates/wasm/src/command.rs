//! A command run by a guest of `wasi:cli/run`, 0.2 and 0.3.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use wasmtime_wasi::I32Exit;

use crate::call::{CommandEnd, Failure, Output, OutputStream};
use crate::entry::Exports;
use crate::failure;
use crate::function::Shared;
use crate::gauge::Gauge;
use crate::instance::Instance;
use crate::state::Streams;
use crate::stdio::{Capture, Input, Log, Sink};

/// Where a command's result is when it ended.
pub(crate) struct Outcome {
    stdout: Arc<Capture>,
    exit_code: Arc<OnceLock<u8>>,
}

impl Outcome {
    /// The result of a command that ended by itself.
    pub(crate) fn take(&self) -> CommandEnd {
        CommandEnd {
            stdout: self.stdout.take(),
            exit_code: self.exit_code.get().copied().unwrap_or_default(),
        }
    }
}

/// The guest's run, up to its end, and where its result is then.
pub(crate) fn run(
    shared: Arc<Shared>,
    input: Bytes,
    output: Arc<dyn Output>,
    deadline: Instant,
    gauge: Arc<Gauge>,
) -> (
    impl Future<Output = Result<Box<Instance>, Failure>> + Send,
    Outcome,
) {
    let stdout = Arc::new(Capture::new(shared.grants.output_bytes));
    let exit_code = Arc::new(OnceLock::new());
    let outcome = Outcome {
        stdout: Arc::clone(&stdout),
        exit_code: Arc::clone(&exit_code),
    };
    let run = async move {
        let log = Arc::new(Log::default());
        let streams = Streams {
            stdin: Some(Input::new(input)),
            stdout: Sink::Capture(stdout),
            stderr: Sink::Log(Arc::clone(&log), OutputStream::Stderr),
        };
        let mut instance = shared.make(streams, log, deadline, &gauge).await?;
        instance.begin(output, &gauge);
        let ended = call(&mut instance).await;
        let code = match ended {
            Ok(Ok(())) => 0,
            Ok(Err(())) => 1,
            Err(error) => match error.downcast_ref() {
                // What does not fit is a failure all the same, as it is for a process.
                Some(I32Exit(code)) => u8::try_from(*code).unwrap_or(u8::MAX),
                None => {
                    return Err(failure::of_call(&error, &instance.store.data().limits));
                }
            },
        };
        let _ = exit_code.set(code);
        instance.end();
        Ok(instance)
    };
    (run, outcome)
}

async fn call(instance: &mut Instance) -> wasmtime::Result<Result<(), ()>> {
    let store = &mut instance.store;
    match &instance.exports {
        Exports::Command02(guest) => guest.wasi_cli_run().call_run(store).await,
        Exports::Command03(guest) => {
            store
                .run_concurrent(async |accessor| {
                    let ended = guest.wasi_cli_run().call_run(accessor).await;
                    std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                    ended
                })
                .await?
        }
        Exports::Http02(_) | Exports::Http03(_) => Err(wasmtime::format_err!(
            "a component of wasi:http can't be run as a command"
        )),
    }
}
