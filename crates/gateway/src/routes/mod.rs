//! Routes: requests at hosts and paths that lead to functions, or that are answered at once.
//!
//! ```text
//! host and path ─▶ the route, one look-up ─▶ CORS preflight, or who may ask (`access`) ─▶ rate limits
//!   ─▶ a fixed response, or path and header fields ─▶ as at a function URL (`function_url`)
//! ```
//!
//! A host that a route names has routes only. On all other hosts the platform's own paths come first, and a route is
//! never looked for there (`find`).

mod access;
mod find;
mod token;

use std::time::{Instant, SystemTime};

use hearth_registry::{Access, FixedResponse, NewPath, Route, RouteTarget};
use hearth_types::ErrorKind;
use hearth_types::invoke::RequestId;
use hearth_types::time::Timestamp;
use http::header::{ALLOW, HeaderValue, ORIGIN};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;

pub(crate) use self::find::{Choice, Chosen};
pub(crate) use self::token::Tokens;
use crate::function_url::refusal::Refusal;
use crate::function_url::{Asker, Door, Passage, Peer, keep_authority};
use crate::gateway::{Parted, discard};
use crate::response_body::ResponseBody;
use crate::{error_response, random};

impl Parted {
    /// Answers a request at a route, or at a host that has routes only.
    pub(crate) async fn at_route(
        &self,
        choice: Choice,
        parts: Parts,
        body: Incoming,
        peer: &Peer,
        request_id: RequestId,
    ) -> Response<ResponseBody> {
        let version = parts.version;
        let chosen = match choice {
            Choice::Route(chosen) => chosen,
            Choice::Preflight(route) => {
                discard(&parts, body);
                let mut answer = error_response::empty(200, request_id);
                if let Some(rules) = route.cors() {
                    rules.answer_preflight(parts.headers.get(ORIGIN), answer.headers_mut());
                }
                return answer.map(ResponseBody::Whole);
            }
            Choice::Refused(refusal) => {
                discard(&parts, body);
                return refusal.answer(version, request_id);
            }
        };
        let route = std::sync::Arc::clone(&chosen.route);
        let origin = route
            .cors()
            .and_then(|_| parts.headers.get(ORIGIN).cloned());
        let answered = self.ask_at_route(chosen, parts, body, peer, request_id);
        let mut answer = answered
            .await
            .unwrap_or_else(|refusal| refusal.answer(version, request_id));
        if let Some(rules) = route.cors() {
            rules.apply(origin.as_ref(), answer.headers_mut());
        }
        answer
    }

    /// Lets the request in, or not, and has it answered.
    async fn ask_at_route(
        &self,
        chosen: Chosen,
        mut parts: Parts,
        body: Incoming,
        peer: &Peer,
        request_id: RequestId,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let route = chosen.route;
        let at = Timestamp::from(SystemTime::now());
        let visitor = self.let_in(&route, &mut parts, body, at, peer).await?;
        if route.is_limited()
            && let Err(throttled) = route.take_token(&visitor.caller, Instant::now())
        {
            visitor.arriving.discard(&parts);
            let refusal = Refusal::new(
                429,
                ErrorKind::TooManyRequests.code(),
                "Too many requests. Try again when Retry-After says.",
            );
            return Err(refusal.after(throttled.0));
        }
        let function = match route.target() {
            RouteTarget::Fixed(response) => {
                visitor.arriving.discard(&parts);
                return Ok(fixed(response, request_id));
            }
            RouteTarget::Function { key, .. } => key,
        };
        let resolved = match self.registry.resolve_route(&route, random::fraction) {
            // The function of a route is always one, if it is there.
            Ok(resolved) => resolved.ok_or_else(Refusal::function_failed)?,
            Err(error) if error.kind == ErrorKind::ResourceNotFound => {
                visitor.arriving.discard(&parts);
                return Err(Refusal::new(
                    502,
                    "BadGatewayException",
                    "What this route leads to is not there.",
                ));
            }
            Err(error) => {
                visitor.arriving.discard(&parts);
                return Err(error.into());
            }
        };
        if let Some(path) = chosen.path {
            keep_authority(&mut parts)?;
            parts.uri = Uri::from(path);
        }
        let passage = Passage {
            route: &route,
            function,
            host: chosen.host,
            parameters: chosen.parameters,
        };
        let asker = Asker {
            door: Door::Route(&passage),
            peer,
            request_id,
            at,
            authorizer: visitor.authorizer,
        };
        let mut answer = self
            .hand_over(Ok(resolved), parts, visitor.arriving, asker)
            .await?;
        route.response_edits().apply(answer.headers_mut());
        Ok(answer)
    }
}

impl Chosen {
    /// The answer of a route that lets everybody in and answers by itself: nothing in it waits. `None` at every other one.
    pub(crate) fn at_once(
        &self,
        parts: &Parts,
        request_id: RequestId,
    ) -> Option<Response<ResponseBody>> {
        let RouteTarget::Fixed(response) = self.route.target() else {
            return None;
        };
        if self.route.is_limited() || !matches!(self.route.access(), Access::Open) {
            return None;
        }
        let mut answer = fixed(response, request_id);
        if let Some(rules) = self.route.cors() {
            rules.apply(parts.headers.get(ORIGIN), answer.headers_mut());
        }
        Some(answer)
    }
}

/// The answer of a route that answers by itself.
fn fixed(response: &FixedResponse, request_id: RequestId) -> Response<ResponseBody> {
    let mut answer = Response::new(ResponseBody::Whole(Full::new(response.body.clone())));
    *answer.status_mut() = response.status;
    // A map that is cloned has no room for one field more, and a map that grows moves everything that is in it.
    let headers = answer.headers_mut();
    headers.reserve(response.headers.len() + 1);
    headers.extend(
        response
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    error_response::set_request_id(headers, request_id);
    answer
}

/// The path and query that a function sees; `None` if they are those of the request. `path` is the request's, in the form
/// that is compared.
fn new_path(
    route: &Route,
    uri: &Uri,
    path: &str,
    is_same: bool,
    captures: &[&str],
) -> Result<Option<PathAndQuery>, Refusal> {
    let own = match route.new_path() {
        NewPath::Same if is_same => return Ok(None),
        NewPath::Same => with_last_slash(path, uri),
        NewPath::Without(bytes) => with_last_slash(path.get(*bytes..).unwrap_or_default(), uri),
        NewPath::Made(template) => template.fill(captures),
    };
    let own = match uri.query() {
        None => own,
        Some(query) => format!("{own}?{query}"),
    };
    PathAndQuery::try_from(own)
        .map(Some)
        .map_err(|_| Refusal::bad_path("it can't be rewritten"))
}

/// A slash at the end says nothing to routes, but may to functions.
fn with_last_slash(path: &str, uri: &Uri) -> String {
    let mut path = path.to_owned();
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    if uri.path().ends_with('/') && !path.ends_with('/') {
        path.push('/');
    }
    path
}

/// What a method that no route of a path takes is told.
fn not_taken(methods: &[Method]) -> Refusal {
    let list: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let list = list.join(", ");
    let refusal = Refusal::new(
        405,
        ErrorKind::MethodNotAllowed.code(),
        format!("This path does not take that method. Use one of: {list}."),
    );
    match HeaderValue::from_str(&list) {
        Ok(list) => refusal.with(ALLOW, list),
        Err(_) => refusal,
    }
}
