//! Connections to a cluster of Kafka: how they are secured, and how much of an answer is read.

use std::time::Duration;

use hearth_types::limits::REQUEST_PAYLOAD_BYTES;
use hearth_types::source::{AccessKind, KafkaTopic};
use krafka::auth::{AuthConfig, TlsConfig};
use krafka::consumer::{
    AutoOffsetReset, Consumer, ConsumerBuilder, IsolationLevel, PartitionAssignmentStrategy,
};

use crate::connection::{ANSWER, answered};
use crate::error::BrokerError;
use crate::server::Server;

/// Longest that one server may take to be connected to, so that there is time for another one within [`ANSWER`].
const CONNECT: Duration = Duration::from_secs(5);
/// How old what is known of the cluster may be when it is asked for: less than from one look at it to the next (`LOOK` of
/// kafka_session.rs), which would else be shown what is known.
const METADATA_AGE: Duration = Duration::from_secs(10);
/// Most bytes of an answer. A server gives a batch of records whole however little is asked for, of up to its
/// `message.max.bytes`: 1 MiB if nobody says otherwise, and no function can be given a record of more than 6 MB.
const MOST_ANSWERED: usize = 16 << 20;
/// Most bytes that a compressed batch may unpack to. What is repeated over and over packs to a hundredth, and a record keeps
/// the whole of its batch: together with [`RECORDS`] this bounds what a producer can have the node hold.
const MOST_UNPACKED: usize = 16 << 20;
/// Most bytes that are asked for of one partition: Kafka's own default.
const PARTITION_BYTES: i32 = 1 << 20;
/// Records that are handed over at a time; as many again may be read ahead. Each may be of a batch of its own.
const RECORDS: i32 = 25;
/// After what time without a word a consumer is taken to be gone, so that others are given its partitions: the records of
/// a killed node come again that much later.
const SESSION: Duration = Duration::from_secs(15);
/// How often a word is said: several may be lost.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// Longest that a consumer may take to give up partitions. It is asked every few seconds, and waits for a batch.
const REBALANCE: Duration = Duration::from_secs(60);
/// How long a question for records waits at a server.
const WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether records are wanted while none are. Who wants some says so besides.
const IDLE: Duration = Duration::from_millis(250);

/// Connects.
pub(crate) async fn client(
    server: &Server,
    topic: &KafkaTopic,
) -> Result<krafka::Kafka, BrokerError> {
    let mut builder = krafka::Kafka::builder(server.servers().join(","))
        .client_id("hearth")
        .request_timeout(ANSWER)
        .connect_timeout(CONNECT)
        .metadata_max_age(METADATA_AGE)
        .max_response_size(MOST_ANSWERED);
    if let Some(security) = security(server, topic).await? {
        builder = builder.security(security);
    }
    answered(server, "connect to", builder.connect()).await
}

/// What a mapping says of how user name and password are shown, and what the configuration has to show.
async fn security(server: &Server, topic: &KafkaTopic) -> Result<Option<AuthConfig>, BrokerError> {
    let mut kinds = topic.access.iter().map(|access| access.kind);
    let sasl = kinds.find(|kind| kind.is_sasl());
    let shown = match (sasl, &server.username, server.password().await?) {
        (None, None, None) => None,
        (Some(kind), Some(username), Some(password)) => Some(match kind {
            AccessKind::SaslScram256Auth => AuthConfig::sasl_scram_sha256(username, password),
            AccessKind::SaslScram512Auth => AuthConfig::sasl_scram_sha512(username, password),
            _ => AuthConfig::sasl_plain(username, password),
        }),
        (Some(kind), ..) => {
            let kind = kind.as_str();
            return Err(server.bad(format!("{kind} needs a username and a password")));
        }
        (None, ..) => {
            return Err(server.bad(
                "it has a username or a password, and the mapping does not say how they are shown: its \
                 SourceAccessConfigurations need BASIC_AUTH, SASL_SCRAM_256_AUTH or SASL_SCRAM_512_AUTH"
                    .to_owned(),
            ));
        }
    };
    if server.url.scheme() == "kafka" {
        return Ok(shown);
    }
    let files = server.certificates().await?;
    let mut tls = match files.ca {
        Some(pem) => TlsConfig::new().with_ca_cert_pem(pem),
        None => TlsConfig::new().with_native_roots(),
    };
    if let Some((chain, key)) = files.own {
        tls = tls.with_client_cert_pem(chain, key);
    }
    Ok(Some(match shown {
        Some(shown) => shown.with_tls(tls),
        None => AuthConfig::ssl(tls),
    }))
}

/// A consumer of a group, which has joined nothing yet.
pub(crate) fn consumer(client: &krafka::Kafka, group: String) -> ConsumerBuilder {
    client
        .consumer(group)
        .enable_auto_commit(false)
        // What has fallen out of a topic is passed over, and nothing else: where a group begins is stored when it begins.
        .auto_offset_reset(AutoOffsetReset::Earliest)
        // Records of transactions that were given up are nobody's.
        .isolation_level(IsolationLevel::ReadCommitted)
        // Members keep what they have when others come and go, unless one of the group can't do that.
        .partition_assignment_strategies([
            PartitionAssignmentStrategy::CooperativeSticky,
            PartitionAssignmentStrategy::Range,
        ])
        .fetch_max_bytes(i32::try_from(REQUEST_PAYLOAD_BYTES).unwrap_or(i32::MAX))
        .max_partition_fetch_bytes(PARTITION_BYTES)
        .max_decompressed_size(MOST_UNPACKED)
        .max_poll_records(RECORDS)
        // It is bounded by the bytes of an answer; with a bound of its own, a full one is asked again and again without a pause.
        .max_buffered_records(0)
        .session_timeout(SESSION)
        .heartbeat_interval(HEARTBEAT)
        .max_poll_interval(REBALANCE)
        .fetch_max_wait(WAIT)
        .idle_poll_backoff(IDLE)
        .metrics_push(false)
}

/// The partitions of a topic, by number.
pub(crate) async fn partitions(
    server: &Server,
    consumer: &Consumer,
    topic: &str,
) -> Result<Vec<i32>, BrokerError> {
    let found = consumer.fetch_metadata(Some(topic));
    let found = answered(server, "find the topic of", found).await?;
    let topics = found.topics.into_iter();
    let partitions = topics.flat_map(|topic| topic.partitions.into_values());
    let mut partitions: Vec<_> = partitions.map(|partition| partition.partition).collect();
    partitions.sort_unstable();
    if partitions.is_empty() {
        return Err(server.failed("find the topic of", format!("it has no topic '{topic}'")));
    }
    Ok(partitions)
}
