//! Requests that are refused: each with its kind and a sentence that says what to do, and nothing changed.

use hearth_types::wire::lambda::{
    CapacityProviderConfig, DeadLetterConfig, DurableConfig, Environment, EphemeralStorage,
    FileSystemConfig, ImageConfig, LoggingConfig, ManagedInstancesConfig, SnapStart, TracingConfig,
    Unexamined, VpcConfig,
};

use super::*;
use crate::{parse_function, parse_qualifier};

type Row = (
    &'static str,
    fn(&mut CreateFunctionRequest),
    ErrorKind,
    &'static str,
);

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn variables(name: &str, value: &str) -> Option<Environment> {
    Some(Environment {
        variables: Some([(name.to_owned(), value.to_owned())].into()),
    })
}

const FLEET: &str = "arn:aws:lambda:us-east-1:000000000000:capacity-provider:fleet";

fn capacity_provider(arn: &str, concurrency: i64) -> Option<CapacityProviderConfig> {
    Some(CapacityProviderConfig {
        lambda_managed_instances_capacity_provider_config: Some(ManagedInstancesConfig {
            capacity_provider_arn: text(arn),
            per_execution_environment_max_concurrency: Some(concurrency),
            execution_environment_memory_gib_per_vcpu: None,
        }),
    })
}

const VALIDATION: ErrorKind = ErrorKind::Validation;
const INVALID: ErrorKind = ErrorKind::InvalidParameterValue;

const ROWS: &[Row] = &[
    (
        "no name",
        |r| r.function_name = None,
        VALIDATION,
        "'functionName' failed to satisfy constraint: Member must not be null",
    ),
    (
        "bad name",
        |r| r.function_name = text("a b"),
        VALIDATION,
        "Value 'a b' at 'functionName'",
    ),
    (
        "long name",
        |r| r.function_name = Some("f".repeat(65)),
        VALIDATION,
        "regular expression pattern",
    ),
    (
        "name with a version",
        |r| r.function_name = text("f:1"),
        INVALID,
        "unqualified function ARN",
    ),
    (
        "other account",
        |r| r.function_name = text("111111111111:function:f"),
        ErrorKind::AccessDenied,
        "not authorized",
    ),
    (
        "no role",
        |r| r.role = None,
        VALIDATION,
        "Value null at 'role'",
    ),
    (
        "not a role",
        |r| r.role = text("role"),
        VALIDATION,
        "at 'role' failed to satisfy constraint: Member must satisfy regular",
    ),
    (
        "role of another account",
        |r| r.role = text("arn:aws:iam::111111111111:role/x"),
        INVALID,
        "cannot be assumed by Lambda",
    ),
    (
        "no runtime",
        |r| r.runtime = None,
        INVALID,
        "Runtime and Handler are mandatory",
    ),
    (
        "no handler",
        |r| r.handler = None,
        INVALID,
        "Runtime and Handler are mandatory",
    ),
    (
        "unknown runtime",
        |r| r.runtime = text("cobol85"),
        INVALID,
        "Value cobol85 at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [",
    ),
    (
        "handler with a blank",
        |r| r.handler = text("a b"),
        VALIDATION,
        "at 'handler'",
    ),
    (
        "long handler",
        |r| r.handler = Some("h".repeat(129)),
        VALIDATION,
        "length less than or equal to 128",
    ),
    (
        "long description",
        |r| r.description = Some("d".repeat(257)),
        VALIDATION,
        "length less than or equal to 256",
    ),
    (
        "timeout 0",
        |r| r.timeout = Some(0),
        VALIDATION,
        "Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than or equal to 1",
    ),
    (
        "timeout 901",
        |r| r.timeout = Some(901),
        VALIDATION,
        "less than or equal to 900",
    ),
    (
        "memory 127",
        |r| r.memory_size = Some(127),
        VALIDATION,
        "greater than or equal to 128",
    ),
    (
        "memory 10241",
        |r| r.memory_size = Some(10_241),
        VALIDATION,
        "less than or equal to 10240",
    ),
    (
        "huge memory",
        |r| r.memory_size = Some(i64::MAX),
        VALIDATION,
        "less than or equal to 10240",
    ),
    (
        "/tmp 511",
        |r| r.ephemeral_storage = Some(EphemeralStorage { size: Some(511) }),
        VALIDATION,
        "'ephemeralStorage.size'",
    ),
    (
        "reserved variable",
        |r| r.environment = variables("AWS_REGION", "x"),
        INVALID,
        "Reserved keys used in this request: AWS_REGION",
    ),
    (
        "bad variable",
        |r| r.environment = variables("1A", "x"),
        VALIDATION,
        "Map keys must satisfy",
    ),
    (
        "too many variables",
        |r| r.environment = variables("BIG", &"x".repeat(5000)),
        INVALID,
        "4KB limit",
    ),
    (
        "tracing",
        |r| r.tracing_config = Some(TracingConfig { mode: text("On") }),
        VALIDATION,
        "[Active, PassThrough]",
    ),
    (
        "log format",
        |r| {
            r.logging_config = Some(LoggingConfig {
                log_format: text("XML"),
                ..Default::default()
            })
        },
        VALIDATION,
        "[JSON, Text]",
    ),
    (
        "level of text",
        |r| {
            r.logging_config = Some(LoggingConfig {
                system_log_level: text("WARN"),
                ..Default::default()
            })
        },
        INVALID,
        "LogFormat JSON",
    ),
    (
        "two processors",
        |r| r.architectures = Some(vec!["arm64".to_owned(), "x86_64".to_owned()]),
        VALIDATION,
        "'architectures'",
    ),
    (
        "unknown processor",
        |r| r.architectures = Some(vec!["riscv".to_owned()]),
        VALIDATION,
        "[x86_64, arm64]",
    ),
    (
        "other processor",
        |r| r.architectures = Some(vec!["arm64".to_owned()]),
        INVALID,
        "Build the package for x86_64",
    ),
    ("no code", |r| r.code = None, VALIDATION, "'code'"),
    (
        "empty code",
        |r| r.code = Some(FunctionCode::default()),
        INVALID,
        "provide a source",
    ),
    (
        "not a zip",
        |r| {
            r.code = Some(FunctionCode {
                zip_file: Some(Blob(Bytes::from_static(b"hello"))),
                ..Default::default()
            })
        },
        INVALID,
        "Could not unzip uploaded file",
    ),
    (
        "package type",
        |r| r.package_type = text("Tar"),
        VALIDATION,
        "[Zip, Image]",
    ),
    (
        "image",
        |r| r.package_type = text("Image"),
        INVALID,
        "Use PackageType Zip",
    ),
    (
        "tag",
        |r| r.tags = Some([("aws:x".to_owned(), String::new())].into()),
        INVALID,
        "aws:",
    ),
    (
        "wall",
        |r| r.tags = Some([("hearth:isolation".to_owned(), "oci".to_owned())].into()),
        INVALID,
        "'process'",
    ),
    (
        "layer",
        |r| {
            r.layers = Some(vec![
                "arn:aws:lambda:us-east-1:000000000000:layer:x:1".to_owned(),
            ])
        },
        INVALID,
        "does not exist",
    ),
    (
        "vpc",
        |r| {
            r.vpc_config = Some(VpcConfig {
                subnet_ids: Some(vec!["subnet-1".to_owned()]),
                ..Default::default()
            })
        },
        INVALID,
        "VpcConfig",
    ),
    (
        "dead letters",
        |r| {
            r.dead_letter_config = Some(DeadLetterConfig {
                target_arn: text("arn:aws:sqs:us-east-1:000000000000:q"),
            })
        },
        INVALID,
        "no such queue",
    ),
    (
        "file system",
        |r| r.file_system_configs = Some(vec![FileSystemConfig::default()]),
        VALIDATION,
        "fileSystemConfigs.1.member.arn",
    ),
    (
        "image settings",
        |r| {
            r.image_config = Some(ImageConfig {
                working_directory: text("/"),
                ..Default::default()
            })
        },
        INVALID,
        "ImageConfig",
    ),
    (
        "snapshots",
        |r| {
            r.snap_start = Some(SnapStart {
                apply_on: text("PublishedVersions"),
            })
        },
        INVALID,
        "SnapStart",
    ),
    (
        "snapshot mode",
        |r| {
            r.snap_start = Some(SnapStart {
                apply_on: text("Always"),
            })
        },
        VALIDATION,
        "[PublishedVersions, None]",
    ),
    (
        "key",
        |r| r.kms_key_arn = text("arn:aws:kms:us-east-1:000000000000:key/x"),
        INVALID,
        "KMSKeyArn",
    ),
    (
        "capacity",
        |r| r.capacity_provider_config = Some(CapacityProviderConfig::default()),
        VALIDATION,
        "lambdaManagedInstancesCapacityProviderConfig",
    ),
    (
        "fleet",
        |r| r.capacity_provider_config = capacity_provider("arn:aws:lambda:x", 1),
        VALIDATION,
        "capacityProviderArn",
    ),
    (
        "crowded",
        |r| r.capacity_provider_config = capacity_provider(FLEET, 1_601),
        VALIDATION,
        "less than or equal to 1600",
    ),
    (
        "nobody",
        |r| r.capacity_provider_config = capacity_provider(FLEET, 0),
        VALIDATION,
        "greater than or equal to 1",
    ),
    (
        "durable",
        |r| r.durable_config = Some(DurableConfig::default()),
        INVALID,
        "DurableConfig",
    ),
    (
        "tenancy",
        |r| r.tenancy_config = Some(Unexamined {}),
        INVALID,
        "TenancyConfig",
    ),
    (
        "signing",
        |r| {
            r.code_signing_config_arn =
                text("arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-0")
        },
        INVALID,
        "CodeSigningConfigArn",
    ),
    (
        "publish to",
        |r| r.publish_to = text("LATEST_PUBLISHED"),
        INVALID,
        "PublishTo",
    ),
];

#[tokio::test]
async fn each_is_refused_with_its_kind_and_changes_nothing() {
    let world = World::new().await;
    for (what, spoil, expected, says) in ROWS {
        let mut request = create("f");
        spoil(&mut request);
        let error = world
            .registry
            .create_function(&world.scope, request)
            .await
            .unwrap_err();
        assert_eq!(error.kind, *expected, "{what}: {error}");
        assert!(error.message.contains(says), "{what}: {error}");
    }
    assert_eq!(world.store.contents(), Default::default());
    world.function("f").await;
    let again = world
        .registry
        .create_function(&world.scope, create("f"))
        .await
        .unwrap_err();
    assert_eq!(
        (again.kind, again.message.as_ref()),
        (ErrorKind::ResourceConflict, "Function already exist: f")
    );
}

#[tokio::test]
async fn what_clients_send_empty_is_taken_as_absent() {
    let world = World::new().await;
    let mut request = create("f");
    request.vpc_config = Some(VpcConfig {
        subnet_ids: Some(vec![]),
        security_group_ids: Some(vec![]),
        ipv6_allowed_for_dual_stack: Some(false),
    });
    request.dead_letter_config = Some(DeadLetterConfig {
        target_arn: text(""),
    });
    request.file_system_configs = Some(vec![]);
    request.image_config = Some(ImageConfig::default());
    request.snap_start = Some(SnapStart {
        apply_on: text("None"),
    });
    request.kms_key_arn = text("");
    request.environment = Some(Environment::default());
    request.layers = Some(vec![]);
    request.tags = Some([].into());
    request.package_type = text("Zip");
    request.architectures = Some(vec!["x86_64".to_owned()]);
    let created = world
        .registry
        .create_function(&world.scope, request)
        .await
        .unwrap();
    assert_eq!((created.environment, created.layers), (None, None));
}

#[tokio::test]
async fn every_breach_of_shape_is_told_at_once() {
    let world = World::new().await;
    let mut request = create("f");
    request.timeout = Some(0);
    request.memory_size = Some(1);
    let error = world
        .registry
        .create_function(&world.scope, request)
        .await
        .unwrap_err();
    assert!(
        error
            .message
            .starts_with("2 validation errors detected: Value '0' at 'timeout'")
    );
}

#[test]
fn names_and_qualifiers_are_refused_in_the_services_words() {
    assert!(parse_function("arn:aws:lambda:us-east-1:000000000000:function:f:live").is_ok());
    assert!(parse_qualifier("$LATEST").is_ok());
    for bad in ["a b", "../x", "f:0", ""] {
        let error = parse_function(bad).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Validation);
        assert!(
            error
                .message
                .starts_with("1 validation error detected: Value '"),
            "{error}"
        );
    }
    let hostile = parse_qualifier(&"%".repeat(1 << 20)).unwrap_err();
    assert!(hostile.message.len() < 1_000);
}
