//! The language by examples and by its laws.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use hearth_patterns::{MOST_CHARACTERS, MOST_COMBINATIONS, MOST_DEPTH, Pattern};
use hearth_store::conformance::random::Random;
use serde_json::{Value, json};

fn pattern(value: &Value) -> Pattern {
    let text = value.to_string();
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refusal(text: &str) -> String {
    text.parse::<Pattern>().unwrap_err().to_string()
}

/// Each operator with what it takes and what it leaves, as values of the field `a`.
#[test]
fn operators() {
    for (tests, good, bad) in [
        (
            json!(["x", 1]),
            json!(["x", 1, 1.0]),
            json!(["y", "1", 2, null]),
        ),
        (json!([""]), json!([""]), json!(["x", null])),
        (json!([null]), json!([null]), json!(["", false, "null"])),
        (json!([true]), json!([true]), json!([false, "true", 1])),
        (
            json!([9_007_199_254_740_993_u64]),
            json!([9_007_199_254_740_993_u64]),
            json!([9_007_199_254_740_992_u64]),
        ),
        (
            json!([{"prefix": "ab"}]),
            json!(["ab", "abc"]),
            json!(["a", "Ab", 1]),
        ),
        (
            json!([{"prefix": {"equals-ignore-case": "aB"}}]),
            json!(["ab", "ABC"]),
            json!(["a", "bab"]),
        ),
        (
            json!([{"suffix": ".png"}]),
            json!(["x.png", ".png"]),
            json!(["png", "x.PNG"]),
        ),
        (
            json!([{"suffix": {"equals-ignore-case": ".PNG"}}]),
            json!(["x.png", "x.PnG"]),
            json!(["x.pn"]),
        ),
        (
            json!([{"equals-ignore-case": "Éa"}]),
            json!(["éA"]),
            json!(["éab", 1]),
        ),
        (
            json!([{"wildcard": "a*c"}]),
            json!(["ac", "abc"]),
            json!(["acb", "c"]),
        ),
        (
            json!([{"anything-but": "x"}]),
            json!(["y", 1, null, true]),
            json!(["x"]),
        ),
        (
            json!([{"anything-but": ["x", "y"]}]),
            json!(["z"]),
            json!(["x", "y"]),
        ),
        (
            json!([{"anything-but": [1, 2]}]),
            json!([3, "1"]),
            json!([1, 2.0]),
        ),
        (
            json!([{"anything-but": {"prefix": "a"}}]),
            json!(["b", 1]),
            json!(["ab"]),
        ),
        (
            json!([{"anything-but": {"suffix": ["a", "b"]}}]),
            json!(["c"]),
            json!(["xa", "xb"]),
        ),
        (
            json!([{"anything-but": {"equals-ignore-case": ["a", "b"]}}]),
            json!(["c"]),
            json!(["A", "b"]),
        ),
        (
            json!([{"anything-but": {"wildcard": "*a*"}}]),
            json!(["b"]),
            json!(["bab"]),
        ),
        (
            json!([{"numeric": [">", 0, "<=", 5]}]),
            json!([0.1, 5]),
            json!([0, 5.1, "3"]),
        ),
        (
            json!([{"numeric": ["=", 3.018e2]}]),
            json!([301.8]),
            json!([302]),
        ),
        (json!([{"numeric": ["<", 10]}]), json!([9, -1]), json!([10])),
        (
            json!([{"exists": true}]),
            json!([1, null, "", false]),
            json!([{}, [], {"b": 1}]),
        ),
        (
            json!([{"exists": false}]),
            json!([{}, [], {"b": 1}]),
            json!([1, null, [1]]),
        ),
        (
            json!([{"cidr": "10.0.0.0/24"}]),
            json!(["10.0.0.255"]),
            json!(["10.0.1.0", "10.0.0", 1, "::1"]),
        ),
        (
            json!([{"cidr": "2001:db8::/32"}]),
            json!(["2001:db8::1"]),
            json!(["2001:db9::1"]),
        ),
        (
            json!([{"exists": false}, "x"]),
            json!(["x", {}]),
            json!(["y"]),
        ),
    ] {
        let read = pattern(&json!({ "a": tests }));
        for (values, expected) in [(&good, true), (&bad, false)] {
            for value in values.as_array().unwrap() {
                assert_eq!(
                    read.matches(&json!({"a": value})),
                    expected,
                    "{tests} {value}"
                );
                if !value.is_array() && !value.is_object() {
                    // A list has what one of its elements has.
                    let list = json!({"a": [[], [value]]});
                    assert_eq!(read.matches(&list), expected, "{tests} [{value}]");
                }
            }
        }
    }
    assert!(pattern(&json!({"a": {"b": [{"exists": false}]}})).matches(&json!({})));
    assert!(!pattern(&json!({"a": [{"anything-but": "x"}]})).matches(&json!({})));
}

#[test]
fn fields_are_and_alternatives_are_or() {
    let read = pattern(&json!({
        "source": ["aws.ec2"],
        "detail": {"state": ["running", "stopped"]},
        "$or": [{"n": [{"numeric": [">", 5]}]}, {"urgent": [true], "detail": {"who": ["me"]}}],
    }));
    let event = |state: &str, n: i64, urgent: bool| json!({"source": "aws.ec2", "detail": {"state": state, "who": "me"}, "n": n, "urgent": urgent, "more": 1});
    assert!(read.matches(&event("running", 6, false)));
    assert!(read.matches(&event("stopped", 1, true)));
    assert!(!read.matches(&event("stopped", 1, false)));
    assert!(!read.matches(&event("gone", 6, true)));
    assert!(!read.matches(&json!({"n": 6})));
    for odd in [json!(null), json!([]), json!("x"), json!(1)] {
        assert!(!read.matches(&odd));
    }
}

#[test]
fn one_element_of_a_list_must_match_all() {
    let read = pattern(&json!({"list": {"a": [1], "b": [2]}}));
    assert!(read.matches(&json!({"list": [{"a": 0}, {"a": 1, "b": 2}]})));
    assert!(!read.matches(&json!({"list": [{"a": 1}, {"b": 2}]})));
}

#[test]
fn what_is_no_pattern_is_told_with_its_place() {
    for (text, says) in [
        ("", "not JSON"),
        ("[]", "a JSON object"),
        ("{}", "empty object"),
        (r#"{"a":{"b":{}}}"#, "at a.b: an empty object"),
        (r#"{"a":{"b":[]}}"#, "at a.b: an empty list"),
        (
            r#"{"a":{"b":"x"}}"#,
            r#"at a.b: write the value in a list, as ["value"]"#,
        ),
        (r#"{"a":["x",["y"]]}"#, "at a[1]: a value is"),
        (
            r#"{"a":[{"regex":"x"}]}"#,
            "at a[0].regex: there is no such operator",
        ),
        (
            r#"{"a":[{}]}"#,
            "at a[0]: an object in a list has exactly one member",
        ),
        (
            r#"{"a":[{"prefix":"x","suffix":"y"}]}"#,
            "at a[0]: an object",
        ),
        (r#"{"a":[{"prefix":1}]}"#, "at a[0].prefix: it takes a text"),
        (
            r#"{"a":[{"prefix":{"suffix":"x"}}]}"#,
            "at a[0].prefix.suffix: only",
        ),
        (r#"{"a":[{"wildcard":"a**b"}]}"#, "at a[0].wildcard: two *"),
        (r#"{"a":[{"exists":"true"}]}"#, "at a[0].exists: exists is"),
        (r#"{"a":[{"cidr":"10.0.0.0/33"}]}"#, "at a[0].cidr: cidr is"),
        (r#"{"a":[{"cidr":"10.0.0.1"}]}"#, "at a[0].cidr: cidr is"),
        (r#"{"a":[{"numeric":[]}]}"#, "at a[0].numeric: numeric is"),
        (r#"{"a":[{"numeric":[">"]}]}"#, "at a[0].numeric"),
        (r#"{"a":[{"numeric":[">",5,"<",5]}]}"#, "at a[0].numeric"),
        (r#"{"a":[{"numeric":["<",5,">",1]}]}"#, "at a[0].numeric"),
        (
            r#"{"a":[{"numeric":[">",0,"<",1,"<",2]}]}"#,
            "at a[0].numeric",
        ),
        (r#"{"a":[{"numeric":["=",5000000001]}]}"#, "at a[0].numeric"),
        (r#"{"a":[{"numeric":"5"}]}"#, "at a[0].numeric"),
        (
            r#"{"a":[{"anything-but":null}]}"#,
            "at a[0].anything-but: anything-but takes",
        ),
        (
            r#"{"a":[{"anything-but":[]}]}"#,
            "at a[0].anything-but: an empty list",
        ),
        (r#"{"a":[{"anything-but":["x",1]}]}"#, "not both"),
        (
            r#"{"a":[{"anything-but":{"prefix":""}}]}"#,
            "at a[0].anything-but.prefix: anything-but takes no empty",
        ),
        (
            r#"{"a":[{"anything-but":{"numeric":["=",1]}}]}"#,
            "anything-but goes with",
        ),
        (r#"{"$or":[{"a":[1]}]}"#, "at $or: $or is a list of two"),
        (r#"{"a":{"$or":[{"a":[1]},2]}}"#, "at a.$or[1]: $or chooses"),
    ] {
        let said = refusal(text);
        assert!(said.contains(says), "{text}: {said}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let fits = "x".repeat(MOST_CHARACTERS - r#"{"a":[""]}"#.len());
    format!(r#"{{"a":["{fits}"]}}"#).parse::<Pattern>().unwrap();
    assert!(refusal(&format!(r#"{{"a":["{fits}é"]}}"#)).contains("4096 characters"));
    let deep = |n| format!("{}{}{}", r#"{"a":"#.repeat(n), "[1]", "}".repeat(n));
    deep(MOST_DEPTH).parse::<Pattern>().unwrap();
    assert!(refusal(&deep(MOST_DEPTH + 2)).contains("deep"));
    assert!(refusal(&deep(500)).contains("recursion"));
    // Ten by ten by ten is a thousand.
    let ten = |name: &str| {
        let either: Vec<_> = (0..10).map(|n| json!({"n": [n]})).collect();
        format!(r#""{name}":{{"$or":{}}}"#, Value::from(either))
    };
    let three = format!("{},{},{}", ten("a"), ten("b"), ten("c"));
    assert_eq!(MOST_COMBINATIONS, 1000);
    format!("{{{three}}}").parse::<Pattern>().unwrap();
    let more = r#""$or":[{"d":[1]},{"e":[1]}]"#;
    assert!(refusal(&format!("{{{three},{more}}}")).contains("1000 combinations"));
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// A value of objects, lists and leaves.
fn event(random: &mut Random, depth: u32) -> Value {
    match random.below(if depth == 0 { 5 } else { 8 }) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(random.below(4)),
        3 => json!(random.below(8) as f64 / 2.0),
        4 => json!(["", "x", "xy", "Xy"][random.below(4) as usize]),
        5 => (0..random.below(4))
            .map(|_| event(random, depth - 1))
            .collect(),
        _ => object(random, depth - 1),
    }
}

fn object(random: &mut Random, depth: u32) -> Value {
    let members = (0..=random.below(3)).map(|_| {
        let name = NAMES[random.below(3) as usize].to_owned();
        (name, event(random, depth))
    });
    Value::Object(members.collect())
}

/// A pattern, as often as not one that is none.
fn candidate(random: &mut Random, depth: u32) -> Value {
    let leaf = |random: &mut Random| event(random, 0);
    let tests = |random: &mut Random| -> Value {
        (0..=random.below(2))
            .map(|_| match random.below(9) {
                0 => json!({"exists": random.below(2) == 0}),
                1 => json!({"prefix": leaf(random)}),
                2 => json!({"suffix": "y"}),
                3 => json!({"anything-but": leaf(random)}),
                4 => json!({"numeric": [">=", random.below(3)]}),
                5 => json!({"equals-ignore-case": "XY"}),
                6 => json!({"wildcard": "*x*"}),
                _ => leaf(random),
            })
            .collect()
    };
    let members = (0..=random.below(2)).map(|_| {
        let name = NAMES[random.below(3) as usize].to_owned();
        let nested = depth > 0 && random.below(2) == 0;
        let value = if nested {
            candidate(random, depth - 1)
        } else {
            tests(random)
        };
        (name, value)
    });
    Value::Object(members.collect())
}

#[test]
fn or_is_one_of_its_patterns() {
    let mut random = Random::new(2);
    let mut outcomes = [0; 2];
    for _ in 0..20_000 {
        let both = [candidate(&mut random, 1), candidate(&mut random, 1)];
        let event = object(&mut random, 2);
        let read: Vec<_> = both
            .iter()
            .map(|one| one.to_string().parse::<Pattern>())
            .collect();
        let either = json!({"$or": both}).to_string().parse::<Pattern>();
        let (Ok(first), Ok(second)) = (&read[0], &read[1]) else {
            assert!(either.is_err());
            continue;
        };
        let expected = first.matches(&event) || second.matches(&event);
        assert_eq!(
            either.unwrap().matches(&event),
            expected,
            "{both:?} {event}"
        );
        outcomes[usize::from(expected)] += 1;
    }
    assert!(outcomes.iter().all(|count| *count > 1_000), "{outcomes:?}");
}

#[test]
fn an_event_matches_what_is_said_of_its_own_values() {
    /// Says of every leaf that it is as it is; of lists, of their first element.
    fn of(value: &Value) -> Option<Value> {
        match value {
            Value::Object(members) => {
                let said = members.iter().filter_map(|(name, value)| {
                    let said = of(value)?;
                    Some((name.clone(), said))
                });
                let said: serde_json::Map<_, _> = said.collect();
                (!said.is_empty()).then_some(Value::Object(said))
            }
            Value::Array(elements) => of(elements.first()?),
            leaf => Some(json!([leaf])),
        }
    }
    let mut random = Random::new(3);
    let mut said = 0;
    for _ in 0..5_000 {
        let event = object(&mut random, 3);
        let Some(own) = of(&event) else { continue };
        assert!(pattern(&own).matches(&event), "{own} {event}");
        said += 1;
    }
    assert!(said > 1_000, "{said}");
}

#[test]
fn no_text_is_too_odd_to_be_read_or_refused() {
    let mut random = Random::new(4);
    let alphabet: Vec<char> = r#"{}[]":,\*ae10.-$or é"#.chars().collect();
    let seed = json!({"a": [{"anything-but": {"prefix": ["x"]}}, {"numeric": [">", 1]}], "$or": [{"b": [1]}, {"c": [""]}]}).to_string();
    for _ in 0..20_000 {
        let mut text: Vec<char> = seed.chars().collect();
        for _ in 0..=random.below(3) {
            let at = random.below(text.len() as u64) as usize;
            text[at] = alphabet[random.below(alphabet.len() as u64) as usize];
        }
        if let Ok(read) = String::from_iter(text).parse::<Pattern>() {
            read.matches(&object(&mut random, 3));
        }
    }
}
