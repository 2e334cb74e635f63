//! Deployments: what the alias [`DEPLOYED`] says, and what it said before.

use std::collections::BTreeMap;

use hearth_registry::Scope;
use hearth_types::ErrorKind;
use hearth_types::wire::lambda::{
    AliasRoutingConfiguration, CreateAliasRequest, UpdateAliasRequest,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::answer::{Failure, Reply};
use crate::api::{Cloudflare, Request};
use crate::notes::{about, now};
use crate::versions::no_version;
use crate::worker::{DEPLOYED, description, function, number, version_id, version_number};

/// Deployments that are remembered: twice what Wrangler lists.
const REMEMBERED: usize = 20;

/// What is to be deployed.
pub(crate) struct Deploying<'a> {
    /// One or two versions, with percentages that are a hundred together.
    pub(crate) versions: Vec<(u64, f64)>,
    pub(crate) message: &'a str,
    /// `upload`, `secret`, `rollback` or `deployment`.
    pub(crate) triggered_by: &'static str,
}

impl<'a> Deploying<'a> {
    /// One version, for everybody.
    pub(crate) fn whole(number: u64, message: &'a str, triggered_by: &'static str) -> Self {
        Self {
            versions: vec![(number, 100.0)],
            message,
            triggered_by,
        }
    }
}

/// A deployment as the API writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Deployment {
    id: String,
    created_on: String,
    source: String,
    strategy: String,
    author_email: String,
    annotations: BTreeMap<String, String>,
    versions: Vec<Share>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Share {
    version_id: String,
    percentage: f64,
}

pub(crate) fn history_key(scope: &Scope, name: &str) -> String {
    about("deployments", scope, name)
}

fn shares(versions: &[(u64, f64)]) -> Vec<Share> {
    let share = |(number, percentage): &(u64, f64)| Share {
        version_id: version_id(*number),
        percentage: *percentage,
    };
    versions.iter().map(share).collect()
}

/// A weight as a percentage, with the two digits after the point that Wrangler shows.
fn percentage(weight: f64) -> f64 {
    (weight * 10_000.0).round() / 100.0
}

/// Whether two percentages are one: one of them may have been rounded by [`percentage`].
pub(crate) fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.007_5
}

fn are_same(some: &[Share], others: &[Share]) -> bool {
    let is_one = |(one, other): (&Share, &Share)| {
        one.version_id == other.version_id && is_same(one.percentage, other.percentage)
    };
    some.len() == others.len() && some.iter().zip(others).all(is_one)
}

impl Cloudflare {
    /// What is deployed: versions and their percentages; empty if nothing is.
    pub(crate) fn deployed(&self, scope: &Scope, name: &str) -> Result<Vec<(u64, f64)>, Failure> {
        let alias = match self.registry.get_alias(scope, &function(name)?, DEPLOYED) {
            Ok(alias) => alias,
            Err(error) if error.kind == ErrorKind::ResourceNotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut versions = Vec::new();
        let weights = alias
            .routing_config
            .and_then(|r| r.additional_version_weights);
        let mut left = 100.0;
        for (version, weight) in weights.unwrap_or_default() {
            if let Ok(number) = version.parse() {
                let percentage = percentage(weight);
                left -= percentage;
                versions.push((number, percentage));
            }
        }
        if let Ok(number) = alias.function_version.parse() {
            versions.insert(0, (number, percentage(left / 100.0)));
        }
        Ok(versions)
    }

    /// Deploys one version or two: requests at the script's URL, at services and by schedules are theirs from now on.
    pub(crate) async fn deploy(
        &self,
        scope: &Scope,
        name: &str,
        deploying: Deploying<'_>,
    ) -> Result<String, Failure> {
        let function = function(name)?;
        let (first, weights) = match deploying.versions.as_slice() {
            [(first, _)] => (*first, BTreeMap::new()),
            [(first, _), (second, percentage)] => (
                *first,
                BTreeMap::from([(second.to_string(), percentage / 100.0)]),
            ),
            _ => {
                return Err(Failure::invalid(
                    "A deployment has one version or two: an alias leads to no more.",
                ));
            }
        };
        let routing = AliasRoutingConfiguration {
            additional_version_weights: Some(weights),
        };
        let request = UpdateAliasRequest {
            function_version: Some(first.to_string()),
            routing_config: Some(routing.clone()),
            ..UpdateAliasRequest::default()
        };
        match self
            .registry
            .update_alias(scope, &function, DEPLOYED, request)
            .await
        {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::ResourceNotFound => {
                let request = CreateAliasRequest {
                    name: Some(DEPLOYED.to_owned()),
                    function_version: Some(first.to_string()),
                    routing_config: Some(routing),
                    ..CreateAliasRequest::default()
                };
                self.registry
                    .create_alias(scope, &function, request)
                    .await?;
            }
            Err(error) => return Err(error.into()),
        }
        let mut annotations = BTreeMap::from([(
            "workers/triggered_by".to_owned(),
            deploying.triggered_by.to_owned(),
        )]);
        if !deploying.message.is_empty() {
            let message = description(deploying.message);
            annotations.insert("workers/message".to_owned(), message);
        }
        let deployment = Deployment {
            id: uuid::Uuid::new_v4().to_string(),
            created_on: now().to_iso_string(),
            source: "wrangler".to_owned(),
            strategy: "percentage".to_owned(),
            author_email: String::new(),
            annotations,
            versions: shares(&deploying.versions),
        };
        let id = deployment.id.clone();
        // It is deployed already.
        if let Err(failure) = self.remember(scope, name, deployment).await {
            tracing::warn!(why = failure.message, name, "remember a deployment");
        }
        Ok(id)
    }

    async fn remember(
        &self,
        scope: &Scope,
        name: &str,
        deployment: Deployment,
    ) -> Result<(), Failure> {
        let key = history_key(scope, name);
        let mut history: Vec<Deployment> = self.note(scope, key.clone()).await?.unwrap_or_default();
        history.insert(0, deployment);
        history.truncate(REMEMBERED);
        self.write_note(scope, key, &history).await
    }

    /// `GET deployments`: the newest first. What the alias says is true, whoever set it.
    pub(crate) async fn list_deployments(
        &self,
        scope: &Scope,
        name: &str,
    ) -> Result<Reply, Failure> {
        self.script_named(scope, name)?;
        let key = history_key(scope, name);
        let mut history: Vec<Deployment> = self.note(scope, key).await?.unwrap_or_default();
        let deployed = shares(&self.deployed(scope, name)?);
        if deployed.is_empty() {
            history.clear();
        } else if history
            .first()
            .is_none_or(|newest| !are_same(&newest.versions, &deployed))
        {
            let by_others = Deployment {
                id: uuid::Uuid::nil().to_string(),
                created_on: now().to_iso_string(),
                source: "api".to_owned(),
                strategy: "percentage".to_owned(),
                author_email: String::new(),
                annotations: BTreeMap::new(),
                versions: deployed,
            };
            history.insert(0, by_others);
        }
        let published = self.published(scope, name)?;
        let known: Vec<u64> = published.iter().filter_map(number).collect();
        // Versions can be deleted by other means.
        history.retain(|deployment| {
            let numbers = deployment.versions.iter();
            numbers
                .map(|share| version_number(&share.version_id))
                .all(|number| number.is_some_and(|number| known.contains(&number)))
        });
        Ok(Reply::of(json!({ "deployments": history })))
    }

    /// `POST deployments`.
    pub(crate) async fn post_deployment(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Reply, Failure> {
        #[derive(Deserialize)]
        struct Asked {
            versions: Vec<Share>,
            #[serde(default)]
            annotations: BTreeMap<String, Option<String>>,
        }
        let asked: Asked = request.json()?;
        self.script_named(scope, name)?;
        let mut versions = Vec::new();
        for share in asked.versions.iter().filter(|share| share.percentage > 0.0) {
            let number = version_number(&share.version_id);
            let number = number.filter(|number| {
                self.find(scope, name, Some(*number))
                    .is_ok_and(|found| found.is_some())
            });
            let number = number.ok_or_else(|| no_version(&share.version_id))?;
            versions.push((number, share.percentage));
        }
        let sum: f64 = versions.iter().map(|(_, percentage)| percentage).sum();
        if (sum - 100.0).abs() > 0.01 {
            return Err(Failure::invalid(
                "The percentages of a deployment must be 100 together.",
            ));
        }
        let message = asked.annotations.get("workers/message").cloned().flatten();
        let message = message.unwrap_or_default();
        // Only what goes back is a rollback: to a version before the one that is deployed.
        let before = self.deployed(scope, name)?;
        let newest = |list: &[(u64, f64)]| list.iter().map(|(number, _)| *number).max();
        let triggered_by = if newest(&versions) < newest(&before) {
            "rollback"
        } else {
            "deployment"
        };
        let deploying = Deploying {
            versions,
            message: &message,
            triggered_by,
        };
        let id = self.deploy(scope, name, deploying).await?;
        Ok(Reply::of(json!({ "id": id })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_what_the_alias_says_of_it() {
        for second in [0.01, 0.57, 12.34, 33.333, 33.335, 66.67, 99.97] {
            let asked = shares(&[(1, 100.0 - second), (2, second)]);
            let weighted = percentage(second / 100.0);
            let deployed = shares(&[(1, 100.0 - weighted), (2, weighted)]);
            assert!(are_same(&asked, &deployed), "{second}");
            let other = shares(&[(1, 100.0 - second), (2, second + 0.02)]);
            assert!(!are_same(&other, &deployed), "{second}");
        }
        let (one, two) = (shares(&[(1, 100.0)]), shares(&[(2, 100.0)]));
        assert!(!are_same(&one, &two) && !are_same(&one, &[]));
    }
}
