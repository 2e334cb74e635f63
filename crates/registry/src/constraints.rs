//! Rules of the service model on single members, in the words in which the service reports their breach.

use std::fmt::Display;
use std::ops::RangeInclusive;

use hearth_types::ApiError;
use hearth_types::error::ErrorKind;

/// Characters of a refused value that are shown: a hostile one must not be echoed whole.
const SHOWN: usize = 200;

/// Collects every breach of a request, so that the caller learns of all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Constraints(Vec<String>);

impl Constraints {
    /// `value` at `member` breaks `rule` (`Member must …`).
    pub(crate) fn breach(&mut self, member: &str, value: impl Display, rule: impl Display) {
        let shown: String = value.to_string().chars().take(SHOWN).collect();
        self.0.push(format!(
            "Value '{shown}' at '{member}' failed to satisfy constraint: {rule}"
        ));
    }

    /// As [`breach`](Self::breach), of a member whose value must not be shown.
    pub(crate) fn hidden_breach(&mut self, member: &str, rule: impl Display) {
        self.0.push(format!(
            "Value at '{member}' failed to satisfy constraint: {rule}"
        ));
    }

    /// The member must be there.
    pub(crate) fn required(&mut self, member: &str, present: bool) {
        if !present {
            self.0.push(format!(
                "Value null at '{member}' failed to satisfy constraint: Member must not be null"
            ));
        }
    }

    /// The number must be in the range.
    pub(crate) fn range(&mut self, member: &str, value: i64, range: RangeInclusive<i64>) {
        if value < *range.start() {
            let least = range.start();
            self.breach(
                member,
                value,
                format_args!("Member must have value greater than or equal to {least}"),
            );
        } else if value > *range.end() {
            let most = range.end();
            self.breach(
                member,
                value,
                format_args!("Member must have value less than or equal to {most}"),
            );
        }
    }

    /// The text must have so many characters.
    pub(crate) fn length(&mut self, member: &str, value: &str, range: RangeInclusive<usize>) {
        let length = value.chars().count();
        if length < *range.start() {
            let least = range.start();
            self.breach(
                member,
                value,
                format_args!("Member must have length greater than or equal to {least}"),
            );
        } else if length > *range.end() {
            let most = range.end();
            self.breach(
                member,
                value,
                format_args!("Member must have length less than or equal to {most}"),
            );
        }
    }

    /// The text must satisfy a pattern (which the caller has checked).
    pub(crate) fn pattern(&mut self, member: &str, value: &str, satisfied: bool, pattern: &str) {
        if !satisfied {
            self.breach(
                member,
                value,
                format_args!("Member must satisfy regular expression pattern: {pattern}"),
            );
        }
    }

    /// The text must be one of a set.
    pub(crate) fn one_of(&mut self, member: &str, value: &str, set: &[&str]) {
        if !set.contains(&value) {
            self.breach(
                member,
                value,
                format_args!("Member must satisfy enum value set: [{}]", set.join(", ")),
            );
        }
    }

    /// # Errors
    /// [`ErrorKind::Validation`], naming every breach.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        let count = self.0.len();
        if count == 0 {
            return Ok(());
        }
        let plural = if count == 1 { "" } else { "s" };
        Err(ApiError::new(
            ErrorKind::Validation,
            format!(
                "{count} validation error{plural} detected: {}",
                self.0.join("; ")
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_breach_reads_as_the_services() {
        let mut constraints = Constraints::default();
        constraints.range("memorySize", 10_241, 128..=10_240);
        assert_eq!(
            constraints.finish().unwrap_err().message,
            "1 validation error detected: Value '10241' at 'memorySize' failed to satisfy constraint: Member must have \
             value less than or equal to 10240"
        );
    }

    #[test]
    fn all_breaches_are_told_at_once() {
        let mut constraints = Constraints::default();
        constraints.required("role", false);
        constraints.range("timeout", 0, 1..=900);
        constraints.length("description", &"x".repeat(1_000_000), 0..=256);
        let message = constraints.finish().unwrap_err().message;
        assert!(message.starts_with(
            "3 validation errors detected: Value null at 'role' failed to satisfy constraint: Member must not be null; "
        ));
        assert!(message.len() < 1_000);
    }
}
