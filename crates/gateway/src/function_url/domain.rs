//! Where function URLs are, as the node is told.

use hearth_types::function_url::UrlId;
use hearth_types::name::Region;
use http::uri::Scheme;

/// The part of a host name between a URL's identifier and its region.
pub(super) const LABEL: &str = "lambda-url";

/// The domain under which function URLs are: `http://<id>.lambda-url.<region>.<name>:<port>/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlDomain {
    scheme: Scheme,
    name: String,
    port: u16,
}

impl Default for UrlDomain {
    /// `localhost`: names under it need no DNS (RFC 6761, section 6.3).
    fn default() -> Self {
        Self::plain("localhost", 80)
    }
}

impl UrlDomain {
    /// A domain whose URLs begin with `http`: its name in any case, and the port that callers see.
    pub fn plain(name: &str, port: u16) -> Self {
        Self::new(Scheme::HTTP, name, port)
    }

    /// A domain whose URLs begin with `https`.
    pub fn secure(name: &str, port: u16) -> Self {
        Self::new(Scheme::HTTPS, name, port)
    }

    fn new(scheme: Scheme, name: &str, port: u16) -> Self {
        Self {
            scheme,
            name: name.trim_end_matches('.').to_ascii_lowercase(),
            port,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The host of a URL.
    pub(super) fn host(&self, id: UrlId, region: &Region) -> String {
        format!("{id}.{LABEL}.{region}.{}", self.name)
    }

    /// The whole URL.
    pub(crate) fn url(&self, id: UrlId, region: &Region) -> String {
        let host = self.host(id, region);
        let scheme = &self.scheme;
        let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
        if self.port == usual {
            format!("{scheme}://{host}/")
        } else {
            format!("{scheme}://{host}:{}/", self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_port_unless_it_is_the_usual_one() {
        let id = UrlId::from_random([0; 20]);
        let region = "eu-west-1".parse().unwrap();
        let url =
            |scheme, port| UrlDomain::new(scheme, "Functions.Example.", port).url(id, &region);
        let host = format!("{id}.lambda-url.eu-west-1.functions.example");
        assert_eq!(url(Scheme::HTTP, 80), format!("http://{host}/"));
        assert_eq!(url(Scheme::HTTP, 7070), format!("http://{host}:7070/"));
        assert_eq!(url(Scheme::HTTPS, 443), format!("https://{host}/"));
        assert_eq!(url(Scheme::HTTPS, 80), format!("https://{host}:80/"));
    }
}
