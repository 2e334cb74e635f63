//! How events are handled: configurations, dead letters, loops.

use hearth_types::ApiError;
use hearth_types::ErrorKind;
use hearth_types::lineage::{self, MOST_RUNS};
use hearth_types::name::{FunctionKey, Qualifier};
use hearth_types::wire::lambda::{
    CreateAliasRequest, DeadLetterConfig, DestinationConfig, FunctionEventInvokeConfig,
    FunctionEventInvokeConfigRequest, FunctionRecursionConfig, OnEnd, PublishVersionRequest,
    UpdateAliasRequest, UpdateFunctionConfigurationRequest,
};

use super::topics::topic;
use super::{World, create, function, kind, qualifier, scope};
use crate::PageRequest;

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:alerts";

fn numbers(retries: Option<i64>, age: Option<i64>) -> FunctionEventInvokeConfigRequest {
    FunctionEventInvokeConfigRequest {
        maximum_retry_attempts: retries,
        maximum_event_age_in_seconds: age,
        destination_config: None,
    }
}

fn destinations(success: &str, failure: &str) -> FunctionEventInvokeConfigRequest {
    let end = |arn: &str| {
        Some(OnEnd {
            destination: Some(arn.to_owned()),
        })
    };
    FunctionEventInvokeConfigRequest {
        destination_config: Some(DestinationConfig {
            on_success: end(success),
            on_failure: end(failure),
        }),
        ..FunctionEventInvokeConfigRequest::default()
    }
}

impl World {
    async fn put_events(
        &self,
        name: &str,
        request: FunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        let (function, qualifier) = split(name);
        self.registry
            .put_event_invoke_config(&self.scope, &function, qualifier.as_ref(), request)
            .await
    }

    async fn update_events(
        &self,
        name: &str,
        request: FunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        let (function, qualifier) = split(name);
        self.registry
            .update_event_invoke_config(&self.scope, &function, qualifier.as_ref(), request)
            .await
    }

    fn events(&self, name: &str) -> Result<FunctionEventInvokeConfig, ApiError> {
        let (function, qualifier) = split(name);
        self.registry
            .get_event_invoke_config(&self.scope, &function, qualifier.as_ref())
    }

    fn key(&self, name: &str) -> FunctionKey {
        self.scope.key(&function(name)).unwrap()
    }

    async fn version_and_alias(&self, name: &str) {
        let request = PublishVersionRequest::default();
        self.registry
            .publish_version(&self.scope, &function(name), request)
            .await
            .unwrap();
        self.alias(name).await;
    }

    async fn alias(&self, name: &str) {
        let request = CreateAliasRequest {
            name: Some("live".to_owned()),
            function_version: Some("1".to_owned()),
            ..CreateAliasRequest::default()
        };
        self.registry
            .create_alias(&self.scope, &function(name), request)
            .await
            .unwrap();
    }
}

/// `f` and `f:live` as a name and the parameter `Qualifier`.
fn split(name: &str) -> (hearth_types::arn::FunctionRef, Option<Qualifier>) {
    match name.split_once(':') {
        Some((name, text)) => (function(name), Some(qualifier(text))),
        None => (function(name), None),
    }
}

#[tokio::test]
async fn put_overwrites_and_update_lays_over() {
    let world = World::new().await;
    world.function("f").await;
    world.topic("alerts", topic(&[])).await.unwrap();
    let missing = world.events("f").unwrap_err();
    assert_eq!(missing.kind, ErrorKind::ResourceNotFound);
    assert_eq!(
        missing.message,
        "The function arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST doesn't have an EventInvokeConfig"
    );
    assert_eq!(
        kind(world.update_events("f", numbers(Some(1), None)).await),
        ErrorKind::ResourceNotFound
    );

    let put = world
        .put_events("f", numbers(Some(0), Some(60)))
        .await
        .unwrap();
    assert!(put.function_arn.ends_with(":function:f:$LATEST"));
    assert_eq!(put.maximum_retry_attempts, Some(0));
    assert_eq!(put.maximum_event_age_in_seconds, Some(60));
    assert_eq!(put.destination_config.on_success, Some(OnEnd::default()));
    assert_eq!(world.events("f").unwrap(), put);
    assert_eq!(world.events("f:$LATEST").unwrap(), put, "one and the same");

    let updated = world
        .update_events("f", destinations(TOPIC, ""))
        .await
        .unwrap();
    assert_eq!(
        updated.maximum_retry_attempts,
        Some(0),
        "what is absent stays"
    );
    let on_success = updated.destination_config.on_success.unwrap();
    assert_eq!(on_success.destination.as_deref(), Some(TOPIC));
    assert_eq!(
        updated.destination_config.on_failure,
        Some(OnEnd::default())
    );
    assert!(updated.last_modified > put.last_modified);

    let put = world
        .put_events("f", numbers(None, Some(21_600)))
        .await
        .unwrap();
    assert_eq!(put.maximum_retry_attempts, None, "what is absent is gone");
    assert_eq!(put.destination_config.on_success, Some(OnEnd::default()));
    let restarted = world.restarted().await;
    let found = restarted.get_event_invoke_config(&world.scope, &function("f"), None);
    assert_eq!(found.unwrap(), put);

    let f = function("f");
    let delete = || {
        world
            .registry
            .delete_event_invoke_config(&world.scope, &f, None)
    };
    delete().await.unwrap();
    assert_eq!(kind(delete().await), ErrorKind::ResourceNotFound);
    assert_eq!(kind(world.events("f")), ErrorKind::ResourceNotFound);
}

#[tokio::test]
async fn functions_versions_and_aliases_have_their_own() {
    let world = World::new().await;
    world.function("f").await;
    world.version_and_alias("f").await;
    for (name, retries) in [("f", 0), ("f:1", 1), ("f:live", 2)] {
        world
            .put_events(name, numbers(Some(retries), None))
            .await
            .unwrap();
    }
    let retries = |name: &str| {
        let (_, qualifier) = split(name);
        let settings = world
            .registry
            .event_settings(&world.key("f"), qualifier.as_ref());
        settings.unwrap().invoke.retry_attempts()
    };
    assert_eq!((retries("f"), retries("f:$LATEST")), (0, 0));
    assert_eq!((retries("f:1"), retries("f:live")), (1, 2));
    assert!(
        world
            .registry
            .event_settings(&world.key("g"), None)
            .is_none()
    );

    let mut arns = Vec::new();
    let mut marker = None;
    loop {
        let page = PageRequest {
            marker,
            max_items: Some(2),
        };
        let page = world
            .registry
            .list_event_invoke_configs(&world.scope, &function("f"), &page)
            .unwrap();
        arns.extend(
            page.function_event_invoke_configs
                .into_iter()
                .map(|c| c.function_arn),
        );
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    let ends: Vec<_> = arns
        .iter()
        .map(|arn| arn.rsplit(':').next().unwrap())
        .collect();
    assert_eq!(ends, ["$LATEST", "1", "live"]);

    // They go with what they are about, and do not come back with it.
    world
        .registry
        .delete_alias(&world.scope, &function("f"), "live")
        .await
        .unwrap();
    assert_eq!(kind(world.events("f:live")), ErrorKind::ResourceNotFound);
    world.alias("f").await;
    assert_eq!(kind(world.events("f:live")), ErrorKind::ResourceNotFound);
    let request = UpdateAliasRequest {
        function_version: Some("$LATEST".to_owned()),
        ..UpdateAliasRequest::default()
    };
    world
        .registry
        .update_alias(&world.scope, &function("f"), "live", request)
        .await
        .unwrap();
    let version = qualifier("1");
    world
        .registry
        .delete_function(&world.scope, &function("f"), Some(&version))
        .await
        .unwrap();
    let stored = world.store.contents().functions.remove(0).event_invokes;
    assert_eq!(stored.len(), 1);
    world
        .registry
        .delete_function(&world.scope, &function("f"), None)
        .await
        .unwrap();
    world.function("f").await;
    assert_eq!(kind(world.events("f")), ErrorKind::ResourceNotFound);
}

#[tokio::test]
async fn destinations_must_be_there_and_near() {
    let world = World::new().await;
    world.function("f").await;
    world.function("g").await;
    world.version_and_alias("g").await;
    world.topic("alerts", topic(&[])).await.unwrap();
    let lambda = |rest: &str| format!("arn:aws:lambda:us-east-1:000000000000:function:{rest}");
    for (success, failure) in [
        (lambda("g"), "arn:aws:s3:::failed".to_owned()),
        (lambda("g:live"), lambda("g:1")),
        (lambda("g:$LATEST"), TOPIC.to_owned()),
        (String::new(), String::new()),
    ] {
        let put = world
            .put_events("f", destinations(&success, &failure))
            .await;
        put.unwrap_or_else(|error| panic!("{success} {failure}: {error}"));
    }
    let before = world.events("f").unwrap();
    for (bad, expected, says) in [
        (
            "alerts",
            ErrorKind::Validation,
            "destinationConfig.onFailure",
        ),
        ("arn:aws:sns", ErrorKind::Validation, "regular expression"),
        (
            &*"a".repeat(351),
            ErrorKind::Validation,
            "less than or equal to 350",
        ),
        ("kafka://topic", ErrorKind::Validation, "onFailure"),
        (
            &*lambda("h"),
            ErrorKind::InvalidParameterValue,
            "no such function",
        ),
        (
            &*lambda("g:7"),
            ErrorKind::InvalidParameterValue,
            "no such function",
        ),
        (
            &*lambda("f"),
            ErrorKind::InvalidParameterValue,
            "for itself",
        ),
        (
            &*lambda("f:$LATEST"),
            ErrorKind::InvalidParameterValue,
            "for itself",
        ),
        (
            "arn:aws:lambda:eu-west-1:000000000000:function:g",
            ErrorKind::InvalidParameterValue,
            "account and region",
        ),
        (
            "arn:aws:sns:us-east-1:111111111111:alerts",
            ErrorKind::InvalidParameterValue,
            "account and region",
        ),
        (
            "arn:aws:sns:us-east-1:000000000000:other",
            ErrorKind::InvalidParameterValue,
            "hearth topic create other",
        ),
        (
            "arn:aws:sqs:us-east-1:000000000000:queue",
            ErrorKind::InvalidParameterValue,
            "no such queue",
        ),
        (
            "arn:aws:events:us-east-1:000000000000:event-bus/default",
            ErrorKind::InvalidParameterValue,
            "use the ARN of",
        ),
        (
            "arn:aws:s3:::elsewhere",
            ErrorKind::InvalidParameterValue,
            "destinations.buckets.elsewhere",
        ),
        (
            "arn:aws:s3:::a/../b",
            ErrorKind::InvalidParameterValue,
            "bucket name",
        ),
    ] {
        for result in [
            world.put_events("f", destinations("", bad)).await,
            world.update_events("f", destinations("", bad)).await,
        ] {
            let error = result.unwrap_err();
            assert_eq!(error.kind, expected, "{bad}: {error}");
            assert!(error.message.contains(says), "{bad}: {error}");
        }
    }
    let bucket = world
        .put_events("f", destinations("arn:aws:s3:::failed", ""))
        .await;
    assert_eq!(kind(bucket), ErrorKind::InvalidParameterValue);
    assert_eq!(world.events("f").unwrap(), before, "nothing was changed");
}

#[tokio::test]
async fn numbers_have_their_ranges() {
    let world = World::new().await;
    world.function("f").await;
    for bad in [
        numbers(Some(3), None),
        numbers(Some(-1), None),
        numbers(None, Some(59)),
        numbers(None, Some(21_601)),
        numbers(None, Some(i64::MAX)),
    ] {
        assert_eq!(
            kind(world.put_events("f", bad).await),
            ErrorKind::Validation
        );
    }
    let nothing = world
        .put_events("f", numbers(None, None))
        .await
        .unwrap_err();
    assert_eq!(nothing.kind, ErrorKind::InvalidParameterValue);
    assert!(nothing.message.contains("at least one"), "{nothing}");
    for missing in ["g", "f:1", "f:live"] {
        let put = world.put_events(missing, numbers(Some(1), None)).await;
        assert_eq!(kind(put), ErrorKind::ResourceNotFound, "{missing}");
    }
    let listed = world.registry.list_event_invoke_configs(
        &world.scope,
        &function("f:1"),
        &PageRequest::default(),
    );
    assert_eq!(kind(listed), ErrorKind::InvalidParameterValue);
    let other = scope("111111111111", "us-east-1");
    let found = world
        .registry
        .get_event_invoke_config(&other, &function("f"), None);
    assert_eq!(kind(found), ErrorKind::ResourceNotFound);
}

#[tokio::test]
async fn dead_letters_are_part_of_a_version() {
    let world = World::new().await;
    world.topic("alerts", topic(&[])).await.unwrap();
    let target = |arn: &str| {
        Some(DeadLetterConfig {
            target_arn: Some(arn.to_owned()),
        })
    };
    let mut request = create("f");
    request.dead_letter_config = target(TOPIC);
    let created = world.registry.create_function(&world.scope, request).await;
    assert_eq!(created.unwrap().dead_letter_config, target(TOPIC));
    world.settled("f").await;
    world.version_and_alias("f").await;

    let update = async |config: Option<DeadLetterConfig>, description: &str| {
        let request = UpdateFunctionConfigurationRequest {
            dead_letter_config: config,
            description: Some(description.to_owned()),
            ..UpdateFunctionConfigurationRequest::default()
        };
        let updated = world
            .registry
            .update_function_configuration(&world.scope, &function("f"), request)
            .await;
        world.settled("f").await;
        updated.map(|updated| updated.dead_letter_config)
    };
    assert_eq!(update(None, "a").await.unwrap(), target(TOPIC), "stays");
    assert_eq!(update(target(""), "b").await.unwrap(), None);
    let settings = |text: Option<&str>| {
        let qualifier = text.map(qualifier);
        let settings = world
            .registry
            .event_settings(&world.key("f"), qualifier.as_ref());
        settings.unwrap().dead_letter.map(|arn| arn.to_string())
    };
    assert_eq!(settings(None), None);
    assert_eq!(
        settings(Some("live")).as_deref(),
        Some(TOPIC),
        "of its version"
    );

    for (bad, expected) in [
        ("alerts", ErrorKind::Validation),
        ("arn:aws:s3:::failed", ErrorKind::InvalidParameterValue),
        (
            "arn:aws:lambda:us-east-1:000000000000:function:g",
            ErrorKind::InvalidParameterValue,
        ),
        (
            "arn:aws:sns:us-east-1:000000000000:none",
            ErrorKind::InvalidParameterValue,
        ),
        (
            "arn:aws:sqs:us-east-1:000000000000:queue",
            ErrorKind::InvalidParameterValue,
        ),
    ] {
        assert_eq!(kind(update(target(bad), "c").await), expected, "{bad}");
    }
    assert_eq!(world.get("f").description, "b", "nothing was changed");
}

#[tokio::test]
async fn loops_end_unless_they_may_not() {
    let world = World::new().await;
    world.function("f").await;
    let get = || {
        let found = world
            .registry
            .get_recursion_config(&world.scope, &function("f"));
        found.unwrap().recursive_loop.unwrap()
    };
    assert_eq!(get(), "Terminate");
    let put = async |name: &str, text: Option<&str>| {
        let request = FunctionRecursionConfig {
            recursive_loop: text.map(str::to_owned),
        };
        world
            .registry
            .put_recursion_config(&world.scope, &function(name), request)
            .await
    };
    let key = world.key("f");
    let mut trace = String::new();
    for _ in 0..MOST_RUNS {
        assert!(!world.registry.is_loop(&key, &trace));
        trace = lineage::with(&trace, &key);
    }
    assert!(world.registry.is_loop(&key, &trace));
    assert!(!world.registry.is_loop(&world.key("g"), &trace));
    put("f", Some("Allow")).await.unwrap();
    assert_eq!(get(), "Allow");
    let restarted = world.restarted().await;
    assert!(!restarted.is_loop(&key, &trace));
    for bad in [None, Some(""), Some("allow")] {
        assert_eq!(kind(put("f", bad).await), ErrorKind::Validation, "{bad:?}");
    }
    assert_eq!(get(), "Allow");
    let missing = put("g", Some("Allow")).await;
    assert_eq!(kind(missing), ErrorKind::ResourceNotFound);
}
