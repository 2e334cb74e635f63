//! What a caller is told when the platform can't do as asked. A *function's* failure is not one of these: it is
//! a successful invocation with a bad end (see [`crate::invoke::Outcome`]).

use std::borrow::Cow;
use std::time::Duration;

use crate::arn::ArnError;
use crate::name::NameError;

/// The kind of a failure: the API's error code, its HTTP status and whether trying again can help.
///
/// Codes and statuses are those of the Lambda service model unless the variant says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A parameter breaks a rule.
    InvalidParameterValue,
    /// The body or a parameter breaks the shape that the model gives it (code of AWS's front end).
    Validation,
    /// The body is not JSON of the right types (code of AWS's front end).
    Serialization,
    /// The body of an Invoke is not JSON.
    InvalidRequestContent,
    /// The zip can't be opened or breaks a bound.
    InvalidZipFile,
    /// The account's stored code would pass its limit.
    CodeStorageExceeded,
    /// A resource policy would pass its limit.
    PolicyLengthExceeded,
    /// No such function, version, alias, layer, tag target.
    ResourceNotFound,
    /// It is there already, or it is being changed.
    ResourceConflict,
    /// A referenced resource is in use.
    ResourceInUse,
    /// The chain of invocations that the request is of has run the function too often.
    RecursiveInvocation,
    /// The `RevisionId` that was given is not the current one.
    PreconditionFailed,
    /// Over a limit of rate or concurrency.
    TooManyRequests,
    /// The request is over 6 MB.
    RequestTooLarge,
    /// The body is of a type that the path does not take.
    UnsupportedMediaType,
    /// No such path or operation (code of AWS's front end).
    UnknownOperation,
    /// The path is there, with other methods (code of AWS's front end).
    MethodNotAllowed,
    /// No authentication (code of AWS's front end).
    MissingAuthenticationToken,
    /// An access key that nobody has (code of AWS's front end).
    UnrecognizedClient,
    /// A signature that does not match, or is too old (code of AWS's front end).
    InvalidSignature,
    /// A signature that can't be read (code of AWS's front end).
    IncompleteSignature,
    /// Temporary credentials that have expired (code of AWS's front end).
    ExpiredToken,
    /// Authenticated, but not for this account.
    AccessDenied,
    /// The runtime can't be started: not on this host, or forbidden.
    InvalidRuntime,
    /// A folder of the function can't be mounted: the node has it no longer, not for this account, or not in the way that
    /// it would need.
    FolderMount,
    /// Hearth does not do this yet (501; Hearth's own code).
    NotImplemented,
    /// The request took too long to arrive (code of AWS's front end).
    RequestTimeout,
    /// The node is at its bounds or shutting down; try again.
    ServiceUnavailable,
    /// A fault of the platform.
    Service,
}

impl ErrorKind {
    /// The error code on the wire.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidParameterValue => "InvalidParameterValueException",
            Self::Validation => "ValidationException",
            Self::Serialization => "SerializationException",
            Self::InvalidRequestContent => "InvalidRequestContentException",
            Self::InvalidZipFile => "InvalidZipFileException",
            Self::CodeStorageExceeded => "CodeStorageExceededException",
            Self::PolicyLengthExceeded => "PolicyLengthExceededException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::ResourceConflict => "ResourceConflictException",
            Self::ResourceInUse => "ResourceInUseException",
            Self::RecursiveInvocation => "RecursiveInvocationException",
            Self::PreconditionFailed => "PreconditionFailedException",
            Self::TooManyRequests => "TooManyRequestsException",
            Self::RequestTooLarge => "RequestTooLargeException",
            Self::UnsupportedMediaType => "UnsupportedMediaTypeException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::MethodNotAllowed => "MethodNotAllowedException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::ExpiredToken => "ExpiredTokenException",
            Self::AccessDenied => "AccessDeniedException",
            Self::InvalidRuntime => "InvalidRuntimeException",
            Self::FolderMount => "EFSMountFailureException",
            Self::NotImplemented => "NotImplementedException",
            Self::RequestTimeout => "RequestTimeoutException",
            Self::ServiceUnavailable => "ServiceUnavailableException",
            Self::Service => "ServiceException",
        }
    }

    /// The HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidParameterValue
            | Self::Validation
            | Self::Serialization
            | Self::InvalidRequestContent
            | Self::InvalidZipFile
            | Self::CodeStorageExceeded
            | Self::PolicyLengthExceeded
            | Self::ResourceInUse
            | Self::RecursiveInvocation => 400,
            Self::MissingAuthenticationToken
            | Self::UnrecognizedClient
            | Self::InvalidSignature
            | Self::IncompleteSignature
            | Self::ExpiredToken
            | Self::AccessDenied
            | Self::FolderMount => 403,
            Self::ResourceNotFound | Self::UnknownOperation => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::ResourceConflict => 409,
            Self::PreconditionFailed => 412,
            Self::RequestTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::TooManyRequests => 429,
            Self::NotImplemented => 501,
            Self::InvalidRuntime => 502,
            Self::ServiceUnavailable => 503,
            Self::Service => 500,
        }
    }

    /// Whether the same request can succeed later without being changed.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::TooManyRequests | Self::RequestTimeout | Self::ServiceUnavailable | Self::Service
        )
    }

    /// `User` where the caller must change something, `Service` where the platform must: the API's `Type` member.
    pub const fn fault(self) -> &'static str {
        if self.status() < 500 {
            "User"
        } else {
            "Service"
        }
    }
}

/// Why an invocation was throttled: the `ThrottleReason` enum of the service model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThrottleReason {
    /// The account's concurrency is used up.
    ConcurrentInvocationLimitExceeded,
    /// The function's reserved concurrency is used up, or zero.
    ReservedFunctionConcurrentInvocationLimitExceeded,
    /// The caller asks too fast.
    CallerRateLimitExceeded,
}

impl ThrottleReason {
    /// The value on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConcurrentInvocationLimitExceeded => "ConcurrentInvocationLimitExceeded",
            Self::ReservedFunctionConcurrentInvocationLimitExceeded => {
                "ReservedFunctionConcurrentInvocationLimitExceeded"
            }
            Self::CallerRateLimitExceeded => "CallerRateLimitExceeded",
        }
    }
}

/// A failure that a caller sees: a kind, and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.code())]
pub struct ApiError {
    /// The kind.
    pub kind: ErrorKind,
    /// What is wrong and what to do about it. Never holds secrets or paths of the host.
    pub message: Cow<'static, str>,
    /// Why, when [`ErrorKind::TooManyRequests`].
    pub throttle: Option<ThrottleReason>,
    /// When to try again, where the platform can tell.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// A failure of `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            throttle: None,
            retry_after: None,
        }
    }

    /// A parameter breaks a rule.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidParameterValue, message)
    }

    /// No such resource.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::ResourceNotFound, message)
    }

    /// It is there already, or being changed.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::ResourceConflict, message)
    }

    /// A fault of the platform. `message` is shown to the caller: keep the cause for the log.
    pub fn service(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Service, message)
    }

    /// Too many invocations at once.
    pub fn throttled(reason: ThrottleReason) -> Self {
        Self {
            throttle: Some(reason),
            retry_after: Some(Duration::from_secs(1)),
            ..Self::new(ErrorKind::TooManyRequests, "Rate Exceeded.")
        }
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::new(ErrorKind::Validation, error.to_string())
    }
}

impl From<ArnError> for ApiError {
    fn from(error: ArnError) -> Self {
        Self::new(ErrorKind::Validation, error.to_string())
    }
}
