//! What of workers' requests leaves their isolates, in the form for proxies: `fetch()` to other hosts, decided by
//! [`hearth_egress`], and by bindings to other functions and to the package's own files.

use hearth_egress::{Error, Times, clean};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::door::{Reply, said};
use crate::grants::{Known, Means};

/// The header field by which the dispatcher says for which worker a request is: the name of its code, and after a slash
/// the binding if it is by one.
pub(crate) const FUNCTION: &str = "x-hearth-function";

/// The header field of an answer that is the node's refusal.
const REFUSED: &str = "x-hearth-refused";

/// Answers a request by a binding.
pub(crate) async fn by_binding(
    means: &Means,
    known: &Known,
    binding: &str,
    request: Request<Incoming>,
) -> Reply {
    let grants = &known.grants;
    if let Some(service) = grants.services.get(binding) {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let mut reply = (means.ask)(service, request).await;
        clean(reply.headers_mut());
        return reply;
    }
    match &grants.assets {
        Some((assets, Some(name))) if name == binding => {
            let (head, _) = request.into_parts();
            assets.answer(&head).await
        }
        _ => said(StatusCode::FORBIDDEN, "no such binding".to_owned()),
    }
}

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
