//! Versions and aliases.

use hearth_types::wire::lambda::{
    AliasRoutingConfiguration, CreateAliasRequest, PublishVersionRequest, UpdateAliasRequest,
    UpdateFunctionConfigurationRequest,
};

use super::*;
use crate::PageRequest;

async fn publish(
    world: &World,
    request: PublishVersionRequest,
) -> Result<FunctionConfiguration, ApiError> {
    world
        .registry
        .publish_version(&world.scope, &function("f"), request)
        .await
}

async fn alias(
    world: &World,
    name: &str,
    version: &str,
    weights: &[(&str, f64)],
) -> Result<String, ApiError> {
    let request = CreateAliasRequest {
        name: Some(name.to_owned()),
        function_version: Some(version.to_owned()),
        routing_config: weighted(weights),
        ..Default::default()
    };
    let created = world
        .registry
        .create_alias(&world.scope, &function("f"), request)
        .await?;
    Ok(created.revision_id)
}

fn weighted(weights: &[(&str, f64)]) -> Option<AliasRoutingConfiguration> {
    let weights = weights.iter().map(|(v, w)| ((*v).to_owned(), *w)).collect();
    Some(AliasRoutingConfiguration {
        additional_version_weights: Some(weights),
    })
}

/// A function with versions 1 and 2.
async fn two_versions() -> World {
    let world = World::new().await;
    world.function("f").await;
    publish(&world, Default::default()).await.unwrap();
    world.update_code("f", "two").await.unwrap();
    world.settled("f").await;
    publish(&world, Default::default()).await.unwrap();
    world.settled("f").await;
    world
}

#[tokio::test]
async fn a_version_keeps_its_code_and_is_ready_at_once() {
    let world = World::new().await;
    let first = world.function("f").await;
    let published = publish(&world, Default::default()).await.unwrap();
    assert_eq!(
        (published.version.as_str(), published.state),
        ("1", Some(FunctionState::Active))
    );
    assert!(published.function_arn.ends_with(":function:f:1"));
    world.update_code("f", "two").await.unwrap();
    world.settled("f").await;
    assert_eq!(
        world.runs("f:1", 0.0),
        (first.code_sha256.clone(), "1".to_owned())
    );
    assert_ne!(world.runs("f", 0.0).0, first.code_sha256);
    assert_eq!(
        world
            .registry
            .resolve(&world.scope, &function("f:2"), None, 0.0)
            .unwrap_err()
            .message,
        "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f:2"
    );
}

#[tokio::test]
async fn publishing_what_did_not_change_gives_the_last_version() {
    let world = World::new().await;
    world.function("f").await;
    let described = PublishVersionRequest {
        description: Some("first".to_owned()),
        ..Default::default()
    };
    let first = publish(&world, described).await.unwrap();
    assert_eq!(first.description, "first");
    assert_eq!(publish(&world, Default::default()).await.unwrap(), first);
    let update = UpdateFunctionConfigurationRequest {
        memory_size: Some(256),
        ..Default::default()
    };
    world
        .registry
        .update_function_configuration(&world.scope, &function("f"), update)
        .await
        .unwrap();
    world.settled("f").await;
    assert_eq!(
        publish(&world, Default::default()).await.unwrap().version,
        "2"
    );
}

#[tokio::test]
async fn publishing_is_guarded_by_digest_and_revision() {
    let world = World::new().await;
    let current = world.function("f").await;
    let wrong = PublishVersionRequest {
        code_sha256: Some("AAAA".to_owned()),
        ..Default::default()
    };
    let refused = publish(&world, wrong).await.unwrap_err();
    assert!(
        refused
            .message
            .starts_with("CodeSHA256 (AAAA) is different from current CodeSHA256 in $LATEST (")
    );
    let stale = PublishVersionRequest {
        revision_id: Some("old".to_owned()),
        ..Default::default()
    };
    assert_eq!(
        kind(publish(&world, stale).await),
        ErrorKind::PreconditionFailed
    );
    let right = PublishVersionRequest {
        code_sha256: Some(current.code_sha256),
        revision_id: Some(current.revision_id),
        ..Default::default()
    };
    assert!(publish(&world, right).await.is_ok());
}

#[tokio::test]
async fn numbers_are_never_used_again() {
    let world = two_versions().await;
    let delete = |q: &str| {
        let q = qualifier(q);
        let world = &world;
        async move {
            world
                .registry
                .delete_function(&world.scope, &function("f"), Some(&q))
                .await
        }
    };
    delete("2").await.unwrap();
    // It is as good as deleted.
    delete("2").await.unwrap();
    assert_eq!(
        publish(&world, Default::default()).await.unwrap().version,
        "3"
    );
    assert_eq!(
        delete("$LATEST").await.unwrap_err().message,
        "$LATEST version cannot be deleted without deleting the function."
    );
}

#[tokio::test]
async fn creating_and_updating_can_publish_in_the_same_change() {
    let world = World::new().await;
    let mut request = create("f");
    request.publish = Some(true);
    let created = world
        .registry
        .create_function(&world.scope, request)
        .await
        .unwrap();
    assert_eq!(created.version, "1");
    assert_eq!(
        created.function_arn,
        "arn:aws:lambda:us-east-1:000000000000:function:f"
    );
    world.settled("f").await;
    assert_eq!(world.runs("f:1", 0.0).1, "1");
    let request = UpdateFunctionCodeRequest {
        zip_file: zip("two"),
        publish: Some(true),
        ..Default::default()
    };
    let function_f = function("f");
    let update = || {
        world
            .registry
            .update_function_code(&world.scope, &function_f, request.clone())
    };
    let published = update().await.unwrap();
    assert_eq!(published.version, "2");
    assert!(published.function_arn.ends_with(":f:2"));
    world.settled("f").await;
    assert_eq!(world.runs("f:2", 0.0).0, published.code_sha256);
    // The same code again: the version that has it.
    assert_eq!(update().await.unwrap().version, "2");
    world.settled("f").await;
    let page = world
        .registry
        .list_versions(&world.scope, &function("f"), &PageRequest::default())
        .unwrap();
    let versions: Vec<_> = page.versions.iter().map(|v| v.version.as_str()).collect();
    assert_eq!(versions, ["$LATEST", "1", "2"]);
    assert_eq!(page.versions[0].state, None);
    assert!(page.versions[0].function_arn.ends_with(":f:$LATEST"));
}

#[tokio::test]
async fn all_versions_of_all_functions_can_be_listed_a_page_at_a_time() {
    let world = two_versions().await;
    world.function("g").await;
    let mut seen = Vec::new();
    let mut marker = None;
    loop {
        let page = PageRequest {
            marker,
            max_items: Some(1),
        };
        let page = world
            .registry
            .list_functions(&world.scope, Some("ALL"), &page)
            .unwrap();
        seen.extend(
            page.functions
                .into_iter()
                .map(|f| format!("{}:{}", f.function_name, f.version)),
        );
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["f:$LATEST", "f:1", "f:2", "g:$LATEST"]);
}

#[tokio::test]
async fn an_alias_leads_to_its_versions_by_weight() {
    let world = two_versions().await;
    alias(&world, "live", "1", &[("2", 0.25)]).await.unwrap();
    assert_eq!(world.runs("f:live", 0.0).1, "2");
    assert_eq!(world.runs("f:live", 0.249).1, "2");
    assert_eq!(world.runs("f:live", 0.25).1, "1");
    let resolved = world
        .registry
        .resolve(&world.scope, &function("f"), Some(&qualifier("live")), 0.9)
        .unwrap();
    assert!(resolved.invoked_arn().ends_with(":function:f:live"));
    for version in ["1", "2"] {
        let refused = world
            .registry
            .delete_function(&world.scope, &function(&format!("f:{version}")), None)
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ErrorKind::ResourceConflict);
        assert!(
            refused
                .message
                .ends_with("the following aliases reference it: [live]")
        );
    }
    let all = UpdateAliasRequest {
        function_version: Some("2".to_owned()),
        routing_config: Some(AliasRoutingConfiguration::default()),
        ..Default::default()
    };
    let updated = world
        .registry
        .update_alias(&world.scope, &function("f"), "live", all)
        .await
        .unwrap();
    assert_eq!(
        (updated.function_version.as_str(), updated.routing_config),
        ("2", None)
    );
    assert_eq!(world.runs("f:live", 0.0).1, "2");
}

#[tokio::test]
async fn an_alias_is_updated_by_the_one_who_saw_it() {
    let world = two_versions().await;
    let revision = alias(&world, "live", "1", &[]).await.unwrap();
    let update = |revision: &str| {
        let request = UpdateAliasRequest {
            description: Some("x".to_owned()),
            revision_id: Some(revision.to_owned()),
            ..Default::default()
        };
        let world = &world;
        async move {
            world
                .registry
                .update_alias(&world.scope, &function("f"), "live", request)
                .await
        }
    };
    let updated = update(&revision).await.unwrap();
    assert_eq!(updated.function_version, "1");
    assert_eq!(kind(update(&revision).await), ErrorKind::PreconditionFailed);
    assert_eq!(
        world
            .registry
            .get_alias(&world.scope, &function("f"), "live")
            .unwrap(),
        updated
    );
}

#[tokio::test]
async fn aliases_that_make_no_sense_are_refused() {
    let world = two_versions().await;
    type Row = (
        &'static str,
        &'static str,
        &'static [(&'static str, f64)],
        ErrorKind,
    );
    let rows: [Row; 9] = [
        ("1", "1", &[], ErrorKind::Validation),
        ("a b", "1", &[], ErrorKind::Validation),
        ("live", "x", &[], ErrorKind::Validation),
        ("live", "9", &[], ErrorKind::ResourceNotFound),
        ("live", "1", &[("9", 0.5)], ErrorKind::ResourceNotFound),
        ("live", "1", &[("2", 1.5)], ErrorKind::Validation),
        ("live", "1", &[("$LATEST", 0.5)], ErrorKind::Validation),
        (
            "live",
            "$LATEST",
            &[("2", 0.5)],
            ErrorKind::InvalidParameterValue,
        ),
        ("live", "1", &[("1", 0.5)], ErrorKind::InvalidParameterValue),
    ];
    for (name, version, weights, expected) in rows {
        let refused = alias(&world, name, version, weights).await;
        assert_eq!(kind(refused), expected, "{name} {version} {weights:?}");
    }
    let refused = alias(&world, "live", "1", &[("1", 0.1), ("2", 0.1)]).await;
    assert_eq!(kind(refused), ErrorKind::InvalidParameterValue);
    alias(&world, "live", "$LATEST", &[]).await.unwrap();
    assert_eq!(
        kind(alias(&world, "live", "1", &[]).await),
        ErrorKind::ResourceConflict
    );
}

#[tokio::test]
async fn aliases_are_listed_by_version_and_deleted_twice() {
    let world = two_versions().await;
    for (name, version) in [("b", "1"), ("a", "2"), ("c", "1")] {
        alias(&world, name, version, &[]).await.unwrap();
    }
    let list = |version: Option<&str>, page: &PageRequest| {
        let page = world
            .registry
            .list_aliases(&world.scope, &function("f"), version, page)
            .unwrap();
        let names: Vec<_> = page.aliases.into_iter().map(|alias| alias.name).collect();
        (names.join(""), page.next_marker)
    };
    assert_eq!(list(None, &PageRequest::default()).0, "abc");
    assert_eq!(list(Some("1"), &PageRequest::default()).0, "bc");
    let (first, marker) = list(
        Some("1"),
        &PageRequest {
            marker: None,
            max_items: Some(1),
        },
    );
    let rest = PageRequest {
        marker,
        max_items: None,
    };
    assert_eq!(
        (first.as_str(), list(Some("1"), &rest).0.as_str()),
        ("b", "c")
    );
    for _ in 0..2 {
        world
            .registry
            .delete_alias(&world.scope, &function("f"), "a")
            .await
            .unwrap();
    }
    let gone = world
        .registry
        .get_alias(&world.scope, &function("f"), "a")
        .unwrap_err();
    assert_eq!(
        gone.message,
        "Cannot find alias arn: arn:aws:lambda:us-east-1:000000000000:function:f:a"
    );
}
