//! What fails changes nothing; what was answered survives.

use hearth_store::StoreError;
use hearth_types::wire::lambda::{
    AliasRoutingConfiguration, CreateAliasRequest, LayerVersionContentInput,
    PublishLayerVersionRequest, PutFunctionConcurrencyRequest, TagResourceRequest,
    UpdateAliasRequest, UpdateFunctionConfigurationRequest,
};

use super::*;
use crate::PageRequest;

/// Everything that callers can see of `f`.
fn seen(registry: &Registry, scope: &Scope) -> String {
    let f = function("f");
    let page = PageRequest::default();
    format!(
        "{:?}\n{:?}\n{:?}\n{:?}\n{:?}\n{:?}",
        registry.get_function(scope, &f, None),
        registry.list_versions(scope, &f, &page),
        registry.list_aliases(scope, &f, None, &page),
        registry.list_functions(scope, Some("ALL"), &page),
        registry.get_account_settings(scope),
        registry.resolve(scope, &function("f:live"), None, 0.5),
    )
}

/// A function with a version and an alias.
async fn furnished() -> World {
    let world = World::new().await;
    world.function("f").await;
    world
        .registry
        .publish_version(&world.scope, &function("f"), Default::default())
        .await
        .unwrap();
    let alias = CreateAliasRequest {
        name: Some("live".to_owned()),
        function_version: Some("1".to_owned()),
        ..Default::default()
    };
    world
        .registry
        .create_alias(&world.scope, &function("f"), alias)
        .await
        .unwrap();
    world
}

#[tokio::test]
async fn a_store_that_fails_leaves_everything_as_it_was() {
    let world = furnished().await;
    let before = seen(&world.registry, &world.scope);
    world.store.fail_next(StoreError::Full("disk".to_owned()));
    assert_eq!(
        kind(world.update_code("f", "two").await),
        ErrorKind::ServiceUnavailable
    );
    world
        .store
        .fail_next(StoreError::Unavailable("gone".to_owned()));
    let created = world
        .registry
        .create_function(&world.scope, create("g"))
        .await;
    assert_eq!(kind(created), ErrorKind::ServiceUnavailable);
    world
        .store
        .fail_next(StoreError::Unavailable("gone".to_owned()));
    let deleted = world
        .registry
        .delete_function(&world.scope, &function("f"), None)
        .await;
    assert_eq!(kind(deleted), ErrorKind::ServiceUnavailable);
    assert_eq!(seen(&world.registry, &world.scope), before);
    assert!(world.retired().is_empty());
    // And it is not stuck.
    assert!(world.update_code("f", "two").await.is_ok());
}

#[tokio::test]
async fn a_restart_gives_the_same_answers() {
    let world = furnished().await;
    world.update_code("f", "two").await.unwrap();
    world.settled("f").await;
    let restarted = world.restarted().await;
    assert_eq!(
        seen(&restarted, &world.scope),
        seen(&world.registry, &world.scope)
    );
    assert_eq!(restarted.live_packages(), world.registry.live_packages());
}

#[tokio::test]
async fn what_was_being_made_ready_is_made_ready_after_a_restart() {
    let world = World::new().await;
    world.workers.open.send_replace(false);
    let mut request = create("f");
    request.publish = Some(true);
    world
        .registry
        .create_function(&world.scope, request)
        .await
        .unwrap();
    let restarted = world.restarted().await;
    world.workers.open.send_replace(true);
    let active = settled(&restarted, &world.scope, "f").await;
    assert_eq!(active.state, Some(FunctionState::Active));
    assert!(
        restarted
            .resolve(&world.scope, &function("f:1"), None, 0.0)
            .is_ok()
    );
}

#[tokio::test]
async fn an_outcome_that_could_not_be_stored_at_once_is_stored_later() {
    let world = World::new().await;
    world.workers.open.send_replace(false);
    world
        .registry
        .create_function(&world.scope, create("f"))
        .await
        .unwrap();
    tokio::time::pause();
    world
        .store
        .fail_next(StoreError::Unavailable("gone".to_owned()));
    world.workers.open.send_replace(true);
    // Time is paused, and goes on by itself when nothing else is left to do.
    let active = async {
        while world.get("f").state != Some(FunctionState::Active) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), active)
        .await
        .unwrap();
}

/// The whole life of a function on the store of one node: what the store in memory allows, that one must too.
#[tokio::test]
async fn the_store_of_one_node_takes_every_change_and_gives_it_back() {
    let world = World::new().await;
    let path = world.folder.path().join("hearth.db");
    let open = async || {
        let store = hearth_store::SqliteStore::open(&path).unwrap();
        let inner = &world.registry.inner;
        Registry::open(
            Arc::new(store),
            inner.packages.clone(),
            world.workers.clone(),
            inner.options.clone(),
        )
        .await
        .unwrap()
    };
    let registry = open().await;
    let (scope, f) = (&world.scope, function("f"));
    let layer = PublishLayerVersionRequest {
        content: Some(LayerVersionContentInput {
            zip_file: zip("layer"),
            ..Default::default()
        }),
        ..Default::default()
    };
    for _ in 0..2 {
        registry
            .publish_layer_version(scope, "libs", layer.clone())
            .await
            .unwrap();
    }
    registry
        .delete_layer_version(scope, "libs", 2)
        .await
        .unwrap();
    let mut request = create("f");
    request.publish = Some(true);
    request.layers = Some(vec![
        "arn:aws:lambda:us-east-1:000000000000:layer:libs:1".to_owned(),
    ]);
    registry.create_function(scope, request).await.unwrap();
    settled(&registry, scope, "f").await;
    let alias = CreateAliasRequest {
        name: Some("live".to_owned()),
        function_version: Some("1".to_owned()),
        ..Default::default()
    };
    registry.create_alias(scope, &f, alias).await.unwrap();
    let update = UpdateFunctionCodeRequest {
        zip_file: zip("two"),
        publish: Some(true),
        ..Default::default()
    };
    registry
        .update_function_code(scope, &f, update)
        .await
        .unwrap();
    settled(&registry, scope, "f").await;
    let weights = AliasRoutingConfiguration {
        additional_version_weights: Some([("2".to_owned(), 0.125)].into()),
    };
    let update = UpdateAliasRequest {
        routing_config: Some(weights),
        ..Default::default()
    };
    registry
        .update_alias(scope, &f, "live", update)
        .await
        .unwrap();
    let walls = TagResourceRequest {
        tags: Some([("hearth:network".to_owned(), "none".to_owned())].into()),
    };
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:f";
    registry.tag_resource(scope, arn, walls).await.unwrap();
    let reserve = PutFunctionConcurrencyRequest {
        reserved_concurrent_executions: Some(7),
    };
    registry
        .put_function_concurrency(scope, &f, reserve)
        .await
        .unwrap();

    let before = seen(&registry, scope);
    drop(registry);
    let registry = open().await;
    assert_eq!(seen(&registry, scope), before);
    registry.delete_alias(scope, &f, "live").await.unwrap();
    registry
        .delete_function(scope, &function("f:1"), None)
        .await
        .unwrap();
    registry.delete_function(scope, &f, None).await.unwrap();
    drop(registry);
    let registry = open().await;
    let page = registry
        .list_functions(scope, None, &PageRequest::default())
        .unwrap();
    assert!(page.functions.is_empty());
    let published = registry
        .publish_layer_version(scope, "libs", layer)
        .await
        .unwrap();
    assert_eq!(published.into_response(String::new()).version, 3);
}

#[tokio::test]
async fn what_another_node_wrote_is_read_and_decided_on_anew() {
    let world = furnished().await;
    world.store.edit(|contents| {
        let record = &mut contents.functions[0].function;
        record.generation += 1;
        record.latest.configuration.description = "by another node".to_owned();
        record.latest.revision = "theirs".to_owned();
    });
    let request = UpdateFunctionConfigurationRequest {
        timeout: Some(60),
        ..Default::default()
    };
    let updated = world
        .registry
        .update_function_configuration(&world.scope, &function("f"), request)
        .await
        .unwrap();
    assert_eq!(
        (updated.timeout, updated.description.as_str()),
        (60, "by another node")
    );
    world.settled("f").await;

    let seen = world.get("f").revision_id;
    world.store.edit(|contents| {
        let record = &mut contents.functions[0].function;
        record.generation += 1;
        record.latest.revision = "theirs".to_owned();
    });
    let guarded = UpdateFunctionConfigurationRequest {
        timeout: Some(61),
        revision_id: Some(seen),
        ..Default::default()
    };
    let refused = world
        .registry
        .update_function_configuration(&world.scope, &function("f"), guarded)
        .await;
    assert_eq!(kind(refused), ErrorKind::PreconditionFailed);
    assert_eq!(world.get("f").timeout, 60);
}
