//! Tags.

use hearth_types::ApiError;

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn tag(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (resource, request) = (call.target.path("Resource")?, call.body().await?);
    let registry = &call.gateway.registry;
    registry
        .tag_resource(&call.scope, &resource, request)
        .await?;
    Ok(call.done())
}

pub(super) async fn untag(call: Call<'_>) -> Result<Answer, ApiError> {
    let (resource, keys) = (
        call.target.path("Resource")?,
        call.target.query_all("tagKeys")?,
    );
    let registry = &call.gateway.registry;
    registry
        .untag_resource(&call.scope, &resource, &keys)
        .await?;
    Ok(call.done())
}

pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let resource = call.target.path("Resource")?;
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.list_tags(&call.scope, &resource)?))
}
