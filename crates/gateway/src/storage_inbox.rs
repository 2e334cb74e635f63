//! Where others tell what has changed in a bucket: `POST /hearth/2026-11-01/storage/<bucket>/notifications`.
//!
//! Senders know no signatures: a token of the node's configuration lets them in, and lets them do nothing else.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hearth_storage::inbox::BODY_BYTES;
use hearth_types::invoke::RequestId;
use hearth_types::{ApiError, ErrorKind};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Method};
use hyper::body::Incoming;
use serde_json::json;

use crate::body;
use crate::error_response::{self, Answer, Protocol};
use crate::gateway::{Parted, Refusal, discard, unread_refusal};

/// The bucket of a path, if it is such a path.
pub(crate) fn bucket(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/hearth/2026-11-01/storage/")?;
    let bucket = rest.strip_suffix("/notifications")?;
    (!bucket.contains('/')).then_some(bucket)
}

/// Takes in what a request tells.
pub(crate) async fn answer(
    gateway: &Parted,
    bucket: &str,
    parts: &Parts,
    mut body: Incoming,
    request_id: RequestId,
) -> Result<Answer, Refusal> {
    if parts.method != Method::POST {
        discard(parts, body);
        let mut refusal = Refusal::from(ApiError::new(
            ErrorKind::MethodNotAllowed,
            "Notifications are sent here. Use POST.",
        ));
        refusal.allow = Some("POST".to_owned());
        return Err(refusal);
    }
    let token = token(&parts.headers).unwrap_or_default();
    let bucket = match gateway.storage.admit(bucket, &token) {
        Ok(bucket) => bucket,
        Err(error) => {
            discard(parts, body);
            return Err(error.into());
        }
    };
    let read = body::read(
        &mut body,
        BODY_BYTES,
        &gateway.budget,
        gateway.connections.pace,
    )
    .await;
    let read = read.map_err(|unread| unread_refusal(unread, BODY_BYTES, "SendNotifications"))?;
    let records = gateway.storage.receive(&bucket, &read.bytes).await?;
    let answer = json!({ "Records": records });
    Ok(error_response::json(
        200,
        Protocol::RestJson,
        &answer,
        request_id,
    ))
}

/// The token, as a bearer's, or as the password of whoever can send no other (a URL with `user:password@`).
pub(crate) fn token(headers: &HeaderMap) -> Option<String> {
    let (scheme, rest) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(rest).ok()?).ok()?;
    let (_, password) = pair.split_once(':')?;
    Some(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_one_bucket() {
        let path = |bucket: &str| format!("/hearth/2026-11-01/storage/{bucket}/notifications");
        assert_eq!(bucket(&path("photos")), Some("photos"));
        assert_eq!(bucket(&path("a/b")), None);
        assert_eq!(bucket("/hearth/2026-11-01/storage/photos"), None);
    }

    #[test]
    fn the_token_is_a_bearers_or_a_password() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            token(&headers)
        };
        assert_eq!(of("Bearer t").as_deref(), Some("t"));
        assert_eq!(of("bearer  t").as_deref(), Some("t"));
        // user:t
        assert_eq!(of("Basic dXNlcjp0").as_deref(), Some("t"));
        assert_eq!(of("AWS4-HMAC-SHA256 x"), None);
        assert_eq!(of("t"), None);
        assert_eq!(token(&HeaderMap::new()), None);
    }
}
