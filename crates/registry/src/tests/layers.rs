//! Layers, and functions that use them.

use hearth_types::wire::lambda::{
    LayerVersionContentInput, PublishLayerVersionRequest, UpdateFunctionConfigurationRequest,
};

use super::*;
use crate::{LayerFilter, LayerVersionDescription, PageRequest};

async fn publish(
    world: &World,
    layer: &str,
    runtimes: &[&str],
) -> Result<LayerVersionDescription, ApiError> {
    let request = PublishLayerVersionRequest {
        content: Some(LayerVersionContentInput {
            zip_file: zip(layer),
            ..Default::default()
        }),
        compatible_runtimes: Some(runtimes.iter().map(|r| (*r).to_owned()).collect()),
        ..Default::default()
    };
    world
        .registry
        .publish_layer_version(&world.scope, layer, request)
        .await
}

fn arn(layer: &str, version: u64) -> String {
    format!("arn:aws:lambda:us-east-1:000000000000:layer:{layer}:{version}")
}

async fn use_layers(world: &World, arns: &[String]) -> Result<FunctionConfiguration, ApiError> {
    let request = UpdateFunctionConfigurationRequest {
        layers: Some(arns.to_vec()),
        ..Default::default()
    };
    let updated = world
        .registry
        .update_function_configuration(&world.scope, &function("f"), request)
        .await?;
    world.settled("f").await;
    Ok(updated)
}

#[tokio::test]
async fn layers_count_up_and_their_numbers_are_never_used_again() {
    let world = World::new().await;
    for expected in [1, 2] {
        let published = publish(&world, "libs", &[])
            .await
            .unwrap()
            .into_response(String::new());
        assert_eq!(published.layer_version_arn, arn("libs", expected));
    }
    for _ in 0..2 {
        world
            .registry
            .delete_layer_version(&world.scope, "libs", 2)
            .await
            .unwrap();
    }
    let published = publish(&world, "libs", &[])
        .await
        .unwrap()
        .into_response(String::new());
    assert_eq!(published.version, 3);
    let restarted = world.restarted().await;
    restarted
        .delete_layer_version(&world.scope, "libs", 3)
        .await
        .unwrap();
    let gone = restarted
        .get_layer_version(&world.scope, "libs", 3)
        .unwrap_err();
    assert_eq!(gone.message, "The resource you requested does not exist.");
}

#[tokio::test]
async fn a_layer_is_got_by_name_by_arn_and_by_version_arn() {
    let world = World::new().await;
    let published = publish(&world, "libs", &["python3.12"]).await.unwrap();
    let by_name = world
        .registry
        .get_layer_version(&world.scope, "libs", 1)
        .unwrap();
    let layer_arn = "arn:aws:lambda:us-east-1:000000000000:layer:libs";
    let by_arn = world
        .registry
        .get_layer_version(&world.scope, layer_arn, 1)
        .unwrap();
    let by_version = world
        .registry
        .get_layer_version_by_arn(&world.scope, &arn("libs", 1))
        .unwrap();
    assert!(
        [by_name, by_arn, by_version]
            .iter()
            .all(|got| *got == published)
    );
    let response = published.into_response("https://x".to_owned());
    assert_eq!(response.content.location, "https://x");
    assert_eq!(
        response.compatible_runtimes,
        Some(vec!["python3.12".to_owned()])
    );
    let stranger = scope("111111111111", "us-east-1");
    assert_eq!(
        kind(
            world
                .registry
                .get_layer_version_by_arn(&stranger, &arn("libs", 1))
        ),
        ErrorKind::AccessDenied
    );
    assert_eq!(
        kind(world.registry.get_layer_version(&world.scope, "libs", 0)),
        ErrorKind::InvalidParameterValue
    );
    assert_eq!(
        kind(
            world
                .registry
                .get_layer_version_by_arn(&world.scope, layer_arn)
        ),
        ErrorKind::Validation
    );
}

#[tokio::test]
async fn layers_are_listed_with_their_newest_matching_version() {
    let world = World::new().await;
    publish(&world, "b", &["python3.12"]).await.unwrap();
    publish(&world, "b", &["nodejs22.x"]).await.unwrap();
    publish(&world, "a", &["nodejs22.x"]).await.unwrap();
    let list = |runtime: Option<&str>, page: &PageRequest| {
        let filter = LayerFilter {
            runtime: runtime.map(str::to_owned),
            architecture: None,
        };
        let page = world
            .registry
            .list_layers(&world.scope, &filter, page)
            .unwrap();
        let layers: Vec<_> = page
            .layers
            .into_iter()
            .map(|layer| (layer.layer_name, layer.latest_matching_version.version))
            .collect();
        (layers, page.next_marker)
    };
    let all = PageRequest::default();
    let named = |name: &str, version| (name.to_owned(), version);
    assert_eq!(list(None, &all).0, [named("a", 1), named("b", 2)]);
    assert_eq!(list(Some("python3.12"), &all).0, [named("b", 1)]);
    let (first, marker) = list(
        None,
        &PageRequest {
            marker: None,
            max_items: Some(1),
        },
    );
    assert_eq!(first, [named("a", 1)]);
    let rest = PageRequest {
        marker,
        max_items: None,
    };
    assert_eq!(list(None, &rest).0, [named("b", 2)]);
    let versions = world
        .registry
        .list_layer_versions(&world.scope, "b", &LayerFilter::default(), &all)
        .unwrap();
    let numbers: Vec<_> = versions.layer_versions.iter().map(|v| v.version).collect();
    assert_eq!(numbers, [2, 1]);
}

#[tokio::test]
async fn a_function_keeps_a_layer_that_was_deleted() {
    let world = World::new().await;
    world.function("f").await;
    let layer = publish(&world, "libs", &[]).await.unwrap();
    let arns = [arn("libs", 1)];
    let updated = use_layers(&world, &arns).await.unwrap();
    assert_eq!(updated.layers.unwrap()[0].arn, arns[0]);
    world
        .registry
        .delete_layer_version(&world.scope, "libs", 1)
        .await
        .unwrap();
    assert!(
        world
            .registry
            .live_packages()
            .contains(&layer.package().digest)
    );
    // Terraform sends all of a function's layers with every update.
    assert!(use_layers(&world, &arns).await.is_ok());
    assert!(use_layers(&world, &[]).await.unwrap().layers.is_none());
    assert_eq!(
        kind(use_layers(&world, &arns).await),
        ErrorKind::InvalidParameterValue
    );
    assert!(
        !world
            .registry
            .live_packages()
            .contains(&layer.package().digest)
    );
}

#[tokio::test]
async fn layers_that_cant_be_used_are_refused() {
    let world = World::new().await;
    world.function("f").await;
    for layer in ["a", "b", "c", "d", "e", "g"] {
        publish(&world, layer, &[]).await.unwrap();
    }
    publish(&world, "a", &[]).await.unwrap();
    let before = world.get("f");
    let six: Vec<_> = ["a", "b", "c", "d", "e", "g"]
        .map(|layer| arn(layer, 1))
        .into();
    let rows: [(&[String], ErrorKind); 6] = [
        (&six, ErrorKind::InvalidParameterValue),
        (
            &[arn("a", 1), arn("a", 2)],
            ErrorKind::InvalidParameterValue,
        ),
        (
            &[arn("a", 1), arn("a", 1)],
            ErrorKind::InvalidParameterValue,
        ),
        (&[arn("none", 1)], ErrorKind::InvalidParameterValue),
        (&["libs".to_owned()], ErrorKind::Validation),
        (
            &[arn("a", 1).replace("us-east-1", "eu-west-1")],
            ErrorKind::InvalidParameterValue,
        ),
    ];
    for (arns, expected) in rows {
        assert_eq!(kind(use_layers(&world, arns).await), expected, "{arns:?}");
    }
    let foreign = [arn("a", 1).replace("000000000000", "111111111111")];
    assert_eq!(
        kind(use_layers(&world, &foreign).await),
        ErrorKind::AccessDenied
    );
    assert_eq!(world.get("f"), before);
    assert_eq!(
        kind(publish(&world, "a", &["cobol"]).await),
        ErrorKind::Validation
    );
    assert_eq!(
        kind(publish(&world, "a b", &[]).await),
        ErrorKind::Validation
    );
}
