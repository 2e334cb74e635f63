//! Function URLs as configuration.

use hearth_registry::FunctionUrlDescription;
use hearth_types::ApiError;
use hearth_types::wire::lambda::{FunctionUrlConfig, ListFunctionUrlConfigsResponse};

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn create(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier, request) = (call.function()?, call.qualifier()?, call.body().await?);
    let registry = &call.gateway.registry;
    let created = registry
        .create_function_url(&call.scope, &function, qualifier.as_ref(), request)
        .await?;
    Ok(call.ok(&shown(&call, created)))
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier) = (call.function()?, call.qualifier()?);
    let registry = &call.gateway.registry;
    let found = registry.get_function_url(&call.scope, &function, qualifier.as_ref())?;
    Ok(call.ok(&shown(&call, found)))
}

pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, page) = (call.function()?, call.page()?);
    let registry = &call.gateway.registry;
    let (page, next_marker) = registry.list_function_urls(&call.scope, &function, &page)?;
    let answer = ListFunctionUrlConfigsResponse {
        function_url_configs: page.into_iter().map(|one| shown(&call, one)).collect(),
        next_marker,
    };
    Ok(call.ok(&answer))
}

pub(super) async fn update(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier, request) = (call.function()?, call.qualifier()?, call.body().await?);
    let registry = &call.gateway.registry;
    let updated = registry
        .update_function_url(&call.scope, &function, qualifier.as_ref(), request)
        .await?;
    Ok(call.ok(&shown(&call, updated)))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier) = (call.function()?, call.qualifier()?);
    let registry = &call.gateway.registry;
    registry
        .delete_function_url(&call.scope, &function, qualifier.as_ref())
        .await?;
    Ok(call.done())
}

fn shown(call: &Call<'_>, described: FunctionUrlDescription) -> FunctionUrlConfig {
    let domain = &call.gateway.url_domain;
    let url = domain.url(described.id(), described.region());
    described.into_response(url)
}
