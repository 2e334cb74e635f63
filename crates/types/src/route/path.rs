//! Paths of routes: patterns, and a request's path in the form that is compared with them.
//!
//! A path that a route and a function could read in two ways is refused, for a function would be reached around the
//! route that guards it: dot segments, empty segments, escaped slashes and control characters. What remains differs
//! in spelling only (`%61` and `a`), and is compared in one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// Bytes of a pattern. Longer than paths that people write, short enough for an error message to hold it.
const PATTERN_BYTES: usize = 512;
/// Segments of a pattern.
const SEGMENTS: usize = 32;
/// Bytes of a capture's name.
const NAME_BYTES: usize = 64;

/// One part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// This, in the form that is compared.
    Literal(String),
    /// Any one segment, under a name.
    Capture(String),
    /// All segments that are left, none included, under a name. Only at the end.
    Rest(String),
}

/// Which paths a route is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    segments: Vec<Segment>,
}

/// A text that is no pattern of paths: the sentence says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{shown}' is not a path pattern: {why}")]
pub struct PatternError {
    shown: String,
    why: &'static str,
}

/// A path that is refused: it has two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path has two readings: {0}")]
pub struct BadPath(pub &'static str);

impl FromStr for PathPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let bad = |why| PatternError {
            shown: text.chars().take(120).collect(),
            why,
        };
        if text.len() > PATTERN_BYTES {
            return Err(bad("it may have 512 bytes"));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(bad("it must begin with a slash"));
        };
        if rest.is_empty() {
            return Ok(Self {
                segments: Vec::new(),
            });
        }
        if rest.ends_with('/') {
            return Err(bad(
                "leave the slash at its end out; requests with one match as well",
            ));
        }
        let mut segments: Vec<Segment> = Vec::new();
        for part in rest.split('/') {
            if matches!(segments.last(), Some(Segment::Rest(_))) {
                return Err(bad(
                    "{*name} takes all that is left, so it must be the last segment",
                ));
            }
            let segment = segment(part).map_err(bad)?;
            if let Segment::Capture(name) | Segment::Rest(name) = &segment
                && segments.iter().any(|other| other.name() == Some(name))
            {
                return Err(bad("a capture's name may stand in it once"));
            }
            segments.push(segment);
        }
        if segments.len() > SEGMENTS {
            return Err(bad("it may have 32 segments"));
        }
        Ok(Self { segments })
    }
}

fn segment(part: &str) -> Result<Segment, &'static str> {
    let braced = part
        .strip_prefix('{')
        .and_then(|part| part.strip_suffix('}'));
    let Some(name) = braced else {
        if part.contains(['{', '}']) {
            return Err("a capture is a whole segment: {name}");
        }
        let literal = normal_text(part).map_err(|BadPath(why)| why)?;
        if literal.is_empty() {
            return Err("it has an empty segment");
        }
        if matches!(&*literal, "." | "..") {
            return Err("it has a . or .. segment");
        }
        return Ok(Segment::Literal(literal.into_owned()));
    };
    let (is_rest, name) = match name.strip_prefix('*') {
        Some(name) => (true, name),
        None => (false, name),
    };
    let is_name = (1..=NAME_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if !is_name {
        return Err("a capture's name is 1 to 64 letters, digits, hyphens, underscores and dots");
    }
    Ok(if is_rest {
        Segment::Rest(name.to_owned())
    } else {
        Segment::Capture(name.to_owned())
    })
}

impl Segment {
    /// The name of what it captures.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Capture(name) | Self::Rest(name) => Some(name),
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            return f.write_str("/");
        }
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Capture(name) => write!(f, "/{{{name}}}")?,
                Segment::Rest(name) => write!(f, "/{{*{name}}}")?,
            }
        }
        Ok(())
    }
}

impl PathPattern {
    /// Its parts, in order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Names of what it captures, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(Segment::name)
    }
}

/// A request's path in the form that is compared: unreserved characters unescaped, other escapes in upper case, and no
/// slash at its end. Costs nothing for a path that is in this form.
///
/// # Errors
/// [`BadPath`] for one that has two readings.
pub fn normal(path: &str) -> Result<Cow<'_, str>, BadPath> {
    let Some(rest) = path.strip_prefix('/') else {
        // `*`, as in OPTIONS.
        return Err(BadPath("it must begin with a slash"));
    };
    if rest.is_empty() {
        return Ok(Cow::Borrowed("/"));
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    let normal = normal_text(path)?;
    for segment in normal[1..].split('/') {
        match segment {
            "" => return Err(BadPath("it has an empty segment")),
            "." | ".." => return Err(BadPath("it has a . or .. segment")),
            _ => {}
        }
    }
    Ok(normal)
}

/// Text of a path, escapes in one spelling.
fn normal_text(text: &str) -> Result<Cow<'_, str>, BadPath> {
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"%\\?#".contains(&b);
    if text.bytes().all(is_plain) {
        return Ok(Cow::Borrowed(text));
    }
    let mut normal = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            // Whatever else the front end lets through in a path: others might escape it, or end the path there.
            if !is_plain(byte) {
                return Err(BadPath(
                    "it has a character that must be escaped, or a backslash",
                ));
            }
            normal.push(char::from(byte));
            continue;
        }
        let digits = (bytes.next().and_then(hex), bytes.next().and_then(hex));
        let (Some(high), Some(low)) = digits else {
            return Err(BadPath("it has an escape that is none"));
        };
        let value = high << 4 | low;
        match value {
            b'/' | b'\\' => return Err(BadPath("it has an escaped slash or backslash")),
            0..=0x1f | 0x7f => return Err(BadPath("it has an escaped control character")),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                normal.push(char::from(value));
            }
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
                normal.push('%');
                normal.push(char::from(DIGITS[usize::from(high)]));
                normal.push(char::from(DIGITS[usize::from(low)]));
            }
        }
    }
    Ok(Cow::Owned(normal))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_read_back() {
        for text in [
            "/",
            "/a",
            "/a/{id}",
            "/{a}/b/{*rest}",
            "/{*all}",
            "/a.b/~c",
            "/%20",
        ] {
            let pattern: PathPattern = text.parse().unwrap();
            assert_eq!(pattern.to_string(), text);
        }
        let pattern: PathPattern = "/%61/%e2%82%ac".parse().unwrap();
        assert_eq!(pattern.to_string(), "/a/%E2%82%AC");
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for bad in [
            "",
            "a",
            "/a/",
            "//",
            "/a//b",
            "/{*a}/b",
            "/{}",
            "/{*}",
            "/a{b}",
            "/{a}b",
            "/{a}{b}",
            "/}{",
            "/{a}/{a}",
            "/.",
            "/a/../b",
            "/%2e%2E",
            "/a%2fb",
            "/a\\b",
            "/a b",
            "/a%0a",
            "/%zz",
            "/%",
            "/é",
            "/{a b}",
            "/a?b",
            "/a#b",
            "/{{a}}",
            &format!("/{}", "a".repeat(600)),
            &"/a".repeat(33),
        ] {
            assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_are_compared_in_one_spelling() {
        for (path, same) in [
            ("/", "/"),
            ("/a/", "/a"),
            ("/%61dmin/x", "/admin/x"),
            ("/a%3ab%3Ac", "/a%3Ab%3Ac"),
            ("/%e2%82%ac", "/%E2%82%AC"),
            ("/a:b@c!$&'()*+,;=", "/a:b@c!$&'()*+,;="),
            ("/...", "/..."),
        ] {
            assert_eq!(normal(path).unwrap(), same, "{path}");
        }
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for bad in [
            "",
            "*",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/..",
            "/a/./b",
            "/%2e%2e/b",
            "/.%2E",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/%00",
            "/a%0d%0ab",
            "/%7f",
            "/%",
            "/%4",
            "/%zz",
            "/a\u{e9}",
        ] {
            assert!(normal(bad).is_err(), "{bad}");
        }
    }
}
