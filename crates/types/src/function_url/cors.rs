//! What a function URL allows pages of other origins: the answer to a browser's preflight, and the fields that
//! every other answer gets (WHATWG Fetch, "CORS protocol").
//!
//! Where a URL has such rules they are the only ones: whatever the function says of the same kind is taken out.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};

/// The rules of one URL. Lists hold what the API was given; `*` stands for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    /// Whether cookies and other credentials may be sent.
    pub allow_credentials: bool,
    /// Header fields that may be sent.
    pub allow_headers: Vec<String>,
    /// Methods that may be used.
    pub allow_methods: Vec<String>,
    /// Origins that may ask.
    pub allow_origins: Vec<String>,
    /// Header fields of answers that pages may read.
    pub expose_headers: Vec<String>,
    /// For how long browsers may remember a preflight, seconds.
    pub max_age_s: Option<u32>,
}

/// The rules of a URL as header fields, made once.
#[derive(Clone, Debug)]
pub struct CorsFields {
    every_origin: bool,
    origins: Vec<HeaderValue>,
    credentials: bool,
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

/// Whether a request is a preflight: a browser asks what it may do.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl From<&Cors> for CorsFields {
    /// What can't be written in a header field is left out: the API takes none such.
    fn from(cors: &Cors) -> Self {
        let joined = |list: &[String]| {
            if list.is_empty() {
                return None;
            }
            HeaderValue::from_str(&list.join(",")).ok()
        };
        Self {
            every_origin: cors.allow_origins.iter().any(|origin| origin == "*"),
            origins: cors
                .allow_origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok())
                .collect(),
            credentials: cors.allow_credentials,
            methods: joined(&cors.allow_methods),
            headers: joined(&cors.allow_headers),
            expose: joined(&cors.expose_headers),
            max_age: cors.max_age_s.map(HeaderValue::from),
        }
    }
}

impl CorsFields {
    /// Adds what the answer to a preflight says. An origin that may not ask gets nothing, and the browser refuses.
    pub fn answer_preflight(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        if !self.allow(origin, answer) {
            return;
        }
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, &self.methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, &self.headers),
            (ACCESS_CONTROL_MAX_AGE, &self.max_age),
        ] {
            if let Some(value) = value {
                answer.insert(name, value.clone());
            }
        }
    }

    /// Puts these rules in the place of a function's own.
    pub fn apply(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        let own: Vec<_> = answer
            .keys()
            .filter(|name| name.as_str().starts_with("access-control-"))
            .cloned()
            .collect();
        for name in own {
            answer.remove(name);
        }
        if self.allow(origin, answer)
            && let Some(expose) = &self.expose
        {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    /// Lets an origin in, if it may; says whether it may.
    fn allow(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) -> bool {
        if !self.every_origin {
            // The answer depends on who asks: caches must know.
            answer.append(VARY, HeaderValue::from_static("Origin"));
        }
        let Some(origin) = origin else {
            return false;
        };
        let allowed = if self.every_origin {
            // Literally: a browser then refuses credentials, whatever else is allowed.
            HeaderValue::from_static("*")
        } else if self.origins.contains(origin) {
            origin.clone()
        } else {
            return false;
        };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            answer.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(origins: &[&str]) -> CorsFields {
        CorsFields::from(&Cors {
            allow_credentials: true,
            allow_headers: vec!["x-a".to_owned(), "x-b".to_owned()],
            allow_methods: vec!["GET".to_owned(), "PUT".to_owned()],
            allow_origins: origins.iter().map(|o| (*o).to_owned()).collect(),
            expose_headers: vec!["x-c".to_owned()],
            max_age_s: Some(60),
        })
    }

    const SITE: HeaderValue = HeaderValue::from_static("https://site.example");

    #[test]
    fn a_preflight_learns_what_it_may_do() {
        let mut answer = HeaderMap::new();
        rules(&["https://site.example"]).answer_preflight(Some(&SITE), &mut answer);
        assert_eq!(answer["access-control-allow-origin"], SITE);
        assert_eq!(answer["access-control-allow-credentials"], "true");
        assert_eq!(answer["access-control-allow-methods"], "GET,PUT");
        assert_eq!(answer["access-control-allow-headers"], "x-a,x-b");
        assert_eq!(answer["access-control-max-age"], "60");
        assert_eq!(answer["vary"], "Origin");

        let mut answer = HeaderMap::new();
        rules(&["https://other.example"]).answer_preflight(Some(&SITE), &mut answer);
        assert_eq!(answer.keys().collect::<Vec<_>>(), ["vary"]);
    }

    #[test]
    fn the_functions_own_rules_are_replaced() {
        let mut answer = HeaderMap::new();
        answer.insert("access-control-allow-origin", HeaderValue::from_static("x"));
        answer.insert("access-control-max-age", HeaderValue::from_static("1"));
        answer.insert("vary", HeaderValue::from_static("Accept"));
        let own = answer.clone();
        rules(&["*"]).apply(Some(&SITE), &mut answer);
        assert_eq!(answer["access-control-allow-origin"], "*");
        assert_eq!(answer["access-control-expose-headers"], "x-c");
        assert!(!answer.contains_key("access-control-max-age"));
        assert_eq!(answer.get_all("vary").iter().count(), 1);

        let mut answer = own;
        rules(&["https://site.example"]).apply(None, &mut answer);
        assert!(!answer.contains_key("access-control-allow-origin"));
        assert_eq!(answer.get_all("vary").iter().count(), 2);
    }

    #[test]
    fn only_a_whole_preflight_is_one() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, SITE);
        assert!(!is_preflight(&Method::OPTIONS, &headers));
        headers.insert(
            ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("PUT"),
        );
        assert!(is_preflight(&Method::OPTIONS, &headers));
        assert!(!is_preflight(&Method::GET, &headers));
    }
}
