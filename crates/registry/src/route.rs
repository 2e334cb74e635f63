//! Routes: put, get, list, delete; and the look-ups of the request path.

use std::ops::Bound;
use std::sync::Arc;

use hearth_store::contract::Change;
use hearth_store::record::RouteRecord;
use hearth_types::name::{RouteId, RouteName};
use hearth_types::route::HostPattern;
use hearth_types::wire::route::{self as wire, NEW};
use hearth_types::{ApiError, ErrorKind};

use crate::page::Listing;
use crate::registry::{Subject, new_revision};
use crate::routing::{Access, Route, RouteTarget, Site};
use crate::snapshot::Snapshot;
use crate::{PageRequest, Registry, Resolved, Scope, present};

impl Registry {
    /// Makes a route, or puts it in the place of the one with its name. `is_of_api` tells hosts at which the API is, which
    /// no route may have; it answers with a sentence that says so.
    ///
    /// # Errors
    /// [`ResourceConflict`](ErrorKind::ResourceConflict) if another route would answer the same requests, if the host is
    /// another account's, or if there is one already and there must be none;
    /// [`PreconditionFailed`](ErrorKind::PreconditionFailed) for another revision;
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound) if the function or a key is not there; those of bad parameters
    /// and of the store. Nothing was changed then.
    pub async fn put_route(
        &self,
        scope: &Scope,
        name: RouteName,
        mut request: wire::Route,
        is_of_api: impl Fn(&HostPattern) -> Option<String>,
    ) -> Result<wire::Route, ApiError> {
        if request.name.as_deref().is_some_and(|n| n != name.as_str()) {
            return Err(ApiError::invalid(
                "Name is not the one in the path. Leave it out, or use the same.",
            ));
        }
        let expected = request.revision_id.take();
        let id = scope.route_id(name);
        let now = self.now();
        let record = RouteRecord {
            id: id.clone(),
            revision: new_revision(),
            created: now,
            modified: now,
            route: wire::Route {
                name: None,
                creation_time: None,
                last_modified_time: None,
                ..request
            },
        };
        let route = Route::read(&Arc::new(record.clone()))?;
        if let Some(why) = route.hosts().iter().find_map(is_of_api) {
            return Err(ApiError::invalid(why));
        }
        self.change(&Subject::Routes, |snapshot| {
            let current = snapshot.routes.record(&id);
            check_revision(current.map(|c| c.revision.as_str()), expected.as_deref())?;
            check_target(snapshot, scope, &route)?;
            if record.route.enabled != Some(false) {
                snapshot.routes.check(&route)?;
            }
            let record = RouteRecord {
                created: current.map_or(record.created, |current| current.created),
                ..record.clone()
            };
            let answer = shown(&record);
            let change = Change::PutRoute {
                record,
                expected: current.map(|current| current.revision.clone()),
            };
            Ok((vec![change], answer))
        })
        .await
    }

    /// One route.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound).
    pub fn get_route(&self, scope: &Scope, name: RouteName) -> Result<wire::Route, ApiError> {
        let id = scope.route_id(name);
        let snapshot = self.snapshot();
        let record = snapshot.routes.record(&id);
        record
            .map(|record| shown(record))
            .ok_or_else(|| no_route(&id))
    }

    /// Routes by name, and the marker of the next page.
    ///
    /// # Errors
    /// Those of bad parameters.
    pub fn list_routes(
        &self,
        scope: &Scope,
        page: &PageRequest,
    ) -> Result<(Vec<wire::Route>, Option<String>), ApiError> {
        let (after, size) = Listing::Routes.begin::<RouteName>(page)?;
        let snapshot = self.snapshot();
        let records = snapshot
            .routes
            .records_after(scope.routes_after(after)?)
            .take_while(|record| scope.has(&record.id));
        let (records, next) = Listing::Routes.take(records, size, |r| r.id.name.to_string());
        Ok((
            records.into_iter().map(|record| shown(record)).collect(),
            next,
        ))
    }

    /// Removes a route.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound), [`PreconditionFailed`](ErrorKind::PreconditionFailed) for
    /// another revision; those of the store.
    pub async fn delete_route(
        &self,
        scope: &Scope,
        name: RouteName,
        revision: Option<&str>,
    ) -> Result<(), ApiError> {
        let id = scope.route_id(name);
        self.change(&Subject::Routes, |snapshot| {
            let record = snapshot.routes.record(&id).ok_or_else(|| no_route(&id))?;
            check_revision(Some(&record.revision), revision)?;
            let change = Change::DeleteRoute {
                id: id.clone(),
                expected: record.revision.clone(),
            };
            Ok((vec![change], ()))
        })
        .await
    }

    /// The routes of a host that routes name, in the form that [`hearth_types::route::host::normal`] gives.
    ///
    /// As all look-ups of requests: no lock, and the same cost however many routes there are (INV-9).
    pub fn site(&self, host: &str) -> Option<Arc<Site>> {
        self.inner.snapshot.load().routes.at_host(host).cloned()
    }

    /// The routes of all hosts that no route names.
    pub fn site_of_all_hosts(&self) -> Option<Arc<Site>> {
        self.inner.snapshot.load().routes.anywhere().cloned()
    }

    /// What a request at a route runs; `None` if the route answers by itself. `draw` is as in
    /// [`FunctionUrl::resolve`](crate::FunctionUrl::resolve).
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound) if the function, version or alias is gone,
    /// [`ResourceConflict`](ErrorKind::ResourceConflict) if it is not ready to be invoked.
    pub fn resolve_route(
        &self,
        route: &Route,
        draw: impl FnOnce() -> f64,
    ) -> Result<Option<Resolved>, ApiError> {
        let RouteTarget::Function { key, qualifier } = route.target() else {
            return Ok(None);
        };
        let snapshot = self.inner.snapshot.load();
        let qualifier = qualifier.as_ref();
        let (version, runnable, reserved) = snapshot
            .function(key)
            .and_then(|entry| {
                let (version, runnable) = entry.route(qualifier, draw)?;
                Some((version, runnable, entry.function.reserved_concurrency))
            })
            .ok_or_else(|| present::function_not_found(key, qualifier))?;
        runnable
            .resolved(version, qualifier.cloned(), reserved)
            .map(Some)
    }
}

impl Scope {
    /// A route, or a key, of this scope.
    pub(crate) fn route_id(&self, name: RouteName) -> RouteId {
        RouteId {
            account: self.account.clone(),
            region: self.region.clone(),
            name,
        }
    }

    pub(crate) fn has(&self, id: &RouteId) -> bool {
        id.account == self.account && id.region == self.region
    }

    /// Where the routes, or keys, of this scope begin after a name.
    pub(crate) fn routes_after(
        &self,
        after: Option<RouteName>,
    ) -> Result<Bound<RouteId>, ApiError> {
        Ok(match after {
            Some(name) => Bound::Excluded(self.route_id(name)),
            // The first name in order: a hyphen comes before every other character of a name.
            None => Bound::Included(self.route_id("-".parse()?)),
        })
    }
}

/// Makes sure that what a caller has seen is what there is.
pub(crate) fn check_revision(
    current: Option<&str>,
    expected: Option<&str>,
) -> Result<(), ApiError> {
    match (current, expected) {
        (_, None) | (None, Some(NEW)) => Ok(()),
        (Some(_), Some(NEW)) => Err(ApiError::conflict(
            "There is one of this name already. Leave RevisionId out to put this one in its place.",
        )),
        (Some(current), Some(expected)) if current == expected => Ok(()),
        _ => Err(ApiError::new(
            ErrorKind::PreconditionFailed,
            "The RevisionId provided does not match the latest RevisionId. Get the current one and decide again.",
        )),
    }
}

/// Makes sure that what a route names is there.
fn check_target(snapshot: &Snapshot, scope: &Scope, route: &Route) -> Result<(), ApiError> {
    if let RouteTarget::Function { key, qualifier } = route.target() {
        snapshot
            .function(key)
            .and_then(|entry| entry.qualified(qualifier.as_ref()))
            .ok_or_else(|| present::function_not_found(key, qualifier.as_ref()))?;
    }
    if let Access::ApiKey(names) = route.access() {
        for name in names {
            if snapshot.routes.key(&scope.route_id(name.clone())).is_none() {
                return Err(ApiError::not_found(format!(
                    "Auth: there is no API key '{name}'. Make it first."
                )));
            }
        }
    }
    Ok(())
}

fn no_route(id: &RouteId) -> ApiError {
    ApiError::not_found(format!("There is no route '{}' in {}.", id.name, id.region))
}

/// A route as the API shows it.
fn shown(record: &RouteRecord) -> wire::Route {
    wire::Route {
        name: Some(record.id.name.to_string()),
        revision_id: Some(record.revision.clone()),
        creation_time: Some(record.created.to_iso_string()),
        last_modified_time: Some(record.modified.to_iso_string()),
        enabled: Some(record.route.enabled != Some(false)),
        ..record.route.clone()
    }
}
