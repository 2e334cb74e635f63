//! Code storage: content-addressed packages and their unpacked form.
//!
//! Nobody here knows what runs the code, who owns it or what it is called.

mod error;
mod options;
mod packages;

pub use error::{CodeError, SourceError};
pub use options::{Options, PackageStore, StoreUrl};
pub use packages::{Collected, Packages, Unpacked};
