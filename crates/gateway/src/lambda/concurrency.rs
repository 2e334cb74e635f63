//! Reserved concurrency, and the account that it is taken from.

use hearth_types::ApiError;

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn account_settings(call: Call<'_>) -> Result<Answer, ApiError> {
    Ok(call.ok(&call.gateway.registry.get_account_settings(&call.scope)))
}

pub(super) async fn put(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, request) = (call.function()?, call.body().await?);
    let registry = &call.gateway.registry;
    let reserved = registry
        .put_function_concurrency(&call.scope, &function, request)
        .await?;
    Ok(call.ok(&reserved))
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let function = call.function()?;
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.get_function_concurrency(&call.scope, &function)?))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let function = call.function()?;
    let registry = &call.gateway.registry;
    registry
        .delete_function_concurrency(&call.scope, &function)
        .await?;
    Ok(call.done())
}
