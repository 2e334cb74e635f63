//! What a request may say of the source of an event source mapping, by the kind of the source.

use hearth_types::ApiError;
use hearth_types::destination::Destination;
use hearth_types::mapping::{DEFAULT_BATCH_SIZE, DEFAULT_BROKER_BATCH_SIZE, Mapping, Retries};
use hearth_types::name::FunctionKey;
use hearth_types::source::{
    AMQP_NAME, ARNS, AccessKind, BROKER_QUEUE, BrokerArn, BrokerKind, BrokerSource, KafkaTopic,
    Origin, SOURCE_ACCESS, SOURCE_ACCESS_URI, Source, SourceAccess, Start,
};
use hearth_types::wire::lambda::EventSourceMappingRequest;

use crate::constraints::Constraints;
use crate::{Options, Scope};
use crate::{mapping_kafka, mapping_retries};

/// Breaches of the service model.
pub(crate) fn check_shape(request: &EventSourceMappingRequest, constraints: &mut Constraints) {
    for queue in request.queues.iter().flatten() {
        constraints.length("queues", queue, BROKER_QUEUE);
    }
    if let Some(start) = &request.starting_position {
        const STARTS: [&str; 3] = ["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"];
        constraints.one_of("startingPosition", start, &STARTS);
    }
    let access = request.source_access_configurations.iter().flatten();
    for (at, one) in access.enumerate() {
        let uri = one.uri.as_deref().unwrap_or_default();
        constraints.length("sourceAccessConfigurations.uRI", uri, SOURCE_ACCESS_URI);
        if at == SOURCE_ACCESS {
            let rule = format!("Member must have length less than or equal to {SOURCE_ACCESS}");
            constraints.breach("sourceAccessConfigurations", "", rule);
            break;
        }
    }
    mapping_kafka::check_shape(request, constraints);
}

/// The access configurations of a request, if it has a list of them. One of a kind that no source has is found by
/// [`check`].
pub(crate) fn access(request: &EventSourceMappingRequest) -> Option<Vec<SourceAccess>> {
    let list = request.source_access_configurations.as_ref()?;
    let read = list.iter().filter_map(|one| {
        Some(SourceAccess {
            kind: AccessKind::of(one.kind.as_deref()?)?,
            uri: one.uri.clone()?,
        })
    });
    Some(read.collect())
}

/// The source with other access configurations, if it has any and some were given.
pub(crate) fn with_access(mut source: Source, access: Option<&[SourceAccess]>) -> Source {
    if let (Source::Broker(broker), Some(given)) = (&mut source, access)
        && let Origin::RabbitMq { access, .. } | Origin::Kafka(KafkaTopic { access, .. }) =
            &mut broker.origin
    {
        *access = given.to_vec();
    }
    source
}

/// The source that a request for a new mapping names.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn read(
    scope: &Scope,
    options: &Options,
    request: &EventSourceMappingRequest,
) -> Result<Source, ApiError> {
    if mapping_kafka::is_named(request) {
        let access = access(request).unwrap_or_default();
        let source = mapping_kafka::read(&options.brokers, request, access)?;
        return Ok(Source::Broker(source));
    }
    let arn = request.event_source_arn.as_deref().unwrap_or_default();
    const FAR: &str = "The event source must be a queue of the function's account and region, or a broker's \
         with these in its ARN.";
    if let Ok(Destination::Queue(id)) = arn.parse() {
        return if (&id.account, &id.region) == (&scope.account, &scope.region) {
            Ok(Source::Queue(id))
        } else {
            Err(ApiError::invalid(FAR))
        };
    }
    let read: BrokerArn = arn.parse().map_err(|_| unrecognized())?;
    if (&read.account, &read.region) != (&scope.account, &scope.region) {
        return Err(ApiError::invalid(FAR));
    }
    match options.brokers.get(&read.broker) {
        None => {
            return Err(ApiError::invalid(format!(
                "The node has no broker '{}'. Name it in its configuration, as [brokers.{}] with a url.",
                read.broker, read.broker
            )));
        }
        Some(known) if known.kind != read.kind => {
            return Err(ApiError::invalid(format!(
                "The broker '{}' of the node's configuration speaks the protocol of {}, and the event source is of {}.",
                read.broker, known.kind, read.kind
            )));
        }
        Some(_) => {}
    }
    let origin = match read.kind {
        BrokerKind::RabbitMq => {
            let queues = request.queues.as_deref().unwrap_or_default();
            let [queue] = queues else {
                return Err(ApiError::invalid(
                    "Queues must name one queue of the broker.",
                ));
            };
            Origin::RabbitMq {
                queue: queue.clone(),
                access: access(request).unwrap_or_default(),
            }
        }
        BrokerKind::Redis => Origin::Redis {
            stream: read.stream,
            start: start(request)?,
        },
        BrokerKind::Nats => Origin::Nats {
            stream: read.stream,
            start: start(request)?,
        },
        BrokerKind::Mqtt => Origin::Mqtt {
            filter: read.stream,
        },
        BrokerKind::Sqs => Origin::Sqs { queue: read.stream },
        // It has no ARN.
        BrokerKind::Kafka => return Err(unrecognized()),
    };
    Ok(Source::Broker(BrokerSource {
        arn: Some(arn.to_owned()),
        broker: read.broker,
        origin,
    }))
}

/// The source that a list is asked for; its broker may be gone from the configuration.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn check_arn(arn: &str) -> Result<(), ApiError> {
    let is_queue = matches!(arn.parse(), Ok(Destination::Queue(_)));
    if is_queue || arn.parse::<BrokerArn>().is_ok() {
        Ok(())
    } else {
        Err(unrecognized())
    }
}

fn unrecognized() -> ApiError {
    ApiError::invalid(format!(
        "Unrecognized event source. EventSourceArn must be the ARN of a queue of this node, as \
         arn:aws:sqs:region:123456789012:name, or of what a broker of its configuration has: {ARNS}. A topic of Kafka is \
         named by SelfManagedEventSource and Topics instead."
    ))
}

fn start(request: &EventSourceMappingRequest) -> Result<Start, ApiError> {
    let text = request.starting_position.as_deref();
    text.and_then(Start::of).ok_or_else(|| {
        ApiError::invalid(
            "StartingPosition must be TRIM_HORIZON (what is in the stream) or LATEST (what comes from now on).",
        )
    })
}

/// A mapping of which nothing was said but between whom.
pub(crate) fn defaults(source: Source, function: FunctionKey) -> Mapping {
    let batch_size = match &source {
        Source::Broker(broker) if broker.origin.kind() != BrokerKind::Sqs => {
            DEFAULT_BROKER_BATCH_SIZE
        }
        _ => DEFAULT_BATCH_SIZE,
    };
    Mapping {
        source,
        function,
        qualifier: None,
        enabled: true,
        batch_size,
        window_s: 0,
        filters: Vec::new(),
        reports_failures: false,
        maximum_concurrency: None,
        retries: Retries::default(),
    }
}

/// Refuses what belongs to other sources, or needs what a node does not have. Empty forms are taken, as clients send
/// them.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn check(request: &EventSourceMappingRequest, source: &Source) -> Result<(), ApiError> {
    let (sort, kind, is_stream) = match source {
        Source::Queue(_) => ("queues", None, false),
        Source::Broker(broker) => {
            let (sort, is_stream) = match broker.origin {
                Origin::RabbitMq { .. } => ("queues of RabbitMQ", false),
                Origin::Redis { .. } => ("streams of Redis", true),
                Origin::Nats { .. } => ("streams of NATS", true),
                Origin::Mqtt { .. } => ("topics of MQTT", false),
                Origin::Sqs { .. } => ("queues of an SQS endpoint", false),
                Origin::Kafka(_) => ("topics of Kafka", true),
            };
            (sort, Some(broker.origin.kind()), is_stream)
        }
    };
    let (is_rabbit, is_kafka) = (
        kind == Some(BrokerKind::RabbitMq),
        kind == Some(BrokerKind::Kafka),
    );
    let access = request.source_access_configurations.as_deref();
    let access = access.unwrap_or_default();
    let of_others = [
        (
            !is_stream && request.starting_position.is_some(),
            "StartingPosition",
        ),
        (!is_rabbit && request.queues.is_some(), "Queues"),
        (
            !is_rabbit && !is_kafka && !access.is_empty(),
            "SourceAccessConfigurations",
        ),
        (
            !is_kafka && request.starting_position_timestamp.is_some(),
            "StartingPositionTimestamp",
        ),
        (!is_kafka && request.topics.is_some(), "Topics"),
        (
            !is_kafka && request.self_managed_event_source.is_some(),
            "SelfManagedEventSource",
        ),
        (
            !is_kafka && request.self_managed_kafka_event_source_config.is_some(),
            "SelfManagedKafkaEventSourceConfig",
        ),
    ];
    let of_streams = mapping_retries::of_streams(request)
        .into_iter()
        .filter(|_| !is_stream);
    let unsupported = of_others.into_iter().chain(of_streams);
    for (is_there, member) in unsupported.chain(of_no_source(request)) {
        if is_there {
            let member = match (member, source) {
                ("DestinationConfig", Source::Queue(_)) => {
                    "DestinationConfig: give the queue a RedrivePolicy instead"
                }
                _ => member,
            };
            return Err(ApiError::invalid(format!(
                "Unsupported parameter for event sources that are {sort}: {member}. Leave it out."
            )));
        }
    }
    let names = access
        .iter()
        .filter(|one| one.kind.as_deref() == Some(AccessKind::VirtualHost.as_str()));
    let names = names.filter_map(|one| one.uri.as_deref());
    let queues = request.queues.iter().flatten().map(String::as_str);
    if let Some(long) = names.chain(queues).find(|name| name.len() > AMQP_NAME) {
        let shown: String = long.chars().take(20).collect();
        return Err(ApiError::invalid(format!(
            "'{shown}…' is too long: names of RabbitMQ have at most {AMQP_NAME} bytes."
        )));
    }
    for one in access {
        let said = one.kind.as_deref().unwrap_or_default();
        let is_of = |said: AccessKind| kind.is_some_and(|kind| said.is_of(kind));
        if AccessKind::of(said).is_none_or(|said| !is_of(said)) {
            let others = if is_kafka {
                "BASIC_AUTH, SASL_SCRAM_256_AUTH or SASL_SCRAM_512_AUTH for how user name and password are shown, and \
                 SERVER_ROOT_CA_CERTIFICATE and CLIENT_CERTIFICATE_TLS_AUTH where a client insists on them"
            } else {
                "VIRTUAL_HOST, and BASIC_AUTH where a client insists on it"
            };
            return Err(ApiError::invalid(format!(
                "Unsupported source access configuration '{said}'. Use {others}; user names, passwords and certificates are \
                 in the node's configuration."
            )));
        }
    }
    if let Some(kafka) = source.kafka() {
        mapping_kafka::check(request, kafka)?;
    }
    if is_stream {
        mapping_retries::check(request)?;
    }
    for (is_there, member) in of_no_node(request) {
        if is_there {
            return Err(ApiError::invalid(format!(
                "Hearth does not support {member} of event source mappings. Leave it out or empty."
            )));
        }
    }
    Ok(())
}

/// What belongs to sources that Hearth does not have.
fn of_no_source(request: &EventSourceMappingRequest) -> [(bool, &'static str); 4] {
    [
        (
            request.parallelization_factor.is_some_and(|n| n != 1),
            "ParallelizationFactor",
        ),
        (
            request.tumbling_window_in_seconds.is_some_and(|n| n != 0),
            "TumblingWindowInSeconds",
        ),
        (
            request.amazon_managed_kafka_event_source_config.is_some(),
            "AmazonManagedKafkaEventSourceConfig",
        ),
        (
            request.document_db_event_source_config.is_some(),
            "DocumentDBEventSourceConfig",
        ),
    ]
}

/// What needs what a node does not have.
fn of_no_node(request: &EventSourceMappingRequest) -> [(bool, &'static str); 4] {
    let names_key = |arn: &String| !arn.is_empty();
    let names_metrics = |metrics: &Vec<String>| !metrics.is_empty();
    [
        (
            request.kms_key_arn.as_ref().is_some_and(names_key),
            "KMSKeyArn",
        ),
        (
            request
                .metrics_config
                .as_ref()
                .and_then(|config| config.metrics.as_ref())
                .is_some_and(names_metrics),
            "MetricsConfig",
        ),
        (request.logging_config.is_some(), "LoggingConfig"),
        (
            request.provisioned_poller_config.is_some(),
            "ProvisionedPollerConfig",
        ),
    ]
}
