//! What operations take and give besides the shapes of the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_types::arn::FunctionArn;
use hearth_types::function::{Deployment, Package};
use hearth_types::name::{FunctionKey, Qualifier, Version};
use hearth_types::wire::lambda::{
    Concurrency, FunctionCodeLocation, FunctionConfiguration, GetFunctionResponse,
    LayerVersionContentOutput, LayerVersionResponse,
};

/// What an invocation runs.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The code and configuration.
    pub deployment: Arc<Deployment>,
    /// The version that was chosen: `X-Amz-Executed-Version`.
    pub executed_version: Version,
    /// The version or alias that the caller named.
    pub qualifier: Option<Qualifier>,
    /// The function's reserved concurrency, if it has any; 0 stops it.
    pub reserved: Option<u32>,
}

impl Resolved {
    /// The function.
    pub fn key(&self) -> &FunctionKey {
        &self.deployment.key
    }

    /// The ARN that the caller used, as the function sees it (`invoked_function_arn`).
    pub fn invoked_arn(&self) -> String {
        FunctionArn {
            key: self.key(),
            qualifier: self.qualifier.clone(),
        }
        .to_string()
    }
}

/// A function as `GetFunction` tells of it, but for the link to its code: whoever can sign makes that.
#[derive(Clone, Debug, PartialEq)]
pub struct FunctionDescription {
    /// The version that was asked for.
    pub configuration: FunctionConfiguration,
    /// Its code.
    pub code: Package,
    /// The function's tags.
    pub tags: BTreeMap<String, String>,
    /// Its reserved concurrency.
    pub reserved: Option<u32>,
}

impl FunctionDescription {
    /// The answer of `GetFunction`, with a link to [`code`](Self::code).
    pub fn into_response(self, location: String) -> GetFunctionResponse {
        GetFunctionResponse {
            configuration: self.configuration,
            code: FunctionCodeLocation {
                repository_type: "S3".to_owned(),
                location,
            },
            tags: (!self.tags.is_empty()).then_some(self.tags),
            concurrency: self.reserved.map(|reserved| Concurrency {
                reserved_concurrent_executions: Some(reserved),
            }),
        }
    }
}

/// A layer version, but for the link to its package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerVersionDescription {
    pub(crate) package: Package,
    pub(crate) response: LayerVersionResponse,
}

impl LayerVersionDescription {
    /// Its package.
    pub fn package(&self) -> Package {
        self.package
    }

    /// The answer of `PublishLayerVersion` and `GetLayerVersion`, with a link to [`package`](Self::package).
    pub fn into_response(self, location: String) -> LayerVersionResponse {
        LayerVersionResponse {
            content: LayerVersionContentOutput {
                location,
                ..self.response.content
            },
            ..self.response
        }
    }
}

/// Which page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// `Marker`: the `NextMarker` of the page before.
    pub marker: Option<String>,
    /// `MaxItems`.
    pub max_items: Option<i64>,
}

/// Which layers to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerFilter {
    /// `CompatibleRuntime`.
    pub runtime: Option<String>,
    /// `CompatibleArchitecture`.
    pub architecture: Option<String>,
}
