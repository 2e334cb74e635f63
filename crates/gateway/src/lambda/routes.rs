//! Routes and their API keys: Hearth's own operations.

use hearth_types::ApiError;
use hearth_types::name::RouteName;
use hearth_types::wire::route::{ListRouteKeysResponse, ListRoutesResponse};

use crate::error_response::Answer;
use crate::gateway::Call;

pub(super) async fn put(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (name, request) = (name(&call)?, call.body().await?);
    let gateway = call.gateway;
    let put = gateway
        .registry
        .put_route(&call.scope, name, request, |host| {
            gateway.why_not_host(host, call.parts)
        })
        .await?;
    Ok(call.ok(&put))
}

pub(super) async fn get(call: Call<'_>) -> Result<Answer, ApiError> {
    let registry = &call.gateway.registry;
    let found = registry.get_route(&call.scope, name(&call)?)?;
    Ok(call.ok(&found))
}

pub(super) async fn list(call: Call<'_>) -> Result<Answer, ApiError> {
    let registry = &call.gateway.registry;
    let (routes, next_marker) = registry.list_routes(&call.scope, &call.page()?)?;
    Ok(call.ok(&ListRoutesResponse {
        routes,
        next_marker,
    }))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Answer, ApiError> {
    let (name, revision) = (name(&call)?, call.text("RevisionId")?);
    let registry = &call.gateway.registry;
    registry
        .delete_route(&call.scope, name, revision.as_deref())
        .await?;
    Ok(call.done())
}

pub(super) async fn create_key(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (name, request) = (name(&call)?, call.body().await?);
    let registry = &call.gateway.registry;
    let made = registry
        .create_route_key(&call.scope, name, &request)
        .await?;
    Ok(call.ok(&made))
}

pub(super) async fn get_key(call: Call<'_>) -> Result<Answer, ApiError> {
    let registry = &call.gateway.registry;
    let found = registry.get_route_key(&call.scope, name(&call)?)?;
    Ok(call.ok(&found))
}

pub(super) async fn list_keys(call: Call<'_>) -> Result<Answer, ApiError> {
    let registry = &call.gateway.registry;
    let (route_keys, next_marker) = registry.list_route_keys(&call.scope, &call.page()?)?;
    Ok(call.ok(&ListRouteKeysResponse {
        route_keys,
        next_marker,
    }))
}

pub(super) async fn update_key(mut call: Call<'_>) -> Result<Answer, ApiError> {
    let (name, request) = (name(&call)?, call.body().await?);
    let registry = &call.gateway.registry;
    let updated = registry
        .update_route_key(&call.scope, name, &request)
        .await?;
    Ok(call.ok(&updated))
}

pub(super) async fn delete_key(call: Call<'_>) -> Result<Answer, ApiError> {
    let (name, revision) = (name(&call)?, call.text("RevisionId")?);
    let registry = &call.gateway.registry;
    registry
        .delete_route_key(&call.scope, name, revision.as_deref())
        .await?;
    Ok(call.done())
}

fn name(call: &Call<'_>) -> Result<RouteName, ApiError> {
    Ok(call.target.path("Name")?.parse()?)
}
