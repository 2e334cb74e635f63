//! What destinations are told of records that were given up (developer guide, "Capturing discarded batches for Amazon MSK and
//! self-managed Apache Kafka event sources").

use std::collections::BTreeMap;

use hearth_types::arn::FunctionArn;
use hearth_types::destination::Destination;
use hearth_types::event_invoke::DestinationArn;
use hearth_types::mapping::Mapping;
use hearth_types::time::Timestamp;
use hearth_types::wire::batch_failure::{
    BatchFailure, BatchInfo, KafkaBatchInfo, RecordsInfo, StreamBatchInfo,
};
use hearth_types::wire::broker_event::Around;
use hearth_types::wire::destination::{RequestContext, ResponseContext};

use crate::attempts::Lost;
use crate::batch::{self, Record};

/// What `destination` is told.
pub(crate) fn failure(
    mapping: &Mapping,
    around: &Around,
    lost: &Lost,
    destination: &DestinationArn,
) -> BatchFailure {
    let Lost {
        verdict,
        unwritten,
        records,
    } = lost;
    let event = batch::event(records, around);
    let arn = FunctionArn {
        key: &mapping.function,
        qualifier: mapping.qualifier.clone(),
    };
    let ran = verdict.last.ran.as_ref();
    BatchFailure {
        request_context: RequestContext {
            request_id: verdict.last.request.to_string(),
            function_arn: arn.to_string(),
            condition: verdict.condition.as_str().to_owned(),
            approximate_invoke_count: verdict.tries,
        },
        response_context: ran.map(|ran| ResponseContext {
            status_code: 200,
            executed_version: ran.version.to_string(),
            function_error: ran.error.map(|error| error.as_str().to_owned()),
        }),
        version: "1.0".to_owned(),
        timestamp: verdict.last.at.to_iso_string(),
        info: info(mapping, records, unwritten.unwrap_or(event.len())),
        // Others get the place alone, as messages have less room than batches.
        payload: (unwritten.is_none() && is_bucket(destination))
            .then(|| String::from_utf8_lossy(&event).into_owned()),
    }
}

fn is_bucket(destination: &DestinationArn) -> bool {
    matches!(destination.as_str().parse(), Ok(Destination::Bucket(_)))
}

fn info(mapping: &Mapping, records: &[Record], payload_size: usize) -> BatchInfo {
    let batch_size = records.len();
    if let Some(kafka) = mapping.source.kafka() {
        let mut records_info = BTreeMap::<String, RecordsInfo>::new();
        for record in records {
            let group = record.group.clone().unwrap_or_default();
            let (offset, time) = (record.place.position.clone(), shown(record.place.time));
            let of = records_info.entry(group).or_insert_with(|| RecordsInfo {
                first_record_offset: offset.clone(),
                last_record_offset: String::new(),
                first_record_timestamp: time.clone(),
                last_record_timestamp: None,
            });
            of.last_record_offset = offset;
            of.last_record_timestamp = time;
        }
        return BatchInfo::Kafka(KafkaBatchInfo {
            batch_size,
            bootstrap_servers: kafka.servers.join(","),
            payload_size,
            records_info,
        });
    }
    let position = |record: Option<&Record>| {
        record.map_or_else(String::new, |record| record.place.position.clone())
    };
    let time = |record: Option<&Record>| record.and_then(|record| shown(record.place.time));
    BatchInfo::Stream(StreamBatchInfo {
        batch_size,
        event_source_arn: mapping.source.arn().unwrap_or_default(),
        payload_size,
        first_record_id: position(records.first()),
        last_record_id: position(records.last()),
        first_record_timestamp: time(records.first()),
        last_record_timestamp: time(records.last()),
    })
}

fn shown(time: Option<Timestamp>) -> Option<String> {
    time.map(Timestamp::to_iso_string)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hearth_types::invoke::{FunctionError, RequestId};
    use hearth_types::mapping::Retries;
    use hearth_types::name::Version;
    use hearth_types::source::{Begin, BrokerSource, KafkaTopic, Origin, Source, Start};
    use serde_json::{Value, json};

    use super::*;
    use crate::attempts::{Attempt, Condition, Ran, Verdict};
    use crate::batch::Place;
    use crate::source::Handle;

    const MOMENT: i64 = 1_573_776_965_568;

    fn mapping(arn: Option<&str>, origin: Origin) -> Mapping {
        Mapping {
            source: Source::Broker(BrokerSource {
                arn: arn.map(str::to_owned),
                broker: "b".parse().unwrap(),
                origin,
            }),
            function: hearth_types::name::FunctionKey {
                account: "123456789012".parse().unwrap(),
                region: "us-east-1".parse().unwrap(),
                name: "f".parse().unwrap(),
            },
            qualifier: Some("live".parse().unwrap()),
            enabled: true,
            batch_size: 100,
            window_s: 0,
            filters: Vec::new(),
            reports_failures: false,
            maximum_concurrency: None,
            retries: Retries::default(),
        }
    }

    fn record(group: Option<&str>, position: &str, time: Option<i64>) -> Record {
        Record {
            id: String::new(),
            handle: Handle::Receipt(String::new()),
            group: group.map(str::to_owned),
            place: Place {
                position: position.to_owned(),
                time: time.map(Timestamp::from_millis),
            },
            text: position.as_bytes().to_vec(),
        }
    }

    fn lost(records: Vec<Record>, ran: Option<Ran>) -> Lost {
        Lost {
            verdict: Verdict {
                condition: Condition::RetryAttemptsExhausted,
                tries: 3,
                last: Arc::new(Attempt {
                    request: RequestId::from_random([0; 16]),
                    at: Timestamp::from_millis(MOMENT),
                    trace: String::new(),
                    ran,
                }),
            },
            unwritten: None,
            records,
        }
    }

    fn told(mapping: &Mapping, around: &Around, lost: &Lost, destination: &str) -> Value {
        let destination = destination.parse().unwrap();
        serde_json::to_value(failure(mapping, around, lost, &destination)).unwrap()
    }

    #[test]
    fn a_batch_of_kafka_has_the_shape_that_the_guide_shows() {
        let servers = vec!["a:1".to_owned(), "b:2".to_owned()];
        let around = Around::kafka_records(&servers).unwrap();
        let mapping = mapping(
            None,
            Origin::Kafka(KafkaTopic {
                topic: "t".to_owned(),
                servers,
                group: None,
                begin: Begin::From(Start::TrimHorizon),
                access: Vec::new(),
            }),
        );
        let records = vec![
            record(Some("t-0"), "7", Some(MOMENT)),
            record(Some("t-0"), "9", Some(MOMENT + 1)),
            record(Some("t-1"), "0", None),
        ];
        let ran = Ran {
            version: Version::Latest,
            error: Some(FunctionError::Unhandled),
        };
        let lost = lost(records, Some(ran));
        let event = r#"{"eventSource":"SelfManagedKafka","bootstrapServers":"a:1,b:2","records":{"t-0":[7,9],"t-1":[0]}}"#;
        let mut expected = json!({
            "requestContext": {
                "requestId": "00000000-0000-4000-8000-000000000000",
                "functionArn": "arn:aws:lambda:us-east-1:123456789012:function:f:live",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 3
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled"
            },
            "version": "1.0",
            "timestamp": "2019-11-15T00:16:05.568Z",
            "KafkaBatchInfo": {
                "batchSize": 3,
                "bootstrapServers": "a:1,b:2",
                "payloadSize": event.len(),
                "recordsInfo": {
                    "t-0": {
                        "firstRecordOffset": "7",
                        "lastRecordOffset": "9",
                        "firstRecordTimestamp": "2019-11-15T00:16:05.568Z",
                        "lastRecordTimestamp": "2019-11-15T00:16:05.569Z"
                    },
                    "t-1": {"firstRecordOffset": "0", "lastRecordOffset": "0"}
                }
            }
        });
        let queue = "arn:aws:sqs:us-east-1:123456789012:q";
        assert_eq!(told(&mapping, &around, &lost, queue), expected);
        // Buckets get the event as well, if there is one.
        let bucket = "arn:aws:s3:::failed";
        expected["payload"] = event.into();
        assert_eq!(told(&mapping, &around, &lost, bucket), expected);
        let unwritten = Lost {
            unwritten: Some(7_000_000),
            ..lost
        };
        let told = told(&mapping, &around, &unwritten, bucket);
        assert_eq!(told["KafkaBatchInfo"]["payloadSize"], 7_000_000);
        assert!(told.get("payload").is_none());
    }

    #[test]
    fn what_never_ran_says_so_and_other_streams_have_a_shape_of_their_own() {
        let arn = "arn:aws:redis:us-east-1:123456789012:stream:b/s";
        let mapping = mapping(
            Some(arn),
            Origin::Redis {
                stream: "s".to_owned(),
                start: Start::Latest,
            },
        );
        let records = vec![
            record(None, "1573776965568-0", Some(MOMENT)),
            record(None, "1573776965568-1", Some(MOMENT)),
        ];
        let queue = "arn:aws:sqs:us-east-1:123456789012:q";
        let around = Around::cloud_events();
        let told = told(&mapping, &around, &lost(records, None), queue);
        assert_eq!(told["responseContext"], Value::Null);
        assert_eq!(
            told["StreamBatchInfo"],
            json!({
                "batchSize": 2,
                "eventSourceArn": arn,
                "payloadSize": 33,
                "firstRecordId": "1573776965568-0",
                "lastRecordId": "1573776965568-1",
                "firstRecordTimestamp": "2019-11-15T00:16:05.568Z",
                "lastRecordTimestamp": "2019-11-15T00:16:05.568Z"
            })
        );
        assert!(told.get("KafkaBatchInfo").is_none() && told.get("payload").is_none());
    }
}
