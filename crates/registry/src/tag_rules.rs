//! Which tags a function may have, and what they ask of its walls.

use std::collections::BTreeMap;

use hearth_types::ApiError;
use hearth_types::function::Runtime;
use hearth_types::limits::{TAG_KEY_CHARS, TAG_VALUE_CHARS, TAGS};
use hearth_types::walls::Walls;

use crate::constraints::Constraints;

const PATTERN: &str = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)";

fn allowed(text: &str) -> bool {
    let separator = |c: char| c.is_whitespace() && !c.is_control();
    text.chars()
        .all(|c| c.is_alphabetic() || c.is_numeric() || separator(c) || "_.:/=+-@".contains(c))
}

/// Checks tags by themselves.
pub(crate) fn check_shape(tags: &BTreeMap<String, String>, constraints: &mut Constraints) {
    for (key, value) in tags {
        constraints.length("tags.key", key, 1..=TAG_KEY_CHARS);
        constraints.length("tags.value", value, 0..=TAG_VALUE_CHARS);
        constraints.pattern("tags.key", key, allowed(key), PATTERN);
        constraints.pattern("tags.value", value, allowed(value), PATTERN);
    }
}

/// Checks all tags that a function whose versions have these runtimes would have.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`] if there are too many, if one is reserved, or if one of
/// Hearth's asks for what can't be had.
pub(crate) fn check<'a>(
    tags: &BTreeMap<String, String>,
    runtimes: impl IntoIterator<Item = &'a Runtime>,
) -> Result<Walls, ApiError> {
    check_names(tags)?;
    let walls = Walls::from_tags(tags).map_err(ApiError::invalid)?;
    for runtime in runtimes {
        walls.check_runtime(runtime).map_err(ApiError::invalid)?;
    }
    Ok(walls)
}

/// Checks all tags that anything would have.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`] if there are too many, or if one is reserved.
pub(crate) fn check_names(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if let Some(key) = tags.keys().find(|key| starts_with_aws(key)) {
        return Err(ApiError::invalid(format!(
            "aws: prefixed tag key names are not allowed for external use. Rename the tag '{key}'."
        )));
    }
    if tags.len() > TAGS {
        return Err(ApiError::invalid(
            "Number of tags exceeds resource tag limit.",
        ));
    }
    Ok(())
}

fn starts_with_aws(key: &str) -> bool {
    key.get(..4)
        .is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    fn shape(key: &str, value: &str) -> bool {
        let mut constraints = Constraints::default();
        check_shape(&tags(key, value), &mut constraints);
        constraints.finish().is_ok()
    }

    #[test]
    fn letters_of_every_language_and_a_few_signs_are_allowed() {
        assert!(shape("équipe/cost-center", "Größe 3 @home"));
        assert!(shape("k", ""));
        assert!(!shape("", "v"));
        assert!(!shape("a;b", "v"));
        assert!(!shape("k", "a\nb"));
        assert!(!shape(&"k".repeat(129), "v"));
        assert!(!shape("k", &"v".repeat(257)));
    }

    #[test]
    fn reserved_prefixes_and_unknown_walls_are_refused() {
        let check = |tags: &BTreeMap<String, String>| {
            check(tags, [&Runtime::Python { minor: 12 }, &Runtime::Wasm])
        };
        assert!(check(&tags("aws:x", "v")).is_err());
        assert!(check(&tags("AWS:x", "v")).is_err());
        assert!(check(&tags("hearth:isolation", "microvm")).is_err());
        assert!(check(&tags("hearth:network", "none")).is_ok());
        // Not every version could be walled so.
        assert!(check(&tags("hearth:isolation", "wasm")).is_err());
        let many = (0..51).map(|n| (format!("k{n}"), String::new())).collect();
        assert!(check(&many).is_err());
    }
}
