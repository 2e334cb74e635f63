//! Mappings of streams: their retries, and who is told of what was given up.

use hearth_store::record::MappingRecord;
use hearth_types::mapping::Retries;
use hearth_types::wire::lambda::{EventSourceMappingConfiguration, EventSourceMappingRequest};
use hearth_types::{ApiError, ErrorKind};
use serde_json::{Value, json};

use super::topics::topic;
use super::{World, kind};
use crate::PageRequest;
use crate::mapping::MappingFilter;

const STREAM: &str = "arn:aws:redis:us-east-1:000000000000:stream:cache/orders";
const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:alerts";
const FUNCTION: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

fn request(of: Value) -> EventSourceMappingRequest {
    serde_json::from_value(of).unwrap()
}

impl World {
    async fn mapping(&self, more: Value) -> Result<EventSourceMappingConfiguration, ApiError> {
        let mut all = json!({
            "EventSourceArn": STREAM,
            "StartingPosition": "LATEST",
            "FunctionName": "f",
        });
        let members = all.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        let made = self
            .registry
            .create_mapping(&self.scope, request(all))
            .await;
        self.settle_mappings().await;
        made
    }

    async fn change_mapping(
        &self,
        uuid: &str,
        change: Value,
    ) -> Result<EventSourceMappingConfiguration, ApiError> {
        let registry = &self.registry;
        let changed = registry.update_mapping(&self.scope, uuid, request(change));
        let changed = changed.await;
        self.settle_mappings().await;
        changed
    }

    /// As pollers do.
    async fn settle_mappings(&self) {
        for record in self.registry.mappings() {
            let settled = self.registry.settle_mapping(&record.id, &record.revision);
            settled.await.unwrap();
        }
    }

    fn only_mapping(&self) -> MappingRecord {
        let mappings = self.registry.mappings();
        let [record] = mappings.as_slice() else {
            panic!("{mappings:?}");
        };
        MappingRecord::clone(record)
    }
}

#[tokio::test]
async fn retries_are_stored_shown_and_changed_one_by_one() {
    let world = World::new().await;
    world.function("f").await;
    world.topic("alerts", topic(&[])).await.unwrap();
    let made = world.mapping(json!({
        "MaximumRetryAttempts": 2,
        "DestinationConfig": {"OnFailure": {"Destination": TOPIC}},
    }));
    let made = made.await.unwrap();
    let uuid = made.uuid.clone();
    assert_eq!(made.maximum_retry_attempts, Some(2));
    assert_eq!(made.maximum_record_age_in_seconds, Some(-1));
    assert_eq!(made.bisect_batch_on_function_error, Some(false));
    let told = made.destination_config.unwrap().on_failure.unwrap();
    assert_eq!(told.destination.as_deref(), Some(TOPIC));

    let change = json!({"MaximumRecordAgeInSeconds": 60, "BisectBatchOnFunctionError": true});
    world.change_mapping(&uuid, change).await.unwrap();
    let all = Retries {
        attempts: Some(2),
        age_s: Some(60),
        bisects: true,
        on_failure: Some(TOPIC.parse().unwrap()),
    };
    assert_eq!(world.only_mapping().mapping.retries, all);
    let filter = MappingFilter::default();
    let page = PageRequest::default();
    let restarted = world.restarted().await;
    let listed = restarted
        .list_mappings(&world.scope, &filter, &page)
        .unwrap();
    assert_eq!(
        listed.event_source_mappings[0].maximum_retry_attempts,
        Some(2)
    );

    let none = json!({
        "MaximumRetryAttempts": -1,
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": false,
        "DestinationConfig": {"OnFailure": {}},
    });
    world.change_mapping(&uuid, none).await.unwrap();
    assert_eq!(world.only_mapping().mapping.retries, Retries::default());
}

#[tokio::test]
async fn a_destination_is_there_when_it_is_spoken_of_and_may_be_gone_later() {
    let world = World::new().await;
    world.function("f").await;
    world.function("g").await;
    let to = |arn: &str| json!({"DestinationConfig": {"OnFailure": {"Destination": arn}}});
    for bad in [
        TOPIC,
        FUNCTION,
        "arn:aws:lambda:us-east-1:000000000000:function:nobody",
        "arn:aws:lambda:eu-west-1:000000000000:function:g",
        "arn:aws:s3:::nobody",
        "arn:aws:events:us-east-1:000000000000:event-bus/default",
    ] {
        let refused = kind(world.mapping(to(bad)).await);
        assert_eq!(refused, ErrorKind::InvalidParameterValue, "{bad}");
    }
    assert!(world.registry.mappings().is_empty());
    let made = world.mapping(to("arn:aws:s3:::failed")).await.unwrap();
    world.topic("alerts", topic(&[])).await.unwrap();
    world.change_mapping(&made.uuid, to(TOPIC)).await.unwrap();
    let alerts = "alerts".parse().unwrap();
    let removed = world.registry.delete_topic(&world.scope, alerts, None);
    removed.await.unwrap();
    // It is not in the way of what has nothing to do with it.
    let change = json!({"MaximumRetryAttempts": 1});
    world.change_mapping(&made.uuid, change).await.unwrap();
    assert_eq!(
        kind(world.change_mapping(&made.uuid, to(TOPIC)).await),
        ErrorKind::InvalidParameterValue
    );
    // Nor can another function become its own destination.
    let g = "arn:aws:lambda:us-east-1:000000000000:function:g";
    world.change_mapping(&made.uuid, to(g)).await.unwrap();
    let own = world.change_mapping(&made.uuid, json!({"FunctionName": "g"}));
    assert_eq!(kind(own.await), ErrorKind::InvalidParameterValue);
    assert_eq!(world.only_mapping().mapping.function.name.as_str(), "f");
}

#[tokio::test]
async fn what_is_no_stream_has_no_retries() {
    let world = World::new().await;
    world.function("f").await;
    for (member, value) in [
        ("MaximumRetryAttempts", json!(-1)),
        ("MaximumRecordAgeInSeconds", json!(60)),
        ("BisectBatchOnFunctionError", json!(true)),
        (
            "DestinationConfig",
            json!({"OnFailure": {"Destination": "arn:aws:s3:::failed"}}),
        ),
    ] {
        let request = request(json!({
            "EventSourceArn": "arn:aws:mqtt:us-east-1:000000000000:topic:hall/t",
            "FunctionName": "f",
            member: value,
        }));
        let refused = world.registry.create_mapping(&world.scope, request).await;
        let message = refused.unwrap_err().message;
        assert!(
            message.starts_with("Unsupported parameter for event sources that are topics of MQTT")
                && message.contains(member),
            "{message}"
        );
    }
    let request = request(json!({
        "EventSourceArn": "arn:aws:mqtt:us-east-1:000000000000:topic:hall/t",
        "FunctionName": "f",
        "BisectBatchOnFunctionError": false,
        "DestinationConfig": {"OnFailure": {"Destination": ""}},
    }));
    let made = world.registry.create_mapping(&world.scope, request).await;
    let made = made.unwrap();
    assert!(made.maximum_retry_attempts.is_none() && made.destination_config.is_none());
}
