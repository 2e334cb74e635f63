//! A component, compiled, checked and linked: what many instances are made from.

use crate::entry::Entry;

/// What a component exports, and so how it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `wasi:http/incoming-handler@0.2`.
    Http02,
    /// `wasi:http/handler@0.3`.
    Http03,
    /// `wasi:cli/run` of 0.2 or 0.3: the event on standard input, the result on standard output.
    Command,
}

/// Why a component can't be run: its author's fault unless it is [`Refusal::Internal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The component is not one, or asks for what the wall does not have. A sentence for its author.
    #[error("{0}")]
    Invalid(String),
    /// The node could not do its part. A sentence for the operator.
    #[error("{0}")]
    Internal(String),
}

/// A component, compiled, checked and linked. Shared by all functions with the same bytes.
#[derive(Debug)]
pub struct Program {
    pub(crate) shape: Shape,
    pub(crate) entry: Entry,
}

impl Program {
    /// How it is called.
    pub fn shape(&self) -> Shape {
        self.shape
    }
}
