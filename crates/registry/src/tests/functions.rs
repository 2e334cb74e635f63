//! The life of a function.

use hearth_types::wire::lambda::{Environment, UpdateFunctionConfigurationRequest};

use super::*;
use crate::PageRequest;

#[tokio::test]
async fn a_new_function_is_pending_until_the_workers_have_it() {
    let world = World::new().await;
    world.workers.open.send_replace(false);
    let created = world
        .registry
        .create_function(&world.scope, create("f"))
        .await
        .unwrap();
    assert_eq!(created.state, Some(FunctionState::Pending));
    assert_eq!(created.state_reason_code.as_deref(), Some("Creating"));
    assert_eq!(created.last_update_status, None);
    assert_eq!(
        created.function_arn,
        "arn:aws:lambda:us-east-1:000000000000:function:f"
    );
    assert_eq!((created.timeout, created.memory_size), (3, 128));
    assert_eq!(
        created.logging_config.log_group.as_deref(),
        Some("/aws/lambda/f")
    );
    let refused = world
        .registry
        .resolve(&world.scope, &function("f"), None, 0.0)
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::ResourceConflict);
    assert!(refused.message.ends_with("in the following state: Pending"));
    assert_eq!(
        kind(world.update_code("f", "two").await),
        ErrorKind::ResourceConflict
    );

    world.workers.open.send_replace(true);
    let active = world.settled("f").await;
    assert_eq!(active.state, Some(FunctionState::Active));
    assert_eq!(
        active.last_update_status,
        Some(LastUpdateStatus::Successful)
    );
    assert_ne!(active.revision_id, created.revision_id);
    let resolved = world
        .registry
        .resolve(&world.scope, &function("f"), None, 0.0)
        .unwrap();
    assert_eq!(resolved.invoked_arn(), created.function_arn);
    assert_eq!(resolved.executed_version, Version::Latest);
}

#[tokio::test]
async fn the_old_code_runs_until_the_new_one_is_ready() {
    let world = World::new().await;
    world.function("f").await;
    let old = world.runs("f", 0.0);
    world.workers.open.send_replace(false);
    let updated = world.update_code("f", "two").await.unwrap();
    assert_eq!(
        updated.last_update_status,
        Some(LastUpdateStatus::InProgress)
    );
    assert_eq!(updated.state, Some(FunctionState::Active));
    assert_eq!(world.runs("f", 0.0), old);
    let refused = world.update_code("f", "three").await.unwrap_err();
    assert_eq!(
        refused.message,
        "The operation cannot be performed at this time. An update is in progress for resource: \
         arn:aws:lambda:us-east-1:000000000000:function:f"
    );
    assert!(world.retired().is_empty());

    world.workers.open.send_replace(true);
    world.settled("f").await;
    assert_eq!(world.runs("f", 0.0).0, updated.code_sha256);
    let resolved = world
        .registry
        .resolve(&world.scope, &function("f"), None, 0.0)
        .unwrap();
    assert_eq!(
        world.retired(),
        [(Version::Latest, Some(resolved.deployment.id))]
    );
}

#[tokio::test]
async fn a_failed_update_leaves_the_old_code_running_and_can_be_repaired() {
    let world = World::new().await;
    world.function("f").await;
    let old = world.runs("f", 0.0);
    world.fail_preparations("InvalidRuntime");
    world.update_code("f", "two").await.unwrap();
    let failed = world.settled("f").await;
    assert_eq!(failed.last_update_status, Some(LastUpdateStatus::Failed));
    assert_eq!(
        failed.last_update_status_reason_code.as_deref(),
        Some("InvalidRuntime")
    );
    assert_eq!(failed.state, Some(FunctionState::Active));
    assert_eq!(world.runs("f", 0.0), old);

    *world.workers.outcome.lock().unwrap() = Ok(());
    let updated = world.update_code("f", "three").await.unwrap();
    world.settled("f").await;
    assert_eq!(world.runs("f", 0.0).0, updated.code_sha256);
}

#[tokio::test]
async fn a_function_that_never_got_ready_says_why_and_can_be_repaired() {
    let world = World::new().await;
    world.fail_preparations("InvalidZipFileException");
    world
        .registry
        .create_function(&world.scope, create("f"))
        .await
        .unwrap();
    let failed = world.settled("f").await;
    assert_eq!(failed.state, Some(FunctionState::Failed));
    assert_eq!(
        failed.state_reason_code.as_deref(),
        Some("InvalidZipFileException")
    );
    let refused = world
        .registry
        .resolve(&world.scope, &function("f"), None, 0.0);
    assert_eq!(kind(refused), ErrorKind::ResourceConflict);

    *world.workers.outcome.lock().unwrap() = Ok(());
    let updated = world.update_code("f", "two").await.unwrap();
    assert_eq!(updated.state, Some(FunctionState::Pending));
    assert_eq!(world.settled("f").await.state, Some(FunctionState::Active));
}

#[tokio::test]
async fn an_update_changes_what_it_names_and_nothing_else() {
    let world = World::new().await;
    let mut request = create("f");
    request.description = Some("first".to_owned());
    request.environment = Some(Environment {
        variables: Some([("KEY".to_owned(), "v".to_owned())].into()),
    });
    world
        .registry
        .create_function(&world.scope, request)
        .await
        .unwrap();
    let before = world.settled("f").await;
    let world_f = function("f");
    let update = |request| {
        world
            .registry
            .update_function_configuration(&world.scope, &world_f, request)
    };
    let request = UpdateFunctionConfigurationRequest {
        timeout: Some(30),
        revision_id: Some(before.revision_id.clone()),
        ..Default::default()
    };
    update(request).await.unwrap();
    let after = world.settled("f").await;
    assert_eq!(after.timeout, 30);
    assert_eq!(after.environment, before.environment);
    assert_eq!(after.description, "first");
    assert!(after.last_modified > before.last_modified);

    let stale = UpdateFunctionConfigurationRequest {
        timeout: Some(31),
        revision_id: Some(before.revision_id),
        ..Default::default()
    };
    assert_eq!(kind(update(stale).await), ErrorKind::PreconditionFailed);
    let clear = UpdateFunctionConfigurationRequest {
        environment: Some(Environment::default()),
        ..Default::default()
    };
    update(clear).await.unwrap();
    assert_eq!(world.settled("f").await.environment, None);
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let world = World::new().await;
    let before = world.function("f").await;
    let stored = world.store.contents();
    let request = UpdateFunctionCodeRequest {
        zip_file: zip("two"),
        dry_run: Some(true),
        ..Default::default()
    };
    let would = world
        .registry
        .update_function_code(&world.scope, &function("f"), request)
        .await
        .unwrap();
    assert_ne!(would.code_sha256, before.code_sha256);
    assert_eq!(world.get("f"), before);
    assert_eq!(world.store.contents(), stored);
}

#[tokio::test]
async fn code_comes_from_a_bucket_too() {
    let world = World::new().await;
    let bucket = world.folder.path().join("bucket");
    std::fs::create_dir(&bucket).unwrap();
    std::fs::write(bucket.join("code.zip"), zip_bytes("one")).unwrap();
    let mut request = create("f");
    request.code = Some(FunctionCode {
        s3_bucket: Some("bucket".to_owned()),
        s3_key: Some("code.zip".to_owned()),
        ..Default::default()
    });
    let from_bucket = world
        .registry
        .create_function(&world.scope, request.clone())
        .await
        .unwrap();
    let from_request = world.function("g").await;
    assert_eq!(from_bucket.code_sha256, from_request.code_sha256);

    request.function_name = Some("h".to_owned());
    request.code.as_mut().unwrap().s3_key = Some("other.zip".to_owned());
    let refused = world.registry.create_function(&world.scope, request).await;
    assert_eq!(kind(refused), ErrorKind::InvalidParameterValue);
}

#[tokio::test]
async fn listings_page_by_name_whatever_comes_and_goes_between() {
    let world = World::new().await;
    for name in ["d", "a", "c", "b"] {
        world.function(name).await;
    }
    let list = |marker: Option<String>| {
        let page = PageRequest {
            marker,
            max_items: Some(2),
        };
        let page = world
            .registry
            .list_functions(&world.scope, None, &page)
            .unwrap();
        let names: Vec<_> = page
            .functions
            .into_iter()
            .map(|f| f.function_name)
            .collect();
        (names, page.next_marker)
    };
    let (names, marker) = list(None);
    assert_eq!(names, ["a", "b"]);
    // The page ended with b: that it goes must not make c be passed over.
    world
        .registry
        .delete_function(&world.scope, &function("b"), None)
        .await
        .unwrap();
    world.function("aa").await;
    let (names, marker) = list(marker);
    assert_eq!(
        (names, marker),
        (vec!["c".to_owned(), "d".to_owned()], None)
    );
    let bad = PageRequest {
        marker: Some("bm9uc2Vuc2U".to_owned()),
        max_items: None,
    };
    assert_eq!(
        kind(world.registry.list_functions(&world.scope, None, &bad)),
        ErrorKind::InvalidParameterValue
    );
}

#[tokio::test]
async fn accounts_and_regions_are_apart() {
    let world = World::new().await;
    world.function("f").await;
    let elsewhere = scope("000000000000", "eu-west-1");
    let stranger = scope("111111111111", "us-east-1");
    let arn = function("arn:aws:lambda:us-east-1:000000000000:function:f");
    let ask =
        |scope: &Scope, function: &FunctionRef| world.registry.resolve(scope, function, None, 0.0);
    assert!(ask(&world.scope, &arn).is_ok());
    assert_eq!(
        kind(ask(&elsewhere, &function("f"))),
        ErrorKind::ResourceNotFound
    );
    assert_eq!(kind(ask(&elsewhere, &arn)), ErrorKind::ResourceNotFound);
    assert_eq!(
        kind(ask(&stranger, &function("f"))),
        ErrorKind::ResourceNotFound
    );
    assert_eq!(kind(ask(&stranger, &arn)), ErrorKind::AccessDenied);
    for scope in [&elsewhere, &stranger] {
        let page = world
            .registry
            .list_functions(scope, None, &PageRequest::default())
            .unwrap();
        assert!(page.functions.is_empty());
        assert_eq!(
            world
                .registry
                .get_account_settings(scope)
                .account_usage
                .function_count,
            0
        );
    }
    let mut request = create("f");
    request.role = Some("arn:aws:iam::111111111111:role/x".to_owned());
    assert!(
        world
            .registry
            .create_function(&stranger, request)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_deleted_function_is_gone_and_its_environments_may_end() {
    let world = World::new().await;
    world.function("f").await;
    world
        .registry
        .publish_version(&world.scope, &function("f"), Default::default())
        .await
        .unwrap();
    world
        .registry
        .delete_function(&world.scope, &function("f"), None)
        .await
        .unwrap();
    assert_eq!(
        world.retired(),
        [(Version::Latest, None), (Version::Number(1), None)]
    );
    let asked = world
        .registry
        .resolve(&world.scope, &function("f"), None, 0.0);
    assert_eq!(
        asked.unwrap_err().message,
        "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f"
    );
    assert!(world.registry.live_packages().is_empty());
    let again = world
        .registry
        .delete_function(&world.scope, &function("f"), None)
        .await;
    assert_eq!(kind(again), ErrorKind::ResourceNotFound);
    let usage = world
        .registry
        .get_account_settings(&world.scope)
        .account_usage;
    assert_eq!((usage.function_count, usage.total_code_size), (0, 0));
}

#[tokio::test]
async fn get_function_tells_tags_concurrency_and_the_package_to_sign() {
    let world = World::new().await;
    let mut request = create("f");
    request.tags = Some([("team".to_owned(), "x".to_owned())].into());
    world
        .registry
        .create_function(&world.scope, request)
        .await
        .unwrap();
    world.settled("f").await;
    let described = world
        .registry
        .get_function(&world.scope, &function("f"), Some(&qualifier("$LATEST")))
        .unwrap();
    assert_eq!(
        described.code.digest.to_base64(),
        described.configuration.code_sha256
    );
    assert!(described.configuration.function_arn.ends_with(":f:$LATEST"));
    let response = described.into_response("https://x".to_owned());
    assert_eq!(response.code.location, "https://x");
    assert_eq!(response.tags.unwrap()["team"], "x");
    assert_eq!(response.concurrency, None);
    let other = world
        .registry
        .get_function(&world.scope, &function("f:1"), Some(&qualifier("2")));
    assert_eq!(
        other.unwrap_err().message,
        "The derived qualifier from the function name does not match the specified qualifier."
    );
}

#[tokio::test]
async fn reservations_leave_a_hundred_to_the_others() {
    let world = World::new().await;
    world.function("f").await;
    world.function("g").await;
    let put = |name: &'static str, n: i64| {
        let request = hearth_types::wire::lambda::PutFunctionConcurrencyRequest {
            reserved_concurrent_executions: Some(n),
        };
        let world = &world;
        async move {
            world
                .registry
                .put_function_concurrency(&world.scope, &function(name), request)
                .await
        }
    };
    put("f", 500).await.unwrap();
    let refused = put("g", 401).await.unwrap_err();
    assert!(
        refused
            .message
            .ends_with("below its minimum value of [100].")
    );
    put("g", 400).await.unwrap();
    put("f", 500).await.unwrap();
    assert_eq!(kind(put("f", 501).await), ErrorKind::InvalidParameterValue);
    let limit = world
        .registry
        .get_account_settings(&world.scope)
        .account_limit;
    assert_eq!(
        (
            limit.concurrent_executions,
            limit.unreserved_concurrent_executions
        ),
        (1000, 100)
    );
    // Zero stops a function, and can be set whatever else is reserved.
    put("f", 0).await.unwrap();
    let resolved = world
        .registry
        .resolve(&world.scope, &function("f"), None, 0.0)
        .unwrap();
    assert_eq!(resolved.reserved, Some(0));
    world
        .registry
        .delete_function_concurrency(&world.scope, &function("f"))
        .await
        .unwrap();
    let none = world
        .registry
        .get_function_concurrency(&world.scope, &function("f"))
        .unwrap();
    assert_eq!(none.reserved_concurrent_executions, None);
}

#[tokio::test]
async fn a_capacity_provider_is_kept_and_given_back() {
    use hearth_types::wire::lambda::{CapacityProviderConfig, ManagedInstancesConfig};
    let world = World::new().await;
    let config = |concurrency| CapacityProviderConfig {
        lambda_managed_instances_capacity_provider_config: Some(ManagedInstancesConfig {
            capacity_provider_arn: Some(
                "arn:aws:lambda:us-east-1:000000000000:capacity-provider:any".to_owned(),
            ),
            per_execution_environment_max_concurrency: Some(concurrency),
            execution_environment_memory_gib_per_vcpu: serde_json::Number::from_f64(2.5),
        }),
    };
    let request = CreateFunctionRequest {
        capacity_provider_config: Some(config(64)),
        ..create("f")
    };
    let created = world
        .registry
        .create_function(&world.scope, request)
        .await
        .unwrap();
    assert_eq!(created.capacity_provider_config, Some(config(64)));
    world.settled("f").await;
    let concurrency = || {
        let resolved = world
            .registry
            .resolve(&world.scope, &function("f"), None, 0.0)
            .unwrap();
        resolved.deployment.concurrency()
    };
    assert_eq!(concurrency(), Some(64));
    let name = function("f");
    let update = |request| {
        world
            .registry
            .update_function_configuration(&world.scope, &name, request)
    };
    let kept = update(UpdateFunctionConfigurationRequest {
        description: Some("another".to_owned()),
        ..UpdateFunctionConfigurationRequest::default()
    });
    assert_eq!(
        kept.await.unwrap().capacity_provider_config,
        Some(config(64))
    );
    world.settled("f").await;
    let changed = update(UpdateFunctionConfigurationRequest {
        capacity_provider_config: Some(config(2)),
        ..UpdateFunctionConfigurationRequest::default()
    });
    assert_eq!(
        changed.await.unwrap().capacity_provider_config,
        Some(config(2))
    );
    world.settled("f").await;
    assert_eq!(concurrency(), Some(2));
    // The tag has the last word.
    let tags = hearth_types::wire::lambda::TagResourceRequest {
        tags: Some([("hearth:concurrency".to_owned(), "7".to_owned())].into()),
    };
    world
        .registry
        .tag_resource(&world.scope, &created.function_arn, tags)
        .await
        .unwrap();
    assert_eq!(concurrency(), Some(7));
    let without = world.function("g").await;
    assert_eq!(without.capacity_provider_config, None);
}
