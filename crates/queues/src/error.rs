//! What a caller of the API is told when it can't be done.

use std::borrow::Cow;

use hearth_store::StoreError;
use hearth_store::queues::QueueStoreError;

/// A refusal, as the API writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueError {
    /// The kind.
    pub kind: Kind,
    /// A sentence.
    pub message: Cow<'static, str>,
}

/// Kinds of refusals: shapes of the service model, and codes that its clients know besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the API's own")]
pub enum Kind {
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InvalidAddress,
    InvalidAttributeName,
    InvalidAttributeValue,
    InvalidBatchEntryId,
    InvalidMessageContents,
    InvalidParameterValue,
    MessageNotInflight,
    MissingParameter,
    OverLimit,
    QueueDoesNotExist,
    QueueNameExists,
    ReceiptHandleIsInvalid,
    RequestThrottled,
    ResourceNotFound,
    TooManyEntriesInBatchRequest,
    UnsupportedOperation,
    Unavailable,
    Damaged,
}

impl Kind {
    /// The shape's name, for `__type`.
    pub const fn shape(self) -> &'static str {
        match self {
            Self::BatchEntryIdsNotDistinct => "BatchEntryIdsNotDistinct",
            Self::BatchRequestTooLong => "BatchRequestTooLong",
            Self::EmptyBatchRequest => "EmptyBatchRequest",
            Self::InvalidAddress => "InvalidAddress",
            Self::InvalidAttributeName => "InvalidAttributeName",
            Self::InvalidAttributeValue => "InvalidAttributeValue",
            Self::InvalidBatchEntryId => "InvalidBatchEntryId",
            Self::InvalidMessageContents => "InvalidMessageContents",
            Self::InvalidParameterValue => "InvalidParameterValueException",
            Self::MessageNotInflight => "MessageNotInflight",
            Self::MissingParameter => "MissingRequiredParameterException",
            Self::OverLimit => "OverLimit",
            Self::QueueDoesNotExist => "QueueDoesNotExist",
            Self::QueueNameExists => "QueueNameExists",
            Self::ReceiptHandleIsInvalid => "ReceiptHandleIsInvalid",
            Self::RequestThrottled => "RequestThrottled",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::TooManyEntriesInBatchRequest => "TooManyEntriesInBatchRequest",
            Self::UnsupportedOperation => "UnsupportedOperation",
            Self::Unavailable => "ServiceUnavailable",
            Self::Damaged => "InternalFailure",
        }
    }

    /// The code of the API's earlier protocol, by which programs know an error still (`x-amzn-query-error`).
    pub const fn code(self) -> &'static str {
        match self {
            Self::BatchEntryIdsNotDistinct => "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
            Self::BatchRequestTooLong => "AWS.SimpleQueueService.BatchRequestTooLong",
            Self::EmptyBatchRequest => "AWS.SimpleQueueService.EmptyBatchRequest",
            Self::InvalidBatchEntryId => "AWS.SimpleQueueService.InvalidBatchEntryId",
            Self::InvalidParameterValue => "InvalidParameterValue",
            Self::MessageNotInflight => "AWS.SimpleQueueService.MessageNotInflight",
            Self::MissingParameter => "MissingParameter",
            Self::QueueDoesNotExist => "AWS.SimpleQueueService.NonExistentQueue",
            Self::QueueNameExists => "QueueAlreadyExists",
            Self::TooManyEntriesInBatchRequest => {
                "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"
            }
            Self::UnsupportedOperation => "AWS.SimpleQueueService.UnsupportedOperation",
            same => same.shape(),
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::RequestThrottled => 429,
            Self::Unavailable => 503,
            Self::Damaged => 500,
            _ => 400,
        }
    }

    /// Whether the caller could have known.
    pub const fn is_callers(self) -> bool {
        self.status() < 500
    }
}

impl QueueError {
    pub(crate) fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// A value that its parameter does not take. The wording is SQS's.
    pub(crate) fn value(value: impl std::fmt::Display, parameter: &str, reason: &str) -> Self {
        let shown: String = value.to_string().chars().take(200).collect();
        Self::new(
            Kind::InvalidParameterValue,
            format!("Value {shown} for parameter {parameter} is invalid. Reason: {reason}"),
        )
    }

    pub(crate) fn missing_parameter(parameter: &str) -> Self {
        Self::new(
            Kind::MissingParameter,
            format!("The request must contain the parameter {parameter}."),
        )
    }

    pub(crate) fn missing_queue() -> Self {
        Self::new(
            Kind::QueueDoesNotExist,
            "The specified queue does not exist.",
        )
    }
}

impl From<StoreError> for QueueError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store of queues refused");
        match error {
            StoreError::Full(_) => Self::new(
                Kind::Unavailable,
                "The node has no space left to store it. Free some and try again.",
            ),
            StoreError::Corrupt(_) => Self::new(
                Kind::Damaged,
                "The store of queues is damaged; the node's log says where.",
            ),
            _ => Self::new(
                Kind::Unavailable,
                "The store of queues can't be used now. Try again.",
            ),
        }
    }
}

impl From<QueueStoreError> for QueueError {
    fn from(error: QueueStoreError) -> Self {
        match error {
            QueueStoreError::Missing => Self::missing_queue(),
            QueueStoreError::Full => Self::new(
                Kind::RequestThrottled,
                "There are as many messages as there may be. Try again when some have been deleted.",
            ),
            QueueStoreError::InFlight => Self::new(
                Kind::OverLimit,
                "Too many messages of the queue are in flight. Delete those that are done with.",
            ),
            QueueStoreError::Store(error) => error.into(),
        }
    }
}
