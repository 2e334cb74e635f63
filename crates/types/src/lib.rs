//! The vocabulary of Hearth.
//!
//! Every other crate speaks in these words: who owns a function and what it is called ([`name`], [`arn`]),
//! what it is made of ([`function`], [`digest`]), how it is walled ([`walls`]) and what it may reach ([`network`]),
//! which requests are led to it ([`route`]), what may be asked for ([`limits`]), how it is run ([`invoke`]), how often
//! an event is tried ([`event_invoke`]) and where its end is told ([`destination`], [`webhook`]), which queues and
//! brokers call it ([`mapping`], [`source`]), which folders it may have ([`folder`]), what a caller is told when it can't be ([`error`]), and the shapes of the public API ([`wire`]).
//!
//! Nobody here does I/O, reads a clock or waits. The one asynchronous signature is [`invoke::Invoker`]: it is
//! the seam between the front door and the workers, so it belongs to neither.

pub mod arn;
pub mod destination;
pub mod digest;
pub mod error;
pub mod event_invoke;
pub mod folder;
pub mod function;
pub mod function_url;
pub mod invoke;
pub mod limits;
pub mod lineage;
pub mod mapping;
pub mod name;
pub mod network;
pub mod route;
pub mod source;
mod text;
pub mod time;
pub mod walls;
pub mod web;
pub mod webhook;
pub mod wire;

pub use error::{ApiError, ErrorKind};
