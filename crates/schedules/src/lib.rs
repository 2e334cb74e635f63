//! Schedules, by the API of Amazon EventBridge Scheduler.
//!
//! ```text
//! Schedules: an operation ─▶ request: checked ─▶ timing: when it is due ─▶ store
//! Dispatcher: the first due time ─▶ delivery: an event, or a message, once ─▶ store: due again, or over
//!                                      failed ─▶ again later ─▶ given up ─▶ the dead-letter queue
//! ```
//!
//! - [`cron`], [`expression`], [`timing`]: when a schedule is due, as pure functions of times.
//! - [`Schedules`]: the API's operations on the store; [`wire`] has its shapes, [`error`] what is refused.
//! - [`delivery`]: what of a firing a target is given. How it gets there, and what becomes of one that does not, is in
//!   `hearth-targets`.
//! - [`Dispatcher`]: the loop that fires what is due; it alone waits.
//!
//! It knows neither HTTP nor signatures, which are the gateway's, and runs no function: a firing is an event like any
//! other once it is accepted.

pub mod cron;
pub mod delivery;
mod dispatcher;
pub mod error;
pub mod expression;
mod groups;
mod inspect;
mod name;
mod payload;
mod request;
mod schedules;
pub mod timing;
pub mod wire;

pub use delivery::Delivery;
pub use dispatcher::Dispatcher;
pub use error::ScheduleError;
pub use hearth_store::schedules::Place;
pub use schedules::{Call, Schedules};

/// Tells the time.
pub type Clock = std::sync::Arc<dyn Fn() -> hearth_types::time::Timestamp + Send + Sync>;

/// The rules of time zones: the host's own if it has any, for they follow its updates, else those that came with the
/// node.
pub fn time_zones() -> jiff::tz::TimeZoneDatabase {
    const HOST: &str = "/usr/share/zoneinfo";
    match jiff::tz::TimeZoneDatabase::from_dir(HOST) {
        Ok(zones) if zones.get("Europe/Berlin").is_ok() => zones,
        _ => jiff::tz::TimeZoneDatabase::bundled(),
    }
}
