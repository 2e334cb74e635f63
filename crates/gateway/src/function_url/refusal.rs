//! What callers of function URLs and routes are told when there is no function's answer. The shape is the service's:
//! `{"Message": …}`.

use std::time::Duration;

use hearth_types::invoke::RequestId;
use hearth_types::{ApiError, ErrorKind};
use http::header::{CONNECTION, HeaderName, HeaderValue};
use http::{Response, Version};
use serde_json::json;

use crate::body::Unread;
use crate::error_response::{self, Protocol};
use crate::response_body::ResponseBody;

/// Why a request at a function URL or a route has no answer of the function's.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    retry_after: Option<Duration>,
    /// The rest of the request can't be told from the next one.
    close: bool,
    /// A header field that goes with it.
    field: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
            close: false,
            field: None,
        }
    }

    pub(crate) fn bad_host() -> Self {
        Self::new(
            400,
            "BadRequestException",
            "The request must name one host.",
        )
    }

    /// A path that a route and a function could read in two ways.
    pub(crate) fn bad_path(why: &str) -> Self {
        Self::new(
            400,
            "BadRequestException",
            format!("The path can't be routed: {why}. Send it in its plain form."),
        )
    }

    pub(crate) fn no_tunnel() -> Self {
        Self::new(
            405,
            ErrorKind::MethodNotAllowed.code(),
            "CONNECT is not taken here.",
        )
    }

    pub(crate) fn unknown() -> Self {
        Self::new(
            404,
            ErrorKind::ResourceNotFound.code(),
            "There is no such function URL.",
        )
    }

    /// Not even everyone is let in.
    pub(crate) fn closed() -> Self {
        Self::new(
            403,
            ErrorKind::AccessDenied.code(),
            "Forbidden. The function's resource policy must allow everyone lambda:InvokeFunctionUrl and \
             lambda:InvokeFunction.",
        )
    }

    /// Somebody else's function.
    pub(crate) fn forbidden() -> Self {
        Self::new(403, ErrorKind::AccessDenied.code(), "Forbidden")
    }

    /// The function failed, or its result is no response: whoever calls learns nothing of it, as at the service.
    pub(crate) fn function_failed() -> Self {
        Self::new(502, "InternalServerErrorException", "Internal Server Error")
    }

    pub(crate) fn too_large(bytes: usize) -> Self {
        Self::new(
            413,
            ErrorKind::RequestTooLarge.code(),
            format!("The request, as an event, must be smaller than {bytes} bytes."),
        )
    }

    /// Only a web server speaks it.
    pub(super) fn no_websocket() -> Self {
        Self::new(
            501,
            ErrorKind::NotImplemented.code(),
            "The function takes no WebSockets: only web servers and workers do.",
        )
    }

    pub(crate) fn unread(unread: Unread, limit: usize) -> Self {
        match unread {
            Unread::TooLarge => Self::too_large(limit),
            Unread::Stalled => Self {
                close: true,
                ..Self::new(
                    408,
                    ErrorKind::RequestTimeout.code(),
                    "The body of the request did not arrive in time.",
                )
            },
            Unread::Broken => Self {
                close: true,
                ..Self::new(
                    400,
                    "BadRequestException",
                    "The body of the request ended early or is not framed as HTTP asks.",
                )
            },
            Unread::NoRoom => Self {
                retry_after: Some(Duration::from_secs(1)),
                ..Self::new(
                    503,
                    ErrorKind::ServiceUnavailable.code(),
                    "Too many large requests are arriving at once. Try again.",
                )
            },
        }
    }

    /// The same with a header field.
    pub(crate) fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self {
            field: Some(Box::new((name, value))),
            ..self
        }
    }

    /// The same, to be tried again after a time.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self {
            retry_after: Some(time),
            ..self
        }
    }

    /// Whether the connection can't go on: what is left of the request is not worth waiting for.
    pub(crate) fn closes(&self) -> bool {
        self.close
    }

    /// The response.
    pub(crate) fn answer(self, version: Version, request_id: RequestId) -> Response<ResponseBody> {
        let body = json!({ "Message": self.message });
        let mut answer = error_response::json(self.status, Protocol::RestJson, &body, request_id);
        let headers = answer.headers_mut();
        error_response::set_code(headers, self.code, self.retry_after);
        if let Some(field) = self.field {
            let (name, value) = *field;
            headers.insert(name, value);
        }
        if self.close && version < Version::HTTP_2 {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        answer.map(ResponseBody::Whole)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self {
            retry_after: error.retry_after,
            ..Self::new(error.kind.status(), error.kind.code(), error.message)
        }
    }
}
