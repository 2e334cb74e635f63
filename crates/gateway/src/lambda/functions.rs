//! Functions and their versions.

use hearth_types::{ApiError, ErrorKind};

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn create(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let request = call.body().await?;
    let created = call
        .gateway
        .registry
        .create_function(&call.scope, request)
        .await?;
    Ok(call.ok(&created))
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier) = (call.function()?, call.qualifier()?);
    let registry = &call.gateway.registry;
    let found = registry.get_function(&call.scope, &function, qualifier.as_ref())?;
    let link = call.link(&found.code.digest);
    Ok(call.ok(&found.into_response(link)))
}

pub(super) async fn get_configuration(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier) = (call.function()?, call.qualifier()?);
    let registry = &call.gateway.registry;
    let found = registry.get_function_configuration(&call.scope, &function, qualifier.as_ref())?;
    Ok(call.ok(&found))
}

pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    if call.target.query("MasterRegion")?.is_some() {
        return Err(ApiError::new(
            ErrorKind::NotImplemented,
            "Hearth has no functions at the edge; leave MasterRegion out.",
        ));
    }
    let (versions, page) = (call.text("FunctionVersion")?, call.page()?);
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.list_functions(&call.scope, versions.as_deref(), &page)?))
}

pub(super) async fn update_code(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, request) = (call.function()?, call.body().await?);
    let registry = &call.gateway.registry;
    let updated = registry
        .update_function_code(&call.scope, &function, request)
        .await?;
    Ok(call.ok(&updated))
}

pub(super) async fn update_configuration(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, request) = (call.function()?, call.body().await?);
    let registry = &call.gateway.registry;
    let updated = registry
        .update_function_configuration(&call.scope, &function, request)
        .await?;
    Ok(call.ok(&updated))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier) = (call.function()?, call.qualifier()?);
    let registry = &call.gateway.registry;
    registry
        .delete_function(&call.scope, &function, qualifier.as_ref())
        .await?;
    Ok(call.done())
}

pub(super) async fn publish_version(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, request) = (call.function()?, call.body().await?);
    let registry = &call.gateway.registry;
    let published = registry
        .publish_version(&call.scope, &function, request)
        .await?;
    Ok(call.ok(&published))
}

pub(super) async fn list_versions(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, page) = (call.function()?, call.page()?);
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.list_versions(&call.scope, &function, &page)?))
}
