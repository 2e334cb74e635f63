//! The rules on what a route may be: a record, or a request for one, becomes a [`Route`].

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hearth_store::record::RouteRecord;
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::function_url::cors::CorsFields;
use hearth_types::function_url::fields;
use hearth_types::name::{FunctionKey, Qualifier, RouteName};
use hearth_types::network::is_safe_url;
use hearth_types::route::path::Segment;
use hearth_types::route::{HostPattern, PathPattern, Template, is_reserved};
use hearth_types::wire::route as wire;
use http::header::{
    CONTENT_ENCODING, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue,
};
use http::{Method, StatusCode};

use super::limit::{Bucket, Buckets};
use super::route::{Access, FixedResponse, HeaderEdits, Jwt, NewPath, Route, RouteTarget};
use crate::Scope;
use crate::scope::one_qualifier;

/// Hosts, and methods, of one route.
const LIST: usize = 20;
/// Fields that a route sets or removes, and those of a fixed response.
const FIELDS: usize = 30;
/// Bytes of one field's value.
const VALUE_BYTES: usize = 4_096;
/// Bytes of a fixed response's body: what memory may hold of each of ten thousand.
const BODY_BYTES: usize = 64 * 1024;
/// Audiences, scopes, claims and keys of one route.
const WORDS: usize = 50;
/// Bytes of one of them, and of a URL.
const WORD_BYTES: usize = 1_024;
/// Bytes of a method: longer than those that are registered (RFC 9110, section 18.2).
const METHOD_BYTES: usize = 32;
/// Requests a second, and tokens of a bucket.
const RATES: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;
const BURSTS: std::ops::RangeInclusive<u32> = 1..=1_000_000;

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::invalid(message.into())
}

/// A value as an error may show it: a hostile one must not be echoed whole.
fn shown(value: &str) -> String {
    value.chars().take(80).collect()
}

fn bounded<T>(what: &str, list: &[T], most: usize) -> Result<(), ApiError> {
    if list.len() > most {
        return Err(invalid(format!("{what} may have {most} entries.")));
    }
    Ok(())
}

impl Route {
    /// Reads a route.
    ///
    /// # Errors
    /// [`InvalidParameterValue`](hearth_types::ErrorKind::InvalidParameterValue) and
    /// [`Validation`](hearth_types::ErrorKind::Validation), with the member that breaks a rule.
    pub(crate) fn read(record: &Arc<RouteRecord>) -> Result<Self, ApiError> {
        let asked = &record.route;
        let path = asked.path.as_deref().unwrap_or_default();
        let pattern: PathPattern = path
            .parse()
            .map_err(|error| invalid(format!("Path: {error}.")))?;
        let hosts = hosts(asked.hosts.as_deref(), &pattern)?;
        let methods = methods(asked.methods.as_deref().unwrap_or_default())?;
        let access = access(asked.auth.as_ref())?;
        let response_edits = edits("ResponseHeaders", asked.response_headers.as_ref(), |name| {
            fields::may_be_set(name)
        })?;
        let target = target(record, &response_edits)?;
        if let RouteTarget::Fixed(_) = target
            && (asked.rewrite.is_some() || asked.request_headers.is_some())
        {
            return Err(invalid(
                "Target: a fixed response sees no request, so Rewrite and RequestHeaders have nothing to change.",
            ));
        }
        let rate = |member, limit: Option<wire::RateLimit>| {
            limit.map(|limit| rate(member, limit)).transpose()
        };
        let limit = rate("RateLimit", asked.rate_limit)?;
        let caller_limit = rate("CallerRateLimit", asked.caller_rate_limit)?;
        let cors = asked
            .cors
            .as_ref()
            .map(crate::function_url::read_cors)
            .transpose()?
            .flatten();
        Ok(Self {
            new_path: new_path(asked.rewrite.as_ref(), &pattern)?,
            request_edits: edits(
                "RequestHeaders",
                asked.request_headers.as_ref(),
                may_be_asked,
            )?,
            limit: limit.and_then(Bucket::new).map(Arc::new),
            caller_limit: caller_limit.and_then(Buckets::new).map(Arc::new),
            cors: cors.as_ref().map(CorsFields::from),
            record: Arc::clone(record),
            hosts,
            pattern,
            methods,
            target,
            response_edits,
            access,
        })
    }
}

fn hosts(asked: Option<&[String]>, pattern: &PathPattern) -> Result<Vec<HostPattern>, ApiError> {
    let mut hosts = Vec::new();
    let asked = asked.unwrap_or_default();
    bounded("Hosts", asked, LIST)?;
    for text in asked {
        let host: HostPattern = text
            .parse()
            .map_err(|error| invalid(format!("Hosts: {error}.")))?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    if hosts.is_empty() {
        hosts.push(HostPattern::Any);
    }
    if !hosts.contains(&HostPattern::Any) {
        return Ok(hosts);
    }
    if hosts.len() > 1 {
        return Err(invalid(
            "Hosts: * stands alone, for all hosts that no route names.",
        ));
    }
    // The API is on these hosts too.
    match pattern.segments().first() {
        Some(Segment::Literal(first)) if !is_reserved(first) => Ok(hosts),
        _ => Err(invalid(format!(
            "Path: a route for every host shares them with the API, so its path must begin with a word that the API \
             does not use: not with a capture, a digit or an underscore, and not '/', '/health', '/metrics', '/hearth', \
             '/console', '/schedules', '/schedule-groups' or '/tags', as '{}' does. Name a host (Hosts) to have all of \
             its paths.",
            shown(&pattern.to_string())
        ))),
    }
}

fn methods(asked: &[String]) -> Result<Vec<Method>, ApiError> {
    bounded("Methods", asked, LIST)?;
    let mut methods = Vec::new();
    for text in asked {
        let is_word = (1..=METHOD_BYTES).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        let method = Method::from_bytes(text.as_bytes()).ok();
        let method = method.filter(|method| is_word && *method != Method::CONNECT);
        let method = method.ok_or_else(|| {
            invalid(format!(
                "Methods: '{}' is not a method; write it in capitals (GET), and leave Methods out for all. CONNECT is \
                 never taken.",
                shown(text)
            ))
        })?;
        if !methods.contains(&method) {
            methods.push(method);
        }
    }
    Ok(methods)
}

fn target(record: &RouteRecord, edits: &HeaderEdits) -> Result<RouteTarget, ApiError> {
    let either = "Target: name a function (FunctionName) or give a fixed response (Response): one of the two.";
    let Some(target) = &record.route.target else {
        return Err(invalid(either));
    };
    match (&target.function_name, &target.response) {
        (Some(name), None) => {
            let scope = Scope {
                account: record.id.account.clone(),
                region: record.id.region.clone(),
            };
            let function: FunctionRef = crate::parse_function(name)?;
            let qualifier = target.qualifier.as_deref().map(crate::parse_qualifier);
            let qualifier = qualifier.transpose()?;
            let key: FunctionKey = scope.key(&function)?;
            let qualifier: Option<Qualifier> =
                one_qualifier(&function, qualifier.as_ref())?.cloned();
            Ok(RouteTarget::Function { key, qualifier })
        }
        (None, Some(response)) if target.qualifier.is_none() => {
            Ok(RouteTarget::Fixed(fixed(response, edits)?))
        }
        _ => Err(invalid(either)),
    }
}

fn fixed(asked: &wire::FixedResponse, edits: &HeaderEdits) -> Result<FixedResponse, ApiError> {
    let code = asked.status_code.unwrap_or(200);
    let status = StatusCode::from_u16(code)
        .ok()
        .filter(|_| (200..600).contains(&code));
    let status = status.ok_or_else(|| {
        invalid(format!(
            "Target.Response: the StatusCode {code} is not between 200 and 599."
        ))
    })?;
    if asked.headers.len() > FIELDS {
        return Err(invalid(format!(
            "Target.Response: Headers may have {FIELDS} entries."
        )));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &asked.headers {
        let (name, value) = field("Target.Response", name, value, |name| {
            fields::may_be_set(name)
        })?;
        headers.append(name, value);
    }
    let text = asked.body.as_deref().unwrap_or_default();
    let body = if asked.is_base64_encoded == Some(true) {
        let decoded = STANDARD.decode(text);
        Bytes::from(decoded.map_err(|_| invalid("Target.Response: Body is not base64."))?)
    } else {
        Bytes::copy_from_slice(text.as_bytes())
    };
    if body.len() > BODY_BYTES {
        return Err(invalid(format!(
            "Target.Response: Body may have {BODY_BYTES} bytes; let a function answer what is larger."
        )));
    }
    // These have no body (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
    let has_body = !matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if !has_body && !body.is_empty() {
        return Err(invalid(format!("Target.Response: a {code} has no Body.")));
    }
    if !body.is_empty() {
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    edits.apply(&mut headers);
    Ok(FixedResponse {
        status,
        headers,
        body,
    })
}

/// Whether a route may set or remove a field of a request: not what says where it goes, how its body is framed or
/// encoded, or what the platform itself says.
fn may_be_asked(name: &HeaderName) -> bool {
    let text = name.as_str();
    fields::may_be_set(name)
        && *name != HOST
        && *name != EXPECT
        && *name != CONTENT_ENCODING
        && !text.starts_with("lambda-runtime-")
        && !text.starts_with("x-forwarded-")
}

fn field(
    member: &str,
    name: &str,
    value: &str,
    may: impl Fn(&HeaderName) -> bool,
) -> Result<(HeaderName, HeaderValue), ApiError> {
    let name = field_name(member, name, may)?;
    let read = HeaderValue::from_str(value).ok();
    let value = read.filter(|value| value.len() <= VALUE_BYTES && value.to_str().is_ok());
    let value = value.ok_or_else(|| {
        invalid(format!(
            "{member}: the value of '{name}' must be one line of up to {VALUE_BYTES} visible ASCII characters and spaces."
        ))
    })?;
    Ok((name, value))
}

fn field_name(
    member: &str,
    name: &str,
    may: impl Fn(&HeaderName) -> bool,
) -> Result<HeaderName, ApiError> {
    let read = HeaderName::from_bytes(name.as_bytes());
    let read = read.map_err(|_| {
        invalid(format!(
            "{member}: '{}' is not the name of a header field.",
            shown(name)
        ))
    })?;
    if !may(&read) {
        return Err(invalid(format!(
            "{member}: the header field '{read}' is for the platform to set."
        )));
    }
    Ok(read)
}

fn edits(
    member: &str,
    asked: Option<&wire::HeaderEdits>,
    may: impl Fn(&HeaderName) -> bool,
) -> Result<HeaderEdits, ApiError> {
    let Some(asked) = asked else {
        return Ok(HeaderEdits::default());
    };
    bounded(&format!("{member}.Remove"), &asked.remove, FIELDS)?;
    if asked.set.len() > FIELDS {
        return Err(invalid(format!("{member}.Set may have {FIELDS} entries.")));
    }
    let remove = asked
        .remove
        .iter()
        .map(|name| field_name(member, name, &may));
    let set = asked
        .set
        .iter()
        .map(|(name, value)| field(member, name, value, &may));
    Ok(HeaderEdits {
        remove: remove.collect::<Result<_, _>>()?,
        set: set.collect::<Result<_, _>>()?,
    })
}

fn new_path(asked: Option<&wire::Rewrite>, pattern: &PathPattern) -> Result<NewPath, ApiError> {
    let Some(asked) = asked else {
        return Ok(NewPath::Same);
    };
    match (&asked.strip_prefix, &asked.path) {
        (Some(prefix), None) => {
            let read: PathPattern = prefix
                .parse()
                .map_err(|error| invalid(format!("Rewrite.StripPrefix: {error}.")))?;
            let is_literal = read.names().next().is_none();
            if !is_literal || !pattern.segments().starts_with(read.segments()) {
                return Err(invalid(format!(
                    "Rewrite.StripPrefix: '{}' is not what the route's path begins with; it may have its literal \
                     segments only.",
                    shown(prefix)
                )));
            }
            let bytes = if read.segments().is_empty() {
                0
            } else {
                read.to_string().len()
            };
            Ok(NewPath::Without(bytes))
        }
        (None, Some(path)) => Template::new(path, pattern)
            .map(NewPath::Made)
            .map_err(|error| invalid(format!("Rewrite.Path: {error}."))),
        _ => Err(invalid("Rewrite has either StripPrefix or Path.")),
    }
}

fn rate(member: &str, limit: wire::RateLimit) -> Result<wire::RateLimit, ApiError> {
    let is_rate = limit
        .requests_per_second
        .is_some_and(|rate| RATES.contains(&rate));
    if !is_rate || !limit.burst.is_none_or(|burst| BURSTS.contains(&burst)) {
        return Err(invalid(format!(
            "{member}: RequestsPerSecond must be between {} and {}, and Burst, if it is there, between {} and {}.",
            RATES.start(),
            RATES.end(),
            BURSTS.start(),
            BURSTS.end()
        )));
    }
    Ok(limit)
}

fn access(asked: Option<&wire::Auth>) -> Result<Access, ApiError> {
    let Some(asked) = asked else {
        return Ok(Access::Open);
    };
    let kind = asked.r#type.as_deref().unwrap_or_default();
    if kind != "API_KEY" && !asked.api_keys.is_empty() {
        return Err(invalid("Auth: ApiKeys go with the Type API_KEY only."));
    }
    if kind != "JWT" && asked.jwt.is_some() {
        return Err(invalid("Auth: Jwt goes with the Type JWT only."));
    }
    match kind {
        "NONE" => Ok(Access::Open),
        "AWS_IAM" => Ok(Access::AwsIam),
        "API_KEY" => {
            bounded("Auth.ApiKeys", &asked.api_keys, WORDS)?;
            let names = asked.api_keys.iter().map(|name| name.parse());
            Ok(Access::ApiKey(
                names.collect::<Result<Vec<RouteName>, _>>()?,
            ))
        }
        "JWT" => jwt(asked.jwt.as_ref()).map(Access::Jwt),
        _ => Err(invalid(format!(
            "Auth: the Type '{}' is none of NONE, API_KEY, JWT and AWS_IAM.",
            shown(kind)
        ))),
    }
}

fn jwt(asked: Option<&wire::Jwt>) -> Result<Jwt, ApiError> {
    let Some(asked) = asked else {
        return Err(invalid(
            "Auth: with the Type JWT, Jwt says whose tokens are taken.",
        ));
    };
    let issuer = asked.issuer.as_deref().unwrap_or_default();
    place("Auth.Jwt.Issuer", issuer)?;
    if let Some(url) = &asked.jwks_url {
        place("Auth.Jwt.JwksUrl", url)?;
    }
    if asked.audiences.is_empty() {
        return Err(invalid(
            "Auth.Jwt.Audiences must have one at least: a token that was made for somebody else must not be taken here.",
        ));
    }
    for (member, list) in [
        ("Auth.Jwt.Audiences", &asked.audiences),
        ("Auth.Jwt.Scopes", &asked.scopes),
    ] {
        bounded(member, list, WORDS)?;
        let is_word = |word: &String| (1..=WORD_BYTES).contains(&word.len());
        if !list.iter().all(is_word) {
            return Err(invalid(format!(
                "{member}: each must have 1 to {WORD_BYTES} bytes."
            )));
        }
    }
    if asked
        .scopes
        .iter()
        .any(|scope| scope.contains(char::is_whitespace))
    {
        return Err(invalid("Auth.Jwt.Scopes: a scope has no spaces."));
    }
    let is_plain = |value: &serde_json::Value| {
        value.is_number()
            || value.is_boolean()
            || value.as_str().is_some_and(|t| t.len() <= WORD_BYTES)
    };
    if asked.claims.len() > WORDS || !asked.claims.values().all(is_plain) {
        return Err(invalid(format!(
            "Auth.Jwt.Claims may have {WORDS} entries, each a text of up to {WORD_BYTES} bytes, a number or a boolean."
        )));
    }
    Ok(Jwt {
        issuer: issuer.to_owned(),
        audiences: asked.audiences.clone(),
        scopes: asked.scopes.clone(),
        claims: asked.claims.clone(),
        jwks_url: asked.jwks_url.clone(),
    })
}

/// Checks a place that keys are fetched from.
fn place(member: &str, text: &str) -> Result<(), ApiError> {
    if text.len() <= WORD_BYTES && is_safe_url(text) {
        return Ok(());
    }
    Err(invalid(format!(
        "{member}: '{}' must be a URL that begins with https:// (http:// on a loopback address only), without user and \
         fragment.",
        shown(text)
    )))
}
