//! Cloudflare's API's door: a bearer's token, and the envelope. What calls do is in `hearth-cloudflare`.

use hearth_cloudflare::{Caller, Failure, PREFIX, Reply, Request, body_bytes};
use hearth_registry::Scope;
use hearth_types::invoke::RequestId;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http_body_util::Full;
use hyper::body::Incoming;

use crate::body::{self, Unread};
use crate::error_response::{self, Answer, Protocol};
use crate::gateway::{Parted, discard, host_of};

/// What a caller without a good token is told.
const NO_TOKEN: &str = "Authentication error: CLOUDFLARE_API_TOKEN must be a token of this node. `hearth wrangler-env` \
                        prints one.";

/// Whether a path is one of this API.
pub(crate) fn is_path(path: &str) -> bool {
    path.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request. `base`: how the caller has reached the node, without the host.
pub(crate) async fn answer(
    gateway: &Parted,
    parts: &Parts,
    mut body: Incoming,
    scheme: &str,
    request_id: RequestId,
) -> Answer {
    let Some(bearer) = gateway.keys.bearer(&parts.headers) else {
        discard(parts, body);
        return written(Failure::authentication(NO_TOKEN).into(), request_id);
    };
    let path = parts.uri.path();
    let limit = body_bytes(&parts.method, path);
    let pace = gateway.connections.pace;
    let read = match body::gather(&mut body, limit, &gateway.budget, pace, None).await {
        Ok(read) => read,
        Err(unread) => {
            let mut answer = written(refusal(unread, limit).into(), request_id);
            if matches!(unread, Unread::TooLarge | Unread::NoRoom) {
                discard(parts, body);
            } else {
                // The rest of the request can't be told from the next one.
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            return answer;
        }
    };
    // The body's part of the memory for all is held until the call has ended.
    let (bytes, _held) = read;
    let caller = Caller {
        scope: Scope {
            account: bearer.account,
            region: bearer.region,
        },
        base: format!("{scheme}://{}", host_of(parts)),
        token: bearer.token,
        session: bearer.session,
    };
    let content_type = parts.headers.get(CONTENT_TYPE);
    let request = Request {
        method: &parts.method,
        path,
        query: parts.uri.query().unwrap_or_default(),
        content_type: content_type.and_then(|value| value.to_str().ok()),
        body: bytes,
    };
    written(gateway.cloudflare.call(&caller, request).await, request_id)
}

fn refusal(unread: Unread, limit: usize) -> Failure {
    match unread {
        Unread::TooLarge => Failure::request(
            413,
            format!("The request must be smaller than {limit} bytes."),
        ),
        Unread::NoRoom => Failure::request(
            503,
            "Too many large requests are arriving at once. Try again.",
        ),
        Unread::Stalled => Failure::request(
            408,
            "The body of the request did not arrive in time. Send it again.",
        ),
        Unread::Broken => Failure::request(
            400,
            "The body of the request ended early or is not framed as HTTP asks.",
        ),
    }
}

pub(crate) fn written(reply: Reply, request_id: RequestId) -> Answer {
    match reply {
        Reply::Json(status, body) => {
            error_response::json(status, Protocol::RestJson, &body, request_id)
        }
        Reply::Bytes(bytes) => {
            let mut response = error_response::empty(200, request_id);
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            );
            *response.body_mut() = Full::new(bytes);
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_below_its_prefix() {
        assert!(is_path("/client/v4/user") && is_path("/client/v4"));
        assert!(!is_path("/client/v40") && !is_path("/client") && !is_path("/"));
    }
}
