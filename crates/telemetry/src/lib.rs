//! What a node knows of its functions' doings, for the people who run them.
//!
//! - [`logs`]: the lines that functions write, kept in bounded files.
//! - [`tails`]: what workers do, told to who watches at the moment.
//!
//! Nobody here decides what is worth recording, or waits for a disk on an invocation's way.

pub mod logs;
pub mod tails;
