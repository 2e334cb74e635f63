//! What a component may have: from its function's configuration and tags, and the node's.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_types::function::Deployment;
use hearth_types::limits::{RESPONSE_PAYLOAD_BYTES, STREAMED_RESPONSE_BYTES};
use hearth_types::network::Hosts;
use hearth_types::walls::{KeyValueAccess, NetworkAccess, SharedStore, TmpAccess, Walls};
use hearth_wasm::{Grants, KeyValueGrant, Shape};

use super::load::Unready;
use crate::options::ComponentOptions;
use crate::variables::component_variables;

/// What `deployment` is granted.
///
/// # Errors
/// If its tags ask for what this node does not have.
pub(super) fn grants(
    deployment: &Deployment,
    shape: Shape,
    options: &ComponentOptions,
) -> Result<Grants, Unready> {
    let configuration = &deployment.configuration;
    let asked = &deployment.walls.component;
    let hosts = match deployment.walls.network {
        NetworkAccess::None => Hosts::default(),
        NetworkAccess::Public => deployment
            .walls
            .allowed_hosts
            .as_ref()
            .unwrap_or(&options.allowed_hosts)
            .clone(),
    };
    Ok(Grants {
        memory_bytes: u64::from(configuration.memory_mib) << 20,
        environment: component_variables(deployment),
        reuse: asked.reuse.unwrap_or(1),
        output_bytes: match shape {
            // All of a command's output is held in memory and becomes the result.
            Shape::Command => RESPONSE_PAYLOAD_BYTES as u64,
            Shape::Http02 | Shape::Http03 => STREAMED_RESPONSE_BYTES,
        },
        tmp_bytes: match asked.tmp {
            Some(TmpAccess::Private) => {
                tmp(options)?;
                Some(u64::from(configuration.tmp_mib) << 20)
            }
            Some(TmpAccess::None) | None => None,
        },
        hosts,
        keyvalue: deployment
            .walls
            .keyvalue
            .as_ref()
            .map(|access| keyvalue(deployment, access, options))
            .transpose()?,
        way_out: None,
    })
}

/// Whether this node can give a `/tmp`.
///
/// # Errors
/// Why not.
fn tmp(options: &ComponentOptions) -> Result<(), Unready> {
    let why = if options.processes.is_some() {
        "it runs components in processes that can't make one".to_owned()
    } else {
        match options.wall.tmp() {
            Ok(()) => return Ok(()),
            Err(error) => format!("making a file system for it fails: {error}"),
        }
    };
    Err(Unready::NoWall(format!(
        "This node can't give components a /tmp: {why}. Remove the tag {}.",
        Walls::TMP_TAG
    )))
}

/// The buckets that a tag names. The one that a guest opens without a name is its own, or the first of the shared.
fn keyvalue(
    deployment: &Deployment,
    access: &KeyValueAccess,
    options: &ComponentOptions,
) -> Result<KeyValueGrant, Unready> {
    let Some(bucket) = &options.buckets else {
        return Err(Unready::NoWall(format!(
            "This node has no key-value stores for components; remove the tag {}.",
            Walls::KEYVALUE_TAG
        )));
    };
    let mut buckets = BTreeMap::new();
    match access {
        KeyValueAccess::Function => {
            let own = bucket(&deployment.key, None);
            buckets.insert("default".to_owned(), Arc::clone(&own));
            buckets.insert(String::new(), own);
        }
        KeyValueAccess::Shared(stores) => {
            for SharedStore { name, store } in stores {
                let shared = bucket(&deployment.key, Some(store));
                buckets
                    .entry(String::new())
                    .or_insert_with(|| Arc::clone(&shared));
                buckets.insert(name.clone(), shared);
            }
        }
    }
    Ok(KeyValueGrant { buckets })
}
