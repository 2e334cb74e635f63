//! Event source mappings.

use hearth_registry::MappingFilter;
use hearth_types::ApiError;

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn create(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let request = call.body().await?;
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.create_mapping(&call.scope, request).await?))
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let uuid = call.target.path("UUID")?;
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.get_mapping(&call.scope, &uuid)?))
}

pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let filter = MappingFilter {
        source: call.text("EventSourceArn")?,
        function: call.text("FunctionName")?,
    };
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.list_mappings(&call.scope, &filter, &call.page()?)?))
}

pub(super) async fn update(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (uuid, request) = (call.target.path("UUID")?.into_owned(), call.body().await?);
    let registry = &call.gateway.registry;
    let updated = registry.update_mapping(&call.scope, &uuid, request).await?;
    Ok(call.ok(&updated))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let uuid = call.target.path("UUID")?;
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.delete_mapping(&call.scope, &uuid).await?))
}
