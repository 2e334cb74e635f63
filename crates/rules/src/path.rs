//! Where in an event something is: JSON paths, as far as EventBridge takes them (user guide, "Input transformation":
//! dots, indices and wildcards).

use std::str::FromStr;

use serde_json::Value;

/// Most characters of a path (service model, `TargetInputPath`).
const CHARACTERS: usize = 256;

/// A path that was read: `$.detail.items[0].name`, `$.detail.items[*].name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
    /// Each element, or each member's value.
    All,
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            let shown: String = text.chars().take(80).collect();
            format!("'{shown}' {why}")
        };
        if text.chars().count() > CHARACTERS {
            return Err(bad("has more than 256 characters."));
        }
        let mut rest = text
            .strip_prefix('$')
            .ok_or_else(|| bad("must begin with $, the event."))?;
        let mut steps = Vec::new();
        while let Some(kind) = rest.chars().next() {
            rest = &rest[kind.len_utf8()..];
            let end = match kind {
                '.' => rest.find(['.', '[']).unwrap_or(rest.len()),
                '[' => rest
                    .find(']')
                    .ok_or_else(|| bad("has a [ without its ]."))?,
                _ => return Err(bad("must go on with . and a name, or with [ and an index.")),
            };
            let (step, after) = rest.split_at(end);
            steps.push(match (kind, step) {
                (_, "*") => Step::All,
                ('[', index) => Step::Element(index.parse().map_err(|_| {
                    bad("must have an index or * in brackets; write names with dots.")
                })?),
                (_, "") => return Err(bad("has an empty name.")),
                (_, name) if name.contains([' ', ']', '\'', '"', '?', '@', '(', ')']) => {
                    return Err(bad("has a name with a character that paths don't take."));
                }
                (_, name) => Step::Member(name.to_owned()),
            });
            rest = if kind == '[' { &after[1..] } else { after };
        }
        Ok(Self(steps))
    }
}

impl Path {
    /// What is there. With a wildcard it is a list of all that is there, be it none.
    pub fn find(&self, event: &Value) -> Option<Value> {
        let mut found = vec![event];
        for step in &self.0 {
            found = found
                .into_iter()
                .flat_map(|value| -> Vec<&Value> {
                    match (step, value) {
                        (Step::Member(name), Value::Object(members)) => {
                            members.get(name).into_iter().collect()
                        }
                        (Step::Element(at), Value::Array(elements)) => {
                            elements.get(*at).into_iter().collect()
                        }
                        (Step::All, Value::Array(elements)) => elements.iter().collect(),
                        (Step::All, Value::Object(members)) => members.values().collect(),
                        _ => Vec::new(),
                    }
                })
                .collect();
        }
        if self.0.contains(&Step::All) {
            return Some(found.into_iter().cloned().collect());
        }
        found.first().map(|value| (*value).clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn find(path: &str) -> Option<Value> {
        let event = json!({
            "detail-type": "t",
            "detail": { "items": [{ "n": 1 }, { "n": 2 }, {}], "a/b": "c", "o": { "x": 1, "y": 2 } },
        });
        path.parse::<Path>().unwrap().find(&event)
    }

    #[test]
    fn paths_find_what_is_there() {
        assert_eq!(find("$.detail-type"), Some(json!("t")));
        assert_eq!(find("$.detail.items[1].n"), Some(json!(2)));
        assert_eq!(find("$.detail.items[*].n"), Some(json!([1, 2])));
        assert_eq!(find("$.detail.o.*"), Some(json!([1, 2])));
        assert_eq!(find("$.detail.a/b"), Some(json!("c")));
        assert_eq!(find("$.detail.items[7]"), None);
        assert_eq!(find("$.detail.items.n"), None);
        assert_eq!(find("$.detail.none[*]"), Some(json!([])));
        assert!(find("$").is_some_and(|all| all.is_object()));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let long = format!("$.{}", "a".repeat(255));
        for bad in [
            "",
            "detail",
            ".detail",
            "$detail",
            "$.",
            "$..a",
            "$.a[",
            "$.a[x]",
            "$.a[-1]",
            "$['detail']",
            "$.a[?(@.b)]",
            "$.a[0",
            "$.a b",
            &long,
        ] {
            assert!(bad.parse::<Path>().is_err(), "{bad}");
        }
    }
}
