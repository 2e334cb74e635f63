//! Instants as the API writes them.

use serde::{Deserialize, Serialize};

/// An instant, in milliseconds since the UNIX epoch. Whoever owns a clock makes these; nobody here reads one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `millis` milliseconds after the UNIX epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the UNIX epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The form of `LastModified` in the Lambda API: `2026-01-02T03:04:05.678+0000`.
    pub fn to_lambda_string(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => t.strftime("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string(),
            // Outside of the years that a date can be written in: only a damaged record holds such a value.
            Err(_) => "1970-01-01T00:00:00.000+0000".to_owned(),
        }
    }

    /// The form of function URLs' times in the Lambda API: `2026-01-02T03:04:05.678Z`.
    pub fn to_iso_string(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => t.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            Err(_) => "1970-01-01T00:00:00.000Z".to_owned(),
        }
    }

    /// The form of servers' access logs: `02/Jan/2026:03:04:05 +0000`.
    pub fn to_log_string(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => t.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            Err(_) => "01/Jan/1970:00:00:00 +0000".to_owned(),
        }
    }
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(t: std::time::SystemTime) -> Self {
        let millis = match t.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Self(millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambda_string_has_milliseconds_and_a_numeric_zone() {
        assert_eq!(
            Timestamp::from_millis(1_767_323_045_678).to_lambda_string(),
            "2026-01-02T03:04:05.678+0000"
        );
        assert_eq!(
            Timestamp::from_millis(0).to_lambda_string(),
            "1970-01-01T00:00:00.000+0000"
        );
    }
}
