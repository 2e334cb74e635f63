//! What becomes of loops of functions, as configuration.

use hearth_types::ApiError;

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn put(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (function, request) = (call.function()?, call.body().await?);
    let registry = &call.gateway.registry;
    let put = registry
        .put_recursion_config(&call.scope, &function, request)
        .await?;
    Ok(call.ok(&put))
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let function = call.function()?;
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.get_recursion_config(&call.scope, &function)?))
}
