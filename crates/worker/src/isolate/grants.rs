//! What a worker may have: from its function's configuration and tags, its package, and the node.

use hearth_isolates::{BucketId, Grants, Kind, SendTo, Service, Source, SourceError};
use hearth_types::function::Deployment;
use hearth_types::network::Hosts;
use hearth_types::walls::{KeyValueAccess, NetworkAccess, SharedStore};

/// What the binding to a function's own key-value store is called.
const OWN_STORE: &str = "KV";

/// What `deployment` is granted; its package, `source`, gets the bindings. Tags come before the package's file where
/// both name the same binding. `allowed_hosts` is the node's list.
///
/// # Errors
/// If a binding can't be had.
pub(super) fn grants(
    deployment: &Deployment,
    source: &mut Source,
    allowed_hosts: &Hosts,
) -> Result<Grants, SourceError> {
    let walls = &deployment.walls;
    source.tell(&walls.worker);
    let hosts = match walls.network {
        NetworkAccess::None => Hosts::default(),
        NetworkAccess::Public => walls
            .allowed_hosts
            .as_ref()
            .unwrap_or(allowed_hosts)
            .clone(),
    };
    let mut grants = Grants {
        hosts,
        ..Grants::default()
    };
    let key = &deployment.key;
    let shared = |store: &str| BucketId::shared(key.account.clone(), store);
    for (name, store) in std::mem::take(&mut source.keyvalue) {
        grants.keyvalue.insert(name, shared(&store));
    }
    match &walls.keyvalue {
        None => {}
        Some(KeyValueAccess::Function) => {
            let own = BucketId::of_function(key);
            grants.keyvalue.insert(OWN_STORE.to_owned(), own);
        }
        Some(KeyValueAccess::Shared(stores)) => {
            for SharedStore { name, store } in stores {
                grants.keyvalue.insert(name.clone(), shared(store));
            }
        }
    }
    for name in grants.keyvalue.keys() {
        source.bind(name, Kind::KeyValue)?;
    }
    for (name, service) in std::mem::take(&mut source.services) {
        source.bind(&name, Kind::Fetcher)?;
        let caller = key.clone();
        grants.services.insert(name, Service { caller, service });
    }
    for (name, queue) in std::mem::take(&mut source.queues) {
        source.bind(&name, Kind::Queue)?;
        let sender = key.clone();
        grants.queues.insert(name, SendTo { sender, queue });
    }
    if let Some((assets, binding)) = source.assets.take() {
        if let Some(name) = &binding {
            source.bind(name, Kind::Fetcher)?;
        }
        grants.assets = Some((assets, binding));
    }
    Ok(grants)
}
