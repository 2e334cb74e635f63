//! Aliases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::structure;

/// Body of `CreateAlias`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateAliasRequest {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The version that it points to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_version: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A second version by weight.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub routing_config: Option<AliasRoutingConfiguration>,
}

/// Body of `UpdateAlias`. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateAliasRequest {
    /// The version that it points to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_version: Option<String>,
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A second version by weight; empty for none.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "structure::optional"
    )]
    pub routing_config: Option<AliasRoutingConfiguration>,
    /// Only if this is the current revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
}

/// `AliasRoutingConfiguration`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AliasRoutingConfiguration {
    /// The share of invocations that another version gets, 0.0 to 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_version_weights: Option<BTreeMap<String, f64>>,
}

/// `AliasConfiguration`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AliasConfiguration {
    /// Its ARN.
    pub alias_arn: String,
    /// Its name.
    pub name: String,
    /// The version that it points to.
    pub function_version: String,
    /// Free text.
    pub description: String,
    /// A second version by weight, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routing_config: Option<AliasRoutingConfiguration>,
    /// Changes with every change of the alias.
    pub revision_id: String,
}

/// Answer of `ListAliases`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAliasesResponse {
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
    /// The page.
    pub aliases: Vec<AliasConfiguration>,
}
