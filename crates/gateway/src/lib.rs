//! Front door.

pub mod auth;
