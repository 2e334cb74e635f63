//! Schedules, put together: their store, and the API's operations on it.

use std::path::Path;

use anyhow::Context as _;
use hearth_schedules::{Schedules, time_zones};
use hearth_store::{ScheduleBounds, SqliteScheduleStore};

use crate::events;

/// Opens the schedules, in the data folder, which this process holds.
pub(crate) fn open(data: &Path) -> anyhow::Result<Schedules> {
    let path = data.join("schedules.db");
    let store = SqliteScheduleStore::open(&path, ScheduleBounds::default())
        .with_context(|| format!("open {}", path.display()))?;
    Ok(Schedules::new(store, time_zones(), events::clock()))
}
