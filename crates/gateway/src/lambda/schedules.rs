//! When schedules are due: Hearth's own operation.

use hearth_schedules::Place;
use hearth_schedules::error::Kind;
use hearth_types::{ApiError, ErrorKind};

use crate::error_response::Answer;
use crate::gateway::Call;

/// Entries of a page when none are asked for, and most of them.
const PAGE: i64 = 50;
const LARGEST_PAGE: i64 = 1_000;

pub(super) async fn times(call: Call<'_>) -> Result<Answer, ApiError> {
    let place = Place {
        account: call.scope.account.clone(),
        region: call.scope.region.clone(),
    };
    let page = call.page()?;
    let limit = page.max_items.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let limit = usize::try_from(limit).unwrap_or(1);
    let schedules = &call.gateway.schedules;
    let found = schedules.times(&place, page.marker.as_deref(), limit).await;
    let found = found.map_err(|error| match error.kind {
        Kind::InternalServer => ApiError::new(ErrorKind::ServiceUnavailable, error.message),
        _ => ApiError::invalid(error.message),
    })?;
    Ok(call.ok(&found))
}
