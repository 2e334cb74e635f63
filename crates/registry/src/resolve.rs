//! The registry's part of the request path: from a name, or a function URL, to what runs.

use std::sync::Arc;

use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::function_url::cors::CorsFields;
use hearth_types::function_url::{InvokeMode, UrlAuth, UrlId};
use hearth_types::name::{AccountId, FunctionKey, Qualifier, Version};

use crate::scope::one_qualifier;
use crate::snapshot::{Runnable, UrlEntry};
use crate::{Registry, Resolved, Scope, policy, present};

/// A number of at least 0 and below 1 from random bits: what decides between the versions of a weighted alias.
pub fn draw(bits: u64) -> f64 {
    // 53 bits: what an f64 holds exactly.
    const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
    (bits >> 11) as f64 * SCALE
}

impl Registry {
    /// Finds what an invocation runs. `draw` is a random number from 0.0 up to, and not including, 1.0: it decides
    /// between the two versions of a weighted alias.
    ///
    /// Takes no lock, and costs the same however many functions there are (INV-9).
    ///
    /// # Errors
    /// [`AccessDenied`](hearth_types::ErrorKind::AccessDenied) for another account's function,
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound) if there is no such function, version or alias,
    /// [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict) if it is not ready to be invoked,
    /// [`InvalidParameterValue`](hearth_types::ErrorKind::InvalidParameterValue) if the ARN and `qualifier` name
    /// different versions.
    pub fn resolve(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
        draw: f64,
    ) -> Result<Resolved, ApiError> {
        let key = scope.key(function)?;
        let qualifier = one_qualifier(function, qualifier)?;
        let snapshot = self.inner.snapshot.load();
        let entry = snapshot.function(&key);
        let (executed_version, runnable, reserved) = entry
            .and_then(|entry| {
                let (version, runnable) = entry.route(qualifier, || draw)?;
                Some((version, runnable, entry.function.reserved_concurrency))
            })
            .ok_or_else(|| present::function_not_found(&key, qualifier))?;
        runnable.resolved(executed_version, qualifier.cloned(), reserved)
    }
}

impl Registry {
    /// As [`resolve`](Self::resolve), for what the platform itself runs.
    ///
    /// # Errors
    /// Those of [`resolve`](Self::resolve).
    pub fn resolve_key(
        &self,
        key: &FunctionKey,
        qualifier: Option<&Qualifier>,
        draw: f64,
    ) -> Result<Resolved, ApiError> {
        let scope = Scope {
            account: key.account.clone(),
            region: key.region.clone(),
        };
        let function = FunctionRef {
            account: None,
            region: None,
            name: key.name.clone(),
            qualifier: None,
        };
        self.resolve(&scope, &function, qualifier, draw)
    }
}

/// A function URL, as of one moment. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FunctionUrl(Arc<UrlEntry>);

impl Registry {
    /// Finds a function URL: one look-up in the snapshot, without a lock (INV-9).
    pub fn function_url(&self, id: &UrlId) -> Option<FunctionUrl> {
        let snapshot = self.inner.snapshot.load();
        snapshot.url(id).cloned().map(FunctionUrl)
    }
}

impl FunctionUrl {
    /// Its identifier.
    pub fn id(&self) -> UrlId {
        self.0.record.id
    }

    /// The function.
    pub fn key(&self) -> &FunctionKey {
        &self.0.function.function.key
    }

    /// Who may use it.
    pub fn auth(&self) -> UrlAuth {
        self.0.record.auth
    }

    /// How responses are sent.
    pub fn mode(&self) -> InvokeMode {
        self.0.record.mode
    }

    /// What it allows pages of other origins, if it says anything about that.
    pub fn cors(&self) -> Option<&CorsFields> {
        self.0.cors.as_ref()
    }

    /// Whether the resource policy lets everyone in, signed or not.
    pub fn is_open(&self) -> bool {
        self.0.open
    }

    /// Whether an account's signed requests are let in: those of the function's own always, others as its resource
    /// policy says.
    pub fn lets_in(&self, account: &AccountId) -> bool {
        if self.key().account == *account {
            return true;
        }
        let policy = self.0.function.policy(&self.0.record.qualifier);
        policy::lets_use_url(policy, self.0.record.auth, Some(account))
    }

    /// What a request runs. `draw` is asked for a random number from 0.0 up to, and not including, 1.0 if the URL is
    /// of a weighted alias.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound) if the alias or its version is gone,
    /// [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict) if the function is not ready to be invoked.
    pub fn resolve(&self, draw: impl FnOnce() -> f64) -> Result<Resolved, ApiError> {
        let entry = &self.0.function;
        let qualifier = Some(&self.0.record.qualifier);
        let (executed_version, runnable) = entry
            .route(qualifier, draw)
            .ok_or_else(|| present::function_not_found(self.key(), qualifier))?;
        let named = match &self.0.record.qualifier {
            Qualifier::Version(_) => None,
            alias @ Qualifier::Alias(_) => Some(alias.clone()),
        };
        runnable.resolved(executed_version, named, entry.function.reserved_concurrency)
    }
}

impl Runnable {
    pub(crate) fn resolved(
        &self,
        executed_version: Version,
        qualifier: Option<Qualifier>,
        reserved: Option<u32>,
    ) -> Result<Resolved, ApiError> {
        match self {
            Self::Ready(deployment) => Ok(Resolved {
                deployment: deployment.clone(),
                executed_version,
                qualifier,
                reserved,
            }),
            Self::Not(state) => Err(ApiError::conflict(format!(
                "The operation cannot be performed at this time. The function is currently in the following state: \
                 {state}"
            ))),
        }
    }
}
