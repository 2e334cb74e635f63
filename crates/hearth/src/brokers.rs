//! Brokers of the configuration, and how each is reached.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hearth_brokers::{Brokers, Password, Server, Tls};
use hearth_types::name::BrokerName;
use hearth_types::source::BrokerKind;
use serde::{Deserialize, Serialize};
use url::Url;

/// A broker of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(try_from = "BrokerFile", into = "BrokerFile")]
pub(crate) struct Broker {
    url: Url,
    /// More of the same cluster, each as `host:port`.
    servers: Vec<String>,
    username: Option<String>,
    password: Option<Password>,
    ca: Option<PathBuf>,
    own: Option<(PathBuf, PathBuf)>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct BrokerFile {
    url: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    servers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
}

impl TryFrom<BrokerFile> for Broker {
    type Error = String;

    fn try_from(file: BrokerFile) -> Result<Self, String> {
        let url: Url = file
            .url
            .parse()
            .map_err(|error| format!("the url can't be read: {error}"))?;
        let kind = BrokerKind::of_scheme(url.scheme()).ok_or_else(|| {
            format!(
                "the url's scheme '{}' is none of amqp, amqps, redis, rediss, nats, tls, mqtt, mqtts, http, https, kafka and \
                 kafkas",
                url.scheme()
            )
        })?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err("the url names no host".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "write username and password (or password_file) beside the url, not into it"
                    .to_owned(),
            );
        }
        let has_path = !matches!(url.path(), "" | "/");
        // The path of Redis names a database.
        if has_path && kind != BrokerKind::Redis || url.query().is_some() {
            return Err(
                "the url must be a scheme, a host and a port alone; a mapping names its virtual host"
                    .to_owned(),
            );
        }
        if kind != BrokerKind::Kafka && !file.servers.is_empty() {
            return Err("servers are of Kafka alone: another broker has its url".to_owned());
        }
        let is_server = |server: &String| {
            let port = server.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            matches!(port, Some(Ok(_))) && !server.starts_with(':')
        };
        if let Some(bad) = file.servers.iter().find(|server| !is_server(server)) {
            return Err(format!("'{bad}' of servers is no host:port"));
        }
        let password = match (file.password, file.password_file) {
            (None, None) => None,
            (Some(text), None) => Some(Password::Text(text)),
            (None, Some(path)) => Some(Password::File(path)),
            (Some(_), Some(_)) => {
                return Err("use one of password and password_file".to_owned());
            }
        };
        let own = match (file.certificate, file.key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err("certificate and key belong together".to_owned()),
        };
        Ok(Self {
            url,
            servers: file.servers,
            username: file.username,
            password,
            ca: file.ca,
            own,
        })
    }
}

impl From<Broker> for BrokerFile {
    fn from(broker: Broker) -> Self {
        let (password, password_file) = match broker.password {
            None => (None, None),
            // It is a secret.
            Some(Password::Text(_)) => (Some("…".to_owned()), None),
            Some(Password::File(path)) => (None, Some(path)),
        };
        let (certificate, key) = broker.own.unzip();
        Self {
            url: broker.url.into(),
            servers: broker.servers,
            username: broker.username,
            password,
            password_file,
            ca: broker.ca,
            certificate,
            key,
        }
    }
}

/// The brokers of a configuration.
pub(crate) fn of(configured: &BTreeMap<BrokerName, Broker>) -> Brokers {
    Brokers::new(configured.iter().map(|(name, broker)| {
        let broker = broker.clone();
        Server {
            name: name.clone(),
            url: broker.url,
            more: broker.servers,
            username: broker.username,
            password: broker.password,
            tls: Tls {
                ca: broker.ca,
                own: broker.own,
            },
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Broker, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_broker_is_a_url_and_who_asks() {
        let text = "url = 'amqps://mq.example.com:5671'\nusername = 'hearth'\npassword = 'secret'\n\
                    ca = '/etc/ca.pem'\ncertificate = '/etc/own.pem'\nkey = '/etc/own.key'";
        let broker = read(text).unwrap();
        let shown = toml::to_string(&broker).unwrap();
        assert!(!shown.contains("secret"), "{shown}");
        read(&shown).unwrap();
        read("url = 'redis://localhost/2'\npassword_file = '/run/secrets/redis'").unwrap();
        let kafka =
            read("url = 'kafkas://k1.example.com'\nservers = ['k2.example.com:9092']").unwrap();
        assert!(
            toml::to_string(&kafka)
                .unwrap()
                .contains("k2.example.com:9092")
        );
    }

    #[test]
    fn what_can_not_be_meant_is_an_error_that_says_why() {
        for (bad, says) in [
            ("url = 'localhost:5672'", "scheme"),
            ("url = 'ftp://localhost'", "scheme"),
            ("url = 'amqp://'", "host"),
            ("url = 'amqp://guest:guest@localhost'", "beside the url"),
            ("url = 'amqp://localhost/vhost'", "virtual host"),
            ("url = 'amqp://localhost?heartbeat=1'", "alone"),
            (
                "url = 'amqp://localhost'\npassword = 'a'\npassword_file = 'b'",
                "one of",
            ),
            ("url = 'amqp://localhost'\nkey = 'a'", "together"),
            ("url = 'amqp://localhost'\nuser = 'a'", "unknown field"),
            (
                "url = 'amqp://localhost'\nservers = ['a:1']",
                "of Kafka alone",
            ),
            ("url = 'kafka://localhost'\nservers = ['a']", "no host:port"),
            ("username = 'a'", "url"),
        ] {
            let error = read(bad).unwrap_err().to_string();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }
}
