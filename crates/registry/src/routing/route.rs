//! One route, with all that a request needs made beforehand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use hearth_store::record::RouteRecord;
use hearth_types::function_url::cors::CorsFields;
use hearth_types::name::{FunctionKey, Qualifier, RouteId, RouteName};
use hearth_types::route::{HostPattern, PathPattern, Template};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::limit::{Bucket, Buckets, Throttled};

/// A route, as of one moment.
#[derive(Debug)]
pub struct Route {
    pub(super) record: Arc<RouteRecord>,
    pub(super) hosts: Vec<HostPattern>,
    pub(super) pattern: PathPattern,
    /// None: all.
    pub(super) methods: Vec<Method>,
    pub(super) target: RouteTarget,
    pub(super) new_path: NewPath,
    pub(super) request_edits: HeaderEdits,
    pub(super) response_edits: HeaderEdits,
    pub(super) limit: Option<Arc<Bucket>>,
    pub(super) caller_limit: Option<Arc<Buckets>>,
    pub(super) access: Access,
    pub(super) cors: Option<CorsFields>,
}

/// What answers at a route.
#[derive(Clone, Debug)]
pub enum RouteTarget {
    /// A function, which may not be there any more.
    Function {
        /// Which.
        key: FunctionKey,
        /// Which version or alias.
        qualifier: Option<Qualifier>,
    },
    /// The route itself.
    Fixed(FixedResponse),
}

/// A response that is always the same; its header fields are those after the route's edits.
#[derive(Clone, Debug)]
pub struct FixedResponse {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The path that a function sees.
#[derive(Clone, Debug)]
pub enum NewPath {
    /// That of the request.
    Same,
    /// That of the request without so many bytes at its beginning.
    Without(usize),
    /// One that is made of captures.
    Made(Template),
}

/// What is done to header fields.
#[derive(Clone, Debug, Default)]
pub struct HeaderEdits {
    pub(super) remove: Vec<HeaderName>,
    pub(super) set: Vec<(HeaderName, HeaderValue)>,
}

/// Who may ask.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everyone.
    Open,
    /// Who has one of these API keys; none: any of the account and region.
    ApiKey(Vec<RouteName>),
    /// Who has a token.
    Jwt(Jwt),
    /// Who signs, if it is the route's own account.
    AwsIam,
}

/// Which tokens are taken.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// Who must have made them.
    pub issuer: String,
    /// Whom they must be for: one of these.
    pub audiences: Vec<String>,
    /// One of these they must have, if there are any.
    pub scopes: Vec<String>,
    /// What they must say.
    pub claims: BTreeMap<String, serde_json::Value>,
    /// Where the issuer's keys are, if discovery is not to be asked.
    pub jwks_url: Option<String>,
}

impl HeaderEdits {
    /// Edits the fields of a head.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
    }
}

impl Route {
    /// Its owner and its name.
    pub fn id(&self) -> &RouteId {
        &self.record.id
    }

    /// The hosts that it is for.
    pub(crate) fn hosts(&self) -> &[HostPattern] {
        &self.hosts
    }

    /// The pattern of its path.
    pub fn pattern(&self) -> &PathPattern {
        &self.pattern
    }

    /// The methods that it takes; none: all.
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// Whether it takes a method.
    pub fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// `routeKey` of events: `GET /users/{id}`.
    pub fn key(&self) -> String {
        match self.methods.as_slice() {
            [method] => format!("{method} {}", self.pattern),
            _ => format!("ANY {}", self.pattern),
        }
    }

    /// What answers.
    pub fn target(&self) -> &RouteTarget {
        &self.target
    }

    /// The path that a function sees.
    pub fn new_path(&self) -> &NewPath {
        &self.new_path
    }

    /// What is done to the request's header fields.
    pub fn request_edits(&self) -> &HeaderEdits {
        &self.request_edits
    }

    /// What is done to the header fields of a function's response.
    pub fn response_edits(&self) -> &HeaderEdits {
        &self.response_edits
    }

    /// Who may ask.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// What it allows pages of other origins, if it says anything about that.
    pub fn cors(&self) -> Option<&CorsFields> {
        self.cors.as_ref()
    }

    /// Whether it counts requests.
    pub fn is_limited(&self) -> bool {
        self.limit.is_some() || self.caller_limit.is_some()
    }

    /// Takes a token from the caller's bucket, if there is one, and from the route's.
    ///
    /// # Errors
    /// [`Throttled`]: there was none.
    pub fn take_token(&self, caller: &[u8], now: Instant) -> Result<(), Throttled> {
        // The caller's first: one who asks too often must not use up what is for all.
        if let Some(callers) = &self.caller_limit {
            callers.take(caller, now)?;
        }
        let bucket = self.limit.as_ref();
        bucket.map_or(Ok(()), |bucket| bucket.take(now))
    }

    pub(super) fn shares_method_with(&self, other: &Self) -> bool {
        self.methods.is_empty()
            || other.methods.is_empty()
            || self.methods.iter().any(|method| other.takes(method))
    }

    /// Goes on with the buckets of an earlier form of the route, where the limits are the same: a change of something
    /// else must not fill them.
    pub(super) fn keep_buckets_of(&mut self, earlier: &Self) {
        let asked = &self.record.route;
        if let (Some(limit), Some(bucket)) = (asked.rate_limit, &earlier.limit)
            && bucket.is_of(limit)
        {
            self.limit = Some(Arc::clone(bucket));
        }
        if let (Some(limit), Some(buckets)) = (asked.caller_rate_limit, &earlier.caller_limit)
            && buckets.is_of(limit)
        {
            self.caller_limit = Some(Arc::clone(buckets));
        }
    }
}
