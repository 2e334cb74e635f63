//! What the registry knows, as a value: read without locks, changed by making the next one.
//!
//! The maps are persistent (they share what did not change), so that the next snapshot costs the logarithm of the
//! number of functions and a look-up costs the same for ten of them or a hundred thousand (INV-9). Everything that
//! an invocation needs is made when a snapshot is made.

use std::ops::Bound;
use std::sync::Arc;

use hearth_store::contract::{Change, Contents};
use hearth_store::record::{
    AliasRecord, EventInvokeRecord, FunctionRecord, FunctionUrlRecord, LayerVersionRecord,
    MappingRecord, PolicyRecord, RouteKeyRecord, RouteRecord, TopicRecord, VersionRecord,
};
use hearth_types::arn::LayerVersionArn;
use hearth_types::function::{Deployment, State};
use hearth_types::function_url::cors::CorsFields;
use hearth_types::function_url::{UrlAuth, UrlId};
use hearth_types::mapping::MappingId;
use hearth_types::name::{
    AccountId, AliasName, FunctionKey, FunctionName, LayerName, Qualifier, Region, TopicId, Version,
};
use hearth_types::walls::Walls;
use imbl::{HashMap, OrdMap, OrdSet};

use crate::routing::table::Table;
use crate::{Scope, policy};

/// Everything, as of one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    functions: HashMap<FunctionKey, Arc<FunctionEntry>>,
    /// The same keys in order: for listings.
    keys: OrdSet<FunctionKey>,
    /// Function URLs by identifier, each with its function.
    urls: HashMap<UrlId, Arc<UrlEntry>>,
    layer_versions: OrdMap<LayerVersionArn, Arc<LayerVersionRecord>>,
    layer_counters: HashMap<LayerKey, u64>,
    usage: HashMap<Scope, Usage>,
    /// Routes and their API keys.
    pub(crate) routes: Table,
    topics: OrdMap<TopicId, Arc<TopicRecord>>,
    /// Event source mappings.
    pub(crate) mappings: OrdMap<MappingId, Arc<MappingRecord>>,
}

/// Where a layer lives and what it is called there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LayerKey {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) layer: LayerName,
}

impl LayerKey {
    pub(crate) fn of(arn: &LayerVersionArn) -> Self {
        Self {
            account: arn.account.clone(),
            region: arn.region.clone(),
            layer: arn.layer.clone(),
        }
    }

    pub(crate) fn version(&self, version: u64) -> LayerVersionArn {
        LayerVersionArn {
            account: self.account.clone(),
            region: self.region.clone(),
            layer: self.layer.clone(),
            version,
        }
    }
}

/// What an account has in a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) functions: u64,
    pub(crate) code_bytes: u64,
    pub(crate) reserved: u64,
}

/// A function, its versions and its aliases.
#[derive(Clone, Debug)]
pub(crate) struct FunctionEntry {
    pub(crate) function: Arc<FunctionRecord>,
    latest: Runnable,
    versions: OrdMap<u64, Arc<VersionEntry>>,
    aliases: OrdMap<AliasName, Arc<AliasRecord>>,
    urls: OrdMap<Qualifier, Arc<FunctionUrlRecord>>,
    policies: OrdMap<Qualifier, Arc<PolicyRecord>>,
    event_invokes: OrdMap<Qualifier, Arc<EventInvokeRecord>>,
    /// Packages of the published versions together, bytes.
    version_bytes: u64,
}

/// All that a request at a function URL needs.
#[derive(Debug)]
pub(crate) struct UrlEntry {
    pub(crate) function: Arc<FunctionEntry>,
    pub(crate) record: Arc<FunctionUrlRecord>,
    pub(crate) cors: Option<CorsFields>,
    /// Whether whoever comes may use it, signed or not.
    pub(crate) open: bool,
}

impl UrlEntry {
    fn new(function: &Arc<FunctionEntry>, record: &Arc<FunctionUrlRecord>) -> Self {
        let policy = function.policy(&record.qualifier);
        Self {
            open: record.auth == UrlAuth::None && policy::lets_use_url(policy, record.auth, None),
            cors: record.cors.as_ref().map(CorsFields::from),
            function: Arc::clone(function),
            record: Arc::clone(record),
        }
    }
}

#[derive(Debug)]
struct VersionEntry {
    record: VersionRecord,
    runnable: Runnable,
}

/// What an invocation of a version meets.
#[derive(Clone, Debug)]
pub(crate) enum Runnable {
    /// This runs.
    Ready(Arc<Deployment>),
    /// Nothing that could run: the state, as the API spells it.
    Not(&'static str),
}

/// What a version runs now, which is what it ran before while an update is made ready.
fn runnable(function: &FunctionRecord, record: &VersionRecord) -> Runnable {
    if let Some(running) = &record.running {
        return deployment_of(
            function,
            record.version,
            running.deployment,
            &running.configuration,
            running.modified,
        );
    }
    match record.state {
        State::Active => deployment_of(
            function,
            record.version,
            record.deployment,
            &record.configuration,
            record.modified,
        ),
        State::Pending => Runnable::Not("Pending"),
        State::Failed(_) => Runnable::Not("Failed"),
    }
}

fn deployment_of(
    function: &FunctionRecord,
    version: Version,
    id: hearth_types::function::DeploymentId,
    configuration: &hearth_types::function::Configuration,
    created: hearth_types::time::Timestamp,
) -> Runnable {
    // Tags are checked before they are stored. A record that asks for a wall which this build can't give (it was
    // written by another build) must not run behind a weaker one.
    let walls = Walls::from_tags(&function.tags).and_then(|walls| {
        walls.check_runtime(&configuration.runtime)?;
        Ok(walls)
    });
    match walls {
        Ok(walls) => Runnable::Ready(Arc::new(Deployment {
            id,
            key: function.key.clone(),
            version,
            created,
            configuration: configuration.clone(),
            walls,
        })),
        Err(why) => {
            tracing::error!(function = %function.key, why, "function can't be walled as its tags ask");
            Runnable::Not("Failed")
        }
    }
}

/// The deployment that is being made ready for a version: its own, whatever runs meanwhile.
pub(crate) fn pending_deployment(
    function: &FunctionRecord,
    record: &VersionRecord,
) -> Option<Arc<Deployment>> {
    match deployment_of(
        function,
        record.version,
        record.deployment,
        &record.configuration,
        record.modified,
    ) {
        Runnable::Ready(deployment) => Some(deployment),
        Runnable::Not(_) => None,
    }
}

impl FunctionEntry {
    fn new(function: FunctionRecord) -> Self {
        let latest = runnable(&function, &function.latest);
        Self {
            function: Arc::new(function),
            latest,
            versions: OrdMap::new(),
            aliases: OrdMap::new(),
            urls: OrdMap::new(),
            policies: OrdMap::new(),
            event_invokes: OrdMap::new(),
            version_bytes: 0,
        }
    }

    fn set_function(&mut self, function: FunctionRecord) {
        let walls_changed =
            Walls::from_tags(&function.tags) != Walls::from_tags(&self.function.tags);
        self.latest = runnable(&function, &function.latest);
        self.function = Arc::new(function);
        if walls_changed {
            self.versions = self
                .versions
                .iter()
                .map(|(number, entry)| {
                    (*number, Arc::new(self.version_entry(entry.record.clone())))
                })
                .collect();
        }
    }

    fn version_entry(&self, record: VersionRecord) -> VersionEntry {
        VersionEntry {
            runnable: runnable(&self.function, &record),
            record,
        }
    }

    fn set_version(&mut self, record: VersionRecord) {
        let Version::Number(number) = record.version else {
            return;
        };
        let added = record.configuration.code.size;
        let entry = Arc::new(self.version_entry(record));
        let removed = self
            .versions
            .insert(number, entry)
            .map_or(0, |old| old.record.configuration.code.size);
        self.version_bytes = self.version_bytes + added - removed;
    }

    fn set_url(&mut self, record: FunctionUrlRecord) {
        self.urls.insert(record.qualifier.clone(), Arc::new(record));
    }

    fn set_policy(&mut self, record: PolicyRecord) {
        self.policies
            .insert(record.qualifier.clone(), Arc::new(record));
    }

    fn set_event_invoke(&mut self, record: EventInvokeRecord) {
        self.event_invokes
            .insert(record.qualifier.clone(), Arc::new(record));
    }

    fn remove_version(&mut self, version: Version) {
        if let Version::Number(number) = version
            && let Some(old) = self.versions.remove(&number)
        {
            self.version_bytes -= old.record.configuration.code.size;
        }
    }

    /// The record of a version.
    pub(crate) fn version(&self, version: Version) -> Option<&VersionRecord> {
        match version {
            Version::Latest => Some(&self.function.latest),
            Version::Number(number) => self.versions.get(&number).map(|entry| &entry.record),
        }
    }

    /// Published versions, by number.
    pub(crate) fn published(&self) -> impl Iterator<Item = &VersionRecord> {
        self.versions.values().map(|entry| &entry.record)
    }

    /// Published versions with a number over `after`.
    pub(crate) fn published_after(&self, after: u64) -> impl Iterator<Item = &VersionRecord> {
        self.versions
            .range((Bound::Excluded(after), Bound::Unbounded))
            .map(|(_, entry)| &entry.record)
    }

    /// `$LATEST` and the published versions.
    pub(crate) fn all_versions(&self) -> impl Iterator<Item = &VersionRecord> {
        std::iter::once(&self.function.latest).chain(self.published())
    }

    pub(crate) fn alias(&self, name: &AliasName) -> Option<&Arc<AliasRecord>> {
        self.aliases.get(name)
    }

    /// Aliases by name.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = &Arc<AliasRecord>> {
        self.aliases.values()
    }

    /// The URL of a qualifier.
    pub(crate) fn url(&self, qualifier: &Qualifier) -> Option<&Arc<FunctionUrlRecord>> {
        self.urls.get(qualifier)
    }

    /// URLs by qualifier.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &Arc<FunctionUrlRecord>> {
        self.urls.values()
    }

    /// The policy of a qualifier; `$LATEST` stands for the function itself.
    pub(crate) fn policy(&self, qualifier: &Qualifier) -> Option<&PolicyRecord> {
        self.policies.get(qualifier).map(Arc::as_ref)
    }

    /// How events of a qualifier are handled; `$LATEST` stands for the function itself.
    pub(crate) fn event_invoke(&self, qualifier: &Qualifier) -> Option<&EventInvokeRecord> {
        self.event_invokes.get(qualifier).map(Arc::as_ref)
    }

    /// The same of all qualifiers, in their order.
    pub(crate) fn event_invokes(&self) -> impl Iterator<Item = &EventInvokeRecord> {
        self.event_invokes.values().map(Arc::as_ref)
    }

    /// The version behind a qualifier: an alias's first one.
    pub(crate) fn qualified(&self, qualifier: Option<&Qualifier>) -> Option<&VersionRecord> {
        match qualifier {
            None => Some(&self.function.latest),
            Some(Qualifier::Version(version)) => self.version(*version),
            Some(Qualifier::Alias(name)) => self.version(self.aliases.get(name)?.version),
        }
    }

    /// What an invocation by `qualifier` runs; `draw` is asked for a number (0.0 to 1.0, 1.0 excluded) that decides
    /// between the versions of a weighted alias.
    pub(crate) fn route(
        &self,
        qualifier: Option<&Qualifier>,
        draw: impl FnOnce() -> f64,
    ) -> Option<(Version, &Runnable)> {
        let version = match qualifier {
            None => Version::Latest,
            Some(Qualifier::Version(version)) => *version,
            Some(Qualifier::Alias(name)) => {
                let alias = self.aliases.get(name)?;
                match alias.weighted {
                    Some((second, weight)) if draw() < weight => second,
                    _ => alias.version,
                }
            }
        };
        let runnable = match version {
            Version::Latest => &self.latest,
            Version::Number(number) => &self.versions.get(&number)?.runnable,
        };
        Some((version, runnable))
    }

    fn usage(&self) -> Usage {
        Usage {
            functions: 1,
            code_bytes: self.function.latest.configuration.code.size + self.version_bytes,
            reserved: self.function.reserved_concurrency.unwrap_or(0).into(),
        }
    }
}

impl Snapshot {
    /// What a store holds.
    pub(crate) fn load(contents: Contents) -> Self {
        let mut snapshot = Self::default();
        for stored in contents.functions {
            snapshot.put_function(stored);
        }
        for record in contents.layer_versions {
            snapshot.put_layer_version(record);
        }
        for counter in contents.layer_counters {
            let key = LayerKey {
                account: counter.account,
                region: counter.region,
                layer: counter.layer,
            };
            snapshot.layer_counters.insert(key, counter.last);
        }
        snapshot.reload_routes(&contents.routes, &contents.route_keys);
        for record in contents.topics {
            snapshot.put_topic(record);
        }
        snapshot.reload_mappings(&contents.mappings);
        snapshot
    }

    /// Takes one function, or its absence, from what a store holds.
    pub(crate) fn reload_function(&mut self, key: &FunctionKey, contents: &Contents) {
        self.remove_function(key);
        if let Some(stored) = contents
            .functions
            .iter()
            .find(|stored| stored.function.key == *key)
        {
            self.put_function(stored.clone());
        }
    }

    /// Takes all routes and their keys from what a store holds.
    pub(crate) fn reload_routes(&mut self, routes: &[RouteRecord], keys: &[RouteKeyRecord]) {
        self.routes = Table::default();
        for record in routes {
            self.routes.put(record.clone());
        }
        for record in keys {
            self.routes.put_key(record.clone());
        }
    }

    /// Takes one topic, or its absence, from what a store holds.
    pub(crate) fn reload_topic(&mut self, id: &TopicId, contents: &Contents) {
        self.topics.remove(id);
        if let Some(record) = contents.topics.iter().find(|topic| topic.id == *id) {
            self.put_topic(record.clone());
        }
    }

    /// Takes all event source mappings from what a store holds.
    pub(crate) fn reload_mappings(&mut self, records: &[MappingRecord]) {
        let keyed = records.iter();
        self.mappings = keyed
            .map(|record| (record.id.clone(), Arc::new(record.clone())))
            .collect();
    }

    fn put_topic(&mut self, record: TopicRecord) {
        self.topics.insert(record.id.clone(), Arc::new(record));
    }

    /// Takes the versions of one layer from what a store holds.
    pub(crate) fn reload_layer(&mut self, key: &LayerKey, contents: &Contents) {
        let known: Vec<_> = self
            .versions_of_layer(key)
            .map(|record| record.arn.clone())
            .collect();
        for arn in known {
            self.remove_layer_version(&arn);
        }
        for record in &contents.layer_versions {
            if LayerKey::of(&record.arn) == *key {
                self.put_layer_version(record.clone());
            }
        }
        for counter in &contents.layer_counters {
            if (&counter.account, &counter.region, &counter.layer)
                == (&key.account, &key.region, &key.layer)
            {
                self.layer_counters.insert(key.clone(), counter.last);
            }
        }
    }

    fn put_function(&mut self, stored: hearth_store::contract::StoredFunction) {
        let mut entry = FunctionEntry::new(stored.function);
        for record in stored.versions {
            entry.set_version(record);
        }
        for record in stored.aliases {
            entry.aliases.insert(record.name.clone(), Arc::new(record));
        }
        for record in stored.urls {
            entry.set_url(record);
        }
        for record in stored.policies {
            entry.set_policy(record);
        }
        for record in stored.event_invokes {
            entry.set_event_invoke(record);
        }
        self.insert(entry);
    }

    fn put_layer_version(&mut self, record: LayerVersionRecord) {
        let key = LayerKey::of(&record.arn);
        let last = self.layer_counters.entry(key).or_insert(0);
        *last = (*last).max(record.arn.version);
        self.usage_of(&record.arn.account, &record.arn.region)
            .code_bytes += record.package.size;
        self.layer_versions
            .insert(record.arn.clone(), Arc::new(record));
    }

    fn remove_layer_version(&mut self, arn: &LayerVersionArn) {
        if let Some(old) = self.layer_versions.remove(arn) {
            self.usage_of(&arn.account, &arn.region).code_bytes -= old.package.size;
        }
    }

    fn usage_of(&mut self, account: &AccountId, region: &Region) -> &mut Usage {
        let scope = Scope {
            account: account.clone(),
            region: region.clone(),
        };
        self.usage.entry(scope).or_default()
    }

    fn insert(&mut self, entry: FunctionEntry) {
        let key = entry.function.key.clone();
        let added = entry.usage();
        let usage = self.usage_of(&key.account, &key.region);
        usage.functions += added.functions;
        usage.code_bytes += added.code_bytes;
        usage.reserved += added.reserved;
        self.keys.insert(key.clone());
        let entry = Arc::new(entry);
        for record in entry.urls() {
            self.urls
                .insert(record.id, Arc::new(UrlEntry::new(&entry, record)));
        }
        self.functions.insert(key, entry);
    }

    fn remove_function(&mut self, key: &FunctionKey) -> Option<FunctionEntry> {
        let entry = self.functions.remove(key)?;
        self.keys.remove(key);
        for record in entry.urls() {
            self.urls.remove(&record.id);
        }
        let removed = entry.usage();
        let usage = self.usage_of(&key.account, &key.region);
        usage.functions -= removed.functions;
        usage.code_bytes -= removed.code_bytes;
        usage.reserved -= removed.reserved;
        Some(Arc::unwrap_or_clone(entry))
    }

    fn edit(&mut self, key: &FunctionKey, change: impl FnOnce(&mut FunctionEntry)) {
        if let Some(mut entry) = self.remove_function(key) {
            change(&mut entry);
            self.insert(entry);
        }
    }

    /// Makes the change that a store has committed.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::CreateFunction(record) => self.insert(FunctionEntry::new(record.clone())),
            Change::UpdateFunction(record) => {
                self.edit(&record.key, |entry| entry.set_function(record.clone()))
            }
            Change::DeleteFunction { key, .. } => {
                self.remove_function(key);
            }
            Change::CreateVersion(key, record) | Change::UpdateVersion(key, record) => {
                self.edit(key, |entry| entry.set_version(record.clone()));
            }
            Change::DeleteVersion(key, version) => {
                self.edit(key, |entry| entry.remove_version(*version))
            }
            Change::CreateAlias(key, record) | Change::UpdateAlias { key, record, .. } => self
                .edit(key, |entry| {
                    entry
                        .aliases
                        .insert(record.name.clone(), Arc::new(record.clone()));
                }),
            Change::DeleteAlias(key, name) => self.edit(key, |entry| {
                entry.aliases.remove(name);
            }),
            Change::CreateFunctionUrl(key, record) | Change::UpdateFunctionUrl(key, record) => {
                self.edit(key, |entry| entry.set_url(record.clone()));
            }
            Change::DeleteFunctionUrl(key, qualifier) => self.edit(key, |entry| {
                entry.urls.remove(qualifier);
            }),
            Change::PutPolicy { key, record, .. } => {
                self.edit(key, |entry| entry.set_policy(record.clone()));
            }
            Change::DeletePolicy(key, qualifier) => self.edit(key, |entry| {
                entry.policies.remove(qualifier);
            }),
            Change::PutEventInvoke { key, record, .. } => {
                self.edit(key, |entry| entry.set_event_invoke(record.clone()));
            }
            Change::DeleteEventInvoke(key, qualifier) => self.edit(key, |entry| {
                entry.event_invokes.remove(qualifier);
            }),
            Change::CreateLayerVersion(record) => self.put_layer_version(record.clone()),
            Change::DeleteLayerVersion(arn) => self.remove_layer_version(arn),
            Change::PutRoute { record, .. } => self.routes.put(record.clone()),
            Change::DeleteRoute { id, .. } => {
                self.routes.remove(id);
            }
            Change::PutRouteKey { record, .. } => self.routes.put_key(record.clone()),
            Change::DeleteRouteKey { id, .. } => self.routes.remove_key(id),
            Change::PutTopic { record, .. } => self.put_topic(record.clone()),
            Change::DeleteTopic { id, .. } => {
                self.topics.remove(id);
            }
            Change::PutMapping { record, .. } => {
                let record = Arc::new(record.clone());
                self.mappings.insert(record.id.clone(), record);
            }
            Change::DeleteMapping { id, .. } => {
                self.mappings.remove(id);
            }
        }
    }

    pub(crate) fn function(&self, key: &FunctionKey) -> Option<&Arc<FunctionEntry>> {
        self.functions.get(key)
    }

    /// The function URL of an identifier.
    pub(crate) fn url(&self, id: &UrlId) -> Option<&Arc<UrlEntry>> {
        self.urls.get(id)
    }

    pub(crate) fn topic(&self, id: &TopicId) -> Option<&Arc<TopicRecord>> {
        self.topics.get(id)
    }

    /// Topics of all accounts in order, beginning at `first`.
    pub(crate) fn topics_from(&self, first: TopicId) -> impl Iterator<Item = &Arc<TopicRecord>> {
        self.topics.range(first..).map(|(_, record)| record)
    }

    /// All functions of all accounts.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &Arc<FunctionEntry>> {
        self.functions.values()
    }

    /// Functions of a scope by name, beginning with `from`.
    pub(crate) fn functions_from(
        &self,
        scope: &Scope,
        from: Option<&FunctionName>,
    ) -> impl Iterator<Item = &Arc<FunctionEntry>> {
        let keys = from.cloned().or_else(first_name).map(|name| {
            let first = FunctionKey {
                account: scope.account.clone(),
                region: scope.region.clone(),
                name,
            };
            let scope = scope.clone();
            self.keys
                .range(first..)
                .take_while(move |key| key.account == scope.account && key.region == scope.region)
        });
        keys.into_iter()
            .flatten()
            .filter_map(|key| self.functions.get(key))
    }

    pub(crate) fn layer_version(&self, arn: &LayerVersionArn) -> Option<&Arc<LayerVersionRecord>> {
        self.layer_versions.get(arn)
    }

    /// All layer versions of all accounts.
    pub(crate) fn layer_versions(&self) -> impl Iterator<Item = &Arc<LayerVersionRecord>> {
        self.layer_versions.values()
    }

    /// Versions of one layer by number.
    pub(crate) fn versions_of_layer(
        &self,
        key: &LayerKey,
    ) -> impl DoubleEndedIterator<Item = &Arc<LayerVersionRecord>> {
        self.layer_versions
            .range(key.version(0)..=key.version(u64::MAX))
            .map(|(_, record)| record)
    }

    /// Layer versions of a scope by name and number, beginning after the layer `after`.
    pub(crate) fn layers_after(
        &self,
        scope: &Scope,
        after: Option<&LayerName>,
    ) -> impl Iterator<Item = &Arc<LayerVersionRecord>> {
        let first = match after {
            Some(layer) => Some((layer.clone(), u64::MAX)),
            None => first_name().map(|layer| (layer, 0)),
        };
        let records = first.map(|(layer, version)| {
            let key = LayerKey {
                account: scope.account.clone(),
                region: scope.region.clone(),
                layer,
            };
            let scope = scope.clone();
            self.layer_versions
                .range((Bound::Excluded(key.version(version)), Bound::Unbounded))
                .take_while(move |(arn, _)| {
                    arn.account == scope.account && arn.region == scope.region
                })
                .map(|(_, record)| record)
        });
        records.into_iter().flatten()
    }

    /// The highest number that a layer has used.
    pub(crate) fn last_layer_version(&self, key: &LayerKey) -> u64 {
        self.layer_counters.get(key).copied().unwrap_or(0)
    }

    pub(crate) fn usage(&self, scope: &Scope) -> Usage {
        self.usage.get(scope).copied().unwrap_or_default()
    }
}

/// The first name in order: a hyphen comes before every other character of a name.
fn first_name<N: std::str::FromStr>() -> Option<N> {
    "-".parse().ok()
}
