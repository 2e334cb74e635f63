//! All routes and their keys, and which host is whose.

use std::ops::Bound;
use std::sync::Arc;

use hearth_store::record::{RouteKeyRecord, RouteRecord};
use hearth_types::ApiError;
use hearth_types::name::{AccountId, RouteId};
use hearth_types::route::HostPattern;
use imbl::{HashMap, OrdMap};

use super::route::Route;
use super::site::Site;

/// All routes, as of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    routes: OrdMap<RouteId, Entry>,
    exact: HashMap<String, Arc<Site>>,
    under: HashMap<String, Arc<Site>>,
    any: Option<Arc<Site>>,
    /// Whose hosts are, by [`claim_of`].
    claims: OrdMap<String, Claim>,
    keys: OrdMap<RouteId, Arc<RouteKeyRecord>>,
    /// The same keys by the part of them that is no secret.
    by_key_id: HashMap<String, Arc<RouteKeyRecord>>,
}

#[derive(Clone, Debug)]
struct Entry {
    record: Arc<RouteRecord>,
    /// `None` while it is disabled, or if this version of Hearth can't read it.
    route: Option<Arc<Route>>,
}

/// A host, or all that are under one, is an account's while that has a route there.
#[derive(Clone, Debug)]
struct Claim {
    account: AccountId,
    routes: usize,
}

/// A name backwards, and what tells a wildcard from a name: all names under one are in a row behind it.
fn claim_of(host: &HostPattern) -> String {
    let backwards = |name: &str| name.chars().rev().chain(['.']).collect::<String>();
    match host {
        HostPattern::Any => "*".to_owned(),
        HostPattern::Exact(name) => backwards(name),
        HostPattern::Under(name) => backwards(name) + "*",
    }
}

impl Table {
    /// The routes of a host that routes name, exactly or by a wildcard; the longest counts.
    pub(crate) fn at_host(&self, host: &str) -> Option<&Arc<Site>> {
        if let Some(site) = self.exact.get(host) {
            return Some(site);
        }
        if self.under.is_empty() {
            return None;
        }
        let mut rest = host;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(site) = self.under.get(parent) {
                return Some(site);
            }
            rest = parent;
        }
        None
    }

    /// The routes of hosts that no route names.
    pub(crate) fn anywhere(&self) -> Option<&Arc<Site>> {
        self.any.as_ref()
    }

    pub(crate) fn record(&self, id: &RouteId) -> Option<&Arc<RouteRecord>> {
        self.routes.get(id).map(|entry| &entry.record)
    }

    /// Routes in order, beginning after `after`.
    pub(crate) fn records_after(
        &self,
        after: Bound<RouteId>,
    ) -> impl Iterator<Item = &Arc<RouteRecord>> {
        self.routes
            .range((after, Bound::Unbounded))
            .map(|(_, entry)| &entry.record)
    }

    pub(crate) fn key(&self, id: &RouteId) -> Option<&Arc<RouteKeyRecord>> {
        self.keys.get(id)
    }

    /// The key with this identifier.
    pub(crate) fn key_by_id(&self, key_id: &str) -> Option<&Arc<RouteKeyRecord>> {
        self.by_key_id.get(key_id)
    }

    /// Keys in order, beginning after `after`.
    pub(crate) fn keys_after(
        &self,
        after: Bound<RouteId>,
    ) -> impl Iterator<Item = &Arc<RouteKeyRecord>> {
        self.keys
            .range((after, Bound::Unbounded))
            .map(|(_, key)| key)
    }

    /// Makes sure that a route, which is enabled, can be added beside all others.
    ///
    /// # Errors
    /// [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict), with what is in the way.
    pub(crate) fn check(&self, route: &Route) -> Result<(), ApiError> {
        for host in &route.hosts {
            if self.is_of_another(host, &route.id().account) {
                return Err(ApiError::conflict(format!(
                    "The host {host} has routes of another account, and so it takes none of yours."
                )));
            }
            let Some(rival) = self.site(host).and_then(|site| site.rival(route)) else {
                continue;
            };
            let methods = |route: &Route| {
                let methods: Vec<_> = route.methods.iter().map(|m| m.as_str()).collect();
                if methods.is_empty() {
                    "every method".to_owned()
                } else {
                    methods.join(", ")
                }
            };
            return Err(ApiError::conflict(format!(
                "The route '{}' answers requests at {host} with the same path and method ({} of {}). Remove it, or give \
                 one of the two another host, path or method.",
                rival.id().name,
                methods(rival),
                rival.pattern()
            )));
        }
        Ok(())
    }

    /// Whether a host, one under it or a wildcard above it is another account's.
    fn is_of_another(&self, host: &HostPattern, account: &AccountId) -> bool {
        let is_another = |claim: &Claim| claim.account != *account;
        let own = claim_of(host);
        let (HostPattern::Exact(name) | HostPattern::Under(name)) = host else {
            return self.claims.get(&own).is_some_and(is_another);
        };
        let mut above = Some(name.as_str());
        while let Some(parent) = above {
            let wildcard = claim_of(&HostPattern::Under(parent.to_owned()));
            if self.claims.get(&wildcard).is_some_and(is_another) {
                return true;
            }
            above = parent.split_once('.').map(|(_, parent)| parent);
        }
        let first = claim_of(&HostPattern::Exact(name.clone()));
        if matches!(host, HostPattern::Exact(_)) {
            return self.claims.get(&first).is_some_and(is_another);
        }
        self.claims
            .range(first.clone()..)
            .take_while(|(claimed, _)| claimed.starts_with(&first))
            .any(|(_, claim)| is_another(claim))
    }

    fn site(&self, host: &HostPattern) -> Option<&Arc<Site>> {
        match host {
            HostPattern::Any => self.any.as_ref(),
            HostPattern::Exact(name) => self.exact.get(name),
            HostPattern::Under(name) => self.under.get(name),
        }
    }

    fn edit_site(&mut self, host: &HostPattern, change: impl FnOnce(&mut Site)) {
        let site = match host {
            HostPattern::Any => self.any.take(),
            HostPattern::Exact(name) => self.exact.remove(name),
            HostPattern::Under(name) => self.under.remove(name),
        };
        let mut site = site.unwrap_or_default();
        // Copies the site only if an earlier snapshot has it too.
        change(Arc::make_mut(&mut site));
        if site.is_empty() {
            return;
        }
        match host {
            HostPattern::Any => self.any = Some(site),
            HostPattern::Exact(name) => drop(self.exact.insert(name.clone(), site)),
            HostPattern::Under(name) => drop(self.under.insert(name.clone(), site)),
        }
    }

    /// Adds a route, or puts it in the place of an earlier form of it.
    pub(crate) fn put(&mut self, record: RouteRecord) {
        let id = record.id.clone();
        let earlier = self.remove(&id);
        let record = Arc::new(record);
        let route = if record.route.enabled == Some(false) {
            None
        } else {
            match Route::read(&record) {
                Ok(mut route) => {
                    if let Some(earlier) = &earlier {
                        route.keep_buckets_of(earlier);
                    }
                    Some(Arc::new(route))
                }
                Err(error) => {
                    // It was checked before it was stored: another version of Hearth wrote it.
                    tracing::error!(route = %id, %error, "a stored route can't be read; it answers nothing");
                    None
                }
            }
        };
        if let Some(route) = &route {
            for host in &route.hosts {
                self.edit_site(host, |site| site.insert(route));
                let claim = self.claims.entry(claim_of(host)).or_insert(Claim {
                    account: id.account.clone(),
                    routes: 0,
                });
                claim.routes += 1;
            }
        }
        self.routes.insert(id, Entry { record, route });
    }

    /// Removes a route, if it is there; what it was, if it was enabled.
    pub(crate) fn remove(&mut self, id: &RouteId) -> Option<Arc<Route>> {
        let route = self.routes.remove(id)?.route?;
        for host in &route.hosts {
            self.edit_site(host, |site| site.remove(&route));
            let claimed = claim_of(host);
            if let Some(claim) = self.claims.get_mut(&claimed) {
                claim.routes -= 1;
                if claim.routes == 0 {
                    self.claims.remove(&claimed);
                }
            }
        }
        Some(route)
    }

    /// Adds a key, or puts it in the place of an earlier form of it.
    pub(crate) fn put_key(&mut self, record: RouteKeyRecord) {
        self.remove_key(&record.id);
        let record = Arc::new(record);
        self.by_key_id
            .insert(record.key_id.clone(), Arc::clone(&record));
        self.keys.insert(record.id.clone(), record);
    }

    /// Removes a key, if it is there.
    pub(crate) fn remove_key(&mut self, id: &RouteId) {
        if let Some(record) = self.keys.remove(id) {
            self.by_key_id.remove(&record.key_id);
        }
    }
}
