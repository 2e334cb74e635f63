//! The handle to the front door, and the way of one request through it: authenticate, find the operation, do it,
//! answer.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::future::{self, Either, Ready};
use hearth_cloudflare::Cloudflare;
use hearth_code::{CodeError, Packages};
use hearth_events::Events;
use hearth_queues::Queues;
use hearth_registry::{Registry, Scope};
use hearth_rules::Rules;
use hearth_schedules::Schedules;
use hearth_storage::Storage;
use hearth_telemetry::logs::LogStore;
use hearth_types::invoke::{Invoker, RequestId};
use hearth_types::time::Timestamp;
use hearth_types::{ApiError, ErrorKind};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::{Keys, RootKey, Service, Sessions};
use crate::body::{self, Budget, Unread};
use crate::connection::ConnectionOptions;
use crate::error_response::{self, Answer, Protocol};
use crate::fronts::Spread;
use crate::function_url::{Peer, Place, UrlDomain};
use crate::operation::{CONTROL_BYTES, NoTarget, Target};
use crate::package_url::{self, PackageLinks};
use crate::response_body::ResponseBody;
use crate::routes::{Choice, Tokens};
use crate::{
    cloud_events, cloudflare_api, events_api, lambda, logs_api, random, scheduler_api, sqs_api,
    storage_inbox, sts_api, tail_socket,
};

/// What the node decides for its front door.
#[derive(Clone)]
pub struct GatewayOptions {
    /// Long-lived access keys.
    pub root_keys: Vec<RootKey>,
    /// 32 secret random bytes: temporary credentials and links to packages are made with them. A node that gets new
    /// ones makes all earlier ones worthless.
    pub node_secret: [u8; 32],
    /// Where function URLs are.
    pub url_domain: UrlDomain,
    /// Bounds of connections.
    pub connections: ConnectionOptions,
    /// Where connections of listeners are served.
    pub spread: Spread,
    /// Memory for request bodies over 64 KiB, all together, bytes. Past it, requests are answered with 503.
    pub body_memory_bytes: usize,
}

impl GatewayOptions {
    /// Function URLs on `localhost`; connections on the runtime that accepts them; default bounds: those of
    /// [`ConnectionOptions`], 512 MiB for bodies.
    pub fn new(root_keys: Vec<RootKey>, node_secret: [u8; 32]) -> Self {
        Self {
            root_keys,
            node_secret,
            url_domain: UrlDomain::default(),
            connections: ConnectionOptions::default(),
            spread: Spread::default(),
            body_memory_bytes: 512 << 20,
        }
    }
}

impl fmt::Debug for GatewayOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayOptions")
            .field("root_keys", &self.root_keys)
            .field("url_domain", &self.url_domain)
            .field("connections", &self.connections)
            .field("body_memory_bytes", &self.body_memory_bytes)
            .finish_non_exhaustive()
    }
}

/// The front door. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Gateway(pub(crate) Arc<Parted>);

/// What requests are done with.
pub(crate) struct Parted {
    pub(crate) keys: Keys,
    pub(crate) registry: Registry,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) events: Events,
    pub(crate) queues: Queues,
    pub(crate) schedules: Schedules,
    pub(crate) storage: Storage,
    pub(crate) rules: Rules,
    pub(crate) logs: LogStore,
    pub(crate) cloudflare: Cloudflare,
    pub(crate) packages: Packages,
    pub(crate) links: PackageLinks,
    pub(crate) url_domain: UrlDomain,
    /// Issuers of the tokens that routes take.
    pub(crate) tokens: Tokens,
    pub(crate) budget: Budget,
    pub(crate) connections: ConnectionOptions,
    pub(crate) spread: Spread,
    /// Connections of listeners.
    pub(crate) listened: Arc<Semaphore>,
    /// Connections that functions open, apart so that functions can't shut everybody else out.
    pub(crate) from_functions: Arc<Semaphore>,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("connections", &self.0.connections)
            .finish_non_exhaustive()
    }
}

/// One authenticated call of the Lambda API.
pub(crate) struct Call<'a> {
    pub(crate) gateway: &'a Parted,
    pub(crate) scope: Scope,
    pub(crate) target: Target<'a>,
    pub(crate) parts: &'a Parts,
    pub(crate) body: Bytes,
    /// The body's part of the memory for all: held until the call has ended.
    pub(crate) memory: Option<OwnedSemaphorePermit>,
    pub(crate) request_id: RequestId,
    pub(crate) now: Timestamp,
}

/// An answer that is there at once, or later. What comes later is in a box: its state takes kilobytes, which would else be
/// moved into the connection's for each request, those that are answered at once among them.
pub(crate) type Answering = Either<Ready<Answered>, Pin<Box<dyn Future<Output = Answered> + Send>>>;
type Answered = Result<Response<ResponseBody>, Infallible>;

/// Where a request goes.
enum Way {
    Route(Choice),
    FunctionUrl(Place),
    Api,
}

/// A failure before an operation has begun, with what its response needs besides.
pub(crate) struct Refusal {
    error: ApiError,
    /// The methods that the path takes.
    pub(crate) allow: Option<String>,
    /// The rest of the request can't be told from the next one.
    close: bool,
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self {
            error,
            allow: None,
            close: false,
        }
    }
}

impl Gateway {
    /// A front door to `registry`, whose functions `invoker` runs, at once or as `events`, to `queues`, `schedules`,
    /// `storage`'s notifications and `rules`; and to all that by `cloudflare`'s calls.
    /// `packages` must be those of the registry.
    #[allow(
        clippy::too_many_arguments,
        reason = "one for each component that it opens to the world"
    )]
    pub fn new(
        options: GatewayOptions,
        registry: Registry,
        packages: Packages,
        invoker: Arc<dyn Invoker>,
        events: Events,
        queues: Queues,
        schedules: Schedules,
        storage: Storage,
        rules: Rules,
        logs: LogStore,
        cloudflare: Cloudflare,
    ) -> Self {
        let sessions = Sessions::new(&options.node_secret);
        let connections = options.connections;
        Self(Arc::new(Parted {
            keys: Keys::new(options.root_keys, sessions),
            registry,
            invoker,
            events,
            queues,
            schedules,
            storage,
            rules,
            logs,
            cloudflare,
            packages,
            links: PackageLinks::new(&options.node_secret),
            url_domain: options.url_domain,
            tokens: Tokens::default(),
            budget: Budget::new(options.body_memory_bytes),
            listened: Arc::new(Semaphore::new(connections.most)),
            from_functions: Arc::new(Semaphore::new(connections.most_from_functions)),
            connections,
            spread: options.spread,
        }))
    }

    /// Answers one request.
    pub(crate) fn answer(&self, request: Request<Incoming>, peer: &Arc<Peer>) -> Answering {
        let request_id = RequestId::from_random(random::bytes());
        let (parts, body) = request.into_parts();
        let way = self.0.way(&parts);
        if let Way::Route(Choice::Route(chosen)) = &way
            && let Some(answer) = chosen.at_once(&parts, request_id)
        {
            discard(&parts, body);
            return Answering::Left(future::ready(Ok(answer)));
        }
        let (gateway, peer) = (self.clone(), Arc::clone(peer));
        // A box for each way: the longest one's state is not what the others should take room for.
        Answering::Right(match way {
            Way::Route(choice) => Box::pin(async move {
                let answer = gateway.0.at_route(choice, parts, body, &peer, request_id);
                Ok(answer.await)
            }),
            Way::FunctionUrl(place) => Box::pin(async move {
                let answer = gateway
                    .0
                    .at_function_url(place, parts, body, &peer, request_id);
                Ok(answer.await)
            }),
            Way::Api => {
                Box::pin(
                    async move { Ok(gateway.answer_api(parts, body, &peer, request_id).await) },
                )
            }
        })
    }

    /// Answers one request that is at no function URL and no route.
    async fn answer_api(
        &self,
        mut parts: Parts,
        body: Incoming,
        peer: &Peer,
        request_id: RequestId,
    ) -> Response<ResponseBody> {
        if let Some(id) = tail_socket::tail(parts.uri.path()).map(str::to_owned) {
            discard(&parts, body);
            let answer = tail_socket::answer(&self.0, &mut parts, &id, peer.seat(), request_id);
            return answer.map(ResponseBody::Whole);
        }
        let path = parts.uri.path();
        if cloudflare_api::is_path(path) {
            let scheme = peer.scheme();
            let answer = cloudflare_api::answer(&self.0, &parts, body, scheme, request_id);
            return Box::pin(answer).await.map(ResponseBody::Whole);
        }
        if path == "/health" {
            return health(&parts, request_id).map(ResponseBody::Whole);
        }
        if path.starts_with(package_url::PREFIX) {
            let answer = self.0.package(&parts, request_id).await;
            return answer.map(ResponseBody::Whole);
        }
        // Services whose operations aren't in the path share one.
        let (service, protocol) = if scheduler_api::is_path(path) {
            (Service::Scheduler, Protocol::RestJson)
        } else if cloud_events::is_path(path) {
            (Service::Events, Protocol::RestJson)
        } else if path != "/" || parts.method != Method::POST {
            (Service::Lambda, Protocol::RestJson)
        } else if sqs_api::operation(&parts).is_some() {
            (Service::Sqs, Protocol::Json10)
        } else if events_api::operation(&parts).is_some() {
            (Service::Events, Protocol::Json11)
        } else if parts.headers.contains_key("x-amz-target") {
            (Service::Logs, Protocol::Json11)
        } else if sts_api::is_form(&parts) {
            (Service::Sts, Protocol::Query)
        } else {
            (Service::Lambda, Protocol::RestJson)
        };
        let answered = if let Some(bucket) = storage_inbox::bucket(path) {
            let answer = storage_inbox::answer(&self.0, bucket, &parts, body, request_id);
            answer.await.map(|answer| answer.map(ResponseBody::Whole))
        } else if cloud_events::is_path(path) && cloud_events::has_token(&parts) {
            let answer = cloud_events::from_sender(&self.0, &parts, body, request_id);
            answer.await.map(|answer| answer.map(ResponseBody::Whole))
        } else {
            self.0
                .authenticated(&parts, body, service, peer, request_id)
                .await
        };
        answered.unwrap_or_else(|refusal| {
            let mut response = error_response::of(&refusal.error, protocol, request_id);
            if let Some(allow) = refusal
                .allow
                .and_then(|allow| HeaderValue::from_str(&allow).ok())
            {
                response.headers_mut().insert(ALLOW, allow);
            }
            // HTTP/2 has no such header: it resets the stream alone.
            if refusal.close && parts.version < Version::HTTP_2 {
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            response.map(ResponseBody::Whole)
        })
    }
}

impl Parted {
    /// A host that a route names has routes only; on all others the platform's own paths come first.
    fn way(&self, parts: &Parts) -> Way {
        if let Some(choice) = self.choice_at_host(parts) {
            return Way::Route(choice);
        }
        if let Some(place) = self.place_of(parts) {
            return Way::FunctionUrl(place);
        }
        self.choice_at_every_host(parts)
            .map_or(Way::Api, Way::Route)
    }

    /// The part of the way that every signed request goes.
    async fn authenticated(
        &self,
        parts: &Parts,
        mut body: Incoming,
        service: Service,
        peer: &Peer,
        request_id: RequestId,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let now = Timestamp::from(SystemTime::now());
        let query = parts.uri.query().unwrap_or_default();
        let target = Target::find(&parts.method, parts.uri.path(), query);
        let operation = target.as_ref().ok().and_then(|target| target.operation);
        let is_cloud_event = cloud_events::is_path(parts.uri.path());
        let limit = match service {
            Service::Events if is_cloud_event => cloud_events::BODY_BYTES,
            Service::Events => events_api::BODY_BYTES,
            Service::Sqs => sqs_api::BODY_BYTES,
            Service::Scheduler => scheduler_api::BODY_BYTES,
            _ => operation.map_or(CONTROL_BYTES, |operation| operation.body_bytes()),
        };

        let admitted = match self.keys.admit(parts, now, service) {
            Ok(admitted) => admitted,
            Err(error) => {
                discard(parts, body);
                return Err(error.into());
            }
        };
        let read = match body::read(&mut body, limit, &self.budget, self.connections.pace).await {
            Ok(read) => read,
            Err(unread) => {
                if matches!(unread, Unread::TooLarge | Unread::NoRoom) {
                    discard(parts, body);
                }
                let name = target.as_ref().map_or("requested", |target| target.name);
                return Err(unread_refusal(unread, limit, name));
            }
        };
        let caller = admitted.verify(&read.sha256)?;
        let scope = Scope {
            account: caller.account,
            region: caller.region,
        };
        // From here on the caller is who the request says.
        if service == Service::Logs {
            let answer = logs_api::answer(self, &scope, parts, &read.bytes, request_id).await;
            return Ok(answer.map(ResponseBody::Whole));
        }
        if service == Service::Sqs {
            let base = format!("{}://{}", peer.scheme(), host_of(parts));
            let answer =
                sqs_api::answer(&self.queues, scope, base, parts, &read.bytes, request_id).await;
            return Ok(answer.map(ResponseBody::Whole));
        }
        if service == Service::Events {
            let answer = if is_cloud_event {
                cloud_events::signed(self, scope, parts, &read.bytes, request_id).await?
            } else {
                events_api::answer(&self.rules, scope, parts, &read.bytes, request_id).await
            };
            return Ok(answer.map(ResponseBody::Whole));
        }
        if service == Service::Scheduler {
            let schedules = &self.schedules;
            let answer =
                scheduler_api::answer(schedules, scope, parts, &read.bytes, request_id).await;
            return Ok(answer.map(ResponseBody::Whole));
        }
        if service == Service::Sts {
            return Ok(sts_api::answer(&scope, &read.bytes, request_id).map(ResponseBody::Whole));
        }
        let target = target.map_err(|none| Refusal {
            error: ApiError::from(&none),
            allow: match &none {
                NoTarget::Unknown => None,
                NoTarget::Method(methods) => Some(methods.join(", ")),
            },
            close: false,
        })?;
        let call = Call {
            gateway: self,
            scope,
            target,
            parts,
            body: read.bytes,
            memory: read.held,
            request_id,
            now,
        };
        Ok(lambda::answer(call).await?)
    }

    /// `GET /_hearth/packages/<digest>`: what a link opens.
    async fn package(&self, parts: &Parts, request_id: RequestId) -> Answer {
        let refuse = |error: ApiError| error_response::of(&error, Protocol::RestJson, request_id);
        if parts.method != Method::GET {
            let mut response = refuse(ApiError::new(
                ErrorKind::MethodNotAllowed,
                "Packages can only be fetched. Use GET.",
            ));
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET"));
            return response;
        }
        let now = Timestamp::from(SystemTime::now());
        let query = parts.uri.query().unwrap_or_default();
        let digest = match self.links.open(parts.uri.path(), query, now) {
            Ok(digest) => digest,
            Err(error) => return refuse(error),
        };
        match self.packages.read(&digest).await {
            Ok(zip) => {
                let mut response = error_response::empty(200, request_id);
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
                *response.body_mut() = Full::new(zip);
                response
            }
            Err(CodeError::Missing(_)) => {
                refuse(ApiError::not_found("The package has been removed."))
            }
            Err(error) => {
                tracing::error!(%error, %digest, "read a package");
                refuse(ApiError::service("The package can't be read. Try again."))
            }
        }
    }
}

impl Call<'_> {
    /// A link to a package on this node, under the name by which the caller reached it.
    pub(crate) fn link(&self, package: &hearth_types::digest::Digest) -> String {
        let host = host_of(self.parts);
        self.gateway.links.link(host, package, self.now)
    }
}

/// The name by which a caller reached this node, with the port.
pub(crate) fn host_of(parts: &Parts) -> &str {
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_name = |host: &&str| {
        !host.is_empty()
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b))
    };
    host.or(authority).filter(is_name).unwrap_or("localhost")
}

/// Says that the node is there, and nothing else.
fn health(parts: &Parts, request_id: RequestId) -> Answer {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return error_response::empty(200, request_id);
    }
    let error = ApiError::new(ErrorKind::MethodNotAllowed, "Use GET or HEAD.");
    let mut response = error_response::of(&error, Protocol::RestJson, request_id);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// What is left of a refused request's body. A client that waits for `100 Continue` has not sent it; on HTTP/2 the
/// stream is reset.
pub(crate) fn discard(parts: &Parts, body: Incoming) {
    if parts.version < Version::HTTP_2 && !parts.headers.contains_key(EXPECT) {
        body::discard(body);
    }
}

pub(crate) fn unread_refusal(unread: Unread, limit: usize, operation: &str) -> Refusal {
    // The name that the service gives it in this sentence.
    let operation = if operation == "Invoke" {
        "InvokeFunction"
    } else {
        operation
    };
    let error = match unread {
        Unread::TooLarge => ApiError::new(
            ErrorKind::RequestTooLarge,
            format!("Request must be smaller than {limit} bytes for the {operation} operation"),
        ),
        Unread::Stalled => ApiError::new(
            ErrorKind::RequestTimeout,
            "The body of the request did not arrive in time. Send it again.",
        ),
        Unread::Broken => ApiError::new(
            ErrorKind::Serialization,
            "The body of the request ended early or is not framed as HTTP asks.",
        ),
        Unread::NoRoom => {
            let mut error = ApiError::new(
                ErrorKind::ServiceUnavailable,
                "Too many large requests are arriving at once. Try again.",
            );
            error.retry_after = Some(std::time::Duration::from_secs(1));
            error
        }
    };
    Refusal {
        error,
        allow: None,
        close: matches!(unread, Unread::Stalled | Unread::Broken),
    }
}
