//! Layers.

use std::borrow::Cow;

use hearth_registry::LayerVersionDescription;
use hearth_types::{ApiError, ErrorKind};

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn publish(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (layer, request) = (layer(&call)?, call.body().await?);
    let registry = &call.gateway.registry;
    let published = registry
        .publish_layer_version(&call.scope, &layer, request)
        .await?;
    Ok(described(&call, published))
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let (layer, version) = (layer(&call)?, version(&call)?);
    let found = call
        .gateway
        .registry
        .get_layer_version(&call.scope, &layer, version)?;
    Ok(described(&call, found))
}

pub(super) async fn get_by_arn(call: Call<'_>) -> Result<Answer, ApiError> {
    let arn = call.text("Arn")?.unwrap_or_default();
    let found = call
        .gateway
        .registry
        .get_layer_version_by_arn(&call.scope, &arn)?;
    Ok(described(&call, found))
}

pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let (filter, page) = (call.layer_filter()?, call.page()?);
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.list_layers(&call.scope, &filter, &page)?))
}

pub(super) async fn list_versions(call: Call<'_>) -> Result<Answer, ApiError> {
    let (layer, filter, page) = (layer(&call)?, call.layer_filter()?, call.page()?);
    let registry = &call.gateway.registry;
    Ok(call.ok(&registry.list_layer_versions(&call.scope, &layer, &filter, &page)?))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let (layer, version) = (layer(&call)?, version(&call)?);
    let registry = &call.gateway.registry;
    registry
        .delete_layer_version(&call.scope, &layer, version)
        .await?;
    Ok(call.done())
}

fn layer<'r>(call: &Call<'r>) -> Result<Cow<'r, str>, ApiError> {
    call.target.path("LayerName")
}

fn version(call: &Call<'_>) -> Result<i64, ApiError> {
    call.target.path("VersionNumber")?.parse().map_err(|_| {
        ApiError::new(
            ErrorKind::Serialization,
            "The version of a layer in the path must be a whole number.",
        )
    })
}

/// The answer of the operations that tell of one layer version.
fn described(call: &Call<'_>, version: LayerVersionDescription) -> Answer {
    let link = call.link(&version.package().digest);
    call.ok(&version.into_response(link))
}
