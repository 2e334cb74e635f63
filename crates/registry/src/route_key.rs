//! API keys for routes: create, get, list, update, delete; and the look-up of the request path.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hearth_store::contract::Change;
use hearth_store::record::RouteKeyRecord;
use hearth_types::digest::Digest;
use hearth_types::name::{RouteId, RouteName};
use hearth_types::wire::route::{RouteKey, RouteKeyRequest};
use hearth_types::{ApiError, ErrorKind};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::page::Listing;
use crate::registry::{Subject, new_revision};
use crate::route::check_revision;
use crate::{PageRequest, Registry, Scope};

/// What a key begins with: scanners for leaked secrets look for such a word.
const PREFIX: &str = "hk_";
/// Random bytes of the part that tells keys apart: two of a million million keys meet once in a million million.
const ID_BYTES: usize = 10;
/// Random bytes of the secret part.
const SECRET_BYTES: usize = 32;
/// Bytes of a whole key: prefix, identifier in hexadecimal, underscore, secret in base64.
const KEY_BYTES: usize = PREFIX.len() + 2 * ID_BYTES + 1 + (SECRET_BYTES * 4).div_ceil(3);

/// A key that somebody has shown, and that lets them in where it is taken.
#[derive(Clone, Debug)]
pub struct KnownKey(Arc<RouteKeyRecord>);

impl KnownKey {
    /// What tells it apart from every other key, for ever.
    pub fn id(&self) -> &str {
        &self.0.key_id
    }

    /// Its name.
    pub fn name(&self) -> &RouteName {
        &self.0.id.name
    }

    /// Whether it is of the account and region of a route.
    pub fn is_beside(&self, route: &RouteId) -> bool {
        let own = &self.0.id;
        own.account == route.account && own.region == route.region
    }
}

impl Registry {
    /// Makes a key. The answer is the only place where it ever is.
    ///
    /// # Errors
    /// [`ResourceConflict`](ErrorKind::ResourceConflict) if there is one of that name; those of the store.
    pub async fn create_route_key(
        &self,
        scope: &Scope,
        name: RouteName,
        request: &RouteKeyRequest,
    ) -> Result<RouteKey, ApiError> {
        let (key_id, secret) = new_key()?;
        let record = RouteKeyRecord {
            id: scope.route_id(name),
            revision: new_revision(),
            key_id,
            sha256: Digest::from_bytes(Sha256::digest(&secret).into()),
            enabled: request.enabled != Some(false),
            created: self.now(),
        };
        self.change(&Subject::Routes, |snapshot| {
            if snapshot.routes.key(&record.id).is_some() {
                return Err(ApiError::conflict(format!(
                    "There is an API key '{}' already. Use another name, or delete it first.",
                    record.id.name
                )));
            }
            let answer = RouteKey {
                secret: Some(secret.clone()),
                ..shown(&record)
            };
            let change = Change::PutRouteKey {
                record: record.clone(),
                expected: None,
            };
            Ok((vec![change], answer))
        })
        .await
    }

    /// One key, without its secret, which nobody knows.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound).
    pub fn get_route_key(&self, scope: &Scope, name: RouteName) -> Result<RouteKey, ApiError> {
        let id = scope.route_id(name);
        let snapshot = self.snapshot();
        let record = snapshot.routes.key(&id);
        record
            .map(|record| shown(record))
            .ok_or_else(|| no_key(&id))
    }

    /// Keys by name, and the marker of the next page.
    ///
    /// # Errors
    /// Those of bad parameters.
    pub fn list_route_keys(
        &self,
        scope: &Scope,
        page: &PageRequest,
    ) -> Result<(Vec<RouteKey>, Option<String>), ApiError> {
        let (after, size) = Listing::RouteKeys.begin::<RouteName>(page)?;
        let snapshot = self.snapshot();
        let records = snapshot
            .routes
            .keys_after(scope.routes_after(after)?)
            .take_while(|record| scope.has(&record.id));
        let (records, next) = Listing::RouteKeys.take(records, size, |r| r.id.name.to_string());
        Ok((
            records.into_iter().map(|record| shown(record)).collect(),
            next,
        ))
    }

    /// Enables or disables a key.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound), [`PreconditionFailed`](ErrorKind::PreconditionFailed); those of
    /// bad parameters and of the store.
    pub async fn update_route_key(
        &self,
        scope: &Scope,
        name: RouteName,
        request: &RouteKeyRequest,
    ) -> Result<RouteKey, ApiError> {
        let Some(enabled) = request.enabled else {
            return Err(ApiError::invalid("Enabled must be true or false."));
        };
        let id = scope.route_id(name);
        self.change(&Subject::Routes, |snapshot| {
            let current = snapshot.routes.key(&id).ok_or_else(|| no_key(&id))?;
            check_revision(Some(&current.revision), request.revision_id.as_deref())?;
            let record = RouteKeyRecord {
                revision: new_revision(),
                enabled,
                ..current.as_ref().clone()
            };
            let answer = shown(&record);
            let change = Change::PutRouteKey {
                record,
                expected: Some(current.revision.clone()),
            };
            Ok((vec![change], answer))
        })
        .await
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound); [`ResourceInUse`](ErrorKind::ResourceInUse) if a route names
    /// it, for a later key of the same name must not open that route unseen; those of the store.
    pub async fn delete_route_key(
        &self,
        scope: &Scope,
        name: RouteName,
        revision: Option<&str>,
    ) -> Result<(), ApiError> {
        let id = scope.route_id(name);
        let first = scope.routes_after(None)?;
        self.change(&Subject::Routes, |snapshot| {
            let record = snapshot.routes.key(&id).ok_or_else(|| no_key(&id))?;
            check_revision(Some(&record.revision), revision)?;
            let mut routes = snapshot.routes.records_after(first.clone());
            let user = routes.find(|route| {
                let auth = route.route.auth.as_ref();
                scope.has(&route.id)
                    && auth.is_some_and(|auth| auth.api_keys.iter().any(|k| k == id.name.as_str()))
            });
            if let Some(user) = user {
                return Err(ApiError::new(
                    ErrorKind::ResourceInUse,
                    format!(
                        "The route '{}' names this key. Change the route first, or disable the key.",
                        user.id.name
                    ),
                ));
            }
            let change = Change::DeleteRouteKey {
                id: id.clone(),
                expected: record.revision.clone(),
            };
            Ok((vec![change], ()))
        })
        .await
    }

    /// Whose key a text is, if it is one that lets anybody in. Takes the same time for every secret.
    pub fn route_key_of(&self, text: &[u8]) -> Option<KnownKey> {
        if text.len() != KEY_BYTES {
            return None;
        }
        let rest = std::str::from_utf8(text).ok()?.strip_prefix(PREFIX)?;
        let (key_id, _) = rest.split_once('_')?;
        let snapshot = self.inner.snapshot.load();
        let record = snapshot.routes.key_by_id(key_id)?;
        let hash: [u8; 32] = Sha256::digest(text).into();
        let is_same = bool::from(hash.ct_eq(record.sha256.as_bytes()));
        (is_same && record.enabled).then(|| KnownKey(Arc::clone(record)))
    }
}

/// The identifier of a new key, and the whole key.
fn new_key() -> Result<(String, String), ApiError> {
    let mut bytes = [0; ID_BYTES + SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "read random bytes from the operating system");
        ApiError::service("No key could be made. Try again.")
    })?;
    let (id, secret) = bytes.split_at(ID_BYTES);
    let id = hex::encode(id);
    let key = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
    Ok((id, key))
}

fn no_key(id: &RouteId) -> ApiError {
    ApiError::not_found(format!(
        "There is no API key '{}' in {}.",
        id.name, id.region
    ))
}

fn shown(record: &RouteKeyRecord) -> RouteKey {
    RouteKey {
        name: record.id.name.to_string(),
        id: record.key_id.clone(),
        enabled: record.enabled,
        revision_id: record.revision.clone(),
        creation_time: record.created.to_iso_string(),
        secret: None,
    }
}
