//! Functions that take events: the request becomes one, and the result becomes the response.

use hearth_registry::Resolved;
use hearth_types::function_url::event::{self, Asked};
use hearth_types::function_url::{InvokeMode, result};
use hearth_types::invoke::{Body, Invocation};
use hearth_types::limits::REQUEST_PAYLOAD_BYTES;
use http::header::HeaderValue;
use http::{Request, Response};

use super::refusal::Refusal;
use super::{Asker, TRACE};
use crate::body::Unread;
use crate::gateway::Parted;
use crate::response_body::{Held, ResponseBody};
use crate::{body, error_response};

impl Parted {
    /// Invokes the function with the request, whose head is what a function may see. The function runs to its end even
    /// if the client goes away.
    pub(super) async fn answer_with_event(
        &self,
        request: Request<Body>,
        asker: Asker<'_>,
        resolved: Resolved,
        held: Held,
    ) -> Result<Response<ResponseBody>, Refusal> {
        if asker.door.mode() == InvokeMode::ResponseStream {
            return Err(Refusal::does_not_stream());
        }
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
        let key = asker.door.key();
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
        let outcome = self.run(invocation, held.admitted).await?;
        drop((memory, held.memory));
        if outcome.error.is_some() {
            return Err(Refusal::function_failed());
        }
        let response = result::to_response(outcome.payload).map_err(|malformed| {
            tracing::info!(function = %key, %request_id, %malformed, "a function's result is no response");
            Refusal::function_failed()
        })?;
        let mut response = response.map(ResponseBody::from);
        let headers = response.headers_mut();
        error_response::set_request_id(headers, request_id);
        headers.insert(TRACE, trace.unwrap_or(HeaderValue::from_static("")));
        Ok(response)
    }
}
