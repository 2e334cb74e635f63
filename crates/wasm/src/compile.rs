//! Compiling components ahead of time: off the request's way, a bounded number at once.
//!
//! What is compiled is a stranger's (INV-8): each compilation is a process of its own ([`process`]), which the kernel
//! holds to a processor time and a memory that are the same for all; few run at once, and give way to what serves
//! requests. A program that did not say that it can be started again compiles in its own process: for tests and tools,
//! whose components are their own.
//!
//! The size of the input alone can't bound a compilation: 5 kB that pass 900 values from call to call take 8 s, 15 kB of
//! the same more than 2 GiB, and 100 kB of indirect calls half a minute.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engines::{Engines, Model};
use crate::program::Refusal;

mod process;

pub use process::run_compiler_if_asked;

/// How long one compilation is waited for: longer than its processor time, since it takes what others leave.
const LONGEST: Duration = Duration::from_secs(900);

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
    engines: Arc<Engines>,
    turns: Arc<Semaphore>,
}

/// Permission to hold a component in memory and to compile it.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Compiler {
    /// With `parallel` compilations at once.
    pub(crate) fn new(engines: Arc<Engines>, parallel: usize) -> Self {
        Self {
            engines,
            turns: Arc::new(Semaphore::new(parallel.max(1))),
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// If none comes: too much is being compiled. Safe to try again.
    pub(crate) async fn turn(&self) -> Result<Turn, Refusal> {
        match tokio::time::timeout(LONGEST_WAIT, self.turns.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit }),
            _ => Err(Refusal::Internal(
                "the node has too many components to compile: try again later".to_owned(),
            )),
        }
    }

    /// Compiles a component of a model.
    ///
    /// # Errors
    /// What the compiler says of the component, or which of its bounds it met; [`Refusal::Internal`] if it fails.
    ///
    /// # Cancel safety
    /// Ends the compilation, and only then gives its turn back.
    pub(crate) async fn compile(
        &self,
        turn: Turn,
        model: Model,
        component: Vec<u8>,
    ) -> Result<(Turn, Artefact), Refusal> {
        let base = self.engines.of(model);
        let work = async {
            if process::is_possible() {
                let artefact = process::compile(&component, model, base).await?;
                Ok((turn, artefact))
            } else {
                self.compile_here(turn, model, component).await
            }
        };
        tokio::time::timeout(LONGEST, work)
            .await
            .unwrap_or_else(|_| {
                Err(Refusal::Internal(format!(
                    "a component was not compiled within {} s: the node has too much to do",
                    LONGEST.as_secs()
                )))
            })
    }

    /// Compiles in this process. It can't be stopped: it keeps its turn to its end, whoever waits for it.
    async fn compile_here(
        &self,
        turn: Turn,
        model: Model,
        component: Vec<u8>,
    ) -> Result<(Turn, Artefact), Refusal> {
        let engine = self.engines.of(model).engine.clone();
        let work = tokio::task::spawn_blocking(move || {
            let threads = threads()
                .map_err(|error| Refusal::Internal(format!("start the compiler: {error}")))?;
            let compile = || threads.install(|| engine.precompile_component(&component));
            Ok((turn, guarded(compile)?))
        });
        work.await
            .map_err(|stopped| Refusal::Internal(format!("compile a component: {stopped}")))?
    }
}

/// Threads for one compilation, as many as there are processors.
fn threads() -> std::io::Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .thread_name(|thread| format!("wasm-compile-{thread}"))
        .stack_size(STACK_BYTES)
        .start_handler(|_| {
            // On Linux the niceness of "process 0" is that of the calling thread alone. Without it, compilations are as
            // important as requests: worth no error.
            let _ = rustix::process::setpriority_process(None, NICENESS);
        })
        .build()
        .map_err(std::io::Error::other)
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
