//! Requests that functions make of each other by a binding. Nobody signs them: whoever deployed the caller said whom it
//! may ask, and both are of one account.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::SystemTime;

use hearth_registry::Scope;
use hearth_types::arn::FunctionRef;
use hearth_types::invoke::{Body, RequestId};
use hearth_types::lineage;
use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;
use hearth_types::{ApiError, ErrorKind};
use http::header::{HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body_util::BodyExt as _;

use crate::function_url::refusal::Refusal;
use crate::function_url::{Arriving, Asker, Door, Peer, Service, keep_authority};
use crate::gateway::{Gateway, Parted};
use crate::response_body::ResponseBody;
use crate::{random, trace_id};

impl Gateway {
    /// Hands a request of `caller` to another function of its account, in the caller's region. Dropping the future, or
    /// the response's body, gives up.
    pub async fn between_functions(
        &self,
        caller: &FunctionKey,
        service: &FunctionRef,
        request: Request<Body>,
    ) -> Response<Body> {
        let request_id = RequestId::from_random(random::bytes());
        let version = request.version();
        let answered = self.0.serve_another(caller, service, request, request_id);
        answered
            .await
            .unwrap_or_else(|refusal| refusal.answer(version, request_id))
            .map(ResponseBody::boxed_unsync)
    }
}

impl Parted {
    async fn serve_another(
        &self,
        caller: &FunctionKey,
        service: &FunctionRef,
        request: Request<Body>,
        request_id: RequestId,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let seat = Arc::clone(&self.from_functions)
            .try_acquire_owned()
            .map_err(|_| {
                ApiError::new(
                    ErrorKind::ServiceUnavailable,
                    "Functions have too many requests open. Try again.",
                )
            })?;
        let peer = Peer::plain((Ipv4Addr::LOCALHOST, 0).into(), seat);
        let scope = Scope {
            account: caller.account.clone(),
            region: caller.region.clone(),
        };
        let function = scope.key(service)?;
        let (mut parts, body) = request.into_parts();
        keep_authority(&mut parts)?;
        let path = parts.uri.path_and_query().cloned();
        parts.uri = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let service_asked = Service {
            host: host.unwrap_or_default().to_owned(),
            function,
        };
        if let Some(trace) = trace_id::given(&parts.headers) {
            if self.registry.is_loop(&service_asked.function, trace) {
                return Err(Refusal::new(
                    508,
                    ErrorKind::RecursiveInvocation.code(),
                    "Recursive loop: functions ask each other in a circle. Change whom they ask.",
                ));
            }
            let trace = lineage::with(trace, &service_asked.function);
            if let Ok(trace) = HeaderValue::try_from(trace) {
                parts.headers.insert(trace_id::HEADER, trace);
            }
        }
        let asker = Asker {
            door: Door::Service(&service_asked),
            peer: &peer,
            request_id,
            at: Timestamp::from(SystemTime::now()),
            authorizer: None,
        };
        let resolved = self
            .registry
            .resolve(&scope, service, None, random::fraction());
        self.hand_over(resolved, parts, Arriving::Given(body), asker)
            .await
    }
}
