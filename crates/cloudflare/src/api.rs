//! The handle, and which method and path is which call.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hearth_code::Packages;
use hearth_queues::Queues;
use hearth_registry::{Registry, Scope};
use hearth_schedules::Schedules;
use hearth_store::KeyValueStore;
use hearth_telemetry::tails::Tails;
use http::Method;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::MutexGuard;

use crate::answer::{Failure, Reply, code};
use crate::turns::Turns;

/// Where the API is: what `CLOUDFLARE_API_BASE_URL` ends with.
pub const PREFIX: &str = "/client/v4";

/// Most bytes of an upload: a package of 50 MB, as files.
const UPLOAD_BYTES: usize = 70_000_000;
/// Most bytes of a value with its metadata, in a form perhaps: 25 MiB, and room for the rest.
const VALUE_BYTES: usize = (25 << 20) + (64 << 10);
/// Most bytes of many values or keys, as JSON.
const BULK_BYTES: usize = 48 << 20;
/// Most bytes of a list of assets: 20,000 of them.
const MANIFEST_BYTES: usize = 8 << 20;
/// Most bytes of everything else.
const CONTROL_BYTES: usize = 1 << 20;

/// The API. Cheap to clone.
#[derive(Clone)]
pub struct Cloudflare(Arc<Inner>);

struct Inner {
    parts: Parts,
    turns: Turns,
}

/// What the API is made of.
pub struct Parts {
    /// Functions.
    pub registry: Registry,
    /// Their packages.
    pub packages: Packages,
    /// What namespaces hold, and what only this API knows.
    pub keyvalue: Arc<dyn KeyValueStore>,
    /// Queues.
    pub queues: Queues,
    /// Schedules.
    pub schedules: Schedules,
    /// What workers write, as it comes.
    pub tails: Tails,
}

impl fmt::Debug for Cloudflare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloudflare").finish_non_exhaustive()
    }
}

impl std::ops::Deref for Cloudflare {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

/// Who asks, for sure.
#[derive(Clone)]
pub struct Caller {
    /// Account and region of the token.
    pub scope: Scope,
    /// How the caller reached the node: `http://host:port`.
    pub base: String,
    /// The token: an upload of assets has one that is made of it.
    pub token: String,
    /// What follows the token, if it is one that this API gave out for an upload of assets.
    pub session: Option<String>,
}

impl fmt::Debug for Caller {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Caller");
        shown.field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// A request, with its body.
#[derive(Clone)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path, from [`PREFIX`] on.
    pub path: &'a str,
    /// The query.
    pub query: &'a str,
    /// The media type of the body.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: Bytes,
}

impl fmt::Debug for Request<'_> {
    /// Without the body, which may have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Request");
        let shown = shown.field("method", self.method).field("path", &self.path);
        shown.finish_non_exhaustive()
    }
}

impl Request<'_> {
    /// A parameter of the query, as forms write it.
    pub(crate) fn query(&self, name: &str) -> Option<String> {
        self.queries(name).next()
    }

    pub(crate) fn queries(&self, name: &str) -> impl Iterator<Item = String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failure::invalid(format!("The request's body can't be read: {error}."))
        })
    }
}

/// Most bytes that the body of a request may have.
pub fn body_bytes(method: &Method, path: &str) -> usize {
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match segments.as_slice() {
        ["accounts", _, "workers", "scripts", _] if *method == Method::PUT => UPLOAD_BYTES,
        ["accounts", _, "workers", "scripts", _, "versions"] => UPLOAD_BYTES,
        ["accounts", _, "workers", "assets", "upload"] => UPLOAD_BYTES,
        [
            "accounts",
            _,
            "workers",
            "scripts",
            _,
            "assets-upload-session",
        ] => MANIFEST_BYTES,
        [
            "accounts",
            _,
            "storage",
            "kv",
            "namespaces",
            _,
            "values",
            ..,
        ] => VALUE_BYTES,
        ["accounts", _, "storage", "kv", "namespaces", _, "bulk", ..] => BULK_BYTES,
        _ => CONTROL_BYTES,
    }
}

impl Cloudflare {
    /// The API over what a node has.
    pub fn new(parts: Parts) -> Self {
        let turns = Turns::new();
        Self(Arc::new(Inner { parts, turns }))
    }

    /// Answers one call.
    pub async fn call(&self, caller: &Caller, request: Request<'_>) -> Reply {
        match self.answer(caller, &request).await {
            Ok(reply) => reply,
            Err(failure) => failure.into(),
        }
    }

    async fn answer(&self, caller: &Caller, request: &Request<'_>) -> Result<Reply, Failure> {
        let path = request.path.strip_prefix(PREFIX).unwrap_or(request.path);
        let decoded = path
            .trim_matches('/')
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8().ok())
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Failure::invalid("The path must be UTF-8."))?;
        let segments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
        let segments = match segments.as_slice() {
            ["accounts", account, rest @ ..] if !rest.is_empty() => {
                if *account != caller.scope.account.as_str() {
                    return Err(Failure::authentication(format!(
                        "Authentication error: the token is of the account {}. Set CLOUDFLARE_ACCOUNT_ID to it.",
                        caller.scope.account
                    )));
                }
                rest
            }
            other => return self.of_user(caller, request, other),
        };
        match segments {
            ["workers", "subdomain"] => self.account_subdomain(request),
            ["workers", "services", name, rest @ ..] => {
                let _turn = self.turn(&caller.scope, request, name, rest).await;
                Box::pin(self.service(caller, request, name, rest)).await
            }
            ["workers", "scripts"] => self.list_scripts(caller, request),
            ["workers", "scripts", name, rest @ ..] => {
                Box::pin(self.script(caller, request, name, rest)).await
            }
            ["workers", "assets", "upload"] => {
                let _room = self.0.turns.room().await;
                self.upload_assets(caller, request).await
            }
            ["workers", "tails", "by-consumer", _] => Ok(Reply::of(json!([]))),
            ["storage", "kv", "namespaces", rest @ ..] => {
                Box::pin(self.namespaces(caller, request, rest)).await
            }
            ["queues", rest @ ..] => Box::pin(self.queues(caller, request, rest)).await,
            _ => Err(no_route(request)),
        }
    }

    /// The turn of a call that changes a script.
    async fn turn(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        name: &str,
        rest: &[&str],
    ) -> Option<MutexGuard<'_, ()>> {
        let only_beside = matches!(rest, ["tails" | "assets-upload-session", ..]);
        if request.method == Method::GET || only_beside {
            return None;
        }
        Some(self.0.turns.of(scope, name).await)
    }

    /// What is about one script.
    async fn script(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        name: &str,
        rest: &[&str],
    ) -> Result<Reply, Failure> {
        let (scope, method) = (&caller.scope, request.method.as_str());
        let _room = match (method, rest) {
            ("PUT", []) | ("POST", ["versions"]) => self.0.turns.room().await,
            _ => None,
        };
        let _turn = self.turn(scope, request, name, rest).await;
        match (method, rest) {
            ("PUT", []) => self.put_script(scope, request, name).await,
            ("DELETE", []) => self.delete_script(scope, name).await,
            ("GET", ["settings"]) => self.settings(scope, name).await,
            ("PATCH", ["settings"]) => self.patch_settings(scope, request, name).await,
            ("GET", ["script-settings"]) => self.script_settings(scope, name).await,
            ("PATCH", ["script-settings"]) => {
                self.patch_script_settings(scope, request, name).await
            }
            ("GET", ["references"]) => self.references(scope, name),
            ("GET", ["versions"]) => self.versions(scope, name).await,
            ("POST", ["versions"]) => self.post_version(scope, request, name).await,
            ("GET", ["versions", id]) => self.version(scope, name, id).await,
            ("GET", ["deployments"]) => self.list_deployments(scope, name).await,
            ("POST", ["deployments"]) => self.post_deployment(scope, request, name).await,
            ("GET", ["secrets"]) => self.list_secrets(scope, name),
            ("PUT", ["secrets"]) => self.put_secret(scope, request, name).await,
            ("DELETE", ["secrets", secret]) => self.delete_secret(scope, name, secret).await,
            ("GET", ["subdomain"]) => self.script_subdomain(scope, name),
            ("POST", ["subdomain"]) => self.set_subdomain(scope, request, name).await,
            ("GET", ["schedules"]) => self.list_schedules(scope, name).await,
            ("PUT", ["schedules"]) => self.put_schedules(scope, request, name).await,
            ("POST", ["assets-upload-session"]) => self.begin_assets(caller, request, name).await,
            ("POST", ["tails"]) => self.begin_tail(caller, request, name),
            ("GET", ["tails"]) => Ok(Reply::of(json!([]))),
            ("DELETE", ["tails", id]) => Ok(self.end_tail(scope, id)),
            _ => Err(no_route(request)),
        }
    }
}

pub(crate) fn no_route(request: &Request<'_>) -> Failure {
    let path: String = request.path.chars().take(200).collect();
    Failure::new(
        404,
        code::NO_ROUTE,
        format!(
            "Hearth does not have {} {path} of Cloudflare's API.",
            request.method
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_carries_files_may_be_large() {
        let of = |method: Method, path: &str| body_bytes(&method, &format!("{PREFIX}{path}"));
        assert_eq!(
            of(Method::PUT, "/accounts/1/workers/scripts/a"),
            UPLOAD_BYTES
        );
        assert_eq!(
            of(Method::POST, "/accounts/1/workers/scripts/a/versions"),
            UPLOAD_BYTES
        );
        assert_eq!(
            of(Method::PUT, "/accounts/1/workers/scripts/a/secrets"),
            CONTROL_BYTES
        );
        assert_eq!(
            of(Method::PUT, "/accounts/1/storage/kv/namespaces/n/values/k"),
            VALUE_BYTES
        );
        assert_eq!(of(Method::GET, "/user"), CONTROL_BYTES);
    }
}
