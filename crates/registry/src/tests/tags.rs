//! Tags, and walls that they ask for.

use hearth_types::walls::NetworkAccess;
use hearth_types::wire::lambda::TagResourceRequest;

use super::*;

const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

async fn tag(world: &World, resource: &str, key: &str, value: &str) -> Result<(), ApiError> {
    let request = TagResourceRequest {
        tags: Some([(key.to_owned(), value.to_owned())].into()),
    };
    world
        .registry
        .tag_resource(&world.scope, resource, request)
        .await
}

fn deployment(world: &World, name: &str) -> Arc<Deployment> {
    world
        .registry
        .resolve(&world.scope, &function(name), None, 0.0)
        .unwrap()
        .deployment
}

#[tokio::test]
async fn tags_come_and_go() {
    let world = World::new().await;
    world.function("f").await;
    tag(&world, ARN, "a", "1").await.unwrap();
    tag(&world, ARN, "b", "2").await.unwrap();
    tag(&world, ARN, "a", "3").await.unwrap();
    let remove = ["b".to_owned(), "c".to_owned()];
    world
        .registry
        .untag_resource(&world.scope, ARN, &remove)
        .await
        .unwrap();
    let left = world.registry.list_tags(&world.scope, ARN).unwrap().tags;
    assert_eq!(left, [("a".to_owned(), "3".to_owned())].into());
    assert!(world.retired().is_empty(), "walls did not change");
}

#[tokio::test]
async fn new_walls_need_new_environments_of_every_version() {
    let world = World::new().await;
    world.function("f").await;
    world
        .registry
        .publish_version(&world.scope, &function("f"), Default::default())
        .await
        .unwrap();
    let before = [deployment(&world, "f"), deployment(&world, "f:1")];
    tag(&world, ARN, "hearth:network", "none").await.unwrap();
    let after = [deployment(&world, "f"), deployment(&world, "f:1")];
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(after.walls.network, NetworkAccess::None);
        assert_ne!(after.id, before.id);
    }
    assert_eq!(
        world.retired(),
        [
            (Version::Latest, Some(after[0].id)),
            (Version::Number(1), Some(after[1].id))
        ]
    );
    let restarted = world.restarted().await;
    let resolved = restarted
        .resolve(&world.scope, &function("f:1"), None, 0.0)
        .unwrap();
    assert_eq!(resolved.deployment, after[1]);
}

#[tokio::test]
async fn walls_that_change_during_an_update_do_not_lose_it() {
    let world = World::new().await;
    world.function("f").await;
    world.workers.open.send_replace(false);
    let updated = world.update_code("f", "two").await.unwrap();
    tag(&world, ARN, "hearth:network", "none").await.unwrap();
    assert_eq!(deployment(&world, "f").walls.network, NetworkAccess::None);
    world.workers.open.send_replace(true);
    world.settled("f").await;
    let runs = deployment(&world, "f");
    assert_eq!(
        runs.configuration.code.digest.to_base64(),
        updated.code_sha256
    );
    assert_eq!(runs.walls.network, NetworkAccess::None);
}

#[tokio::test]
async fn tags_that_cant_be_had_are_refused() {
    let world = World::new().await;
    world.function("f").await;
    let stored = world.store.contents();
    let rows = [
        (ARN, "aws:x", "v", ErrorKind::InvalidParameterValue),
        (ARN, "", "v", ErrorKind::Validation),
        (
            ARN,
            "hearth:isolation",
            "microvm",
            ErrorKind::InvalidParameterValue,
        ),
        ("f", "a", "b", ErrorKind::Validation),
        ("arn:aws:s3:::bucket", "a", "b", ErrorKind::Validation),
        (
            "arn:aws:lambda:us-east-1:000000000000:function:f:1",
            "a",
            "b",
            ErrorKind::InvalidParameterValue,
        ),
        (
            "arn:aws:lambda:us-east-1:000000000000:function:g",
            "a",
            "b",
            ErrorKind::ResourceNotFound,
        ),
        (
            "arn:aws:lambda:us-east-1:111111111111:function:f",
            "a",
            "b",
            ErrorKind::AccessDenied,
        ),
    ];
    for (resource, key, value, expected) in rows {
        assert_eq!(
            kind(tag(&world, resource, key, value).await),
            expected,
            "{resource} {key}"
        );
    }
    let nothing = world.registry.untag_resource(&world.scope, ARN, &[]).await;
    assert_eq!(kind(nothing), ErrorKind::Validation);
    let too_many = TagResourceRequest {
        tags: Some((0..51).map(|n| (format!("k{n}"), String::new())).collect()),
    };
    let refused = world
        .registry
        .tag_resource(&world.scope, ARN, too_many)
        .await;
    assert_eq!(kind(refused), ErrorKind::InvalidParameterValue);
    assert_eq!(world.store.contents(), stored);
}
