//! `fetch()` of workers to other hosts: requests in the form for proxies, decided by [`hearth_egress`].

use hearth_egress::{Error, Times, is_forbidden};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::door::{Reply, said};
use crate::grants::{Known, Means};

/// The header field by which the dispatcher says for which worker a request is.
pub(crate) const FUNCTION: &str = "x-hearth-function";

/// The header field of an answer that is the node's refusal.
const REFUSED: &str = "x-hearth-refused";

/// Sends a request of a worker. When the future or the response's body is dropped, its connection is ended.
pub(crate) async fn send(means: &Means, known: &Known, request: Request<Incoming>) -> Reply {
    let hosts = &known.grants.hosts;
    let sending = means
        .egress
        .send(request, hosts, &known.turns, Times::default());
    let answered = match sending {
        Ok(sending) => sending.await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(mut response) => {
            clean(response.headers_mut());
            response.map(|body| body.map_err(Into::into).boxed_unsync())
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &Error) -> Reply {
    let mut reply = said(StatusCode::BAD_GATEWAY, error.to_string());
    let field = HeaderValue::from_static("1");
    reply.headers_mut().insert(REFUSED, field);
    reply
}

/// Takes fields out that are of the connection, or that only the node says.
fn clean(headers: &mut HeaderMap) {
    let forbidden: Vec<_> = headers
        .keys()
        .filter(|name| is_forbidden(name))
        .cloned()
        .collect();
    for name in forbidden {
        headers.remove(name);
    }
}
