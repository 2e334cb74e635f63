//! Worker manager: execution environments and their life cycle.
//!
//! On the request's way between whoever asks (the gateway, through [`hearth_types::invoke::Invoker`]) and the wall:
//! [`Worker`] finds the deployment's [`pool`], which hands the invocation to a warm [`environment`] or has one started;
//! the [`runtime_api`] carries it to the function and its answer back. Functions that are web servers go through
//! [`web`]; those that are WebAssembly components take another way, through [`wasm`], and JavaScript workers through
//! [`isolate`].
//!
//! Reading order: [`worker`] (the handle), [`pool`] (who runs what), [`scaling`] (when there is one more; pure),
//! [`life`] (one environment from start to end), [`environment`] (Init), [`attend`] (one invocation), [`runtime_api`],
//! [`reply`] (the way back), [`logs`], [`capacity`] and [`reaper`] (bounds of the host), [`runtimes`] (what is installed), [`variables`],
//! [`door`], [`walls`]; [`web`], with [`event`] and [`stamp`]; and [`wasm`] and [`isolate`], which share with these the
//! logs, the failures' words and the variables, and with each other [`lanes`], [`loaded`] and
//! [`calls`].
//!
//! An environment serves one deployment for its whole life (INV-1). Every queue is bounded and every wait ends
//! (INV-3). A warm invocation takes no lock that another function's takes, and costs the same however many functions
//! there are (INV-9). What comes from inside of an environment is hostile (INV-8). Nobody here routes or
//! authenticates.

mod attend;
mod calls;
mod capacity;
mod collect;
mod door;
mod environment;
mod event;
mod failure;
mod isolate;
mod lanes;
mod life;
mod loaded;
mod logs;
mod meter;
mod options;
mod pool;
mod reaper;
mod reply;
mod runtime_api;
mod runtimes;
mod scaling;
mod shared;
mod stamp;
#[cfg(test)]
mod testing;
mod variables;
mod walls;
mod wasm;
mod web;
mod worker;

pub use options::{
    Buckets, ComponentOptions, Credentials, Door, IsolateOptions, Mint, ProcessOptions,
    WorkerOptions,
};
pub use runtimes::{Interpreter, Language, RuntimeOptions, Runtimes};
pub use worker::{Stats, Worker};
