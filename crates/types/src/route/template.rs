//! Paths that are made of what a pattern has captured: `/v2/{id}`.

use std::fmt;

use super::path::{PathPattern, Segment};

/// A path with places for captures. What is put into a place is a part of a request's path, still escaped, so that no
/// text can leave the path or begin another header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// The capture of this number.
    Capture(usize),
}

/// A template that can't be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Not a path.
    #[error(transparent)]
    Pattern(#[from] super::path::PatternError),
    /// A name that the route's path does not have.
    #[error("the route's path captures no '{0}'")]
    Unknown(String),
}

impl Template {
    /// Reads a template whose places are captures of `pattern`. A place is a whole segment: `{name}`, or `{*name}` for a
    /// rest, at the end.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn new(text: &str, pattern: &PathPattern) -> Result<Self, TemplateError> {
        let read: PathPattern = text.parse()?;
        let names: Vec<&str> = pattern.names().collect();
        let mut parts = Vec::new();
        for segment in read.segments() {
            match segment {
                Segment::Literal(text) => parts.push(Part::Literal(format!("/{text}"))),
                Segment::Capture(name) | Segment::Rest(name) => {
                    let at = names.iter().position(|known| known == name);
                    let at = at.ok_or_else(|| TemplateError::Unknown(name.clone()))?;
                    parts.push(Part::Capture(at));
                }
            }
        }
        Ok(Self { parts })
    }

    /// The path, with captures in the order of the pattern's names.
    pub fn fill(&self, captures: &[&str]) -> String {
        let mut path = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => path.push_str(text),
                Part::Capture(at) => {
                    path.push('/');
                    path.push_str(captures.get(*at).copied().unwrap_or_default());
                }
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        path
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal(text) => f.write_str(text)?,
                Part::Capture(at) => write!(f, "/{{{at}}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_are_put_where_their_names_are() {
        let pattern: PathPattern = "/a/{x}/{*rest}".parse().unwrap();
        let fill = |text| {
            Template::new(text, &pattern)
                .unwrap()
                .fill(&["1%20", "b/c"])
        };
        assert_eq!(fill("/"), "/");
        assert_eq!(fill("/v2/{x}"), "/v2/1%20");
        assert_eq!(fill("/{x}/{*rest}"), "/1%20/b/c");
        assert_eq!(fill("/{rest}/{x}"), "/b/c/1%20");
        let empty = Template::new("/v2/{*rest}", &pattern).unwrap();
        assert_eq!(empty.fill(&["1", ""]), "/v2/");
    }

    #[test]
    fn unknown_captures_and_what_is_no_path_are_refused() {
        let pattern: PathPattern = "/a/{x}".parse().unwrap();
        for bad in [
            "/{y}",
            "b",
            "/b?q={x}",
            "/a b",
            "/a\r\nx: y",
            "//x",
            "/../{x}",
            "/{x}#f",
        ] {
            assert!(Template::new(bad, &pattern).is_err(), "{bad}");
        }
    }
}
