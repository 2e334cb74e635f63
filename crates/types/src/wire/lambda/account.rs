//! The account and its concurrency.

use serde::{Deserialize, Serialize};

/// Body of `PutFunctionConcurrency`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PutFunctionConcurrencyRequest {
    /// How many environments are set aside for the function; 0 stops it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_concurrent_executions: Option<i64>,
}

/// Reserved concurrency: answer of `PutFunctionConcurrency` and `GetFunctionConcurrency`, member of `GetFunction`'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Concurrency {
    /// How many environments are set aside for the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserved_concurrent_executions: Option<u32>,
}

/// Answer of `GetAccountSettings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetAccountSettingsResponse {
    /// What the account may have.
    pub account_limit: AccountLimit,
    /// What it has.
    pub account_usage: AccountUsage,
}

/// `AccountLimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccountLimit {
    /// All packages together, bytes.
    pub total_code_size: u64,
    /// One function and its layers unpacked, bytes.
    pub code_size_unzipped: u64,
    /// One zip in a request, bytes.
    pub code_size_zipped: u64,
    /// Environments at the same time.
    pub concurrent_executions: u32,
    /// Those that no function has reserved.
    pub unreserved_concurrent_executions: u32,
}

/// `AccountUsage`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccountUsage {
    /// All packages together, bytes.
    pub total_code_size: u64,
    /// How many functions there are.
    pub function_count: u64,
}
