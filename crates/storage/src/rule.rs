//! Which changes a notification is about.

use hearth_store::storage::NotificationSettings;
use hearth_types::ApiError;

/// Families of events that are told of (S3 user guide, "Supported event types"; MinIO has `ObjectAccessed` besides). A node
/// finds objects that are created and removed; others tell of the rest.
const FAMILIES: [&str; 10] = [
    "ObjectCreated",
    "ObjectRemoved",
    "ObjectAccessed",
    "ObjectRestore",
    "ObjectTagging",
    "ObjectAcl",
    "LifecycleExpiration",
    "LifecycleTransition",
    "IntelligentTiering",
    "Replication",
];

/// Whether `settings` are about an event (without `s3:`) of the object with this key.
pub fn concerns(settings: &NotificationSettings, event: &str, key: &str) -> bool {
    let is_meant = |wanted: &String| {
        let wanted = wanted.strip_prefix("s3:").unwrap_or(wanted);
        match wanted.strip_suffix('*') {
            Some(family) => event.starts_with(family),
            None => event == wanted,
        }
    };
    // Both parts of the filter may not share characters of the key.
    key.len() >= settings.prefix.len() + settings.suffix.len()
        && key.starts_with(&settings.prefix)
        && key.ends_with(&settings.suffix)
        && settings.events.iter().any(is_meant)
}

/// Makes sure that `events` name kinds that there are.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub fn check_events(events: &[String]) -> Result<(), ApiError> {
    if events.is_empty() || events.len() > FAMILIES.len() * 4 {
        return Err(ApiError::invalid(
            "Events must name at least one kind, and each once: s3:ObjectCreated:*, s3:ObjectRemoved:*.",
        ));
    }
    let is_good = |event: &String| {
        let rest = event.strip_prefix("s3:")?;
        let (family, kind) = rest.split_once(':')?;
        let kind_is_good =
            kind == "*" || (!kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric()));
        (FAMILIES.contains(&family) && kind_is_good && kind.len() <= 64).then_some(())
    };
    match events.iter().find(|event| is_good(event).is_none()) {
        None => Ok(()),
        Some(bad) => {
            let shown: String = bad.chars().take(64).collect();
            Err(ApiError::invalid(format!(
                "Events has '{shown}', which is no kind of event. Use s3:ObjectCreated:*, s3:ObjectRemoved:*, or one of \
                 their kinds, such as s3:ObjectCreated:Put."
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(events: &[&str], prefix: &str, suffix: &str) -> NotificationSettings {
        NotificationSettings {
            bucket: "photos".parse().unwrap(),
            events: events.iter().map(|&event| event.to_owned()).collect(),
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
            target: String::new(),
        }
    }

    #[test]
    fn an_event_and_both_ends_of_the_key_must_fit() {
        let created = settings(&["s3:ObjectCreated:*"], "in/", ".png");
        assert!(concerns(&created, "ObjectCreated:Put", "in/a.png"));
        assert!(concerns(&created, "ObjectCreated:Copy", "in/.png"));
        for (event, key) in [
            ("ObjectRemoved:Delete", "in/a.png"),
            ("ObjectCreated:Put", "out/a.png"),
            ("ObjectCreated:Put", "in/a.jpg"),
            ("ObjectCreated:Put", "in.png"),
        ] {
            assert!(!concerns(&created, event, key), "{event} {key}");
        }
        let overlap = settings(&["s3:ObjectCreated:Put"], "aba", "ba");
        assert!(!concerns(&overlap, "ObjectCreated:Put", "aba"));
        assert!(concerns(&overlap, "ObjectCreated:Put", "ababa"));
        assert!(!concerns(&overlap, "ObjectCreated:Post", "ababa"));
    }

    #[test]
    fn kinds_that_there_are_not_are_refused() {
        let check = |event: &str| check_events(&[event.to_owned()]);
        for good in [
            "s3:ObjectCreated:*",
            "s3:ObjectRemoved:Delete",
            "s3:ObjectRestore:Post",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "*",
            "s3:*",
            "ObjectCreated:*",
            "s3:ObjectCreated",
            "s3:ObjectCreated:",
            "s3:ObjectMade:*",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check_events(&[]).is_err());
    }
}
