//! Schedule expressions: `at(…)`, `cron(…)` and `rate(…)`.

use jiff::civil::DateTime;

use crate::cron::Cron;

const MINUTE_MS: i64 = 60_000;

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Once, at a time of the schedule's zone.
    At(DateTime),
    /// Whenever a calendar says so.
    Cron(Box<Cron>),
    /// Again and again, after so many milliseconds.
    Rate(i64),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong, in a sentence without its end.
    pub fn read(text: &str) -> Result<Self, String> {
        let inner = |kind: &str| {
            text.strip_prefix(kind)?
                .strip_prefix('(')?
                .strip_suffix(')')
        };
        if let Some(fields) = inner("cron") {
            return Cron::read(fields).map(|cron| Self::Cron(Box::new(cron)));
        }
        if let Some(rate) = inner("rate") {
            return rate_of(rate).map(Self::Rate);
        }
        if let Some(moment) = inner("at") {
            return at_of(moment).map(Self::At);
        }
        Err("use at(yyyy-mm-ddThh:mm:ss), rate(value unit) or cron(fields)".to_owned())
    }
}

fn rate_of(text: &str) -> Result<i64, String> {
    let parts: Vec<&str> = text.split_ascii_whitespace().collect();
    let [value, unit] = parts.as_slice() else {
        return Err("rate takes a value and a unit, as in rate(5 minutes)".to_owned());
    };
    let unit = match *unit {
        "minute" | "minutes" => MINUTE_MS,
        "hour" | "hours" => 60 * MINUTE_MS,
        "day" | "days" => 24 * 60 * MINUTE_MS,
        other => return Err(format!("'{other}' is not minutes, hours or days")),
    };
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    let value = value
        .parse()
        .ok()
        .filter(|value: &i64| *value > 0 && digits);
    value
        .and_then(|value| value.checked_mul(unit))
        .ok_or_else(|| "the value of a rate is a positive number".to_owned())
}

fn at_of(text: &str) -> Result<DateTime, String> {
    // What the library reads besides (fractions, spaces, offsets) is not of this form.
    let form = |text: &str| {
        text.len() == 19
            && text
                .bytes()
                .zip(*b"0000-00-00T00:00:00")
                .all(|(b, of)| match of {
                    b'0' => b.is_ascii_digit(),
                    of => b == of,
                })
    };
    text.parse()
        .ok()
        .filter(|_| form(text))
        .ok_or_else(|| format!("'{text}' is not a time of the form yyyy-mm-ddThh:mm:ss"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    #[test]
    fn expressions_are_read() {
        for (text, period) in [
            ("rate(1 minute)", 60_000),
            ("rate(5 minutes)", 300_000),
            ("rate(1 hours)", 3_600_000),
            ("rate(7 days)", 604_800_000),
        ] {
            assert_eq!(Expression::read(text), Ok(Expression::Rate(period)));
        }
        let at = Expression::read("at(2026-02-28T23:59:59)").unwrap();
        assert_eq!(
            at,
            Expression::At(jiff::civil::datetime(2026, 2, 28, 23, 59, 59, 0))
        );
        assert!(matches!(
            Expression::read("cron(0 12 * * ? *)"),
            Ok(Expression::Cron(_))
        ));
    }

    #[test]
    fn others_are_refused() {
        for bad in [
            "",
            "cron",
            "cron()",
            "rate()",
            "rate(5)",
            "rate(0 minutes)",
            "rate(-1 minutes)",
            "rate(+1 minutes)",
            "rate(1.5 hours)",
            "rate(5 seconds)",
            "rate(5 Minutes)",
            "rate(9223372036854775807 days)",
            "Rate(5 minutes)",
            " rate(5 minutes)",
            "at(2026-02-29T00:00:00)",
            "at(2026-02-28 00:00:00)",
            "at(2026-02-28T00:00)",
            "at(2026-02-28T00:00:00Z)",
            "at(2026-02-28T00:00:00.5)",
            "at(2026-02-28T24:00:00)",
            "every day",
        ] {
            assert!(Expression::read(bad).is_err(), "{bad}");
        }
    }
}
