//! What a request may say of a topic of Kafka, as the source of an event source mapping.
//!
//! The API has no ARN for it: a request names bootstrap servers. A node connects to the brokers of its configuration and to no
//! others, so that the servers must be those of one of these.

use std::collections::BTreeMap;

use hearth_types::ApiError;
use hearth_types::name::BrokerName;
use hearth_types::source::{
    AccessKind, Begin, BrokerKind, BrokerSource, CONSUMER_GROUP, ENDPOINT, ENDPOINTS, KafkaTopic,
    KnownBroker, Origin, SourceAccess, Start, TOPIC, TOPICS,
};
use hearth_types::wire::lambda::{EventSourceMappingRequest, SelfManagedEventSource};

use crate::constraints::Constraints;

/// The patterns of the service model.
const TOPIC_PATTERN: &str = r"[^.]([a-zA-Z0-9\-_.]+)";
const ENDPOINT_PATTERN: &str = r"(([a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9\-]*[a-zA-Z0-9])\.)*([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9\-]*[A-Za-z0-9]):[0-9]{1,5}";
const GROUP_PATTERN: &str = r"[a-zA-Z0-9-\/*:_+=.@-]*";

/// Breaches of the service model.
pub(crate) fn check_shape(request: &EventSourceMappingRequest, constraints: &mut Constraints) {
    let mut count = |member: &str, count: usize, least: usize, most: usize| {
        if count < least {
            let rule = format!("Member must have length greater than or equal to {least}");
            constraints.breach(member, "", rule);
        } else if count > most {
            let rule = format!("Member must have length less than or equal to {most}");
            constraints.breach(member, "", rule);
        }
    };
    if let Some(topics) = &request.topics {
        count("topics", topics.len(), 1, TOPICS);
    }
    let source = request.self_managed_event_source.as_ref();
    let endpoints = source.and_then(|source| source.endpoints.as_ref());
    for servers in endpoints.iter().flat_map(|endpoints| endpoints.values()) {
        let (least, most) = (*ENDPOINTS.start(), *ENDPOINTS.end());
        count(
            "selfManagedEventSource.endpoints",
            servers.len(),
            least,
            most,
        );
    }
    for topic in request.topics.iter().flatten().take(TOPICS) {
        constraints.length("topics", topic, TOPIC);
        constraints.pattern("topics", topic, is_topic(topic), TOPIC_PATTERN);
    }
    for (name, servers) in endpoints.into_iter().flatten() {
        let member = "selfManagedEventSource.endpoints";
        constraints.one_of(member, name, &[SelfManagedEventSource::BOOTSTRAP_SERVERS]);
        for server in servers.iter().take(*ENDPOINTS.end()) {
            constraints.length(member, server, ENDPOINT);
            constraints.pattern(member, server, is_endpoint(server), ENDPOINT_PATTERN);
        }
    }
    if let Some(group) = group(request) {
        let member = "selfManagedKafkaEventSourceConfig.consumerGroupId";
        constraints.length(member, group, CONSUMER_GROUP);
        constraints.pattern(member, group, is_group(group), GROUP_PATTERN);
    }
}

fn is_topic(text: &str) -> bool {
    let mut characters = text.chars();
    let is_good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    // The pattern lets the first be anything else; Kafka does not.
    characters.next().is_some_and(|c| c != '.' && is_good(c)) && characters.all(is_good)
}

fn is_endpoint(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_label = |label: &str| {
        let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        is_end(label.chars().next())
            && is_end(label.chars().last())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    host.split('.').all(is_label)
        && (1..=5).contains(&port.len())
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_group(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "-/*:_+=.@".contains(c))
}

/// Whether a request for a new mapping names a topic of Kafka, in whatever shape.
pub(crate) fn is_named(request: &EventSourceMappingRequest) -> bool {
    request.self_managed_event_source.is_some()
}

/// The source that a request for a new mapping names.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn read(
    known: &BTreeMap<BrokerName, KnownBroker>,
    request: &EventSourceMappingRequest,
    access: Vec<SourceAccess>,
) -> Result<BrokerSource, ApiError> {
    if request.event_source_arn.is_some() {
        return Err(ApiError::invalid(
            "EventSourceArn and SelfManagedEventSource name different sources. Use one of them.",
        ));
    }
    let [topic] = request.topics.as_deref().unwrap_or_default() else {
        return Err(ApiError::invalid("Topics must name one topic of Kafka."));
    };
    let endpoints = request
        .self_managed_event_source
        .as_ref()
        .and_then(|source| source.endpoints.as_ref())
        .and_then(|endpoints| endpoints.get(SelfManagedEventSource::BOOTSTRAP_SERVERS));
    let servers = endpoints.filter(|servers| !servers.is_empty()).ok_or_else(|| {
        ApiError::invalid(
            "SelfManagedEventSource must have Endpoints with KAFKA_BOOTSTRAP_SERVERS, a list of host:port.",
        )
    })?;
    Ok(BrokerSource {
        arn: None,
        broker: broker(known, servers, &access)?,
        origin: Origin::Kafka(KafkaTopic {
            topic: topic.clone(),
            servers: servers.clone(),
            group: group(request).map(str::to_owned),
            begin: begin(request)?,
            access,
        }),
    })
}

/// The broker of the configuration that has all of the servers. Where several have, for different users, a secret's name
/// says which.
fn broker(
    known: &BTreeMap<BrokerName, KnownBroker>,
    servers: &[String],
    access: &[SourceAccess],
) -> Result<BrokerName, ApiError> {
    let has = |broker: &KnownBroker, server: &str| {
        let mut own = broker.servers.iter();
        own.any(|own| own.eq_ignore_ascii_case(server))
    };
    let of_kafka = || {
        let known = known.iter();
        known.filter(|(_, broker)| broker.kind == BrokerKind::Kafka)
    };
    let stranger = servers
        .iter()
        .find(|server| !of_kafka().any(|(_, broker)| has(broker, server)));
    if let Some(server) = stranger {
        return Err(ApiError::invalid(format!(
            "The node has no broker of Kafka at '{server}'. Name it in its configuration, as [brokers.NAME] with \
             url = \"kafka://{server}\", or among its servers."
        )));
    }
    let mut found: Vec<_> = of_kafka()
        .filter(|(_, broker)| servers.iter().all(|server| has(broker, server)))
        .map(|(name, _)| name)
        .collect();
    if found.len() > 1 {
        let is_said = |name: &&BrokerName| {
            let mut secrets = access.iter().map(|one| one.uri.rsplit([':', '/']).next());
            secrets.any(|secret| secret == Some(name.as_str()))
        };
        let said: Vec<_> = found.iter().copied().filter(|name| is_said(name)).collect();
        if said.len() == 1 {
            found = said;
        }
    }
    match found.as_slice() {
        [name] => Ok((*name).clone()),
        [] => Err(ApiError::invalid(
            "KAFKA_BOOTSTRAP_SERVERS are of different brokers of the node's configuration. Name servers of one of them.",
        )),
        several => {
            let names: Vec<_> = several.iter().map(|name| name.as_str()).collect();
            Err(ApiError::invalid(format!(
                "Several brokers of the node's configuration are at KAFKA_BOOTSTRAP_SERVERS: {}. Say which is meant by the \
                 last part of a URI in SourceAccessConfigurations.",
                names.join(", ")
            )))
        }
    }
}

fn begin(request: &EventSourceMappingRequest) -> Result<Begin, ApiError> {
    const WHERE: &str = "StartingPosition must be TRIM_HORIZON (what is in the topic), LATEST (what comes from now on) or \
         AT_TIMESTAMP, and only the last needs a StartingPositionTimestamp.";
    let at = request.starting_position_timestamp;
    match (request.starting_position.as_deref(), at) {
        (Some(Begin::AT_TIMESTAMP), Some(at)) => {
            let millis = (at * 1e3).round();
            // What has no such time is clamped: before the first record, or after the last.
            Ok(Begin::At((millis as i64).max(0)))
        }
        (Some(text), None) if text != Begin::AT_TIMESTAMP => match Start::of(text) {
            Some(start) => Ok(Begin::From(start)),
            None => Err(ApiError::invalid(WHERE)),
        },
        _ => Err(ApiError::invalid(WHERE)),
    }
}

fn group(request: &EventSourceMappingRequest) -> Option<&str> {
    let config = request.self_managed_kafka_event_source_config.as_ref()?;
    config.consumer_group_id.as_deref()
}

/// What a request may not say of a mapping of Kafka that is there, or is about to be.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn check(
    request: &EventSourceMappingRequest,
    kafka: &KafkaTopic,
) -> Result<(), ApiError> {
    let config = request.self_managed_kafka_event_source_config.as_ref();
    if config.is_some_and(|config| config.schema_registry_config.is_some()) {
        return Err(ApiError::invalid(
            "Hearth does not support SchemaRegistryConfig of event source mappings. Leave it out.",
        ));
    }
    // The name of a group of the mapping's own is shown, and comes back from clients that send all of what they were shown.
    let is_own = |group: &str| kafka.group.is_none() && group.starts_with(KafkaTopic::OWN_GROUP);
    if group(request).is_some_and(|group| Some(group) != kafka.group.as_deref() && !is_own(group)) {
        return Err(ApiError::invalid(
            "ConsumerGroupId of a mapping can't be changed. Make another mapping.",
        ));
    }
    let access = request.source_access_configurations.iter().flatten();
    let kinds = access.filter_map(|one| one.kind.as_deref());
    let sasl = kinds.filter(|kind| AccessKind::of(kind).is_some_and(|kind| kind.is_sasl()));
    if sasl.count() > 1 {
        return Err(ApiError::invalid(
            "SourceAccessConfigurations may have one of BASIC_AUTH, SASL_SCRAM_256_AUTH and SASL_SCRAM_512_AUTH.",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(brokers: &[(&str, BrokerKind, &[&str])]) -> BTreeMap<BrokerName, KnownBroker> {
        let brokers = brokers.iter().map(|(name, kind, servers)| {
            let servers = servers.iter().map(|&server| server.to_owned()).collect();
            let kind = *kind;
            (name.parse().unwrap(), KnownBroker { kind, servers })
        });
        brokers.collect()
    }

    fn found(servers: &[&str], secret: &str) -> Result<String, String> {
        let known = known(&[
            ("one", BrokerKind::Kafka, &["a:9092", "b:9092"]),
            ("other", BrokerKind::Kafka, &["b:9092", "c:9092"]),
            ("queue", BrokerKind::RabbitMq, &["q:9092"]),
        ]);
        let servers: Vec<_> = servers.iter().map(|&server| server.to_owned()).collect();
        let access = [SourceAccess {
            kind: AccessKind::BasicAuth,
            uri: secret.to_owned(),
        }];
        let found = broker(&known, &servers, &access);
        found
            .map(|name| name.to_string())
            .map_err(|error| error.message.to_string())
    }

    #[test]
    fn a_broker_is_found_by_its_servers_and_no_other_is_connected_to() {
        let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:other";
        assert_eq!(found(&["A:9092"], "s").as_deref(), Ok("one"));
        assert_eq!(found(&["b:9092", "c:9092"], "s").as_deref(), Ok("other"));
        assert_eq!(found(&["b:9092"], arn).as_deref(), Ok("other"));
        for (servers, says) in [
            (&["b:9092"][..], "one, other"),
            (&["a:9092", "c:9092"], "different brokers"),
            (&["a:9092", "169.254.169.254:80"], "at '169.254.169.254:80'"),
            (&["q:9092"], "at 'q:9092'"),
        ] {
            let error = found(servers, "s").unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn texts_are_what_the_service_takes() {
        assert!(
            ["localhost:9092", "b-1.k.example.com:1"]
                .into_iter()
                .all(is_endpoint)
        );
        let bad = [
            "a", "a:", ":1", "a:123456", "a b:1", "-a:1", "a..b:1", "[::1]:1", "a:1,b:2",
        ];
        assert!(!bad.into_iter().any(is_endpoint));
        assert!(["orders", "_orders", "a.b-c_D9"].into_iter().all(is_topic));
        assert!(!["", ".a", "a b", "é", "a/b"].into_iter().any(is_topic));
    }

    #[test]
    fn a_beginning_is_a_position_or_a_time() {
        let begin = |position: Option<&str>, at| {
            begin(&EventSourceMappingRequest {
                starting_position: position.map(str::to_owned),
                starting_position_timestamp: at,
                ..EventSourceMappingRequest::default()
            })
        };
        let latest = Begin::From(Start::Latest);
        assert_eq!(begin(Some("LATEST"), None).unwrap(), latest);
        let at = begin(Some("AT_TIMESTAMP"), Some(1_700_000_000.5));
        assert_eq!(at.unwrap(), Begin::At(1_700_000_000_500));
        for (position, at) in [
            (None, None),
            (Some("AT_TIMESTAMP"), None),
            (Some("LATEST"), Some(1.0)),
            (Some("NEVER"), None),
        ] {
            assert!(begin(position, at).is_err(), "{position:?}");
        }
    }
}
