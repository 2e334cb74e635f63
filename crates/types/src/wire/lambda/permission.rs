//! Resource policies.

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

/// Answer of `GetPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetPolicyResponse {
    /// The policy, as JSON text.
    pub policy: String,
    /// Changes with every change of the policy.
    pub revision_id: String,
}
