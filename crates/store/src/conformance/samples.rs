//! Records to store.

use std::collections::BTreeMap;

use hearth_types::arn::LayerVersionArn;
use hearth_types::digest::Digest;
use hearth_types::event_invoke::{DestinationArn, EventInvokeConfig};
use hearth_types::folder::FolderUse;
use hearth_types::function::{
    Architecture, CapacityProvider, Configuration, DeploymentId, LayerUse, LogFormat, Logging,
    Package, Reason, RecursiveLoop, Runtime, State, UpdateStatus,
};
use hearth_types::function_url::cors::Cors;
use hearth_types::function_url::{InvokeMode, UrlAuth, UrlId};
use hearth_types::mapping::{Mapping, MappingId, MappingState, Retries};
use hearth_types::name::{FunctionKey, QueueId, RouteId, TopicId, Version};
use hearth_types::source::{BrokerSource, Origin, Source};
use hearth_types::time::Timestamp;
use hearth_types::webhook::WebhookSecret;
use hearth_types::wire::route::{RateLimit, Route, Target};

use crate::record::{
    AliasRecord, EventInvokeRecord, FunctionRecord, FunctionUrlRecord, LayerVersionRecord,
    MappingRecord, PolicyRecord, RouteKeyRecord, RouteRecord, Running, StatementRecord,
    TopicRecord, VersionRecord, WebhookRecord,
};

/// The key of the function `name` in account 000000000000, region us-east-1.
///
/// # Panics
/// If `name` is not a function's name; so for the other names here.
pub fn key(name: &str) -> FunctionKey {
    key_in("000000000000", "us-east-1", name)
}

/// The key of a function.
///
/// # Panics
/// If a part breaks the rules of its kind.
pub fn key_in(account: &str, region: &str, name: &str) -> FunctionKey {
    FunctionKey {
        account: account.parse().expect("an account"),
        region: region.parse().expect("a region"),
        name: name.parse().expect("a function name"),
    }
}

fn package(tag: u64) -> Package {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&tag.to_le_bytes());
    Package {
        digest: Digest::from_bytes(digest),
        size: tag,
    }
}

/// A configuration; another `tag` gives another one.
pub fn configuration(tag: u64) -> Configuration {
    Configuration {
        description: format!("configuration {tag}"),
        runtime: Runtime::Python { minor: 12 },
        handler: "app.handler".to_owned(),
        role: "arn:aws:iam::000000000000:role/sample".to_owned(),
        timeout_s: 3,
        memory_mib: 128,
        tmp_mib: 512,
        environment: BTreeMap::from([("TAG".to_owned(), tag.to_string())]),
        layers: vec![LayerUse {
            arn: layer_arn("libraries", 1),
            package: package(tag),
        }],
        architecture: Architecture::X86_64,
        code: package(tag),
        tracing_active: tag % 2 == 1,
        logging: Logging {
            format: LogFormat::Json,
            application_level: Some("INFO".to_owned()),
            system_level: None,
            group: None,
        },
        capacity_provider: tag.is_multiple_of(3).then(|| CapacityProvider {
            arn: "arn:aws:lambda:us-east-1:000000000000:capacity-provider:sample".to_owned(),
            max_concurrency: tag.is_multiple_of(2).then_some(64),
            memory_gib_per_vcpu: serde_json::Number::from_f64(2.5),
        }),
        dead_letter: tag
            .is_multiple_of(2)
            .then(|| destination("arn:aws:sqs:us-east-1:000000000000:dead")),
        folders: (0..tag % 3)
            .map(|n| FolderUse {
                arn: format!("arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/f{n}")
                    .parse()
                    .expect("a sample"),
                path: format!("/mnt/f{n}").parse().expect("a sample"),
            })
            .collect(),
    }
}

/// A version; another `tag` gives another one. Its identifier uses all 128 bits.
pub fn version(version: Version, tag: u64) -> VersionRecord {
    let reason = Reason {
        code: "InvalidRuntime".to_owned(),
        message: "a \"quoted\"\nreason".to_owned(),
    };
    VersionRecord {
        version,
        deployment: DeploymentId::from_random(u128::MAX - u128::from(tag)),
        revision: format!("revision-{tag}"),
        modified: Timestamp::from_millis(1_767_323_045_678),
        configuration: configuration(tag),
        state: [State::Pending, State::Active, State::Failed(reason.clone())][(tag % 3) as usize]
            .clone(),
        update: [
            UpdateStatus::InProgress,
            UpdateStatus::Successful,
            UpdateStatus::Failed(reason),
        ][(tag % 3) as usize]
            .clone(),
        running: tag.is_multiple_of(2).then(|| Running {
            deployment: DeploymentId::from_random(u128::from(tag)),
            configuration: configuration(tag + 1),
            modified: Timestamp::from_millis(-1),
        }),
    }
}

/// A function at a generation; another `tag` gives another record.
pub fn function(key: &FunctionKey, generation: u64, tag: u64) -> FunctionRecord {
    FunctionRecord {
        key: key.clone(),
        generation,
        created: Timestamp::from_millis(1_700_000_000_000),
        tags: BTreeMap::from([("team".to_owned(), format!("t{tag}"))]),
        reserved_concurrency: tag.is_multiple_of(2).then_some(7),
        last_published: tag,
        recursive_loop: [RecursiveLoop::Terminate, RecursiveLoop::Allow][(tag % 2) as usize],
        latest: version(Version::Latest, tag),
    }
}

/// An alias of version 1; another `tag` gives another revision, `revision-<tag>`.
///
/// # Panics
/// If `name` is not an alias's name.
pub fn alias(name: &str, tag: u64) -> AliasRecord {
    AliasRecord {
        name: name.parse().expect("an alias name"),
        version: Version::Number(1),
        weighted: tag
            .is_multiple_of(2)
            .then_some((Version::Number(2), 0.1 + tag as f64 / 1e6)),
        description: format!("alias {tag}"),
        revision: format!("revision-{tag}"),
    }
}

/// The URL of a qualifier at a generation; another `tag` gives another record with the same identifier.
///
/// # Panics
/// If `qualifier` is none.
pub fn function_url(qualifier: &str, generation: u64, tag: u64) -> FunctionUrlRecord {
    FunctionUrlRecord {
        id: UrlId::from_random([7; 20]),
        qualifier: qualifier.parse().expect("a qualifier"),
        generation,
        auth: [UrlAuth::AwsIam, UrlAuth::None][(tag % 2) as usize],
        mode: [InvokeMode::Buffered, InvokeMode::ResponseStream][(tag % 2) as usize],
        cors: tag.is_multiple_of(3).then(|| Cors {
            allow_credentials: tag.is_multiple_of(2),
            allow_origins: vec![format!("https://{tag}.example")],
            max_age_s: Some(86_400),
            ..Cors::default()
        }),
        created: Timestamp::from_millis(1_700_000_000_000),
        modified: Timestamp::from_millis(1_700_000_000_000 + tag as i64),
    }
}

/// The policy of a qualifier; another `tag` gives another revision, `revision-<tag>`.
///
/// # Panics
/// If `qualifier` is none.
pub fn policy(qualifier: &str, tag: u64) -> PolicyRecord {
    PolicyRecord {
        qualifier: qualifier.parse().expect("a qualifier"),
        revision: format!("revision-{tag}"),
        statements: vec![StatementRecord {
            id: format!("statement-{tag}"),
            action: "lambda:InvokeFunctionUrl".to_owned(),
            principal: "*".to_owned(),
            source_arn: None,
            source_account: Some("000000000000".to_owned()),
            event_source_token: None,
            principal_org_id: None,
            url_auth: Some(UrlAuth::None),
            via_url: tag.is_multiple_of(2).then_some(true),
        }],
    }
}

/// How events of a qualifier are handled; another `tag` gives another revision, `revision-<tag>`.
///
/// # Panics
/// If `qualifier` is none.
pub fn event_invoke(qualifier: &str, tag: u64) -> EventInvokeRecord {
    EventInvokeRecord {
        qualifier: qualifier.parse().expect("a qualifier"),
        revision: format!("revision-{tag}"),
        modified: Timestamp::from_millis(1_700_000_000_000 + tag as i64),
        config: EventInvokeConfig {
            maximum_retry_attempts: (!tag.is_multiple_of(3)).then_some((tag % 3) as u32),
            maximum_event_age_s: tag.is_multiple_of(2).then_some(21_600),
            on_success: tag.is_multiple_of(2).then(|| {
                destination("arn:aws:lambda:us-east-1:000000000000:function:other:$LATEST")
            }),
            on_failure: tag
                .is_multiple_of(3)
                .then(|| destination("arn:aws:s3:::failed")),
        },
    }
}

fn destination(arn: &str) -> DestinationArn {
    arn.parse().expect("a destination")
}

/// Where the topic `name` is.
///
/// # Panics
/// If `name` is not a topic's name.
pub fn topic_id(name: &str) -> TopicId {
    TopicId {
        account: "000000000000".parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
        name: name.parse().expect("a topic name"),
    }
}

/// A topic; another `tag` gives another revision, `revision-<tag>`.
///
/// # Panics
/// Never: its URL is one.
pub fn topic(name: &str, tag: u64) -> TopicRecord {
    TopicRecord {
        id: topic_id(name),
        revision: format!("revision-{tag}"),
        created: Timestamp::from_millis(1_700_000_000_000),
        modified: Timestamp::from_millis(1_700_000_000_000 + tag as i64),
        webhooks: (0..tag % 3)
            .map(|n| WebhookRecord {
                url: format!("https://{n}.example/{tag}").parse().expect("a URL"),
                secret: WebhookSecret::from_random([tag as u8; WebhookSecret::BYTES]),
            })
            .collect(),
    }
}

/// Where the event source mapping `n` is.
///
/// # Panics
/// Never: its parts are ones.
pub fn mapping_id(n: u8) -> MappingId {
    MappingId {
        account: "000000000000".parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
        uuid: format!("00000000-0000-4000-8000-0000000000{n:02x}")
            .parse()
            .expect("a UUID"),
    }
}

/// An event source mapping; another `tag` gives another revision, `revision-<tag>`.
///
/// # Panics
/// Never: its parts are ones.
pub fn mapping(n: u8, tag: u64) -> MappingRecord {
    let function = key("one");
    MappingRecord {
        id: mapping_id(n),
        revision: format!("revision-{tag}"),
        modified: Timestamp::from_millis(1_700_000_000_000 + tag as i64),
        state: [MappingState::Creating, MappingState::Enabled][(tag % 2) as usize],
        mapping: Mapping {
            source: match tag % 4 {
                0 => Source::Broker(BrokerSource {
                    arn: Some("arn:aws:mq:us-east-1:000000000000:broker:b:1".to_owned()),
                    broker: "b".parse().expect("a broker name"),
                    origin: Origin::RabbitMq {
                        queue: "work".to_owned(),
                        access: Vec::new(),
                    },
                }),
                _ => Source::Queue(QueueId {
                    account: function.account.clone(),
                    region: function.region.clone(),
                    name: "work.fifo".parse().expect("a queue name"),
                }),
            },
            function,
            qualifier: tag
                .is_multiple_of(3)
                .then(|| "live".parse().expect("a qualifier")),
            enabled: tag.is_multiple_of(2),
            batch_size: 10,
            window_s: 0,
            filters: vec![r#"{"body":["x"]}"#.to_owned(); (tag % 2) as usize],
            reports_failures: tag.is_multiple_of(2),
            maximum_concurrency: tag.is_multiple_of(2).then_some(2),
            retries: Retries {
                attempts: tag.is_multiple_of(2).then_some(3),
                age_s: tag.is_multiple_of(3).then_some(60),
                bisects: tag.is_multiple_of(2),
                on_failure: tag
                    .is_multiple_of(2)
                    .then(|| "arn:aws:s3:::failed".parse().expect("an ARN")),
            },
        },
        tags: [("tag".to_owned(), tag.to_string())].into(),
    }
}

/// Where the route `name` is, or the API key of that name.
///
/// # Panics
/// If `name` is not a route's name.
pub fn route_id(name: &str) -> RouteId {
    RouteId {
        account: "000000000000".parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
        name: name.parse().expect("a route name"),
    }
}

/// A route; another `tag` gives another revision, `revision-<tag>`.
pub fn route(name: &str, tag: u64) -> RouteRecord {
    RouteRecord {
        id: route_id(name),
        revision: format!("revision-{tag}"),
        created: Timestamp::from_millis(1_700_000_000_000),
        modified: Timestamp::from_millis(1_700_000_000_000 + tag as i64),
        route: Route {
            hosts: Some(vec![format!("{tag}.example")]),
            path: Some("/a/{id}/{*rest}".to_owned()),
            target: Some(Target {
                function_name: Some("f".to_owned()),
                ..Target::default()
            }),
            rate_limit: tag.is_multiple_of(2).then(|| RateLimit {
                requests_per_second: Some(0.1 + tag as f64 / 1e6),
                burst: None,
            }),
            ..Route::default()
        },
    }
}

/// An API key; another `tag` gives another revision, `revision-<tag>`.
pub fn route_key(name: &str, tag: u64) -> RouteKeyRecord {
    RouteKeyRecord {
        id: route_id(name),
        revision: format!("revision-{tag}"),
        key_id: format!("{tag:020x}"),
        sha256: package(tag).digest,
        enabled: tag.is_multiple_of(2),
        created: Timestamp::from_millis(1_700_000_000_000),
    }
}

/// The ARN of a version of a layer.
///
/// # Panics
/// If `layer` is not a layer's name.
pub fn layer_arn(layer: &str, version: u64) -> LayerVersionArn {
    LayerVersionArn {
        account: "000000000000".parse().expect("an account"),
        region: "us-east-1".parse().expect("a region"),
        layer: layer.parse().expect("a layer name"),
        version,
    }
}

/// A version of a layer.
pub fn layer_version(arn: LayerVersionArn) -> LayerVersionRecord {
    LayerVersionRecord {
        package: package(arn.version),
        description: format!("layer {arn}"),
        license: Some("MIT".to_owned()),
        created: Timestamp::from_millis(1),
        compatible_runtimes: vec!["python3.12".to_owned(), "no-such-runtime".to_owned()],
        compatible_architectures: vec![Architecture::X86_64, Architecture::Arm64],
        arn,
    }
}
