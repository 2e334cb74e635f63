//! What the API does not tell: when schedules are due next, and what became of earlier times.

use hearth_store::schedules::{Place, Schedule};
use hearth_store::sqlite::schedules::Wanted;
use hearth_types::time::Timestamp;

use crate::error::ScheduleError;
use crate::schedules::{Schedules, next_token, read_token, state};
use crate::wire::{ScheduleTimes, ScheduleTimesPage};

impl Schedules {
    /// A page of an account's schedules, after a marker of an earlier one.
    ///
    /// # Errors
    /// [`ScheduleError`].
    pub async fn times(
        &self,
        place: &Place,
        marker: Option<&str>,
        limit: usize,
    ) -> Result<ScheduleTimesPage, ScheduleError> {
        let wanted = Wanted {
            after: marker.map(read_token).transpose()?,
            ..Wanted::default()
        };
        let mut found = self.store.list(place, wanted, limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let last = last.map(|last| (last.group.clone(), last.name.clone()));
        Ok(ScheduleTimesPage {
            schedules: found.into_iter().map(times).collect(),
            next_marker: last.map(|last| next_token(&last)).transpose()?,
        })
    }
}

fn times(schedule: Schedule) -> ScheduleTimes {
    ScheduleTimes {
        group_name: schedule.group,
        name: schedule.name,
        schedule_expression: schedule.settings.expression,
        schedule_expression_timezone: schedule.settings.zone,
        state: state(schedule.settings.enabled),
        target: schedule.settings.target.arn,
        next: schedule.next.map(|due| due.at.to_iso_string()),
        last: schedule.last.map(Timestamp::to_iso_string),
        missed: schedule.missed,
        failed: schedule.failed,
    }
}
