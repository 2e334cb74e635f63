//! The contract as plain maps in memory: what a store must equal.

use std::collections::BTreeMap;

use hearth_types::arn::LayerVersionArn;
use hearth_types::mapping::MappingId;
use hearth_types::name::{
    AccountId, AliasName, FunctionKey, LayerName, Qualifier, Region, RouteId, TopicId, Version,
};

use crate::contract::{Change, Contents, LayerCounter, StoredFunction};
use crate::record::{
    AliasRecord, EventInvokeRecord, FunctionRecord, FunctionUrlRecord, LayerVersionRecord,
    MappingRecord, PolicyRecord, RouteKeyRecord, RouteRecord, TopicRecord, VersionRecord,
};

#[derive(Clone, Debug, PartialEq)]
struct Function {
    record: FunctionRecord,
    versions: BTreeMap<Version, VersionRecord>,
    aliases: BTreeMap<AliasName, AliasRecord>,
    urls: BTreeMap<Qualifier, FunctionUrlRecord>,
    policies: BTreeMap<Qualifier, PolicyRecord>,
    event_invokes: BTreeMap<Qualifier, EventInvokeRecord>,
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    functions: BTreeMap<FunctionKey, Function>,
    layers: BTreeMap<(AccountId, Region, LayerName), u64>,
    layer_versions: BTreeMap<LayerVersionArn, LayerVersionRecord>,
    routes: BTreeMap<RouteId, RouteRecord>,
    route_keys: BTreeMap<RouteId, RouteKeyRecord>,
    topics: BTreeMap<TopicId, TopicRecord>,
    mappings: BTreeMap<MappingId, MappingRecord>,
}

/// The change does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

/// `Ok` if what a change expects is so.
fn expect(so: bool) -> Result<(), Conflict> {
    if so { Ok(()) } else { Err(Conflict) }
}

impl Model {
    /// Applies changes, all or none.
    ///
    /// # Errors
    /// [`Conflict`] where a store must answer with one.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), Conflict> {
        let mut next = self.clone();
        changes.iter().try_for_each(|change| next.apply(change))?;
        *self = next;
        Ok(())
    }

    fn function(&mut self, key: &FunctionKey) -> Result<&mut Function, Conflict> {
        self.functions.get_mut(key).ok_or(Conflict)
    }

    fn apply(&mut self, change: &Change) -> Result<(), Conflict> {
        match change.clone() {
            Change::CreateFunction(record) => {
                expect(record.generation == 1 && !self.functions.contains_key(&record.key))?;
                let function = Function {
                    record: record.clone(),
                    versions: BTreeMap::new(),
                    aliases: BTreeMap::new(),
                    urls: BTreeMap::new(),
                    policies: BTreeMap::new(),
                    event_invokes: BTreeMap::new(),
                };
                self.functions.insert(record.key, function);
            }
            Change::UpdateFunction(record) => {
                let function = self.function(&record.key)?;
                expect(function.record.generation + 1 == record.generation)?;
                function.record = record;
            }
            Change::DeleteFunction { key, generation } => {
                expect(self.function(&key)?.record.generation == generation)?;
                self.functions.remove(&key);
            }
            Change::CreateVersion(key, record) => {
                let versions = &mut self.function(&key)?.versions;
                expect(!versions.contains_key(&record.version))?;
                versions.insert(record.version, record);
            }
            Change::UpdateVersion(key, record) => {
                let versions = &mut self.function(&key)?.versions;
                let stored = versions.get_mut(&record.version).ok_or(Conflict)?;
                expect(stored.configuration == record.configuration)?;
                *stored = record;
            }
            Change::DeleteVersion(key, version) => {
                expect(self.function(&key)?.versions.remove(&version).is_some())?;
            }
            Change::CreateAlias(key, record) => {
                let aliases = &mut self.function(&key)?.aliases;
                expect(!aliases.contains_key(&record.name))?;
                aliases.insert(record.name.clone(), record);
            }
            Change::UpdateAlias {
                key,
                record,
                expected,
            } => {
                let aliases = &mut self.function(&key)?.aliases;
                let stored = aliases.get_mut(&record.name).ok_or(Conflict)?;
                expect(stored.revision == expected)?;
                *stored = record;
            }
            Change::DeleteAlias(key, alias) => {
                expect(self.function(&key)?.aliases.remove(&alias).is_some())?;
            }
            Change::CreateFunctionUrl(key, record) => {
                let urls = &mut self.function(&key)?.urls;
                expect(record.generation == 1 && !urls.contains_key(&record.qualifier))?;
                urls.insert(record.qualifier.clone(), record);
            }
            Change::UpdateFunctionUrl(key, record) => {
                let urls = &mut self.function(&key)?.urls;
                let stored = urls.get_mut(&record.qualifier).ok_or(Conflict)?;
                expect(stored.generation + 1 == record.generation && stored.id == record.id)?;
                *stored = record;
            }
            Change::DeleteFunctionUrl(key, qualifier) => {
                expect(self.function(&key)?.urls.remove(&qualifier).is_some())?;
            }
            Change::PutPolicy {
                key,
                record,
                expected,
            } => {
                let policies = &mut self.function(&key)?.policies;
                let stored = policies.get(&record.qualifier);
                expect(stored.map(|stored| stored.revision.clone()) == expected)?;
                policies.insert(record.qualifier.clone(), record);
            }
            Change::DeletePolicy(key, qualifier) => {
                expect(self.function(&key)?.policies.remove(&qualifier).is_some())?;
            }
            Change::PutEventInvoke {
                key,
                record,
                expected,
            } => {
                let records = &mut self.function(&key)?.event_invokes;
                let stored = records.get(&record.qualifier);
                expect(stored.map(|stored| stored.revision.clone()) == expected)?;
                records.insert(record.qualifier.clone(), record);
            }
            Change::DeleteEventInvoke(key, qualifier) => {
                let removed = self.function(&key)?.event_invokes.remove(&qualifier);
                expect(removed.is_some())?;
            }
            Change::CreateLayerVersion(record) => {
                let arn = record.arn.clone();
                let layer = (arn.account.clone(), arn.region.clone(), arn.layer.clone());
                let last = self.layers.entry(layer).or_default();
                expect(*last + 1 == arn.version)?;
                *last = arn.version;
                self.layer_versions.insert(arn, record);
            }
            Change::DeleteLayerVersion(arn) => {
                expect(self.layer_versions.remove(&arn).is_some())?;
            }
            Change::PutRoute { record, expected } => {
                let stored = self.routes.get(&record.id);
                expect(stored.map(|stored| stored.revision.clone()) == expected)?;
                self.routes.insert(record.id.clone(), record);
            }
            Change::DeleteRoute { id, expected } => {
                let removed = self.routes.remove(&id);
                expect(removed.is_some_and(|removed| removed.revision == expected))?;
            }
            Change::PutRouteKey { record, expected } => {
                let stored = self.route_keys.get(&record.id);
                expect(stored.map(|stored| stored.revision.clone()) == expected)?;
                self.route_keys.insert(record.id.clone(), record);
            }
            Change::DeleteRouteKey { id, expected } => {
                let removed = self.route_keys.remove(&id);
                expect(removed.is_some_and(|removed| removed.revision == expected))?;
            }
            Change::PutTopic { record, expected } => {
                let stored = self.topics.get(&record.id);
                expect(stored.map(|stored| stored.revision.clone()) == expected)?;
                self.topics.insert(record.id.clone(), record);
            }
            Change::DeleteTopic { id, expected } => {
                let removed = self.topics.remove(&id);
                expect(removed.is_some_and(|removed| removed.revision == expected))?;
            }
            Change::PutMapping { record, expected } => {
                let stored = self.mappings.get(&record.id);
                expect(stored.map(|stored| stored.revision.clone()) == expected)?;
                self.mappings.insert(record.id.clone(), record);
            }
            Change::DeleteMapping { id, expected } => {
                let removed = self.mappings.remove(&id);
                expect(removed.is_some_and(|removed| removed.revision == expected))?;
            }
        }
        Ok(())
    }

    /// What [`crate::Store::load`] must answer.
    pub fn contents(&self) -> Contents {
        let functions = self.functions.values().map(|function| StoredFunction {
            function: function.record.clone(),
            versions: function.versions.values().cloned().collect(),
            aliases: function.aliases.values().cloned().collect(),
            urls: function.urls.values().cloned().collect(),
            policies: function.policies.values().cloned().collect(),
            event_invokes: function.event_invokes.values().cloned().collect(),
        });
        let counters = self
            .layers
            .iter()
            .map(|((account, region, layer), last)| LayerCounter {
                account: account.clone(),
                region: region.clone(),
                layer: layer.clone(),
                last: *last,
            });
        Contents {
            functions: functions.collect(),
            layer_versions: self.layer_versions.values().cloned().collect(),
            layer_counters: counters.collect(),
            routes: self.routes.values().cloned().collect(),
            route_keys: self.route_keys.values().cloned().collect(),
            topics: self.topics.values().cloned().collect(),
            mappings: self.mappings.values().cloned().collect(),
        }
    }
}
