//! `wildcard`: texts with `*` for any characters.

/// A text between whose parts there may be anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wildcard {
    /// At least one; what is before the first `*`, between two, and after the last.
    parts: Vec<String>,
}

impl Wildcard {
    /// Reads `\*` and `\\` as the characters themselves.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn read(text: &str) -> Result<Self, &'static str> {
        let mut parts = vec![String::new()];
        let mut characters = text.chars();
        let mut before = None;
        while let Some(character) = characters.next() {
            let part = match character {
                '*' if before == Some('*') => return Err("two * must not follow each other"),
                '*' => {
                    parts.push(String::new());
                    before = Some('*');
                    continue;
                }
                '\\' => match characters.next() {
                    Some(escaped @ ('*' | '\\')) => escaped,
                    _ => return Err("\\ must be followed by * or \\"),
                },
                other => other,
            };
            before = None;
            if let Some(last) = parts.last_mut() {
                last.push(part);
            }
        }
        Ok(Self { parts })
    }

    /// Each part is looked for where the one before it ended: taking the first place is never worse than a later one.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some((first, others)) = self.parts.split_first() else {
            return false;
        };
        let Some((last, middle)) = others.split_last() else {
            return text == first;
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for part in middle {
            match rest.find(part.as_str()) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use hearth_store::conformance::random::Random;

    use super::*;

    /// The definition: `*` is nothing, or one character and `*` again.
    fn model(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => {
                model(rest, text) || (!text.is_empty() && model(pattern, &text[1..]))
            }
            Some((one, rest)) => text.first() == Some(one) && model(rest, &text[1..]),
        }
    }

    #[test]
    fn it_is_what_its_definition_says() {
        let mut random = Random::new(1);
        let mut matched = 0;
        for _ in 0..20_000 {
            let mut draw = |characters: &[char], most| -> Vec<char> {
                (0..random.below(most))
                    .map(|_| characters[random.below(characters.len() as u64) as usize])
                    .collect()
            };
            let pattern = draw(&['a', 'é', '*'], 7);
            let text = draw(&['a', 'é'], 9);
            let Ok(wildcard) = Wildcard::read(&String::from_iter(&pattern)) else {
                assert!(pattern.windows(2).any(|two| two == ['*', '*']));
                continue;
            };
            let matches = wildcard.matches(&String::from_iter(&text));
            assert_eq!(matches, model(&pattern, &text), "{pattern:?} {text:?}");
            matched += usize::from(matches);
        }
        assert!(matched > 1_000, "{matched}");
    }

    #[test]
    fn stars_and_backslashes_can_be_meant() {
        let wildcard = Wildcard::read(r"a\*b\\*").unwrap();
        assert!(wildcard.matches(r"a*b\") && wildcard.matches(r"a*b\c"));
        assert!(!wildcard.matches(r"axb\"));
        for bad in ["**", r"\", r"\a", r"a*\"] {
            assert!(Wildcard::read(bad).is_err(), "{bad}");
        }
    }
}
