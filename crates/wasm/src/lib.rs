//! The WebAssembly wall: components, compiled ahead of time, each run in an instance of its own.
//!
//! On the request's way this is the last room, where `sandbox` stands for processes. It knows bytes of components,
//! what a guest is granted and HTTP; it knows nothing of functions' names, owners, routes or of how a log is written.
//!
//! Reading order: [`options`], [`wall`] (the handle), [`program`] (a component, compiled and linked) and the way to it:
//! [`programs`] (those that are loaded), [`inspect`], [`compile`], [`cache`] and [`seal`]; [`grants`] (what one guest may
//! have), [`function`] (a program with its grants: what is called), [`call`] (one call and its end). Then what a call
//! meets: [`machine`] (slots and memory), [`instance`], [`guest`] (whose thread it runs on, and until when), `http` and
//! [`command`] (how it is handed over), [`body`] (its response while it goes on), [`idle`].
//!
//! What a guest does is hostile input (INV-8): its memory, time, stack, output, handles and host calls are bounded, and
//! its end never takes more with it than its own instance.

mod body;
mod cache;
mod call;
mod command;
mod compile;
mod compute;
mod either;
mod engine;
mod engines;
mod entry;
mod environment;
mod failure;
mod function;
mod gauge;
mod grants;
mod guest;
mod hooks;
mod host;
mod http;
mod idle;
mod imports;
mod inspect;
mod instance;
mod limits;
mod machine;
mod options;
pub mod process;
mod program;
mod programs;
mod seal;
mod signature;
mod state;
mod stdio;
mod ticker;
mod wall;

pub use call::{Call, CommandEnd, Ending, Failure, Output, OutputStream, Usage};
pub use compile::run_compiler_if_asked;
pub use either::{Body, Function};
pub use grants::Grants;
pub use host::{KeyValue, KeyValueError, KeyValueGrant};
pub use options::WallOptions;
pub use program::{Program, Refusal, Shape};
pub use wall::Wall;
