//! Logs of functions, kept in bounded files.
