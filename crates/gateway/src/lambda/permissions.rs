//! Resource policies.

use hearth_types::ApiError;

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn add(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier, request) = (call.function()?, call.qualifier()?, call.body().await?);
    let registry = &call.gateway.registry;
    let added = registry
        .add_permission(&call.scope, &function, qualifier.as_ref(), request)
        .await?;
    Ok(call.ok(&added))
}

pub(super) async fn remove(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier) = (call.function()?, call.qualifier()?);
    let (statement, revision) = (call.target.path("StatementId")?, call.text("RevisionId")?);
    let registry = &call.gateway.registry;
    registry
        .remove_permission(
            &call.scope,
            &function,
            qualifier.as_ref(),
            &statement,
            revision.as_deref(),
        )
        .await?;
    Ok(call.done())
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, qualifier) = (call.function()?, call.qualifier()?);
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.get_policy(&call.scope, &function, qualifier.as_ref())?))
}
