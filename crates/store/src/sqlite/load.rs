//! Reading everything back, and making sure that it is everything.

use std::collections::BTreeMap;

use hearth_types::arn::LayerVersionArn;
use hearth_types::name::{FunctionKey, Version};
use rusqlite::Connection;

use super::apply::LayerRecord;
use super::fault::{corrupt, sql};
use super::row::{
    ALIASES, Content, EVENT_INVOKES, FUNCTION_URLS, FUNCTIONS, LAYER_VERSIONS, LAYERS, MAPPINGS,
    POLICIES, ROUTE_KEYS, ROUTES, TOPICS, VERSIONS, scan,
};
use super::schema::Head;
use crate::contract::{Contents, LayerCounter, StoreError, StoredFunction};
use crate::record::{
    AliasRecord, EventInvokeRecord, FunctionRecord, FunctionUrlRecord, LayerVersionRecord,
    MappingRecord, PolicyRecord, RouteKeyRecord, RouteRecord, TopicRecord, VersionRecord,
};

/// Reads everything, as of one moment.
pub(super) fn load(connection: &mut Connection) -> Result<Contents, StoreError> {
    let moment = connection.transaction().map_err(sql)?;
    let head = Head::read(&moment)?;
    let mut content = Content::default();
    let functions = functions(&moment, &mut content)?;
    let (layer_counters, layer_versions) = layers(&moment, &mut content)?;
    let (routes, route_keys) = routes(&moment, &mut content)?;
    let topics = topics(&moment, &mut content)?;
    let mappings = mappings(&moment, &mut content)?;
    if content != head.content {
        return Err(corrupt(
            "rows are missing or are older than others (their digest differs)",
        ));
    }
    Ok(Contents {
        functions,
        layer_versions,
        layer_counters,
        routes,
        route_keys,
        topics,
        mappings,
    })
}

fn functions(
    connection: &Connection,
    content: &mut Content,
) -> Result<Vec<StoredFunction>, StoreError> {
    let mut functions = BTreeMap::<FunctionKey, StoredFunction>::new();
    let orphan = |key: &FunctionKey| {
        corrupt(format_args!(
            "function {key} is missing, but not what belongs to it"
        ))
    };
    scan(connection, &FUNCTIONS, content, |found| {
        let function: FunctionRecord = found.record()?;
        found.must(found.function_key()? == function.key)?;
        let stored = StoredFunction {
            function,
            versions: Vec::new(),
            aliases: Vec::new(),
            urls: Vec::new(),
            policies: Vec::new(),
            event_invokes: Vec::new(),
        };
        functions.insert(stored.function.key.clone(), stored);
        Ok(())
    })?;
    scan(connection, &VERSIONS, content, |found| {
        let key = found.function_key()?;
        let version: VersionRecord = found.record()?;
        found.must(version.version != Version::Latest)?;
        found.must_be_member(&version.version)?;
        let function = functions.get_mut(&key).ok_or_else(|| orphan(&key))?;
        function.versions.push(version);
        Ok(())
    })?;
    scan(connection, &ALIASES, content, |found| {
        let key = found.function_key()?;
        let alias: AliasRecord = found.record()?;
        found.must_be_member(&alias.name)?;
        let function = functions.get_mut(&key).ok_or_else(|| orphan(&key))?;
        function.aliases.push(alias);
        Ok(())
    })?;
    scan(connection, &FUNCTION_URLS, content, |found| {
        let key = found.function_key()?;
        let url: FunctionUrlRecord = found.record()?;
        found.must_be_member(&url.qualifier)?;
        let function = functions.get_mut(&key).ok_or_else(|| orphan(&key))?;
        function.urls.push(url);
        Ok(())
    })?;
    scan(connection, &POLICIES, content, |found| {
        let key = found.function_key()?;
        let policy: PolicyRecord = found.record()?;
        found.must_be_member(&policy.qualifier)?;
        let function = functions.get_mut(&key).ok_or_else(|| orphan(&key))?;
        function.policies.push(policy);
        Ok(())
    })?;
    scan(connection, &EVENT_INVOKES, content, |found| {
        let key = found.function_key()?;
        let event_invoke: EventInvokeRecord = found.record()?;
        found.must_be_member(&event_invoke.qualifier)?;
        let function = functions.get_mut(&key).ok_or_else(|| orphan(&key))?;
        function.event_invokes.push(event_invoke);
        Ok(())
    })?;
    let mut functions: Vec<StoredFunction> = functions.into_values().collect();
    for function in &mut functions {
        function
            .versions
            .sort_unstable_by_key(|version| version.version);
        function
            .aliases
            .sort_unstable_by(|a, b| a.name.cmp(&b.name));
        function
            .urls
            .sort_unstable_by(|a, b| a.qualifier.cmp(&b.qualifier));
        function
            .policies
            .sort_unstable_by(|a, b| a.qualifier.cmp(&b.qualifier));
        function
            .event_invokes
            .sort_unstable_by(|a, b| a.qualifier.cmp(&b.qualifier));
    }
    Ok(functions)
}

fn routes(
    connection: &Connection,
    content: &mut Content,
) -> Result<(Vec<RouteRecord>, Vec<RouteKeyRecord>), StoreError> {
    let mut routes = Vec::<RouteRecord>::new();
    scan(connection, &ROUTES, content, |found| {
        let route: RouteRecord = found.record()?;
        found.must(found.route_id()? == route.id)?;
        routes.push(route);
        Ok(())
    })?;
    routes.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    let mut keys = Vec::<RouteKeyRecord>::new();
    scan(connection, &ROUTE_KEYS, content, |found| {
        let key: RouteKeyRecord = found.record()?;
        found.must(found.route_id()? == key.id)?;
        keys.push(key);
        Ok(())
    })?;
    keys.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok((routes, keys))
}

fn topics(connection: &Connection, content: &mut Content) -> Result<Vec<TopicRecord>, StoreError> {
    let mut topics = Vec::<TopicRecord>::new();
    scan(connection, &TOPICS, content, |found| {
        let topic: TopicRecord = found.record()?;
        found.must(found.topic_id()? == topic.id)?;
        topics.push(topic);
        Ok(())
    })?;
    topics.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(topics)
}

fn mappings(
    connection: &Connection,
    content: &mut Content,
) -> Result<Vec<MappingRecord>, StoreError> {
    let mut mappings = Vec::<MappingRecord>::new();
    scan(connection, &MAPPINGS, content, |found| {
        let mapping: MappingRecord = found.record()?;
        found.must(found.mapping_id()? == mapping.id)?;
        mappings.push(mapping);
        Ok(())
    })?;
    mappings.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(mappings)
}

fn layers(
    connection: &Connection,
    content: &mut Content,
) -> Result<(Vec<LayerCounter>, Vec<LayerVersionRecord>), StoreError> {
    let mut counters = Vec::new();
    scan(connection, &LAYERS, content, |found| {
        let LayerRecord { last } = found.record()?;
        counters.push(LayerCounter {
            account: found.account()?,
            region: found.region()?,
            layer: found.name()?,
            last,
        });
        Ok(())
    })?;
    counters.sort_unstable_by(|a, b| {
        (&a.account, &a.region, &a.layer).cmp(&(&b.account, &b.region, &b.layer))
    });
    let mut versions = Vec::<LayerVersionRecord>::new();
    scan(connection, &LAYER_VERSIONS, content, |found| {
        let version: LayerVersionRecord = found.record()?;
        let LayerVersionArn {
            account,
            region,
            layer,
            version: number,
        } = &version.arn;
        found.must(found.account()? == *account && found.region()? == *region)?;
        found.must(found.name::<hearth_types::name::LayerName>()? == *layer)?;
        found.must_be_member(number)?;
        versions.push(version);
        Ok(())
    })?;
    versions.sort_unstable_by(|a, b| a.arn.cmp(&b.arn));
    Ok((counters, versions))
}
