//! What is on its way to the targets of rules: Hearth's own operation.

use hearth_types::{ApiError, ErrorKind};
use serde_json::json;

use crate::error_response::Answer;
use crate::events_api;
use crate::gateway::Call;

pub(super) async fn deliveries(call: Call<'_>) -> Result<Answer, ApiError> {
    let caller = events_api::caller(call.scope.clone(), call.parts);
    let found = call.gateway.rules.deliveries(&caller).await;
    let found =
        found.map_err(|error| ApiError::new(ErrorKind::ServiceUnavailable, error.message))?;
    Ok(call.ok(&json!({ "Targets": found })))
}
