//! Event source mappings as the API shows them.

use hearth_store::record::MappingRecord;
use hearth_types::arn::FunctionArn;
use hearth_types::mapping::Mapping;
use hearth_types::source::{Begin, Origin, Source};
use hearth_types::wire::lambda::{
    EventSourceMappingConfiguration, Filter, FilterCriteria, ScalingConfig, SelfManagedEventSource,
    SelfManagedKafkaEventSourceConfig, SourceAccessConfiguration,
};

use crate::mapping::Seen;
use crate::mapping_retries;
use crate::mapping_rules::REPORTS_FAILURES;

/// A mapping with what its poller has told.
pub(crate) fn shown(record: &MappingRecord, seen: Seen) -> EventSourceMappingConfiguration {
    let Mapping {
        source,
        function,
        qualifier,
        batch_size,
        window_s,
        filters,
        reports_failures,
        maximum_concurrency,
        retries,
        ..
    } = &record.mapping;
    let Seen { result, lag } = seen;
    let (queues, access, start) = match source {
        Source::Queue(_) => (None, None, None),
        Source::Broker(broker) => match &broker.origin {
            Origin::RabbitMq { queue, access } => {
                (Some(vec![queue.clone()]), Some(access.as_slice()), None)
            }
            Origin::Redis { start, .. } | Origin::Nats { start, .. } => {
                (None, None, Some(start.as_str()))
            }
            Origin::Mqtt { .. } | Origin::Sqs { .. } => (None, None, None),
            Origin::Kafka(kafka) => {
                let access = Some(kafka.access.as_slice());
                (None, access, Some(kafka.begin.as_str()))
            }
        },
    };
    let kafka = source.kafka();
    // Those that begin somewhere are streams.
    let is_stream = start.is_some();
    let access = access.map(|access| {
        let shown = access.iter().map(|one| SourceAccessConfiguration {
            kind: Some(one.kind.as_str().to_owned()),
            uri: Some(one.uri.clone()),
        });
        shown.collect()
    });
    let filters = filters.iter().map(|pattern| Filter {
        pattern: Some(pattern.clone()),
    });
    let filters: Vec<_> = filters.collect();
    EventSourceMappingConfiguration {
        uuid: record.id.uuid.to_string(),
        event_source_mapping_arn: record.id.arn(),
        event_source_arn: source.arn(),
        function_arn: FunctionArn {
            key: function,
            qualifier: qualifier.clone(),
        }
        .to_string(),
        batch_size: *batch_size,
        maximum_batching_window_in_seconds: *window_s,
        filter_criteria: (!filters.is_empty()).then_some(FilterCriteria {
            filters: Some(filters),
        }),
        scaling_config: maximum_concurrency.map(|most| ScalingConfig {
            maximum_concurrency: Some(most.into()),
        }),
        function_response_types: if *reports_failures {
            vec![REPORTS_FAILURES.to_owned()]
        } else {
            Vec::new()
        },
        queues,
        source_access_configurations: access,
        starting_position: start.map(str::to_owned),
        starting_position_timestamp: kafka.and_then(|kafka| match kafka.begin {
            Begin::At(millis) => Some(millis as f64 / 1e3),
            Begin::From(_) => None,
        }),
        topics: kafka.map(|kafka| vec![kafka.topic.clone()]),
        self_managed_event_source: kafka.map(|kafka| {
            let name = SelfManagedEventSource::BOOTSTRAP_SERVERS.to_owned();
            SelfManagedEventSource {
                endpoints: Some([(name, kafka.servers.clone())].into()),
            }
        }),
        self_managed_kafka_event_source_config: kafka.map(|kafka| {
            SelfManagedKafkaEventSourceConfig {
                consumer_group_id: Some(kafka.consumer_group(record.id.uuid.as_str())),
                schema_registry_config: None,
            }
        }),
        destination_config: is_stream.then(|| mapping_retries::shown_destination(retries)),
        maximum_record_age_in_seconds: is_stream.then(|| mapping_retries::shown(retries.age_s)),
        bisect_batch_on_function_error: is_stream.then_some(retries.bisects),
        maximum_retry_attempts: is_stream.then(|| mapping_retries::shown(retries.attempts)),
        lag,
        last_modified: record.modified.as_millis() as f64 / 1e3,
        last_processing_result: result.unwrap_or("No records processed".to_owned()),
        state: record.state.as_str().to_owned(),
        state_transition_reason: "USER_INITIATED".to_owned(),
    }
}
