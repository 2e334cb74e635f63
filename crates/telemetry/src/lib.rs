//! Logs of functions, kept in bounded files.

pub mod logs;
