//! The handle to the registry.
//!
//! Signatures only, while the operations are being written: every operation answers `NotImplemented`.

use std::collections::HashSet;
use std::sync::Arc;

use hearth_code::Packages;
use hearth_store::{Store, StoreError};
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::digest::Digest;
use hearth_types::error::ErrorKind;
use hearth_types::invoke::Invoker;
use hearth_types::name::Qualifier;
use hearth_types::wire::lambda::*;

use crate::{
    FunctionDescription, LayerFilter, LayerVersionDescription, Options, PageRequest, Resolved,
    Scope,
};

/// The registry: a handle that is cheap to clone. Reads take no lock; writes answer once they are on disk.
#[derive(Clone, Debug)]
pub struct Registry {}

fn missing() -> ApiError {
    ApiError::new(ErrorKind::NotImplemented, "Not written yet.")
}

#[allow(unused_variables, reason = "signatures only")]
#[allow(missing_docs, reason = "signatures only")]
impl Registry {
    /// Reads the store, and makes ready again what was being made ready.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn open(
        store: Arc<dyn Store>,
        packages: Packages,
        invoker: Arc<dyn Invoker>,
        options: Options,
    ) -> Result<Self, StoreError> {
        Err(StoreError::Unavailable("not written yet".to_owned()))
    }

    /// Digests of all packages that functions, versions and layers refer to: for `Packages::collect`.
    pub fn live_packages(&self) -> HashSet<Digest> {
        HashSet::new()
    }

    pub fn get_account_settings(&self, scope: &Scope) -> GetAccountSettingsResponse {
        GetAccountSettingsResponse {
            account_limit: AccountLimit {
                total_code_size: 0,
                code_size_unzipped: 0,
                code_size_zipped: 0,
                concurrent_executions: 0,
                unreserved_concurrent_executions: 0,
            },
            account_usage: AccountUsage {
                total_code_size: 0,
                function_count: 0,
            },
        }
    }

    pub fn resolve(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
        draw: f64,
    ) -> Result<Resolved, ApiError> {
        Err(missing())
    }

    pub async fn create_function(
        &self,
        scope: &Scope,
        request: CreateFunctionRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        Err(missing())
    }

    pub fn get_function(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<FunctionDescription, ApiError> {
        Err(missing())
    }

    pub fn get_function_configuration(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<FunctionConfiguration, ApiError> {
        Err(missing())
    }

    pub fn list_functions(
        &self,
        scope: &Scope,
        all_versions: Option<&str>,
        page: &PageRequest,
    ) -> Result<ListFunctionsResponse, ApiError> {
        Err(missing())
    }

    pub async fn update_function_code(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        request: UpdateFunctionCodeRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        Err(missing())
    }

    pub async fn update_function_configuration(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        request: UpdateFunctionConfigurationRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        Err(missing())
    }

    pub async fn delete_function(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<(), ApiError> {
        Err(missing())
    }

    pub async fn publish_version(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        request: PublishVersionRequest,
    ) -> Result<FunctionConfiguration, ApiError> {
        Err(missing())
    }

    pub fn list_versions(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        page: &PageRequest,
    ) -> Result<ListVersionsByFunctionResponse, ApiError> {
        Err(missing())
    }

    pub async fn create_alias(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        request: CreateAliasRequest,
    ) -> Result<AliasConfiguration, ApiError> {
        Err(missing())
    }

    pub fn get_alias(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        alias: &str,
    ) -> Result<AliasConfiguration, ApiError> {
        Err(missing())
    }

    pub fn list_aliases(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        version: Option<&str>,
        page: &PageRequest,
    ) -> Result<ListAliasesResponse, ApiError> {
        Err(missing())
    }

    pub async fn update_alias(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        alias: &str,
        request: UpdateAliasRequest,
    ) -> Result<AliasConfiguration, ApiError> {
        Err(missing())
    }

    pub async fn delete_alias(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        alias: &str,
    ) -> Result<(), ApiError> {
        Err(missing())
    }

    pub async fn publish_layer_version(
        &self,
        scope: &Scope,
        layer: &str,
        request: PublishLayerVersionRequest,
    ) -> Result<LayerVersionDescription, ApiError> {
        Err(missing())
    }

    pub fn get_layer_version(
        &self,
        scope: &Scope,
        layer: &str,
        version: i64,
    ) -> Result<LayerVersionDescription, ApiError> {
        Err(missing())
    }

    pub fn get_layer_version_by_arn(
        &self,
        scope: &Scope,
        arn: &str,
    ) -> Result<LayerVersionDescription, ApiError> {
        Err(missing())
    }

    pub fn list_layers(
        &self,
        scope: &Scope,
        filter: &LayerFilter,
        page: &PageRequest,
    ) -> Result<ListLayersResponse, ApiError> {
        Err(missing())
    }

    pub fn list_layer_versions(
        &self,
        scope: &Scope,
        layer: &str,
        filter: &LayerFilter,
        page: &PageRequest,
    ) -> Result<ListLayerVersionsResponse, ApiError> {
        Err(missing())
    }

    pub async fn delete_layer_version(
        &self,
        scope: &Scope,
        layer: &str,
        version: i64,
    ) -> Result<(), ApiError> {
        Err(missing())
    }

    pub async fn tag_resource(
        &self,
        scope: &Scope,
        resource: &str,
        request: TagResourceRequest,
    ) -> Result<(), ApiError> {
        Err(missing())
    }

    pub async fn untag_resource(
        &self,
        scope: &Scope,
        resource: &str,
        keys: &[String],
    ) -> Result<(), ApiError> {
        Err(missing())
    }

    pub fn list_tags(&self, scope: &Scope, resource: &str) -> Result<ListTagsResponse, ApiError> {
        Err(missing())
    }

    pub async fn put_function_concurrency(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        request: PutFunctionConcurrencyRequest,
    ) -> Result<Concurrency, ApiError> {
        Err(missing())
    }

    pub fn get_function_concurrency(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<Concurrency, ApiError> {
        Err(missing())
    }

    pub async fn delete_function_concurrency(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<(), ApiError> {
        Err(missing())
    }
}
