//! The `hearth` binary: a node (`hearth up`) and a command line that is a client of its public API.
//!
//! - [`config`], [`keys`]: what a node is told, and the key that it makes
//! - [`node`]: the composition root: every component, in the order in which they start and stop
//! - [`buckets`]: what connects components' buckets with the store
//! - [`brokers`]: how brokers are reached
//! - [`folders`]: which folders of the host functions may have
//! - [`up`], [`samples`]: the first five minutes
//! - [`client`], [`package`], [`cli`]: the command line
//!
//! No logic of the platform lives here, and nobody imports this crate.

mod brokers;
mod buckets;
mod cli;
mod client;
mod config;
mod events;
mod folders;
mod keys;
mod node;
mod package;
mod queues;
mod rules;
mod samples;
mod schedules;
mod storage;
mod targets;
mod tls;
mod up;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

/// A request is some fifty small allocations, most of them given back by another thread than took them: what the
/// system's allocator does with its arenas, this one does without a lock.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // The launcher of the process wall is this binary in another role: single-threaded, without a runtime.
    hearth_sandbox::run_launcher_if_asked();
    // And so is an account's process for WebAssembly components.
    hearth_wasm::process::run_if_asked();
    // And a compiler of one of them.
    hearth_wasm::run_compiler_if_asked();
    cli::run(cli::Cli::parse())
}
