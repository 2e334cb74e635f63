//! Which handlers a worker has, and which of them takes a request.

/// The list of a worker's handlers: three names.
pub(crate) const HANDLERS_BYTES: usize = 256;

/// Which handler of a worker takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `fetch`.
    Fetch,
    /// `scheduled` or `queue`, by the event that is the request's body.
    Event,
}

/// Which handlers a worker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handlers {
    /// `scheduled`.
    pub scheduled: bool,
    /// `queue`.
    pub queue: bool,
}

impl Handlers {
    /// Reads the list of the entry's. It is in the worker's isolate, and so may say anything.
    pub(crate) fn of(names: &[u8]) -> Self {
        let names: Vec<String> = serde_json::from_slice(names).unwrap_or_default();
        let has = |name: &str| names.iter().any(|known| known == name);
        Self {
            scheduled: has("scheduled"),
            queue: has("queue"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_list_names_no_handlers() {
        let both = Handlers {
            scheduled: true,
            queue: true,
        };
        assert_eq!(Handlers::of(br#"["fetch", "queue", "scheduled"]"#), both);
        for other in [&b""[..], b"{}", b"[1]", br#"["fetch"]"#] {
            assert_eq!(Handlers::of(other), Handlers::default());
        }
    }
}
