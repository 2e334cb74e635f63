//! `cron(…)` of EventBridge Scheduler: six fields, of which one of the two for days is `?`.
//!
//! Minutes `0-59`, hours `0-23`, day of the month `1-31`, month `1-12` or `JAN-DEC`, day of the week `1-7` or `SUN-SAT`,
//! year `1970-2199`; lists, ranges (which may go round the end, as in `FRI-MON`) and steps in all of them. Days of the
//! month also take `L`, `LW` and `15W`, days of the week `L`, `6L` and `6#3`, each alone (EventBridge Scheduler user
//! guide, "Cron-based schedules").
//!
//! It knows calendars, and neither zones nor clocks.

use jiff::civil::{Date, DateTime, Time};

/// The first year that can be named, and the last.
const YEARS: (u16, u16) = (1970, 2199);
const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A set of the numbers below 256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Set([u64; 4]);

impl Set {
    fn add(&mut self, number: u16) {
        if let Some(word) = self.0.get_mut(usize::from(number / 64)) {
            *word |= 1 << (number % 64);
        }
    }

    fn has(&self, number: u16) -> bool {
        let word = self.0.get(usize::from(number / 64));
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}

/// Which days of a month.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    OfMonth(Set),
    /// `L`.
    Last,
    /// `LW`: the last from Monday to Friday.
    LastWorkday,
    /// `15W`: that from Monday to Friday which is nearest, in the same month.
    NearestWorkday(u8),
    OfWeek(Set),
    /// `6L`: the last such day of the week.
    LastOfWeek(u8),
    /// `6#3`: the third such day of the week.
    NthOfWeek(u8, u8),
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: Set,
    hours: Set,
    days: Days,
    months: Set,
    years: Set,
}

/// A field: how it is called, and what it takes.
struct Field {
    name: &'static str,
    least: u16,
    most: u16,
    /// What is taken off a number before it is put into a set.
    origin: u16,
    names: &'static [&'static str],
}

impl Field {
    fn refuse(&self, text: &str) -> String {
        let Self {
            name, least, most, ..
        } = self;
        let names = match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => format!(" or {first}-{last}"),
            _ => String::new(),
        };
        format!(
            "'{text}' is not valid for {name}: use {least}-{most}{names}, lists (,), ranges (-), steps (/) or *"
        )
    }

    fn number(&self, text: &str) -> Result<u16, String> {
        let mut named = self.names.iter().zip(self.least..);
        let named = named.find(|(name, _)| name.eq_ignore_ascii_case(text));
        let named = named.map(|(_, number)| number);
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = named.or_else(|| text.parse().ok().filter(|_| digits));
        number
            .filter(|number| (self.least..=self.most).contains(number))
            .map(|number| number - self.origin)
            .ok_or_else(|| self.refuse(text))
    }

    fn set(&self, text: &str) -> Result<Set, String> {
        let mut set = Set::default();
        let (low, high) = (self.least - self.origin, self.most - self.origin);
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => {
                    let digits = step.bytes().all(|b| b.is_ascii_digit());
                    let step = step.parse().ok().filter(|step: &u16| *step > 0 && digits);
                    (range, Some(step.ok_or_else(|| self.refuse(part))?))
                }
                None => (part, None),
            };
            let (first, last) = match (range, range.split_once('-'), step) {
                ("*", ..) => (low, high),
                (_, Some((first, last)), _) => (self.number(first)?, self.number(last)?),
                (one, None, Some(_)) => (self.number(one)?, high),
                (one, None, None) => (self.number(one)?, self.number(one)?),
            };
            // A range that goes round the end.
            let count = high - low + 1;
            let length = if first <= last {
                last - first
            } else if self.origin > 0 {
                return Err(self.refuse(part));
            } else {
                last + count - first
            };
            for offset in (0..=length).step_by(usize::from(step.unwrap_or(1))) {
                set.add(low + (first - low + offset) % count);
            }
        }
        Ok(set)
    }
}

const DAY_OF_MONTH: Field = Field {
    name: "the day of the month",
    least: 1,
    most: 31,
    origin: 0,
    names: &[],
};
const DAY_OF_WEEK: Field = Field {
    name: "the day of the week",
    least: 1,
    most: 7,
    origin: 0,
    names: &WEEKDAYS,
};

fn days_of_month(text: &str) -> Result<Days, String> {
    if text.eq_ignore_ascii_case("L") {
        return Ok(Days::Last);
    }
    if text.eq_ignore_ascii_case("LW") {
        return Ok(Days::LastWorkday);
    }
    match text.strip_suffix(['W', 'w']) {
        Some(day) => Ok(Days::NearestWorkday(DAY_OF_MONTH.number(day)? as u8)),
        None => Ok(Days::OfMonth(DAY_OF_MONTH.set(text)?)),
    }
}

fn days_of_week(text: &str) -> Result<Days, String> {
    if let Some((day, nth)) = text.split_once('#') {
        let day = DAY_OF_WEEK.number(day)? as u8;
        let nth = nth.parse().ok().filter(|nth| (1..=5).contains(nth));
        let nth = nth.ok_or_else(|| format!("'{text}' is not valid: use 1 to 5 after #"))?;
        return Ok(Days::NthOfWeek(day, nth));
    }
    match text.strip_suffix(['L', 'l']) {
        // The week's last day.
        Some("") => DAY_OF_WEEK.set("7").map(Days::OfWeek),
        Some(day) => Ok(Days::LastOfWeek(DAY_OF_WEEK.number(day)? as u8)),
        None => Ok(Days::OfWeek(DAY_OF_WEEK.set(text)?)),
    }
}

impl Cron {
    /// Reads what is between the parentheses.
    ///
    /// # Errors
    /// What is wrong, in a sentence without its end.
    pub fn read(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minutes, hours, day_of_month, months, day_of_week, years] = fields.as_slice() else {
            return Err(format!(
                "cron takes six fields (minutes, hours, day of the month, month, day of the week, year), not {}",
                fields.len()
            ));
        };
        let field = |name, (least, most), names| Field {
            name,
            least,
            most,
            origin: if least == YEARS.0 { least } else { 0 },
            names,
        };
        let days = match (*day_of_month, *day_of_week) {
            (of_month, "?") if of_month != "?" => days_of_month(of_month)?,
            ("?", of_week) if of_week != "?" => days_of_week(of_week)?,
            _ => {
                return Err(
                    "of the day of the month and the day of the week, one must be ? and the other not"
                        .to_owned(),
                );
            }
        };
        Ok(Self {
            minutes: field("minutes", (0, 59), &[]).set(minutes)?,
            hours: field("hours", (0, 23), &[]).set(hours)?,
            days,
            months: field("the month", (1, 12), &MONTHS).set(months)?,
            years: field("the year", YEARS, &[]).set(years)?,
        })
    }

    /// The first time after `moment` that the expression names, whole minutes.
    pub fn after(&self, moment: DateTime) -> Option<DateTime> {
        let next = moment.checked_add(jiff::Span::new().minutes(1)).ok()?;
        let from = DateTime::from_parts(
            next.date(),
            Time::new(next.hour(), next.minute(), 0, 0).ok()?,
        );
        let mut month = from.date().first_of_month();
        while let Some(year) = year_index(month) {
            if self.years.has(year) && self.months.has(month.month() as u16) {
                for day in 0..month.days_in_month() {
                    let date = month.checked_add(jiff::Span::new().days(day)).ok()?;
                    if date < from.date() || !self.days.hold(date) {
                        continue;
                    }
                    let earliest = if date == from.date() {
                        from.time()
                    } else {
                        Time::midnight()
                    };
                    if let Some(time) = self.time_from(earliest) {
                        return Some(DateTime::from_parts(date, time));
                    }
                }
            }
            month = if self.years.has(year) {
                month.checked_add(jiff::Span::new().months(1)).ok()?
            } else {
                Date::new(month.year() + 1, 1, 1).ok()?
            };
        }
        None
    }

    /// The first time of a day from `earliest` on.
    fn time_from(&self, earliest: Time) -> Option<Time> {
        for hour in earliest.hour()..24 {
            if !self.hours.has(hour as u16) {
                continue;
            }
            let least = if hour == earliest.hour() {
                earliest.minute()
            } else {
                0
            };
            let minute = (least..60).find(|minute| self.minutes.has(*minute as u16));
            if let Some(minute) = minute {
                return Time::new(hour, minute, 0, 0).ok();
            }
        }
        None
    }
}

/// A year's place among those that can be named; those before the first count as it.
fn year_index(date: Date) -> Option<u16> {
    let year = u16::try_from(date.year()).unwrap_or(0).max(YEARS.0);
    (year <= YEARS.1).then(|| year - YEARS.0)
}

/// 1 for Sunday to 7 for Saturday.
fn weekday(date: Date) -> u8 {
    date.weekday().to_sunday_one_offset() as u8
}

impl Days {
    fn hold(&self, date: Date) -> bool {
        let day = date.day() as u8;
        match self {
            Self::OfMonth(days) => days.has(u16::from(day)),
            Self::Last => date.day() == date.days_in_month(),
            Self::LastWorkday => Some(date) == last_workday(date),
            Self::NearestWorkday(wanted) => Some(date) == nearest_workday(date, *wanted),
            Self::OfWeek(days) => days.has(u16::from(weekday(date))),
            Self::LastOfWeek(wanted) => {
                weekday(date) == *wanted && date.day() + 7 > date.days_in_month()
            }
            Self::NthOfWeek(wanted, nth) => weekday(date) == *wanted && (day - 1) / 7 + 1 == *nth,
        }
    }
}

fn is_workday(date: Date) -> bool {
    !matches!(weekday(date), 1 | 7)
}

fn last_workday(date: Date) -> Option<Date> {
    let mut last = date.last_of_month();
    while !is_workday(last) {
        last = last.yesterday().ok()?;
    }
    Some(last)
}

/// The working day nearest to day `wanted` of a date's month, if that month has it.
fn nearest_workday(date: Date, wanted: u8) -> Option<Date> {
    let day = Date::new(date.year(), date.month(), i8::try_from(wanted).ok()?).ok()?;
    let offset = match (weekday(day), day.day()) {
        // The month is not left: the nearest is on the other side then.
        (7, 1) => 2,
        (7, _) => -1,
        (1, last) if last == day.days_in_month() => -2,
        (1, _) => 1,
        _ => 0,
    };
    day.checked_add(jiff::Span::new().days(offset)).ok()
}
