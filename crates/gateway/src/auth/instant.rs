//! The instants that a signature speaks of.

use std::time::Duration;

use hearth_types::time::Timestamp;
use http::HeaderMap;
use http::header::DATE;

/// The date of a request: `X-Amz-Date`, or `Date` where the client has none of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedAt {
    /// `20150830T123600Z`: the form that is signed.
    text: String,
    at: Timestamp,
}

impl SignedAt {
    /// The date of something that is signed at `at`; whole seconds.
    pub(crate) fn of(at: Timestamp) -> Self {
        Self {
            text: basic(at),
            at,
        }
    }

    /// Reads ISO 8601's basic form, `20150830T123600Z`.
    pub(crate) fn from_basic(text: &str) -> Option<Self> {
        let bytes: &[u8; 16] = text.as_bytes().try_into().ok()?;
        if bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let number = |range: std::ops::Range<usize>| -> Option<i16> {
            bytes[range].iter().try_fold(0_i16, |sum, b| {
                b.is_ascii_digit()
                    .then(|| sum.wrapping_mul(10) + i16::from(b - b'0'))
            })
        };
        let small = |range| -> Option<i8> { i8::try_from(number(range)?).ok() };
        let date = jiff::civil::Date::new(number(0..4)?, small(4..6)?, small(6..8)?).ok()?;
        let time = jiff::civil::Time::new(small(9..11)?, small(11..13)?, small(13..15)?, 0).ok()?;
        let zoned = date
            .to_datetime(time)
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?;
        Some(Self {
            text: text.to_owned(),
            at: Timestamp::from_millis(zoned.timestamp().as_millisecond()),
        })
    }

    /// Reads the `Date` header: ISO 8601's basic form or the date of RFC 9110, section 5.6.7.
    fn from_date_header(text: &str) -> Option<Self> {
        Self::from_basic(text).or_else(|| {
            let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
            let at = Timestamp::from_millis(zoned.timestamp().as_millisecond());
            Some(Self::of(at))
        })
    }

    /// The date of a request that is signed in its headers. `X-Amz-Date` wins, as in every client.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        match headers.get("x-amz-date") {
            Some(value) => Self::from_basic(value.to_str().ok()?.trim()),
            None => Self::from_date_header(headers.get(DATE)?.to_str().ok()?.trim()),
        }
    }

    /// `20150830T123600Z`.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// `20150830`.
    pub(crate) fn day(&self) -> &str {
        self.text.get(..8).unwrap_or_default()
    }

    /// The instant.
    pub(crate) const fn at(&self) -> Timestamp {
        self.at
    }
}

/// `20150830T123600Z`.
pub(crate) fn basic(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.as_millis()) {
        Ok(at) => at.strftime("%Y%m%dT%H%M%SZ").to_string(),
        // Years that have no four digits: nothing that a client or a clock can say in good faith.
        Err(_) => "00000000T000000Z".to_owned(),
    }
}

/// `at` and `by` after it.
pub(crate) fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_add(by))
}

/// `at` and `by` before it.
pub(crate) fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(at.as_millis().saturating_sub(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basic_form_reads_back() {
        let signed = SignedAt::from_basic("20150830T123600Z").unwrap();
        assert_eq!(signed.at().as_millis(), 1_440_938_160_000);
        assert_eq!(signed.day(), "20150830");
        assert_eq!(basic(signed.at()), "20150830T123600Z");
    }

    #[test]
    fn dates_that_are_none_are_refused() {
        for bad in [
            "",
            "20150830T123600",
            "2015-08-30T12:36:00Z",
            "20151330T123600Z",
            "20150230T123600Z",
            "20150830T250000Z",
            "2015083 T123600Z",
            "+0150830T123600Z",
        ] {
            assert_eq!(SignedAt::from_basic(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_date_header_serves_when_there_is_no_other() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, "Sun, 30 Aug 2015 12:36:00 GMT".parse().unwrap());
        assert_eq!(
            SignedAt::from_headers(&headers).unwrap().as_str(),
            "20150830T123600Z"
        );
        headers.insert("x-amz-date", "20150830T123700Z".parse().unwrap());
        assert_eq!(
            SignedAt::from_headers(&headers).unwrap().as_str(),
            "20150830T123700Z"
        );
    }
}
