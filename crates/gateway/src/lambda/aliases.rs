//! Aliases.

use hearth_types::ApiError;

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn create(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, request) = (call.function()?, call.body().await?);
    let registry = &call.gateway.registry;
    let created = registry
        .create_alias(&call.scope, &function, request)
        .await?;
    Ok(call.ok(&created))
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, alias) = (call.function()?, call.target.path("Name")?);
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.get_alias(&call.scope, &function, &alias)?))
}

pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, version, page) = (
        call.function()?,
        call.text("FunctionVersion")?,
        call.page()?,
    );
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.list_aliases(&call.scope, &function, version.as_deref(), &page)?))
}

pub(super) async fn update(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, alias) = (call.function()?, call.target.path("Name")?);
    let request = call.body().await?;
    let registry = &call.gateway.registry;
    let updated = registry
        .update_alias(&call.scope, &function, &alias, request)
        .await?;
    Ok(call.ok(&updated))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, alias) = (call.function()?, call.target.path("Name")?);
    let registry = &call.gateway.registry;
    registry
        .delete_alias(&call.scope, &function, &alias)
        .await?;
    Ok(call.done())
}
