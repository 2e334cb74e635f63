//! The one operation of STS that tools ask for before anything else: GetCallerIdentity. Query protocol: a form at
//! `POST /`, XML back.

use hearth_registry::Scope;
use hearth_types::invoke::RequestId;
use hearth_types::{ApiError, ErrorKind};
use http::header::CONTENT_TYPE;
use http::request::Parts;

use crate::error_response::{self, Answer, Protocol};

/// The namespace of the answers (service model, `xmlNamespace`).
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Whether a request at `POST /` is of this protocol.
pub(crate) fn is_form(parts: &Parts) -> bool {
    let content_type = parts.headers.get(CONTENT_TYPE);
    content_type.is_some_and(|value| {
        value
            .as_bytes()
            .starts_with(b"application/x-www-form-urlencoded")
    })
}

/// Does what an authenticated request asks for.
pub(crate) fn answer(scope: &Scope, body: &[u8], request_id: RequestId) -> Answer {
    let asks = |pair: &[u8]| pair == b"Action=GetCallerIdentity";
    if !body.split(|byte| *byte == b'&').any(asks) {
        let error = ApiError::new(
            ErrorKind::UnknownOperation,
            "Of STS, Hearth has GetCallerIdentity alone: keys are made by the node.",
        );
        return error_response::of(&error, Protocol::Query, request_id);
    }
    // An account id and a UUID: nothing that XML would have to escape.
    let account = &scope.account;
    let xml = format!(
        "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::{account}:root</Arn><UserId>{account}</UserId><Account>{account}</Account>\
         </GetCallerIdentityResult><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>\
         </GetCallerIdentityResponse>"
    );
    error_response::text(200, Protocol::Query, xml, request_id)
}

/// The response for a failure, in this protocol's shape.
pub(crate) fn failure(status: u16, code: &str, message: &str, request_id: RequestId) -> Answer {
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    let message = escaped(message);
    let xml = format!(
        "<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>{kind}</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    );
    error_response::text(status, Protocol::Query, xml, request_id)
}

/// Messages may quote what the caller sent.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // XML 1.0 has no way to write other control characters.
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_sent_stays_text() {
        assert_eq!(escaped("<a>&\0b"), "&lt;a&gt;&amp; b");
    }
}
