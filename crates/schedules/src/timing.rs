//! When a schedule is due: its expression in its zone, from its start to its end, and its place in the window.
//!
//! Daylight saving time (EventBridge Scheduler user guide, "Daylight savings time"): a time that a zone's clocks skip is
//! passed over, one that they show twice is the first of both. Rates count hours of 60 minutes, whatever clocks show.
//!
//! Times are passed in; the zones' rules are those that the node was given.

use hearth_store::schedules::{Due, Settings};
use hearth_types::time::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use sha2::{Digest as _, Sha256};

use crate::expression::Expression;

/// Due times that were passed over and are counted one by one: past them, the rest is passed over uncounted, so that a
/// start after a long time does not take one.
const MOST_COUNTED: u64 = 1_000;

/// When a schedule is due.
#[derive(Clone, Debug)]
pub struct Timing {
    expression: Expression,
    zone: TimeZone,
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    window_ms: u64,
    /// Rates count from here.
    anchor: Timestamp,
    /// The schedule's number.
    number: i64,
}

fn later(from: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millis(from.as_millis().saturating_add(millis))
}

impl Timing {
    /// The timing of a schedule of number `number` that was made at `created`.
    ///
    /// # Errors
    /// What is wrong with the expression or the zone, in a sentence without its end.
    pub fn new(
        settings: &Settings,
        zones: &TimeZoneDatabase,
        created: Timestamp,
        number: i64,
    ) -> Result<Self, String> {
        let expression = Expression::read(&settings.expression)?;
        let zone = zones
            .get(&settings.zone)
            .map_err(|_| format!("'{}' is not the name of a time zone", settings.zone))?;
        if let Expression::At(moment) = &expression
            && instant(&zone, *moment).is_none()
        {
            return Err(format!(
                "the clocks of {} never show {moment}",
                settings.zone
            ));
        }
        // A schedule of one time starts and ends with it (API reference, `StartDate`).
        let bounded = !matches!(expression, Expression::At(_));
        let start = settings.start.filter(|_| bounded);
        Ok(Self {
            expression,
            zone,
            start,
            end: settings.end.filter(|_| bounded),
            window_ms: u64::from(settings.window_minutes.unwrap_or(0)) * 60_000,
            anchor: start.unwrap_or(created),
            number,
        })
    }

    /// The first due time of those that are named at `earliest` or later.
    pub fn from(&self, earliest: Timestamp) -> Option<Due> {
        let earliest = earliest.max(self.start.unwrap_or(earliest));
        let scheduled = match &self.expression {
            Expression::At(moment) => {
                instant(&self.zone, *moment).filter(|moment| *moment >= earliest)?
            }
            Expression::Rate(period) => {
                let past = earliest.as_millis().saturating_sub(self.anchor.as_millis());
                let periods = past.max(0).div_euclid(*period) + i64::from(past.max(0) % period > 0);
                later(self.anchor, periods.checked_mul(*period)?)
            }
            Expression::Cron(cron) => {
                let before = jiff::Timestamp::from_millisecond(earliest.as_millis()).ok()?;
                // One that is named at this very minute counts.
                let mut moment = self.zone.to_datetime(before);
                moment = moment
                    .checked_sub(jiff::SignedDuration::from_mins(1))
                    .ok()?;
                loop {
                    moment = cron.after(moment)?;
                    match instant(&self.zone, moment) {
                        Some(found) if found >= earliest => break found,
                        // Skipped by the clocks, or shown a second time.
                        _ => {}
                    }
                }
            }
        };
        if self.end.is_some_and(|end| scheduled > end) {
            return None;
        }
        Some(Due {
            scheduled,
            at: later(scheduled, self.place(scheduled)),
        })
    }

    /// The due time after one.
    pub fn after(&self, due: Due) -> Option<Due> {
        self.from(later(due.scheduled, 1))
    }

    /// Passes over due times from `due` on that were due before `oldest`: how many (at least), and the first that was
    /// not.
    pub fn pass(&self, due: Due, oldest: Timestamp) -> (u64, Option<Due>) {
        let (mut missed, mut next) = (0, Some(due));
        while let Some(due) = next.filter(|due| due.at < oldest) {
            missed += 1;
            next = if missed < MOST_COUNTED {
                self.after(due)
            } else {
                let window = i64::try_from(self.window_ms).unwrap_or(i64::MAX);
                let far = later(oldest, window.saturating_neg());
                self.from(far.max(later(due.scheduled, 1)))
            };
        }
        (missed, next)
    }

    /// How much later a time is fired, milliseconds: the same whenever it is asked for, on every node.
    fn place(&self, scheduled: Timestamp) -> i64 {
        if self.window_ms == 0 {
            return 0;
        }
        let mut digest = Sha256::new();
        digest.update(self.number.to_le_bytes());
        digest.update(scheduled.as_millis().to_le_bytes());
        let digest: [u8; 32] = digest.finalize().into();
        let number = digest
            .iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        i64::try_from(number % self.window_ms).unwrap_or(0)
    }
}

/// When the clocks of a zone show a time for the first time, if they do.
fn instant(zone: &TimeZone, moment: DateTime) -> Option<Timestamp> {
    let offset = match zone.to_ambiguous_timestamp(moment).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Fold { before, .. } => before,
        AmbiguousOffset::Gap { .. } => return None,
    };
    let found = offset.to_timestamp(moment).ok()?;
    Some(Timestamp::from_millis(found.as_millisecond()))
}
