//! Plays the functions that take HTTP. What one does is in the path.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hearth_types::invoke::{Body, BodyError, FunctionError, Outcome, Report, Served};
use http::{HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use serde_json::json;
use tokio::sync::Semaphore;

pub(super) fn serve(request: Request<Body>, dropped: &Arc<Semaphore>) -> Served {
    let (head, body) = request.into_parts();
    let whole = |bytes: Bytes| {
        Full::new(bytes)
            .map_err(|never| match never {})
            .boxed_unsync()
    };
    let response = match head.uri.path() {
        "/echo" => Response::new(body),
        "/endless" => Response::new(
            Endless {
                dropped: Arc::clone(dropped),
            }
            .boxed_unsync(),
        ),
        "/fail" => {
            return Served::Failed(Outcome {
                payload: Bytes::from_static(b"{\"errorMessage\":\"secret\"}"),
                error: Some(FunctionError::Unhandled),
                log_tail: None,
                report: Report::default(),
            });
        }
        "/informational" => {
            let mut response = Response::new(whole(Bytes::new()));
            *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
            response
        }
        // A head that would break the connection, were it believed.
        "/lie" => {
            let mut response = Response::new(whole(Bytes::from_static(b"hello")));
            for (name, value) in [
                ("content-length", "1"),
                ("connection", "close, x-private"),
                ("x-private", "1"),
                ("upgrade", "h2c"),
                ("x-amzn-requestid", "forged"),
                ("x-hearth-account", "forged"),
                ("access-control-allow-origin", "https://own.example"),
                ("x-kept", "1"),
            ] {
                let headers = response.headers_mut();
                headers.append(name, HeaderValue::from_static(value));
            }
            response
        }
        _ => {
            let fields: serde_json::Map<_, _> = head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()))
                .collect();
            let seen = json!({
                "method": head.method.as_str(),
                "uri": head.uri.to_string(),
                "headers": fields,
            });
            Response::new(whole(seen.to_string().into()))
        }
    };
    Served::Response(response)
}

/// A body without an end.
struct Endless {
    dropped: Arc<Semaphore>,
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.dropped.add_permits(1);
    }
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'.'; 4_096])))))
    }
}
