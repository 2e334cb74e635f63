//! `cron(…)`, compared with going through calendars minute by minute and with another implementation.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;

use croner::parser::{CronParser, Seconds, Year};
use hearth_schedules::cron::Cron;
use hearth_store::conformance::random::Random;
use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime, date, datetime};

/// The first `count` times after a moment.
fn times(text: &str, mut moment: DateTime, count: usize) -> Vec<DateTime> {
    let cron = Cron::read(text).unwrap();
    let mut times = Vec::new();
    while times.len() < count {
        match cron.after(moment) {
            Some(next) => times.push(next),
            None => break,
        }
        moment = *times.last().unwrap();
    }
    times
}

fn check(text: &str, expected: &[&str]) {
    let expected: Vec<DateTime> = expected.iter().map(|text| text.parse().unwrap()).collect();
    let found = times(text, datetime(2026, 1, 1, 0, 0, 0, 0), expected.len());
    assert_eq!(found, expected, "{text}");
}

#[test]
fn every_form_means_what_the_guide_says() {
    check("0 10 * * ? *", &["2026-01-01T10:00", "2026-01-02T10:00"]);
    check("15 12 * * ? *", &["2026-01-01T12:15", "2026-01-02T12:15"]);
    check(
        "0 18 ? * MON-FRI *",
        &["2026-01-01T18:00", "2026-01-02T18:00", "2026-01-05T18:00"],
    );
    check("0 8 1 * ? *", &["2026-01-01T08:00", "2026-02-01T08:00"]);
    check(
        "0/10 * ? * MON-FRI *",
        &["2026-01-01T00:10", "2026-01-01T00:20"],
    );
    check(
        "0/5 8-17 ? * MON-FRI *",
        &["2026-01-01T08:00", "2026-01-01T08:05"],
    );
    check(
        "0 9 ? * 2#1 *",
        &["2026-01-05T09:00", "2026-02-02T09:00", "2026-03-02T09:00"],
    );
    check("0 9 ? * TUE#5 *", &["2026-03-31T09:00", "2026-06-30T09:00"]);
    check(
        "15 10 ? * 6L 2026-2027",
        &["2026-01-30T10:15", "2026-02-27T10:15"],
    );
    check("0 0 ? * L *", &["2026-01-03T00:00", "2026-01-10T00:00"]);
    check(
        "0 0 L * ? *",
        &["2026-01-31T00:00", "2026-02-28T00:00", "2026-03-31T00:00"],
    );
    check(
        "0 0 L 2 ? *",
        &["2026-02-28T00:00", "2027-02-28T00:00", "2028-02-29T00:00"],
    );
    // The 31st of January 2026 is a Saturday, the 28th of February too.
    check(
        "0 0 LW * ? *",
        &["2026-01-30T00:00", "2026-02-27T00:00", "2026-03-31T00:00"],
    );
    // The 1st of February is a Sunday, the 1st of August a Saturday: the month is not left.
    check("0 0 1W 2,8 ? *", &["2026-02-02T00:00", "2026-08-03T00:00"]);
    // The 31st of May is a Sunday; June has none.
    check("0 0 31W 5-7 ? *", &["2026-05-29T00:00", "2026-07-31T00:00"]);
    check("0 0 15W 8 ? *", &["2026-08-14T00:00", "2027-08-16T00:00"]);
    check("0 0 29 FEB ? *", &["2028-02-29T00:00", "2032-02-29T00:00"]);
    check("30 23 ? jan,dec sat *", &["2026-01-03T23:30"]);
    check(
        "0 22-1 * * ? *",
        &[
            "2026-01-01T01:00",
            "2026-01-01T22:00",
            "2026-01-01T23:00",
            "2026-01-02T00:00",
        ],
    );
    check(
        "0 0 ? * FRI-MON *",
        &[
            "2026-01-02T00:00",
            "2026-01-03T00:00",
            "2026-01-04T00:00",
            "2026-01-05T00:00",
            "2026-01-09T00:00",
        ],
    );
    check(
        "0 0 1 1 ? 2030/50",
        &[
            "2030-01-01T00:00",
            "2080-01-01T00:00",
            "2130-01-01T00:00",
            "2180-01-01T00:00",
        ],
    );
}

#[test]
fn what_names_no_time_any_more_has_an_end() {
    for text in ["0 0 30 2 ? *", "0 0 1 1 ? 1999", "0 0 31W 2,4,6 ? *"] {
        assert_eq!(
            times(text, datetime(2026, 1, 1, 0, 0, 0, 0), 1),
            [],
            "{text}"
        );
    }
    let last = datetime(2199, 12, 31, 23, 59, 0, 0);
    assert_eq!(
        times("59 23 31 12 ? 2199", datetime(2026, 1, 1, 0, 0, 0, 0), 2),
        [last]
    );
    assert_eq!(times("* * * * ? *", last, 1), []);
    let max = DateTime::MAX;
    assert_eq!(times("* * * * ? *", max, 1), []);
}

#[test]
fn others_are_refused() {
    for bad in [
        "",
        "* * * * *",
        "* * * * ? * *",
        "* * * * * *",
        "* * ? * ? *",
        "* * 1 * MON *",
        "60 * * * ? *",
        "* 24 * * ? *",
        "* * 0 * ? *",
        "* * 32 * ? *",
        "* * * 0 ? *",
        "* * * 13 ? *",
        "* * ? * 0 *",
        "* * ? * 8 *",
        "* * * * ? 1969",
        "* * * * ? 2200",
        "* * * * ? 2030-2020",
        "? * * * ? *",
        "* * * ? ? *",
        "* * * * ? ?",
        "-1 * * * ? *",
        "+1 * * * ? *",
        "1, * * * ? *",
        ",1 * * * ? *",
        "1- * * * ? *",
        "*/0 * * * ? *",
        "*/ * * * ? *",
        "*/-1 * * * ? *",
        "/5 * * * ? *",
        "1/2/3 * * * ? *",
        "1-2-3 * * * ? *",
        "L * * * ? *",
        "* * L,1 * ? *",
        "* * 1,15W * ? *",
        "* * W * ? *",
        "* * 1-5W * ? *",
        "* * ? * 3#1,6#3 *",
        "* * ? * 3#0 *",
        "* * ? * 3#6 *",
        "* * ? * #1 *",
        "* * ? * MONDAY *",
        "* * * JANUARY ? *",
        "JAN * * * ? *",
        "* * ? * MON-5L *",
        "99999999999999999999 * * * ? *",
        "* * ２ * ? *",
    ] {
        assert!(Cron::read(bad).is_err(), "{bad}");
    }
}

/// A field as text, and the numbers that it means.
struct Field {
    text: String,
    numbers: BTreeSet<i64>,
}

fn field(random: &mut Random, least: i64, most: i64) -> Field {
    let between = |random: &mut Random| least + random.below((most - least + 1) as u64) as i64;
    match random.below(6) {
        0 | 1 => Field {
            text: "*".to_owned(),
            numbers: (least..=most).collect(),
        },
        2 => {
            let step = 1 + random.below(20) as i64;
            Field {
                text: format!("*/{step}"),
                numbers: (least..=most).filter(|n| (n - least) % step == 0).collect(),
            }
        }
        3 => {
            let (first, step) = (between(random), 1 + random.below(9) as i64);
            Field {
                text: format!("{first}/{step}"),
                numbers: (first..=most).filter(|n| (n - first) % step == 0).collect(),
            }
        }
        4 => {
            let (a, b) = (between(random), between(random));
            let (first, last) = (a.min(b), a.max(b));
            Field {
                text: format!("{first}-{last}"),
                numbers: (first..=last).collect(),
            }
        }
        _ => {
            let numbers: BTreeSet<i64> = (0..=random.below(3)).map(|_| between(random)).collect();
            let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
            Field {
                text: texts.join(","),
                numbers,
            }
        }
    }
}

fn weekday(date: Date) -> i64 {
    i64::from(date.weekday().to_sunday_one_offset())
}

fn is_workday(date: Date) -> bool {
    (2..=6).contains(&weekday(date))
}

/// Whether a date is one of those that are meant.
type Days = Box<dyn Fn(Date) -> bool>;

/// The two fields for days as text, and which days they mean: told by looking at all of the month.
fn days(random: &mut Random) -> (String, String, Days) {
    let month = |date: Date| {
        (0..date.days_in_month()).map(move |day| date.first_of_month() + i64::from(day).days())
    };
    let of_month = |text: String, days: Days| (text, "?".to_owned(), days);
    let of_week = |text: String, days: Days| ("?".to_owned(), text, days);
    match random.below(8) {
        0 | 1 => {
            let Field { text, numbers } = field(random, 1, 31);
            of_month(
                text,
                Box::new(move |date| numbers.contains(&i64::from(date.day()))),
            )
        }
        2 | 3 => {
            let Field { text, numbers } = field(random, 1, 7);
            of_week(text, Box::new(move |date| numbers.contains(&weekday(date))))
        }
        4 => of_month(
            "L".to_owned(),
            Box::new(move |date| month(date).next_back() == Some(date)),
        ),
        5 => {
            let day = 1 + random.below(31) as i8;
            let nearest = move |date: Date| {
                let wanted = month(date).find(|other| other.day() == day)?;
                let mut near: Vec<_> = month(date).filter(|other| is_workday(*other)).collect();
                near.sort_by_key(|other| (other.day() - wanted.day()).abs());
                near.first().copied()
            };
            of_month(
                format!("{day}W"),
                Box::new(move |date| nearest(date) == Some(date)),
            )
        }
        6 => {
            let day = 1 + random.below(7) as i64;
            let last = move |date| month(date).rfind(|other| weekday(*other) == day);
            of_week(
                format!("{day}L"),
                Box::new(move |date| last(date) == Some(date)),
            )
        }
        _ => {
            let (day, nth) = (1 + random.below(7) as i64, 1 + random.below(5) as usize);
            let found = move |date| {
                month(date)
                    .filter(|other| weekday(*other) == day)
                    .nth(nth - 1)
            };
            of_week(
                format!("{day}#{nth}"),
                Box::new(move |date| found(date) == Some(date)),
            )
        }
    }
}

/// A random expression, and whether a time is one that it means.
fn expression(random: &mut Random) -> (String, Box<dyn Fn(DateTime) -> bool>) {
    let (minutes, hours) = (field(random, 0, 59), field(random, 0, 23));
    let (of_month, of_week, days) = days(random);
    let (months, years) = (field(random, 1, 12), field(random, 2020, 2040));
    let year = years.text.replace("*/", "2020-2040/");
    let year = if year == "*" {
        "2020-2040".to_owned()
    } else {
        year
    };
    // A step without a range goes on to the last year that there is.
    let year = match year.split_once('/') {
        Some((first, step)) if !first.contains('-') => format!("{first}-2040/{step}"),
        _ => year,
    };
    let text = format!(
        "{} {} {of_month} {} {of_week} {year}",
        minutes.text, hours.text, months.text
    );
    let is = move |moment: DateTime| {
        minutes.numbers.contains(&i64::from(moment.minute()))
            && hours.numbers.contains(&i64::from(moment.hour()))
            && months.numbers.contains(&i64::from(moment.month()))
            && years.numbers.contains(&i64::from(moment.year()))
            && days(moment.date())
    };
    (text, Box::new(is))
}

fn moment(random: &mut Random) -> DateTime {
    let day = date(2025, 1, 1) + (random.below(3_650) as i64).days();
    day.at(
        random.below(24) as i8,
        random.below(60) as i8,
        random.below(60) as i8,
        0,
    )
}

#[test]
fn times_are_those_that_going_minute_by_minute_finds() {
    let mut random = Random::new(1);
    for _ in 0..300 {
        let (text, is) = expression(&mut random);
        let from = moment(&mut random);
        let end = from + 20.days();
        let mut expected = Vec::new();
        let mut minute = from.date().at(from.hour(), from.minute(), 0, 0);
        while expected.len() < 200 {
            minute += 1.minute();
            if minute > end {
                break;
            }
            if is(minute) {
                expected.push(minute);
            }
        }
        let mut found = times(&text, from, expected.len() + 1);
        // The one after the last is beyond what was looked at.
        let beyond = found.split_off(expected.len().min(found.len()));
        assert_eq!(found, expected, "cron({text}) after {from}");
        if expected.len() < 200 {
            assert!(
                beyond.iter().all(|next| *next > end),
                "cron({text}) after {from}: {beyond:?}"
            );
        }
    }
}

#[test]
fn another_implementation_says_the_same() {
    let parser = CronParser::builder()
        .seconds(Seconds::Required)
        .year(Year::Required)
        .alternative_weekdays(true)
        .sloppy_ranges(true)
        .build();
    let mut random = Random::new(2);
    let mut compared = 0;
    for _ in 0..2_000 {
        let (text, _) = expression(&mut random);
        let from = moment(&mut random);
        let other = parser
            .parse(&format!("0 {text}"))
            .unwrap_or_else(|error| panic!("cron({text}): {error}"));
        let mut expected = Vec::new();
        let mut last = from;
        for _ in 0..5 {
            match other.find_next_occurrence(&last, false) {
                Ok(next) if next.year() <= 2040 => last = next,
                _ => break,
            }
            expected.push(last);
        }
        compared += expected.len();
        assert_eq!(times(&text, from, 5), expected, "cron({text}) after {from}");
    }
    assert!(
        compared > 5_000,
        "{compared} times are too few to say anything"
    );
}
