//! Functions that are web servers: which ones are, and what their settings say.
//!
//! A function is one if its tag `hearth:web` says so, or if it is set up for the AWS Lambda Web Adapter, whose variables
//! mean here what they mean there.

use std::collections::BTreeMap;
use std::ops::{Bound, RangeInclusive};

use crate::function::Deployment;
use crate::walls::Walls;

/// Where a server listens if nobody says (the Web Adapter's default).
pub const DEFAULT_PORT: u16 = 8080;

/// Ports that a server may have. Those below belong to root (`net.ipv4.ip_unprivileged_port_start`).
pub const PORTS: RangeInclusive<u16> = 1024..=u16::MAX;

/// Ports inside of an environment that are the platform's: the Runtime API and the door to Hearth's own API.
pub const TAKEN_PORTS: [u16; 2] = [9001, 9002];

/// Requests that one environment serves at the same time if nobody says. Between Lambda's one, with which a server
/// that waits for others would stand idle, and the 80 and more of platforms for containers, which have whole
/// processors.
pub const DEFAULT_CONCURRENCY: u32 = 10;

/// The start of the Web Adapter's variables.
const PREFIX: &str = "AWS_LWA_";
/// The next string after all that begin with it.
const AFTER_PREFIX: &str = "AWS_LWA`";
/// What a package for the Web Adapter names as its wrapper script.
const WRAPPER: (&str, &str) = ("AWS_LAMBDA_EXEC_WRAPPER", "/opt/bootstrap");

/// A function that is a web server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebServer {
    /// Where it listens on 127.0.0.1, and its variable `PORT`.
    pub port: u16,
    /// When it is ready.
    pub readiness: Readiness,
    /// What is taken from the front of a request's path before the server sees it (`AWS_LWA_REMOVE_BASE_PATH`).
    pub base_path: Option<String>,
    /// Where events go that tell of no HTTP request (`AWS_LWA_PASS_THROUGH_PATH`).
    pub pass_through_path: String,
}

/// How it is found out that a server is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The port that must accept connections.
    pub port: u16,
    /// What must come back there.
    pub check: Check,
}

/// What a server that is ready does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It accepts a connection.
    Tcp,
    /// It answers `GET` at this path with one of these statuses.
    Http {
        /// The path, with a query if there is one.
        path: String,
        /// The statuses.
        healthy: Vec<RangeInclusive<u16>>,
    },
}

impl Deployment {
    /// Whether it is a web server. Costs the same however many variables there are.
    pub fn is_web(&self) -> bool {
        let variables = &self.configuration.environment;
        let wrapped = || {
            variables
                .get(WRAPPER.0)
                .is_some_and(|path| path == WRAPPER.1)
                && self.configuration.handler.ends_with(".sh")
        };
        self.walls.web.is_some()
            || variables
                .range::<str, _>((Bound::Included(PREFIX), Bound::Excluded(AFTER_PREFIX)))
                .next()
                .is_some()
            || wrapped()
    }

    /// Whether `path` is the Web Adapter's own wrapper script, whose part the platform plays.
    pub fn is_web_wrapper(&self, path: &str) -> bool {
        self.is_web() && path == WRAPPER.1
    }

    /// Its settings as a web server; `None` if it is none.
    ///
    /// # Errors
    /// A sentence for the function's owner, if a variable has a value that means nothing.
    pub fn web_server(&self) -> Option<Result<WebServer, String>> {
        self.is_web()
            .then(|| WebServer::read(&self.walls, &self.configuration.environment))
    }
}

impl WebServer {
    fn read(walls: &Walls, variables: &BTreeMap<String, String>) -> Result<Self, String> {
        // The names without prefix are the adapter's older ones.
        let named = |name: &'static str, older: &'static str| {
            let of = |name| variables.get(name).map(|value| (name, value.as_str()));
            of(name).or_else(|| if older.is_empty() { None } else { of(older) })
        };
        let port_of = |(name, value): (&str, &str)| {
            value
                .parse()
                .ok()
                .filter(|port| is_port(*port))
                .ok_or_else(|| {
                    format!(
                        "The variable {name} is no port that a server can have here: use a number from 1024 to 65535, \
                         except 9001 and 9002"
                    )
                })
        };
        let port = match walls.web {
            Some(WebPort::Number(port)) => port,
            Some(WebPort::Any) | None => {
                named("AWS_LWA_PORT", "PORT").map_or(Ok(DEFAULT_PORT), port_of)?
            }
        };
        let checked = named("AWS_LWA_READINESS_CHECK_PORT", "READINESS_CHECK_PORT");
        let protocol = named(
            "AWS_LWA_READINESS_CHECK_PROTOCOL",
            "READINESS_CHECK_PROTOCOL",
        );
        let check = match protocol {
            Some((_, value)) if value.eq_ignore_ascii_case("tcp") => Check::Tcp,
            None => Self::http(&named)?,
            Some((_, value)) if value.eq_ignore_ascii_case("http") => Self::http(&named)?,
            Some((name, _)) => return Err(format!("The variable {name} must be http or tcp")),
        };
        let base_path = named("AWS_LWA_REMOVE_BASE_PATH", "REMOVE_BASE_PATH")
            .map(|(_, path)| path.trim_end_matches('/').to_owned())
            .filter(|path| !path.is_empty());
        Ok(Self {
            port,
            readiness: Readiness {
                port: checked.map_or(Ok(port), port_of)?,
                check,
            },
            base_path,
            pass_through_path: match named("AWS_LWA_PASS_THROUGH_PATH", "") {
                Some((name, path)) => path_of(name, path)?,
                None => "/".to_owned(),
            },
        })
    }

    fn http<'a>(
        named: &impl Fn(&'static str, &'static str) -> Option<(&'static str, &'a str)>,
    ) -> Result<Check, String> {
        let path = match named("AWS_LWA_READINESS_CHECK_PATH", "READINESS_CHECK_PATH") {
            Some((name, path)) => path_of(name, path)?,
            None => "/".to_owned(),
        };
        let healthy = match named("AWS_LWA_READINESS_CHECK_HEALTHY_STATUS", "") {
            Some((name, text)) => statuses(text).ok_or_else(|| {
                format!("The variable {name} must name statuses: 200-399, or 200,201,300-399")
            })?,
            None => {
                let name = "AWS_LWA_READINESS_CHECK_MIN_UNHEALTHY_STATUS";
                let least_bad = match named(name, "") {
                    None => 500,
                    Some((name, text)) => text
                        .parse::<u16>()
                        .ok()
                        .filter(|status| (101..=1000).contains(status))
                        .ok_or_else(|| format!("The variable {name} must be a status"))?,
                };
                vec![100..=least_bad - 1]
            }
        };
        Ok(Check::Http { path, healthy })
    }

    /// The part of a path, given without its query, that the server sees.
    pub fn own_path<'a>(&self, path: &'a str) -> &'a str {
        let rest = self
            .base_path
            .as_deref()
            .and_then(|base| path.strip_prefix(base));
        match rest {
            Some("") => "/",
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        }
    }
}

/// What the tag `hearth:web` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebPort {
    /// `on`: a web server at the port that its variables name, or else at [`DEFAULT_PORT`].
    Any,
    /// A web server at this port.
    Number(u16),
}

impl WebPort {
    /// Reads the tag's value.
    pub fn read(text: &str) -> Option<Self> {
        match text {
            "on" => Some(Self::Any),
            number => number
                .parse()
                .ok()
                .filter(|port| is_port(*port))
                .map(Self::Number),
        }
    }
}

fn is_port(port: u16) -> bool {
    PORTS.contains(&port) && !TAKEN_PORTS.contains(&port)
}

fn path_of(name: &str, path: &str) -> Result<String, String> {
    let fits = path.starts_with('/') && path.parse::<http::uri::PathAndQuery>().is_ok();
    fits.then(|| path.to_owned())
        .ok_or_else(|| format!("The variable {name} must be a path that begins with a slash"))
}

/// Reads `200-399` or `200,201,300-399`.
fn statuses(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let status = |text: &str| {
        text.trim()
            .parse::<u16>()
            .ok()
            .filter(|status| (100..=999).contains(status))
    };
    text.split(',')
        .map(|part| match part.split_once('-') {
            Some((first, last)) => Some(status(first)?..=status(last)?),
            None => status(part).map(|one| one..=one),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(web: Option<WebPort>, variables: &[(&str, &str)]) -> Result<WebServer, String> {
        let walls = Walls {
            web,
            ..Walls::default()
        };
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        WebServer::read(&walls, &variables)
    }

    #[test]
    fn the_port_is_the_tags_the_adapters_or_the_common_variables() {
        let port = |web, variables: &[(&str, &str)]| read(web, variables).unwrap().port;
        assert_eq!(port(Some(WebPort::Any), &[]), 8080);
        assert_eq!(port(Some(WebPort::Number(3000)), &[("PORT", "4000")]), 3000);
        assert_eq!(port(Some(WebPort::Any), &[("PORT", "4000")]), 4000);
        assert_eq!(
            port(None, &[("PORT", "4000"), ("AWS_LWA_PORT", "5000")]),
            5000
        );
        for bad in ["", "0", "80", "9001", "70000", "x"] {
            let error = read(None, &[("AWS_LWA_PORT", bad)]).unwrap_err();
            assert!(error.contains("AWS_LWA_PORT"), "{error}");
            assert_eq!(WebPort::read(bad), None);
        }
    }

    #[test]
    fn readiness_reads_as_the_adapter_reads_it() {
        let readiness = |variables: &[(&str, &str)]| read(None, variables).unwrap().readiness;
        assert_eq!(
            readiness(&[]),
            Readiness {
                port: 8080,
                check: Check::Http {
                    path: "/".to_owned(),
                    healthy: vec![100..=499],
                },
            }
        );
        let set = readiness(&[
            ("AWS_LWA_READINESS_CHECK_PORT", "8081"),
            ("AWS_LWA_READINESS_CHECK_PATH", "/healthz"),
            ("AWS_LWA_READINESS_CHECK_HEALTHY_STATUS", "200, 300-399"),
        ]);
        assert_eq!(set.port, 8081);
        let Check::Http { path, healthy } = set.check else {
            panic!("not TCP");
        };
        assert_eq!(path, "/healthz");
        assert_eq!(healthy, [200..=200, 300..=399]);
        let older = readiness(&[
            ("READINESS_CHECK_PATH", "/ok"),
            ("AWS_LWA_READINESS_CHECK_MIN_UNHEALTHY_STATUS", "400"),
        ]);
        let expected = Check::Http {
            path: "/ok".to_owned(),
            healthy: vec![100..=399],
        };
        assert_eq!(older.check, expected);
        let tcp = readiness(&[("AWS_LWA_READINESS_CHECK_PROTOCOL", "TCP")]);
        assert_eq!(tcp.check, Check::Tcp);
        for (name, value) in [
            ("AWS_LWA_READINESS_CHECK_PROTOCOL", "udp"),
            ("AWS_LWA_READINESS_CHECK_PATH", "healthz"),
            ("AWS_LWA_READINESS_CHECK_HEALTHY_STATUS", "good"),
            ("AWS_LWA_READINESS_CHECK_MIN_UNHEALTHY_STATUS", "0"),
            ("AWS_LWA_PASS_THROUGH_PATH", "events"),
        ] {
            assert!(read(None, &[(name, value)]).unwrap_err().contains(name));
        }
    }

    #[test]
    fn a_base_path_is_taken_off_whole() {
        let server = read(None, &[("AWS_LWA_REMOVE_BASE_PATH", "/api/")]).unwrap();
        for (path, own) in [
            ("/api", "/"),
            ("/api/", "/"),
            ("/api/x", "/x"),
            ("/apis", "/apis"),
            ("/x/api", "/x/api"),
        ] {
            assert_eq!(server.own_path(path), own, "{path}");
        }
    }
}
