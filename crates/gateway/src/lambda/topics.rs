//! Topics and their webhooks: Hearth's own operations.

use hearth_types::ApiError;
use hearth_types::name::TopicName;

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn put(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (name, request) = (name(&call)?, call.body().await?);
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.put_topic(&call.scope, name, request).await?))
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.get_topic(&call.scope, name(&call)?)?))
}

pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.list_topics(&call.scope, &call.page()?)?))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let (name, revision) = (name(&call)?, call.text("RevisionId")?);
    let registry = &call.gateway.registry;
    registry
        .delete_topic(&call.scope, name, revision.as_deref())
        .await?;
    Ok(call.done())
}

fn name(call: &Call<'_>) -> Result<TopicName, ApiError> {
    Ok(call.target.path("Name")?.parse()?)
}
