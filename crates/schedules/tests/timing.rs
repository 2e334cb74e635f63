//! When schedules are due: daylight saving time, starts and ends, windows, and what is passed over.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;

use hearth_schedules::timing::Timing;
use hearth_store::schedules::{Settings, Target};
use hearth_types::time::Timestamp;
use jiff::tz::TimeZoneDatabase;

fn settings(expression: &str, zone: &str) -> Settings {
    Settings {
        expression: expression.to_owned(),
        zone: zone.to_owned(),
        start: None,
        end: None,
        description: None,
        enabled: true,
        window_minutes: None,
        delete_after: false,
        target: Target {
            arn: String::new(),
            role: String::new(),
            input: None,
            message_group: None,
            dead_letters: None,
            most_age_seconds: None,
            most_retries: None,
        },
    }
}

fn timing(settings: &Settings) -> Timing {
    Timing::new(
        settings,
        &TimeZoneDatabase::bundled(),
        at("2026-01-01T00:00:00Z"),
        1,
    )
    .unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// The times that are named from a moment on, as seconds of UTC.
fn times(timing: &Timing, from: &str, count: usize) -> Vec<String> {
    let mut next = timing.from(at(from));
    let mut times = Vec::new();
    while let Some(due) = next.filter(|_| times.len() < count) {
        times.push(due.scheduled.to_iso_string().replace(".000Z", "Z"));
        next = timing.after(due);
    }
    times
}

#[test]
fn times_that_clocks_skip_are_passed_over() {
    // Berlin's clocks went from 02:00 to 03:00 on 29 March 2026, New York's on 8 March.
    let nightly = timing(&settings("cron(30 2 * * ? *)", "Europe/Berlin"));
    assert_eq!(
        times(&nightly, "2026-03-28T00:00:00Z", 2),
        ["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"]
    );
    let often = timing(&settings("cron(0/30 * * * ? *)", "America/New_York"));
    assert_eq!(
        times(&often, "2026-03-08T06:00:00Z", 4),
        [
            "2026-03-08T06:00:00Z",
            "2026-03-08T06:30:00Z",
            "2026-03-08T07:00:00Z",
            "2026-03-08T07:30:00Z"
        ]
    );
    // A whole day: there was no 30 December 2011 in Samoa.
    let noon = timing(&settings("cron(0 12 29-31 12 ? 2011)", "Pacific/Apia"));
    assert_eq!(
        times(&noon, "2011-12-01T00:00:00Z", 9),
        ["2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"]
    );
}

#[test]
fn times_that_clocks_show_twice_are_the_first() {
    // Berlin's clocks went from 03:00 to 02:00 on 25 October 2026.
    let nightly = timing(&settings("cron(30 2 * * ? *)", "Europe/Berlin"));
    assert_eq!(
        times(&nightly, "2026-10-24T00:00:00Z", 3),
        [
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z"
        ]
    );
    // From within the hour that is shown a second time.
    assert_eq!(
        times(&nightly, "2026-10-25T01:15:00Z", 1),
        ["2026-10-26T01:30:00Z"]
    );
    // Half an hour, on Lord Howe Island.
    let often = timing(&settings("cron(45 1 ? 4 SUN#1 *)", "Australia/Lord_Howe"));
    assert_eq!(
        times(&often, "2026-04-01T00:00:00Z", 1),
        ["2026-04-04T14:45:00Z"]
    );
    let once = timing(&settings("at(2026-10-25T02:30:00)", "Europe/Berlin"));
    assert_eq!(
        times(&once, "2026-01-01T00:00:00Z", 2),
        ["2026-10-25T00:30:00Z"]
    );
}

#[test]
fn zones_with_their_changes_agree_with_going_minute_by_minute() {
    let zones = TimeZoneDatabase::bundled();
    for (zone, from, days) in [
        ("Europe/Berlin", "2026-03-28T00:00:00Z", 3),
        ("Europe/Berlin", "2026-10-24T00:00:00Z", 3),
        ("America/St_Johns", "2026-03-07T00:00:00Z", 3),
        ("America/St_Johns", "2026-10-31T00:00:00Z", 3),
        ("Australia/Lord_Howe", "2026-04-03T00:00:00Z", 3),
        ("Australia/Lord_Howe", "2026-10-02T00:00:00Z", 3),
        ("Pacific/Apia", "2011-12-28T00:00:00Z", 5),
        ("Africa/Casablanca", "2026-02-13T00:00:00Z", 5),
        ("America/Scoresbysund", "2024-03-30T00:00:00Z", 3),
        ("UTC", "2026-03-28T00:00:00Z", 2),
    ] {
        for expression in [
            "cron(* * * * ? *)",
            "cron(0/7 0-4 * * ? *)",
            "cron(59 1-3 * * ? *)",
        ] {
            let of_zone = timing(&settings(expression, zone));
            let of_utc = timing(&settings(expression, "UTC"));
            let tz = zones.get(zone).unwrap();
            // What the zone's clocks show, minute after minute; what they have shown before does not count again. Those
            // that they showed just before the beginning are looked at for that.
            let start: jiff::Timestamp = from.parse().unwrap();
            let (mut shown, mut expected) = (BTreeSet::new(), Vec::new());
            for minute in -120..days * 24 * 60 {
                let instant = start + jiff::SignedDuration::from_mins(minute);
                let clock = tz.to_datetime(instant);
                let new = shown.insert(clock);
                let as_utc = clock.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
                let as_utc = Timestamp::from_millis(as_utc.as_millisecond());
                let is_named = of_utc
                    .from(as_utc)
                    .is_some_and(|due| due.scheduled == as_utc);
                if minute >= 0 && new && is_named {
                    expected.push(Timestamp::from_millis(instant.as_millisecond()));
                }
            }
            let mut found = Vec::new();
            let mut next = of_zone.from(at(from));
            while let Some(due) = next.filter(|_| found.len() < expected.len()) {
                found.push(due.scheduled);
                next = of_zone.after(due);
            }
            assert!(!expected.is_empty());
            assert_eq!(found, expected, "{expression} in {zone}");
        }
    }
}

#[test]
fn rates_count_from_their_start_through_every_change_of_clocks() {
    let mut daily = settings("rate(1 day)", "Europe/Berlin");
    assert_eq!(
        times(&timing(&daily), "2026-01-01T00:00:00Z", 2),
        ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    );
    daily.start = Some(at("2026-03-28T11:00:00Z"));
    assert_eq!(
        times(&timing(&daily), "2026-01-01T00:00:00Z", 3),
        [
            "2026-03-28T11:00:00Z",
            "2026-03-29T11:00:00Z",
            "2026-03-30T11:00:00Z"
        ]
    );
    assert_eq!(
        times(&timing(&daily), "2026-04-01T11:00:00.001Z", 1),
        ["2026-04-02T11:00:00Z"]
    );
    assert_eq!(
        times(&timing(&daily), "2026-04-01T11:00:00Z", 1),
        ["2026-04-01T11:00:00Z"]
    );
}

#[test]
fn starts_and_ends_are_within() {
    let mut hourly = settings("cron(0 * * * ? *)", "UTC");
    hourly.start = Some(at("2026-01-01T02:00:00Z"));
    hourly.end = Some(at("2026-01-01T04:00:00Z"));
    assert_eq!(
        times(&timing(&hourly), "2025-01-01T00:00:00Z", 9),
        [
            "2026-01-01T02:00:00Z",
            "2026-01-01T03:00:00Z",
            "2026-01-01T04:00:00Z"
        ]
    );
    hourly.expression = "rate(1 hour)".to_owned();
    assert_eq!(times(&timing(&hourly), "2025-01-01T00:00:00Z", 9).len(), 3);
    // A schedule of one time has neither.
    hourly.expression = "at(2026-06-01T00:00:00)".to_owned();
    assert_eq!(
        times(&timing(&hourly), "2025-01-01T00:00:00Z", 9),
        ["2026-06-01T00:00:00Z"]
    );
    assert_eq!(timing(&hourly).from(at("2026-06-01T00:00:00.001Z")), None);
}

#[test]
fn zones_are_those_of_the_iana() {
    let zones = TimeZoneDatabase::bundled();
    for bad in [
        "",
        "Berlin",
        "Europe/Atlantis",
        "../UTC",
        "Europe/Berlin\0",
        "/etc/localtime",
    ] {
        let settings = settings("rate(1 day)", bad);
        assert!(
            Timing::new(&settings, &zones, at("2026-01-01T00:00:00Z"), 1).is_err(),
            "{bad}"
        );
    }
    let skipped = settings("at(2026-03-29T02:30:00)", "Europe/Berlin");
    assert!(Timing::new(&skipped, &zones, at("2026-01-01T00:00:00Z"), 1).is_err());
}

#[test]
fn windows_spread_by_a_hash_that_does_not_change() {
    let mut flexible = settings("cron(0 * * * ? *)", "UTC");
    flexible.window_minutes = Some(10);
    let one = timing(&flexible);
    let (mut next, mut places) = (one.from(at("2026-01-01T00:00:00Z")), BTreeSet::new());
    for _ in 0..500 {
        let due = next.unwrap();
        let place = due.at.as_millis() - due.scheduled.as_millis();
        assert!((0..600_000).contains(&place));
        assert_eq!(timing(&flexible).from(due.scheduled), Some(due));
        places.insert(place / 60_000);
        next = one.after(due);
    }
    assert_eq!(places.len(), 10, "every minute of the window is used");
    // Another schedule has other places.
    let other = Timing::new(
        &flexible,
        &TimeZoneDatabase::bundled(),
        at("2026-01-01T00:00:00Z"),
        2,
    )
    .unwrap();
    assert_ne!(
        other.from(at("2026-01-01T00:00:00Z")),
        one.from(at("2026-01-01T00:00:00Z"))
    );
}

#[test]
fn what_is_too_old_is_passed_over_and_counted() {
    for (expression, count, missed) in [
        ("cron(* * * * ? *)", 600, 600),
        ("rate(1 minute)", 600, 600),
        ("rate(1 minute)", 100_000, 1_000),
        ("cron(* * * * ? *)", 100_000, 1_000),
    ] {
        let minutely = timing(&settings(expression, "UTC"));
        let first = minutely.from(at("2026-01-01T00:00:00Z")).unwrap();
        let oldest = Timestamp::from_millis(first.at.as_millis() + count * 60_000);
        let (passed, next) = minutely.pass(first, oldest);
        assert_eq!(
            (passed, next.map(|due| due.at)),
            (missed, Some(oldest)),
            "{expression}"
        );
    }
    let once = timing(&settings("at(2026-01-01T00:00:00)", "UTC"));
    let due = once.from(at("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(once.pass(due, at("2026-01-01T00:00:00.001Z")), (1, None));
    assert_eq!(once.pass(due, at("2026-01-01T00:00:00Z")), (0, Some(due)));
}
