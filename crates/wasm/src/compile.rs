//! Compiling components ahead of time: off the request's way, a bounded number at once.
//!
//! What is compiled is a stranger's (INV-8), and a compilation can't be stopped. What bounds it is the input, which
//! [`crate::inspect`] has checked; what keeps it from others is that few run at once, on threads of their own that give
//! way to those which serve requests. A caller waits for [`LONGEST`] at most, whatever the compiler does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::Engine;

use crate::program::Refusal;

/// How long one compilation is waited for. A JavaScript engine of 12 MB takes 10 s on two cores; the largest component
/// that is taken, 8 times as long.
const LONGEST: Duration = Duration::from_secs(300);

/// How long a turn is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(900);

/// Niceness of the compiler's threads: they take what those that serve requests leave, a tenth of a processor at least.
const NICENESS: i32 = 10;

/// Stack of a thread that compiles. Twice what Rust gives: the compiler's recursion follows a stranger's nesting.
const STACK_BYTES: usize = 4 << 20;

/// Compiled code, as it came out of the compiler.
pub(crate) struct Artefact(Vec<u8>);

impl Artefact {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The compiler.
pub(crate) struct Compiler {
    engine: Engine,
    threads: Arc<ThreadPool>,
    turns: Arc<Semaphore>,
}

/// Permission to hold a component in memory and to compile it.
pub(crate) struct Turn(OwnedSemaphorePermit);

impl Compiler {
    /// With `parallel` compilations at once, all on one set of threads, as many as there are processors.
    ///
    /// # Errors
    /// If the host gives no threads.
    pub(crate) fn new(engine: Engine, parallel: usize) -> std::io::Result<Self> {
        let threads = ThreadPoolBuilder::new()
            .thread_name(|thread| format!("wasm-compile-{thread}"))
            .stack_size(STACK_BYTES)
            .start_handler(|_| {
                // On Linux the niceness of "process 0" is that of the calling thread alone. Without it, compilations
                // are as important as requests: worth no error.
                let _ = rustix::process::setpriority_process(None, NICENESS);
            })
            .build()
            .map_err(std::io::Error::other)?;
        Ok(Self {
            engine,
            threads: Arc::new(threads),
            turns: Arc::new(Semaphore::new(parallel.max(1))),
        })
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// If none comes: too much is being compiled. Safe to try again.
    pub(crate) async fn turn(&self) -> Result<Turn, Refusal> {
        match tokio::time::timeout(LONGEST_WAIT, self.turns.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn(permit)),
            _ => Err(Refusal::Internal(
                "the node has too many components to compile: try again later".to_owned(),
            )),
        }
    }

    /// Compiles a component. If the caller goes away or the wait is over, the compilation goes on to its end and keeps
    /// its turn until then.
    ///
    /// # Errors
    /// What the compiler says of the component; [`Refusal::Internal`] if it panics.
    pub(crate) async fn compile(
        &self,
        turn: Turn,
        component: Vec<u8>,
    ) -> Result<(Turn, Artefact), Refusal> {
        let (engine, threads) = (self.engine.clone(), self.threads.clone());
        let work = tokio::task::spawn_blocking(move || {
            let compile = || threads.install(|| engine.precompile_component(&component));
            (turn, guarded(compile))
        });
        match tokio::time::timeout(LONGEST, work).await {
            Ok(Ok((turn, compiled))) => Ok((turn, compiled?)),
            Ok(Err(stopped)) => Err(Refusal::Internal(format!("compile a component: {stopped}"))),
            Err(_) => Err(Refusal::Invalid(format!(
                "The component can't be compiled within {} s: make it smaller, or divide its largest functions.",
                LONGEST.as_secs()
            ))),
        }
    }
}

/// Takes a compiler's word and a compiler's panic alike. Nothing is shared with it but the engine, which it only reads.
fn guarded(compile: impl FnOnce() -> wasmtime::Result<Vec<u8>>) -> Result<Artefact, Refusal> {
    match catch_unwind(AssertUnwindSafe(compile)) {
        Ok(Ok(bytes)) => Ok(Artefact(bytes)),
        Ok(Err(error)) => Err(Refusal::Invalid(format!(
            "The component is not valid, or can't be compiled: {error:#}."
        ))),
        Err(panic) => {
            let reason = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("it did not say why");
            Err(Refusal::Internal(format!(
                "the compiler failed on a component: {reason}"
            )))
        }
    }
}

#[cfg(test)]
mod tests;
