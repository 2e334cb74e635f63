//! Which bucket notifies whom: Hearth's own operations.

use hearth_types::ApiError;

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn put(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let request = call.body().await?;
    let name = call.target.path("Name")?;
    let storage = &call.gateway.storage;
    Ok(call.ok(&storage.put(&call.scope, &name, request).await?))
}

pub(super) fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.target.path("Name")?;
    Ok(call.ok(&call.gateway.storage.get(&call.scope, &name)?))
}

pub(super) fn list(call: &Call<'_>) -> Answer {
    call.ok(&call.gateway.storage.list(&call.scope))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let name = call.target.path("Name")?;
    call.gateway.storage.delete(&call.scope, &name).await?;
    Ok(call.done())
}
