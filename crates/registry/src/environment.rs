//! Environment variables: which names and how much of them a function may have.

use std::collections::BTreeMap;

use hearth_types::ApiError;
use hearth_types::function::RESERVED_VARIABLES;
use hearth_types::limits::ENVIRONMENT_BYTES;

use crate::constraints::Constraints;

const UNABLE: &str = "Lambda was unable to configure your environment variables because the environment variables you \
                      have provided";

/// Checks the shape of the names. Reserved names are left to [`check`], which has better words for them.
pub(crate) fn check_names(variables: &BTreeMap<String, String>, constraints: &mut Constraints) {
    let fits = |name: &str| {
        name.len() > 1
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if !variables
        .keys()
        .all(|name| fits(name) || RESERVED_VARIABLES.contains(&name.as_str()))
    {
        constraints.hidden_breach(
            "environment.variables",
            "Map keys must satisfy constraint: [Member must satisfy regular expression pattern: \
             [a-zA-Z]([a-zA-Z0-9_])+]",
        );
    }
    if variables.values().any(|value| value.contains('\0')) {
        constraints.hidden_breach(
            "environment.variables",
            "Map values must not contain the character NUL",
        );
    }
}

/// Checks what the variables would do.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`] if a name is reserved or there is too much.
pub(crate) fn check(variables: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let reserved: Vec<_> = variables
        .keys()
        .map(String::as_str)
        .filter(|name| RESERVED_VARIABLES.contains(name))
        .collect();
    if !reserved.is_empty() {
        return Err(ApiError::invalid(format!(
            "{UNABLE} contains reserved keys that are currently not supported for modification. Reserved keys used in \
             this request: {}",
            reserved.join(", ")
        )));
    }
    // The service measures the variables as JSON. It also shows them; they may be secrets, so Hearth doesn't.
    let measured = serde_json::to_string(variables).map_or(usize::MAX, |text| text.len());
    if measured > ENVIRONMENT_BYTES && !variables.is_empty() {
        return Err(ApiError::invalid(format!(
            "{UNABLE} exceeded the 4KB limit. They measure {measured} bytes as JSON."
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn reserved_names_are_listed_and_others_of_the_prefix_are_allowed() {
        let error = check(&variables(&[
            ("AWS_REGION", "x"),
            ("_HANDLER", "y"),
            ("OK", "z"),
        ]))
        .unwrap_err();
        assert!(
            error
                .message
                .ends_with("Reserved keys used in this request: AWS_REGION, _HANDLER")
        );
        assert!(check(&variables(&[("AWS_LAMBDA_EXEC_WRAPPER", "/opt/x")])).is_ok());
    }

    #[test]
    fn four_kilobytes_fit_as_json_and_secrets_are_not_shown() {
        let overhead = r#"{"KEY":""}"#.len();
        let fits = "v".repeat(ENVIRONMENT_BYTES - overhead);
        assert!(check(&variables(&[("KEY", &fits)])).is_ok());
        let error = check(&variables(&[("KEY", &format!("{fits}v"))])).unwrap_err();
        assert!(error.message.contains("4KB limit") && !error.message.contains("vvv"));
    }

    #[test]
    fn names_keep_to_the_pattern() {
        for (name, good) in [
            ("AB", true),
            ("A", false),
            ("1A", false),
            ("A-B", false),
            ("_HANDLER", true),
        ] {
            let mut constraints = Constraints::default();
            check_names(&variables(&[(name, "")]), &mut constraints);
            assert_eq!(constraints.finish().is_ok(), good, "{name}");
        }
        let mut constraints = Constraints::default();
        check_names(&variables(&[("AB", "a\0b")]), &mut constraints);
        assert!(constraints.finish().is_err());
    }
}
