//! How events are handled, as configuration.

use hearth_types::ApiError;

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn put(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier, request) = (call.function()?, call.qualifier()?, call.body().await?);
    let registry = &call.gateway.registry;
    let put = registry
        .put_event_invoke_config(&call.scope, &function, qualifier.as_ref(), request)
        .await?;
    Ok(call.ok(&put))
}

pub(super) async fn update(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier, request) = (call.function()?, call.qualifier()?, call.body().await?);
    let registry = &call.gateway.registry;
    let updated = registry
        .update_event_invoke_config(&call.scope, &function, qualifier.as_ref(), request)
        .await?;
    Ok(call.ok(&updated))
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier) = (call.function()?, call.qualifier()?);
    let registry = &call.gateway.registry;
    let found = registry.get_event_invoke_config(&call.scope, &function, qualifier.as_ref())?;
    Ok(call.ok(&found))
}

pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, page) = (call.function()?, call.page()?);
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.list_event_invoke_configs(&call.scope, &function, &page)?))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier) = (call.function()?, call.qualifier()?);
    let registry = &call.gateway.registry;
    registry
        .delete_event_invoke_config(&call.scope, &function, qualifier.as_ref())
        .await?;
    Ok(call.done())
}
