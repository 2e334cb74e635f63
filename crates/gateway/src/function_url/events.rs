//! Functions that take events: the request becomes one, and the result becomes the response. One that is made piece by
//! piece goes on in `streamed`.

use hearth_registry::Resolved;
use hearth_types::function_url::event::{self, Asked};
use hearth_types::function_url::result::{self, Malformed};
use hearth_types::invoke::{Body, Invocation, RequestId, Streamed};
use hearth_types::limits::REQUEST_PAYLOAD_BYTES;
use hearth_types::name::FunctionKey;
use http::header::HeaderValue;
use http::{Method, Request, Response};

use super::refusal::Refusal;
use super::{Asker, TRACE, streamed};
use crate::body::Unread;
use crate::gateway::Parted;
use crate::response_body::{Held, ResponseBody};
use crate::{body, error_response};

impl Parted {
    /// Invokes the function with the request, whose head is what a function may see. A function that answers in one
    /// piece runs to its end even if the client goes away.
    pub(super) async fn answer_with_event(
        &self,
        request: Request<Body>,
        asker: Asker<'_>,
        resolved: Resolved,
        held: Held,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let (parts, mut body) = request.into_parts();
        let pace = self.connections.pace;
        let read = body::gather(&mut body, REQUEST_PAYLOAD_BYTES, &self.budget, pace, None).await;
        let (bytes, memory) = match read {
            Ok(read) => read,
            Err(unread) => {
                if matches!(unread, Unread::TooLarge | Unread::NoRoom) {
                    body::discard(body);
                }
                return Err(Refusal::unread(unread, REQUEST_PAYLOAD_BYTES));
            }
        };
        let request_id = asker.request_id;
        let event = event::of_request(Asked {
            api_id: &asker.door.api_id(),
            domain_name: &asker.door.host(&self.url_domain),
            route_key: &asker.door.route_key(),
            path_parameters: asker.door.parameters(),
            method: &parts.method,
            version: parts.version,
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            body: &bytes,
            source: asker.peer.address,
            request_id,
            at: asker.at,
            authorizer: asker.authorizer,
        });
        let payload = serde_json::to_vec(&event).map_err(|error| {
            tracing::error!(%error, "write an event as JSON");
            Refusal::function_failed()
        })?;
        if payload.len() > REQUEST_PAYLOAD_BYTES {
            return Err(Refusal::too_large(REQUEST_PAYLOAD_BYTES));
        }
        let trace = parts.headers.get(TRACE).cloned();
        let invocation = Invocation {
            request_id,
            invoked_arn: resolved.invoked_arn(),
            deployment: resolved.deployment,
            payload: payload.into(),
            client_context: None,
            trace_id: trace
                .as_ref()
                .and_then(|trace| trace.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
            log_tail: false,
        };
        let is_head = parts.method == Method::HEAD;
        let mut response = match self.run_streaming(invocation, (held, memory)).await? {
            Streamed::Begun(response) => {
                streamed::answer(response, is_head, &asker.door, request_id).await?
            }
            Streamed::Whole(outcome) if outcome.error.is_some() => {
                return Err(Refusal::function_failed());
            }
            Streamed::Whole(outcome) => result::to_response(outcome.payload)
                .map_err(|malformed| no_response(asker.door.key(), request_id, &malformed))?
                .map(ResponseBody::from),
        };
        let headers = response.headers_mut();
        error_response::set_request_id(headers, request_id);
        headers.insert(TRACE, trace.unwrap_or(HeaderValue::from_static("")));
        Ok(response)
    }
}

/// What a function gave can't be sent. Whoever wrote it looks here; whoever calls learns nothing of it.
pub(super) fn no_response(
    function: &FunctionKey,
    request_id: RequestId,
    why: &Malformed,
) -> Refusal {
    tracing::info!(%function, %request_id, %why, "a function's result is no response");
    Refusal::function_failed()
}
