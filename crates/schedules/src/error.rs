//! What a caller of the API is told when it can't be done.

use hearth_store::StoreError;
use hearth_store::schedules::ScheduleStoreError;

/// A refusal, as the API writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError {
    /// The kind.
    pub kind: Kind,
    /// A sentence.
    pub message: String,
}

/// Kinds of refusals: those of the service model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub enum Kind {
    Conflict,
    InternalServer,
    ResourceNotFound,
    ServiceQuotaExceeded,
    Validation,
}

impl Kind {
    /// The name of its shape.
    pub const fn shape(self) -> &'static str {
        match self {
            Self::Conflict => "ConflictException",
            Self::InternalServer => "InternalServerException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ServiceQuotaExceeded => "ServiceQuotaExceededException",
            Self::Validation => "ValidationException",
        }
    }

    /// The HTTP status (service model).
    pub const fn status(self) -> u16 {
        match self {
            Self::Validation => 400,
            Self::ServiceQuotaExceeded => 402,
            Self::ResourceNotFound => 404,
            Self::Conflict => 409,
            Self::InternalServer => 500,
        }
    }
}

impl ScheduleError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Validation, message)
    }

    /// A store's refusal about `what`, which names the resource.
    pub(crate) fn of(error: ScheduleStoreError, group: &str, what: &str) -> Self {
        match error {
            ScheduleStoreError::MissingGroup => Self::new(
                Kind::ResourceNotFound,
                format!("Schedule group {group} does not exist."),
            ),
            ScheduleStoreError::Missing => {
                Self::new(Kind::ResourceNotFound, format!("{what} does not exist."))
            }
            ScheduleStoreError::Exists => {
                Self::new(Kind::Conflict, format!("{what} already exists."))
            }
            ScheduleStoreError::Full => Self::new(
                Kind::ServiceQuotaExceeded,
                format!(
                    "{what} can't be made: there are as many as there may be. Delete those that nobody uses."
                ),
            ),
            ScheduleStoreError::OtherRequest => Self::new(
                Kind::Conflict,
                "The ClientToken came with another request before. Use a new one for each change.",
            ),
            ScheduleStoreError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ScheduleError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store of schedules refused");
        let message = match error {
            StoreError::Full(_) => {
                "The node has no space left to store it. Free some and try again."
            }
            StoreError::Corrupt(_) => {
                "The store of schedules is damaged; the node's log says where."
            }
            _ => "The store of schedules can't be used now. Try again.",
        };
        Self::new(Kind::InternalServer, message)
    }
}
