//! Code storage: content-addressed packages and their unpacked form.
//!
//! ```text
//! put:      zip ─▶ archive (is it one? may it be unpacked?) ─▶ depot (L3, by digest, durable)
//! unpacked: cache (L1: there and whole?) ─▶ else depot ─▶ archive ─▶ unpack ─▶ cache
//! ```
//!
//! - [`Packages`]: the handle.
//! - `archive`: what a zip says that it holds, as a tree in memory; every rule for hostile zips is there.
//! - `unpack`, `manifest`: a tree as a folder, and the proof that the folder is still that tree.
//! - `cache`: folders shared by many, within a bound.
//! - `depot`, `source`: object stores, ours and other people's.
//!
//! Nobody here knows what runs the code, who owns it or what it is called.

mod archive;
mod cache;
mod depot;
mod error;
mod manifest;
mod options;
mod packages;
mod source;
mod unpack;

pub use cache::Unpacked;
pub use depot::{Collected, open_store};
pub use error::{CodeError, SourceError};
pub use options::{Options, PackageStore, StoreUrl};
pub use packages::Packages;
