//! How schedules and their groups are named.

use hearth_store::schedules::Place;

use crate::error::ScheduleError;

/// The group that is always there.
pub(crate) const DEFAULT: &str = "default";
/// Most characters of a name (service model, `Name`).
const CHARACTERS: usize = 64;

/// Checks a name: letters, digits, `-`, `_` and `.`.
pub(crate) fn check<'a>(name: &'a str, member: &str) -> Result<&'a str, ScheduleError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if (1..=CHARACTERS).contains(&name.len()) && name.bytes().all(good) {
        return Ok(name);
    }
    Err(ScheduleError::invalid(format!(
        "{member} must be 1 to {CHARACTERS} letters, digits, '-', '_' and '.'."
    )))
}

/// Checks the beginning of a name; nothing is the beginning of all.
pub(crate) fn check_prefix(prefix: Option<&str>) -> Result<String, ScheduleError> {
    match prefix {
        None => Ok(String::new()),
        Some(prefix) => check(prefix, "NamePrefix").map(str::to_owned),
    }
}

/// A schedule's ARN.
pub(crate) fn arn(place: &Place, group: &str, name: &str) -> String {
    let Place { account, region } = place;
    format!("arn:aws:scheduler:{region}:{account}:schedule/{group}/{name}")
}

/// A group's ARN.
pub(crate) fn group_arn(place: &Place, name: &str) -> String {
    let Place { account, region } = place;
    format!("arn:aws:scheduler:{region}:{account}:schedule-group/{name}")
}

/// The group that an ARN names.
pub(crate) fn group_of_arn<'a>(place: &Place, arn: &'a str) -> Result<&'a str, ScheduleError> {
    let prefix = group_arn(place, "");
    let name = arn.strip_prefix(prefix.as_str()).ok_or_else(|| {
        ScheduleError::invalid(format!(
            "ResourceArn must be that of a schedule group of this account and region: {prefix}name. Schedules have no tags \
             of their own."
        ))
    })?;
    check(name, "ResourceArn")
}
