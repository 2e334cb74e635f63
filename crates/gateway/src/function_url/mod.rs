//! Function URLs: HTTP requests for functions.
//!
//! ```text
//! host or path ─▶ the URL, one look-up ─▶ CORS preflight, or who may ask ─▶ what runs ─▶ admission
//!   ─▶ a function that takes HTTP: request and response stream through (`direct`), or a WebSocket does (`upgrade`)
//!   ─▶ a function that takes events: the request as an event, the result as a response (`events`), or a response
//!      that it makes piece by piece (`streamed`)
//! ```
//!
//! What comes after that a caller was let in is common to URLs and to routes ([`crate::routes`]): [`Door`] says where a
//! request came in, `Parted::hand_over` is the rest of its way.
//!
//! `target` tells URLs from the Lambda API, `domain` says where they are, `signed` looks at signatures, `refusal`
//! words what goes wrong. Fields in the platform's name and those of a connection end here in both directions, and a
//! function's head never decides how its body is framed (INV-8).

mod direct;
mod domain;
mod events;
pub(crate) mod refusal;
mod signed;
mod streamed;
pub(crate) mod target;
mod upgrade;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use hearth_registry::{FunctionUrl, Resolved, Route};
use hearth_types::ApiError;
use hearth_types::function_url::{InvokeMode, UrlAuth, cors, fields};
use hearth_types::invoke::{Body, HttpInvocation, RequestId, Served};
use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;
use hearth_types::walls::Isolation;
use hearth_types::wire::function_url::{Authorizer, DEFAULT_ROUTE};
use http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;

pub use self::domain::UrlDomain;
use self::refusal::Refusal;
use self::target::BadHost;
use self::upgrade::Handshake;
use crate::gateway::{Parted, discard};
use crate::response_body::{Held, ResponseBody};
use crate::{body, error_response, random, trace_id};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const TRACE: HeaderName = HeaderName::from_static(trace_id::HEADER);

/// Fields that a request comes to have on its way: host, trace, request identifier, and the three `X-Forwarded-*`.
const OWN_FIELDS: usize = 6;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// The address as `X-Forwarded-For` has it, made once a connection.
    forwarded_for: HeaderValue,
    /// How it speaks, as `X-Forwarded-Proto` has it.
    scheme: &'static str,
    /// The connection's place among all that there may be.
    seat: Arc<OwnedSemaphorePermit>,
}

impl Peer {
    /// One that speaks HTTP.
    pub(crate) fn plain(address: SocketAddr, seat: OwnedSemaphorePermit) -> Self {
        Self::new(address, "http", seat)
    }

    /// How it speaks: `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The connection's place: to be kept by what goes on outside of the server's hands.
    pub(crate) fn seat(&self) -> Arc<OwnedSemaphorePermit> {
        Arc::clone(&self.seat)
    }

    /// One that speaks HTTP within TLS.
    pub(crate) fn secure(address: SocketAddr, seat: OwnedSemaphorePermit) -> Self {
        Self::new(address, "https", seat)
    }

    fn new(address: SocketAddr, scheme: &'static str, seat: OwnedSemaphorePermit) -> Self {
        let address = address.ip().to_canonical();
        Self {
            address,
            // An address is visible ASCII.
            forwarded_for: HeaderValue::from_str(&address.to_string())
                .unwrap_or(HeaderValue::from_static("unknown")),
            scheme,
            seat: Arc::new(seat),
        }
    }
}

/// Where a request at a function URL goes.
#[derive(Debug)]
pub(crate) struct Place {
    url: Result<FunctionUrl, Refusal>,
    /// How many bytes of the path come before the URL's own.
    prefix: usize,
}

/// Where a request for a function came in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door<'a> {
    /// At a function URL.
    Url(&'a FunctionUrl),
    /// At a route.
    Route(&'a Passage<'a>),
    /// From another function, by its binding.
    Service(&'a Service),
}

/// A function that another one asks.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) function: FunctionKey,
    /// The host that was asked: any name.
    pub(crate) host: String,
}

/// A request's way through a route to a function.
#[derive(Debug)]
pub(crate) struct Passage<'a> {
    pub(crate) route: &'a Route,
    pub(crate) function: &'a FunctionKey,
    /// The host that was asked, without a port.
    pub(crate) host: String,
    /// What the route's path has captured, unescaped.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Door<'_> {
    /// The function.
    fn key(&self) -> &FunctionKey {
        match self {
            Self::Url(url) => url.key(),
            Self::Route(passage) => passage.function,
            Self::Service(service) => &service.function,
        }
    }

    /// How responses are sent.
    fn mode(&self) -> InvokeMode {
        match self {
            Self::Url(url) => url.mode(),
            Self::Route(_) | Self::Service(_) => InvokeMode::ResponseStream,
        }
    }

    /// `apiId` of events.
    fn api_id(&self) -> String {
        match self {
            Self::Url(url) => url.id().to_string(),
            Self::Route(passage) => passage.route.id().name.to_string(),
            Self::Service(service) => service.function.name.to_string(),
        }
    }

    /// `domainName` of events.
    fn host(&self, domain: &UrlDomain) -> String {
        match self {
            Self::Url(url) => domain.host(url.id(), &url.key().region),
            Self::Route(passage) => passage.host.clone(),
            Self::Service(service) => service.host.clone(),
        }
    }

    /// `routeKey` of events.
    fn route_key(&self) -> String {
        match self {
            Self::Url(_) | Self::Service(_) => DEFAULT_ROUTE.to_owned(),
            Self::Route(passage) => passage.route.key(),
        }
    }

    /// `pathParameters` of events.
    fn parameters(&self) -> BTreeMap<String, String> {
        match self {
            Self::Url(_) | Self::Service(_) => BTreeMap::new(),
            Self::Route(passage) => passage.parameters.clone(),
        }
    }
}

/// What is known of a request besides the request.
pub(crate) struct Asker<'a> {
    pub(crate) door: Door<'a>,
    pub(crate) peer: &'a Peer,
    pub(crate) request_id: RequestId,
    pub(crate) at: Timestamp,
    /// Who was let in, if somebody had to say who they are.
    pub(crate) authorizer: Option<Authorizer>,
}

/// A request's body, until it is known who takes it.
pub(crate) enum Arriving {
    /// Not yet looked at.
    Streaming(Incoming),
    /// Read ahead, for the signature that covers it.
    Read(body::Read),
    /// Of another function: on its way within the node.
    Given(Body),
}

impl Parted {
    /// Where a request goes; `None` if it is at no function URL.
    pub(crate) fn place_of(&self, parts: &Parts) -> Option<Place> {
        let target = match target::find(parts, &self.url_domain) {
            Ok(None) => return None,
            Ok(Some(target)) => target,
            Err(BadHost) => {
                return Some(Place {
                    url: Err(Refusal::bad_host()),
                    prefix: 0,
                });
            }
        };
        let url = target.id.and_then(|id| self.registry.function_url(&id));
        let url = url.filter(|url| {
            let own = url.key().region.as_str();
            let named = target.region;
            named.is_none_or(|named| named.eq_ignore_ascii_case(own))
        });
        Some(Place {
            url: url.ok_or_else(Refusal::unknown),
            prefix: target.prefix,
        })
    }

    /// Answers a request at a function URL.
    pub(crate) async fn at_function_url(
        &self,
        place: Place,
        parts: Parts,
        body: Incoming,
        peer: &Peer,
        request_id: RequestId,
    ) -> Response<ResponseBody> {
        let version = parts.version;
        let url = match place.url {
            Ok(url) => url,
            Err(refusal) => {
                discard(&parts, body);
                return refusal.answer(version, request_id);
            }
        };
        let Some(rules) = url.cors() else {
            let answered = self.ask(&url, place.prefix, parts, body, peer, request_id);
            return answered
                .await
                .unwrap_or_else(|refusal| refusal.answer(version, request_id));
        };
        let origin = parts.headers.get(ORIGIN).cloned();
        if cors::is_preflight(&parts.method, &parts.headers) {
            discard(&parts, body);
            let mut answer = error_response::empty(200, request_id);
            rules.answer_preflight(origin.as_ref(), answer.headers_mut());
            return answer.map(ResponseBody::Whole);
        }
        let answered = self.ask(&url, place.prefix, parts, body, peer, request_id);
        let mut answer = answered
            .await
            .unwrap_or_else(|refusal| refusal.answer(version, request_id));
        rules.apply(origin.as_ref(), answer.headers_mut());
        answer
    }

    /// Lets the request in, or not, and hands it to the function.
    async fn ask(
        &self,
        url: &FunctionUrl,
        prefix: usize,
        mut parts: Parts,
        mut body: Incoming,
        peer: &Peer,
        request_id: RequestId,
    ) -> Result<Response<ResponseBody>, Refusal> {
        if parts.method == Method::CONNECT {
            return Err(Refusal::no_tunnel());
        }
        let at = Timestamp::from(SystemTime::now());
        let (arriving, authorizer) = match url.auth() {
            UrlAuth::None if url.is_open() => (Arriving::Streaming(body), None),
            UrlAuth::None => {
                discard(&parts, body);
                return Err(Refusal::closed());
            }
            UrlAuth::AwsIam => {
                let region = &url.key().region;
                let signed = self.signed(region, |who| url.lets_in(who), &parts, &mut body, at);
                match Box::pin(signed).await {
                    Ok((read, signer)) => {
                        let authorizer = Authorizer {
                            iam: Some(signer),
                            ..Authorizer::default()
                        };
                        (Arriving::Read(read), Some(authorizer))
                    }
                    Err(refusal) => {
                        if !refusal.closes() {
                            discard(&parts, body);
                        }
                        return Err(refusal);
                    }
                }
            }
        };
        let asker = Asker {
            door: Door::Url(url),
            peer,
            request_id,
            at,
            authorizer,
        };
        let resolved = url.resolve(random::fraction);
        if prefix > 0 {
            strip(&mut parts, prefix)?;
        }
        self.hand_over(resolved, parts, arriving, asker).await
    }

    /// Admits a request whose caller was let in, and hands it to what runs: the rest of the way, which function URLs and
    /// routes have in common. The path is the one that the function may see.
    pub(crate) async fn hand_over(
        &self,
        resolved: Result<Resolved, ApiError>,
        mut parts: Parts,
        arriving: Arriving,
        asker: Asker<'_>,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let let_in = resolved.and_then(|resolved| {
            let admitted = self.registry.admit(&resolved)?;
            Ok((resolved, admitted))
        });
        let (resolved, admitted) = match let_in {
            Ok(let_in) => let_in,
            Err(error) => {
                arriving.discard(&parts);
                return Err(error.into());
            }
        };
        let handshake = Handshake::of(&mut parts);
        let runtime = &resolved.deployment.configuration.runtime;
        let is_worker = runtime.isolation() == Some(Isolation::Isolate);
        if handshake.is_some() && !is_worker && !resolved.deployment.is_web() {
            return Err(Refusal::no_websocket());
        }
        let sampled = resolved.deployment.configuration.tracing_active;
        let trace_id = trace_id::of_request(&parts.headers, sampled, asker.at);
        self.rewrite(&mut parts, &asker, &trace_id)?;
        if handshake.is_some() {
            Handshake::ask(&mut parts);
        }
        let is_head = parts.method == Method::HEAD;
        let (body, memory) = arriving.into_body();
        let invocation = HttpInvocation {
            request_id: asker.request_id,
            deployment: resolved.deployment.clone(),
            trace_id,
        };
        let mut held = Held::new(admitted, memory);
        if handshake.is_some() {
            held.keep_seat(asker.peer.seat.clone());
        }
        let request = Request::from_parts(parts, body);
        match self.invoker.serve(invocation, request).await? {
            Served::Response(response) => match handshake {
                Some(handshake) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    handshake.switch(response, held, asker.request_id)
                }
                _ => direct::answer(response, is_head, held, asker.door.key(), asker.request_id),
            },
            Served::Failed(_) => Err(Refusal::function_failed()),
            Served::TakesEvents(request) => {
                Box::pin(self.answer_with_event(request, asker, resolved, held)).await
            }
        }
    }

    /// Makes the head what a function may see: no field that ends here, and the platform's own ones.
    fn rewrite(&self, parts: &mut Parts, asker: &Asker<'_>, trace_id: &str) -> Result<(), Refusal> {
        let peer = asker.peer;
        fields::strip_request(&mut parts.headers);
        // After what ends here: a field that the route sets is not one that the client can have taken out.
        if let Door::Route(passage) = asker.door {
            passage.route.request_edits().apply(&mut parts.headers);
        }
        // A map that grows moves everything that is in it.
        parts.headers.reserve(OWN_FIELDS);
        keep_authority(parts)?;
        let headers = &mut parts.headers;
        if let Ok(trace_id) = HeaderValue::from_str(trace_id) {
            headers.insert(TRACE, trace_id);
        }
        // As proxies do: who came before says so itself, and only the last one is sure.
        headers.append(FORWARDED_FOR, peer.forwarded_for.clone());
        headers
            .entry(FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static(peer.scheme));
        headers
            .entry(FORWARDED_PORT)
            .or_insert_with(|| self.url_domain.port().into());
        Ok(())
    }
}

/// Takes what names the URL out of the path.
fn strip(parts: &mut Parts, prefix: usize) -> Result<(), Refusal> {
    let whole = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    let own = whole.get(prefix..).unwrap_or_default();
    let own = if own.starts_with('/') {
        PathAndQuery::try_from(own)
    } else {
        PathAndQuery::try_from(format!("/{own}"))
    };
    let own = Uri::from(own.map_err(|_| Refusal::bad_host())?);
    keep_authority(parts)?;
    parts.uri = own;
    Ok(())
}

/// Writes the host of a request line that is about to be replaced into its field, where HTTP/2 has none.
pub(crate) fn keep_authority(parts: &mut Parts) -> Result<(), Refusal> {
    if let Some(authority) = parts.uri.authority()
        && !parts.headers.contains_key(HOST)
    {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::bad_host())?;
        parts.headers.insert(HOST, host);
    }
    Ok(())
}

impl Arriving {
    /// Throws away what is left of it.
    pub(crate) fn discard(self, parts: &Parts) {
        if let Self::Streaming(body) = self {
            discard(parts, body);
        }
    }

    /// The body as functions take it, and the memory that it holds.
    fn into_body(self) -> (Body, Option<OwnedSemaphorePermit>) {
        match self {
            // Costs no memory: most requests have none.
            Self::Streaming(body) if body.is_end_stream() => (no_body(), None),
            Self::Streaming(body) => (body.map_err(Into::into).boxed_unsync(), None),
            Self::Given(body) => (body, None),
            Self::Read(read) => {
                let body = Full::new(read.bytes).map_err(|never| match never {});
                (body.boxed_unsync(), read.held)
            }
        }
    }
}

fn no_body() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
