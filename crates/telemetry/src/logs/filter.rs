//! CloudWatch Logs' filter patterns for plain text.

/// Which messages are wanted.
///
/// Terms and `"quoted phrases"` must all occur, one of the `?terms` must (if there are any), and no `-term` may. A term
/// is found anywhere in the text, and case matters. Patterns for JSON (`{ … }`), for columns (`[ … ]`) and regular
/// expressions (`%…%`) are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    required: Vec<String>,
    optional: Vec<String>,
    excluded: Vec<String>,
}

/// A pattern that can't be used; the text says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(&'static str);

impl Filter {
    /// Reads a pattern; an empty one matches everything.
    ///
    /// # Errors
    /// If the pattern is of a kind that is not supported, is longer than 1,024 characters (CloudWatch Logs' bound), or a
    /// quote is not closed.
    pub fn parse(pattern: &str) -> Result<Self, FilterError> {
        if pattern.chars().count() > 1_024 {
            return Err(FilterError("a filter pattern has at most 1024 characters"));
        }
        let mut filter = Self::default();
        let mut rest = pattern.trim_start();
        if rest.starts_with(['{', '[']) {
            return Err(FilterError(
                "filter patterns for JSON and for columns are not supported; use terms, \"phrases\", ?term or -term",
            ));
        }
        while let Some(first) = rest.chars().next() {
            let kind = match first {
                '?' => &mut filter.optional,
                '-' => &mut filter.excluded,
                _ => &mut filter.required,
            };
            if matches!(first, '?' | '-') {
                rest = &rest[1..];
            }
            let (term, after) = term(rest)?;
            if !term.is_empty() {
                kind.push(term);
            }
            rest = after.trim_start();
        }
        Ok(filter)
    }

    /// Whether `message` is wanted.
    pub fn matches(&self, message: &str) -> bool {
        let occurs = |term: &String| message.contains(term.as_str());
        self.required.iter().all(occurs)
            && (self.optional.is_empty() || self.optional.iter().any(occurs))
            && !self.excluded.iter().any(occurs)
    }
}

/// The term at the start of `text`, and what follows it.
fn term(text: &str) -> Result<(String, &str), FilterError> {
    if text.starts_with('%') {
        return Err(FilterError(
            "regular expressions in filter patterns are not supported",
        ));
    }
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let mut term = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Ok((term, &quoted[at + 1..])),
            '\\' => term.extend(chars.next().map(|(_, escaped)| escaped)),
            char => term.push(char),
        }
    }
    Err(FilterError("a quote in the filter pattern is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_messages() {
        let line = "[ERROR] 2026 Task \"timed out\" after 1.00 seconds";
        for (pattern, expected) in [
            ("", true),
            ("   ", true),
            ("ERROR", true),
            ("error", false),
            ("ERROR Task", true),
            ("ERROR nothing", false),
            ("\"after 1.00\"", true),
            ("\"Task after\"", false),
            ("\"\\\"timed out\\\"\"", true),
            ("?WARN ?ERROR", true),
            ("?WARN ?INFO", false),
            ("ERROR -Task", false),
            ("ERROR -\"was fine\"", true),
            ("-fine", true),
        ] {
            assert_eq!(
                Filter::parse(pattern).unwrap().matches(line),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn other_kinds_of_patterns_are_refused() {
        for pattern in [
            "{ $.level = 1 }",
            " [ip, user]",
            "%err.*%",
            "\"open",
            "-\"open",
            &"x".repeat(1_025),
        ] {
            assert!(Filter::parse(pattern).is_err(), "{pattern}");
        }
    }
}
