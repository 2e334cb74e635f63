//! Resource policies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Body of `AddPermission`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AddPermissionRequest {
    /// Names the statement in its policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_id: Option<String>,
    /// What is allowed, such as `lambda:InvokeFunction`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Who is: a service, an account, an ARN, or `*` for everyone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// For a service: the resource on whose behalf it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_arn: Option<String>,
    /// For a service: the account on whose behalf it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_account: Option<String>,
    /// For Alexa skills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_source_token: Option<String>,
    /// For everyone: the organisation that they must be of.
    #[serde(rename = "PrincipalOrgID", skip_serializing_if = "Option::is_none")]
    pub principal_org_id: Option<String>,
    /// The `AuthType` that the function URL must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_url_auth_type: Option<String>,
    /// Whether it is allowed through a function URL only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoked_via_function_url: Option<bool>,
    /// Only if this is the current revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
}

/// Answer of `AddPermission`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AddPermissionResponse {
    /// The statement, as JSON text.
    pub statement: String,
}

/// A resource policy, as it is written in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyDocument {
    /// `2012-10-17`.
    pub version: String,
    /// `default`.
    pub id: String,
    /// What is allowed.
    pub statement: Vec<PolicyStatement>,
}

/// One statement of a resource policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyStatement {
    /// Its name within the policy.
    pub sid: String,
    /// `Allow`.
    pub effect: String,
    /// Who may.
    pub principal: PolicyPrincipal,
    /// What they may do.
    pub action: String,
    /// With what: the ARN of the function, version or alias.
    pub resource: String,
    /// By operator and key: what must hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: BTreeMap<String, BTreeMap<String, String>>,
}

/// Who may, in a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PolicyPrincipal {
    /// `*`.
    Everyone(String),
    /// `AWS` or `Service`, and which.
    Of(BTreeMap<String, String>),
}

/// Answer of `GetPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetPolicyResponse {
    /// The policy, as JSON text.
    pub policy: String,
    /// Changes with every change of the policy.
    pub revision_id: String,
}
