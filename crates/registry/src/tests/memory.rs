//! A store in memory that keeps the contract, and fails when it is told to.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use hearth_store::contract::{Change, Contents, LayerCounter, StoredFunction};
use hearth_store::{Store, StoreError};
use hearth_types::name::FunctionKey;

use crate::snapshot::LayerKey;

#[derive(Default)]
pub(super) struct MemoryStore {
    contents: Mutex<Contents>,
    failures: Mutex<Vec<StoreError>>,
}

impl MemoryStore {
    /// The next commits fail, the last given first.
    pub(super) fn fail_next(&self, error: StoreError) {
        lock(&self.failures).push(error);
    }

    /// What is stored, to compare.
    pub(super) fn contents(&self) -> Contents {
        lock(&self.contents).clone()
    }

    /// Changes what is stored, as another node would.
    pub(super) fn edit(&self, change: impl FnOnce(&mut Contents)) {
        change(&mut lock(&self.contents));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self) -> Result<Contents, StoreError> {
        Ok(self.contents())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        // The tasks of other callers get their turn in the middle of every commit.
        tokio::task::yield_now().await;
        if let Some(error) = lock(&self.failures).pop() {
            return Err(error);
        }
        let mut contents = lock(&self.contents);
        let mut next = contents.clone();
        for change in changes {
            apply(&mut next, change)?;
        }
        *contents = next;
        Ok(())
    }
}

fn conflict(what: impl std::fmt::Display) -> StoreError {
    StoreError::Conflict(what.to_string())
}

fn apply(contents: &mut Contents, change: Change) -> Result<(), StoreError> {
    fn find<'a>(
        contents: &'a mut Contents,
        key: &FunctionKey,
    ) -> Result<&'a mut StoredFunction, StoreError> {
        contents
            .functions
            .iter_mut()
            .find(|stored| stored.function.key == *key)
            .ok_or_else(|| conflict(format!("{key} is not there")))
    }
    match change {
        Change::CreateFunction(function) => {
            if find(contents, &function.key).is_ok() {
                return Err(conflict("there already"));
            }
            contents.functions.push(StoredFunction {
                function,
                versions: Vec::new(),
                aliases: Vec::new(),
                urls: Vec::new(),
                policies: Vec::new(),
                event_invokes: Vec::new(),
            });
        }
        Change::UpdateFunction(function) => {
            let stored = find(contents, &function.key)?;
            if stored.function.generation + 1 != function.generation {
                return Err(conflict("another generation"));
            }
            stored.function = function;
        }
        Change::DeleteFunction { key, generation } => {
            if find(contents, &key)?.function.generation != generation {
                return Err(conflict("another generation"));
            }
            contents
                .functions
                .retain(|stored| stored.function.key != key);
        }
        Change::CreateVersion(key, record) => {
            let stored = find(contents, &key)?;
            if stored
                .versions
                .iter()
                .any(|known| known.version == record.version)
            {
                return Err(conflict("version is there"));
            }
            stored.versions.push(record);
        }
        Change::UpdateVersion(key, record) => {
            let stored = find(contents, &key)?;
            let known = stored
                .versions
                .iter_mut()
                .find(|known| {
                    known.version == record.version && known.configuration == record.configuration
                })
                .ok_or_else(|| conflict("no such version"))?;
            *known = record;
        }
        Change::DeleteVersion(key, version) => {
            let stored = find(contents, &key)?;
            let before = stored.versions.len();
            stored.versions.retain(|known| known.version != version);
            if stored.versions.len() == before {
                return Err(conflict("no such version"));
            }
        }
        Change::CreateAlias(key, record) => {
            let stored = find(contents, &key)?;
            if stored.aliases.iter().any(|known| known.name == record.name) {
                return Err(conflict("alias is there"));
            }
            stored.aliases.push(record);
        }
        Change::UpdateAlias {
            key,
            record,
            expected,
        } => {
            let stored = find(contents, &key)?;
            let known = stored
                .aliases
                .iter_mut()
                .find(|known| known.name == record.name && known.revision == expected)
                .ok_or_else(|| conflict("another revision"))?;
            *known = record;
        }
        Change::DeleteAlias(key, name) => {
            let stored = find(contents, &key)?;
            let before = stored.aliases.len();
            stored.aliases.retain(|known| known.name != name);
            if stored.aliases.len() == before {
                return Err(conflict("no such alias"));
            }
        }
        Change::CreateFunctionUrl(key, record) => {
            let stored = find(contents, &key)?;
            if stored
                .urls
                .iter()
                .any(|known| known.qualifier == record.qualifier)
            {
                return Err(conflict("URL is there"));
            }
            stored.urls.push(record);
        }
        Change::UpdateFunctionUrl(key, record) => {
            let stored = find(contents, &key)?;
            let known = stored
                .urls
                .iter_mut()
                .find(|known| known.id == record.id && known.generation + 1 == record.generation)
                .ok_or_else(|| conflict("another generation"))?;
            *known = record;
        }
        Change::DeleteFunctionUrl(key, qualifier) => {
            let stored = find(contents, &key)?;
            let before = stored.urls.len();
            stored.urls.retain(|known| known.qualifier != qualifier);
            if stored.urls.len() == before {
                return Err(conflict("no such URL"));
            }
        }
        Change::PutPolicy {
            key,
            record,
            expected,
        } => {
            let stored = find(contents, &key)?;
            let at = stored
                .policies
                .iter()
                .position(|known| known.qualifier == record.qualifier);
            let revision = at.map(|at| stored.policies[at].revision.clone());
            if revision != expected {
                return Err(conflict("another revision"));
            }
            match at {
                Some(at) => stored.policies[at] = record,
                None => stored.policies.push(record),
            }
        }
        Change::DeletePolicy(key, qualifier) => {
            let stored = find(contents, &key)?;
            let before = stored.policies.len();
            stored.policies.retain(|known| known.qualifier != qualifier);
            if stored.policies.len() == before {
                return Err(conflict("no such policy"));
            }
        }
        Change::PutEventInvoke {
            key,
            record,
            expected,
        } => {
            let stored = &mut find(contents, &key)?.event_invokes;
            let known = stored.iter().find(|k| k.qualifier == record.qualifier);
            if known.map(|known| known.revision.clone()) != expected {
                return Err(conflict("another revision"));
            }
            stored.retain(|known| known.qualifier != record.qualifier);
            stored.push(record);
        }
        Change::DeleteEventInvoke(key, qualifier) => {
            let stored = &mut find(contents, &key)?.event_invokes;
            let before = stored.len();
            stored.retain(|known| known.qualifier != qualifier);
            if stored.len() == before {
                return Err(conflict("no such configuration"));
            }
        }
        Change::CreateLayerVersion(record) => {
            let key = LayerKey::of(&record.arn);
            let mut counters: BTreeMap<LayerKey, u64> =
                std::mem::take(&mut contents.layer_counters)
                    .into_iter()
                    .map(|counter| {
                        let key = LayerKey {
                            account: counter.account,
                            region: counter.region,
                            layer: counter.layer,
                        };
                        (key, counter.last)
                    })
                    .collect();
            let last = counters.entry(key).or_insert(0);
            let next = *last + 1;
            if record.arn.version == next {
                *last = next;
            }
            contents.layer_counters = counters
                .into_iter()
                .map(|(key, last)| LayerCounter {
                    account: key.account,
                    region: key.region,
                    layer: key.layer,
                    last,
                })
                .collect();
            if record.arn.version != next {
                return Err(conflict("not the next number"));
            }
            contents.layer_versions.push(record);
        }
        Change::DeleteLayerVersion(arn) => {
            let before = contents.layer_versions.len();
            contents.layer_versions.retain(|known| known.arn != arn);
            if contents.layer_versions.len() == before {
                return Err(conflict("no such layer version"));
            }
        }
        Change::PutRoute { record, expected } => {
            let at = contents.routes.iter().position(|r| r.id == record.id);
            if at.map(|at| contents.routes[at].revision.clone()) != expected {
                return Err(conflict("another revision"));
            }
            contents.routes.retain(|known| known.id != record.id);
            contents.routes.push(record);
        }
        Change::DeleteRoute { id, expected } => {
            let before = contents.routes.len();
            contents
                .routes
                .retain(|known| known.id != id || known.revision != expected);
            if contents.routes.len() == before {
                return Err(conflict("no such route"));
            }
        }
        Change::PutRouteKey { record, expected } => {
            let at = contents.route_keys.iter().position(|k| k.id == record.id);
            if at.map(|at| contents.route_keys[at].revision.clone()) != expected {
                return Err(conflict("another revision"));
            }
            contents.route_keys.retain(|known| known.id != record.id);
            contents.route_keys.push(record);
        }
        Change::DeleteRouteKey { id, expected } => {
            let before = contents.route_keys.len();
            contents
                .route_keys
                .retain(|known| known.id != id || known.revision != expected);
            if contents.route_keys.len() == before {
                return Err(conflict("no such key"));
            }
        }
        Change::PutTopic { record, expected } => {
            let known = contents.topics.iter().find(|t| t.id == record.id);
            if known.map(|known| known.revision.clone()) != expected {
                return Err(conflict("another revision"));
            }
            contents.topics.retain(|known| known.id != record.id);
            contents.topics.push(record);
        }
        Change::DeleteTopic { id, expected } => {
            let before = contents.topics.len();
            contents
                .topics
                .retain(|known| known.id != id || known.revision != expected);
            if contents.topics.len() == before {
                return Err(conflict("no such topic"));
            }
        }
        Change::PutMapping { record, expected } => {
            let known = contents.mappings.iter().find(|m| m.id == record.id);
            if known.map(|known| known.revision.clone()) != expected {
                return Err(conflict("another revision"));
            }
            contents.mappings.retain(|known| known.id != record.id);
            contents.mappings.push(record);
        }
        Change::DeleteMapping { id, expected } => {
            let before = contents.mappings.len();
            contents
                .mappings
                .retain(|known| known.id != id || known.revision != expected);
            if contents.mappings.len() == before {
                return Err(conflict("no such mapping"));
            }
        }
    }
    Ok(())
}
