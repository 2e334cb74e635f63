//! What a caller of the API is told when it can't be done.

use hearth_store::StoreError;
use hearth_store::rules::RuleStoreError;

/// A refusal, as the API writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// The kind.
    pub kind: Kind,
    /// A sentence.
    pub message: String,
}

/// Kinds of refusals: those of the service model, and those that all services have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub enum Kind {
    Internal,
    InvalidEventPattern,
    LimitExceeded,
    ResourceAlreadyExists,
    ResourceNotFound,
    Serialization,
    Throttling,
    UnknownOperation,
    Validation,
}

impl Kind {
    /// The name of its shape.
    pub const fn shape(self) -> &'static str {
        match self {
            Self::Internal => "InternalException",
            Self::InvalidEventPattern => "InvalidEventPatternException",
            Self::LimitExceeded => "LimitExceededException",
            Self::ResourceAlreadyExists => "ResourceAlreadyExistsException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::Serialization => "SerializationException",
            Self::Throttling => "ThrottlingException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::Validation => "ValidationException",
        }
    }

    /// The HTTP status: in JSON 1.1 every fault of the caller is a 400.
    pub const fn status(self) -> u16 {
        match self {
            Self::Internal => 500,
            _ => 400,
        }
    }
}

impl RuleError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Validation, message)
    }

    /// A store's refusal to keep another of `what`.
    pub(crate) fn of(error: RuleStoreError, what: &str) -> Self {
        match error {
            RuleStoreError::Full | RuleStoreError::FullTarget(_) => Self::new(
                Kind::LimitExceeded,
                format!(
                    "The node has as many {what} as it may have. Delete those that nobody uses."
                ),
            ),
            RuleStoreError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for RuleError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store of rules refused");
        let message = match error {
            StoreError::Full(_) => {
                "The node has no space left to store it. Free some and try again."
            }
            StoreError::Corrupt(_) => "The store of rules is damaged; the node's log says where.",
            _ => "The store of rules can't be used now. Try again.",
        };
        Self::new(Kind::Internal, message)
    }
}
