//! Which route a request is at, if it is at one.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_registry::{Found, Route, RouteTarget, Site};
use hearth_types::ErrorKind;
use hearth_types::function_url::cors;
use hearth_types::route::path::{self, BadPath};
use hearth_types::route::{HostPattern, first_segment, host, is_reserved};
use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

use super::{new_path, not_taken};
use crate::function_url::refusal::Refusal;
use crate::function_url::{UrlDomain, target};
use crate::gateway::Parted;

/// The name of this machine on itself, at which the API always is.
const LOCALHOST: &str = "localhost";

/// What is to be done with a request at a route, or at a host that has routes only.
#[derive(Debug)]
pub(crate) enum Choice {
    /// A route answers.
    Route(Chosen),
    /// A browser asks what it may do.
    Preflight(Arc<Route>),
    /// No route answers.
    Refused(Refusal),
}

/// A route, and what the request's path means there.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(super) route: Arc<Route>,
    /// The path and query that the function sees, if they are not those of the request.
    pub(super) path: Option<PathAndQuery>,
    /// What the path has captured, unescaped.
    pub(super) parameters: BTreeMap<String, String>,
    /// The host that was asked, without its port.
    pub(super) host: String,
}

impl Parted {
    /// What a request at a host that routes name meets; `None` for every other host.
    pub(crate) fn choice_at_host(&self, parts: &Parts) -> Option<Choice> {
        // A request with several hosts is refused where every request is.
        let host = target::host(parts).ok()??;
        let name = host::normal(host)?;
        let site = self.registry.site(&name)?;
        if is_of_api(&name, &self.url_domain) || target::is_url_host(host, &self.url_domain) {
            return None;
        }
        Some(match path::normal(parts.uri.path()) {
            Ok(path) => choose(&site, parts, &path, &name).unwrap_or_else(|| {
                Choice::Refused(Refusal::new(
                    404,
                    ErrorKind::ResourceNotFound.code(),
                    "No route has this path.",
                ))
            }),
            Err(BadPath(why)) => Choice::Refused(Refusal::bad_path(why)),
        })
    }

    /// The route for every host that a request meets; `None` if there is none, or if the path is the platform's.
    pub(crate) fn choice_at_every_host(&self, parts: &Parts) -> Option<Choice> {
        if is_reserved(first_segment(parts.uri.path())) {
            return None;
        }
        let site = self.registry.site_of_all_hosts()?;
        let path = path::normal(parts.uri.path()).ok()?;
        let host = target::host(parts)
            .ok()?
            .filter(|host| target::is_host(host));
        let name = host.and_then(host::normal).unwrap_or_default();
        choose(&site, parts, &path, &name)
    }

    /// Why a route can't have a host, if it can't: the API is there. `request` is the request that makes the route.
    pub(crate) fn why_not_host(&self, pattern: &HostPattern, request: &Parts) -> Option<String> {
        if *pattern == HostPattern::Any {
            return None;
        }
        let domain = self.url_domain.name();
        let is_url = match pattern {
            HostPattern::Exact(name) | HostPattern::Under(name) => {
                target::is_url_host(name.as_bytes(), &self.url_domain)
                    || target::is_url_host(format!("x.{name}").as_bytes(), &self.url_domain)
            }
            HostPattern::Any => false,
        };
        if is_url {
            return Some(format!("Hosts: {pattern} is where function URLs are."));
        }
        for own in [LOCALHOST, domain] {
            if pattern.takes(own) {
                return Some(format!(
                    "Hosts: {pattern} has {own}, which is the API's own. Name another host."
                ));
            }
        }
        let asked = target::host(request).ok()??;
        let asked = host::normal(asked)?;
        pattern.takes(&asked).then(|| {
            format!(
                "Hosts: {pattern} has {asked}, by which this request has reached the API: the route would take that away. \
                 Name another host, or make the route by another name of the node."
            )
        })
    }
}

fn is_of_api(name: &str, domain: &UrlDomain) -> bool {
    name == LOCALHOST || name == domain.name()
}

/// Looks for the route of a path; `None` if there is none.
fn choose(site: &Site, parts: &Parts, path: &str, host: &str) -> Option<Choice> {
    if cors::is_preflight(&parts.method, &parts.headers)
        && let Some(method) = asked_method(&parts.headers)
        && let Found::Route(found) = site.find(&method, path)
        && found.route.cors().is_some()
    {
        return Some(Choice::Preflight(found.route));
    }
    let found = match site.find(&parts.method, path) {
        Found::Route(found) => found,
        Found::Methods(methods) => return Some(Choice::Refused(not_taken(&methods))),
        Found::Nothing => return None,
    };
    if parts.method == Method::CONNECT {
        return Some(Choice::Refused(Refusal::no_tunnel()));
    }
    if let RouteTarget::Fixed(_) = found.route.target() {
        return Some(Choice::Route(Chosen {
            route: found.route,
            path: None,
            parameters: BTreeMap::new(),
            host: String::new(),
        }));
    }
    // The path came in the form that is compared, but for a slash at its end.
    let own = parts.uri.path();
    let is_same = own == path || own.strip_suffix('/') == Some(path);
    let path = match new_path(&found.route, &parts.uri, path, is_same, &found.captures) {
        Ok(path) => path,
        Err(refusal) => return Some(Choice::Refused(refusal)),
    };
    let names = found.route.pattern().names();
    let values = found.captures.iter().map(|part| {
        let text = percent_decode_str(part).decode_utf8_lossy();
        text.into_owned()
    });
    let parameters = names.map(str::to_owned).zip(values).collect();
    Some(Choice::Route(Chosen {
        route: found.route,
        path,
        parameters,
        host: host.to_owned(),
    }))
}

fn asked_method(headers: &HeaderMap) -> Option<Method> {
    let asked = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(asked.as_bytes()).ok()
}
