//! What a request may ask of an event source mapping.

use std::ops::RangeInclusive;

use hearth_patterns::{MOST_CHARACTERS, Pattern};
use hearth_store::queues::Queue;
use hearth_types::ApiError;
use hearth_types::destination::Destination;
use hearth_types::mapping::{
    BATCH_SIZE, DEFAULT_BATCH_SIZE, FILTERS, MAXIMUM_CONCURRENCY, Mapping, WINDOW_S,
};
use hearth_types::name::QueueId;
use hearth_types::wire::lambda::{DestinationConfig, EventSourceMappingRequest};

use crate::Scope;
use crate::constraints::Constraints;

/// The one thing that a function can say of a batch.
pub(crate) const REPORTS_FAILURES: &str = "ReportBatchItemFailures";

/// What a request asks for; what is absent was not said.
pub(crate) struct Asked {
    enabled: Option<bool>,
    batch_size: Option<u32>,
    window_s: Option<u32>,
    filters: Option<Vec<String>>,
    reports_failures: Option<bool>,
    maximum_concurrency: Option<Option<u32>>,
}

impl Asked {
    /// # Errors
    /// [`hearth_types::ErrorKind::Validation`] for breaches of shape;
    /// [`hearth_types::ErrorKind::InvalidParameterValue`] for what can't be had of a queue.
    pub(crate) fn read(request: &EventSourceMappingRequest) -> Result<Self, ApiError> {
        let mut constraints = Constraints::default();
        let mut number = |member, value: Option<i64>, range: RangeInclusive<u32>| {
            let value = value?;
            constraints.range(
                member,
                value,
                i64::from(*range.start())..=i64::from(*range.end()),
            );
            u32::try_from(value).ok()
        };
        let batch_size = number("batchSize", request.batch_size, BATCH_SIZE);
        let window_s = number(
            "maximumBatchingWindowInSeconds",
            request.maximum_batching_window_in_seconds,
            WINDOW_S,
        );
        let maximum_concurrency = request.scaling_config.as_ref().map(|scaling| {
            number(
                "scalingConfig.maximumConcurrency",
                scaling.maximum_concurrency,
                MAXIMUM_CONCURRENCY,
            )
        });
        let types = request.function_response_types.as_deref();
        for kind in types.unwrap_or_default() {
            constraints.one_of("functionResponseTypes", kind, &[REPORTS_FAILURES]);
        }
        let criteria = request.filter_criteria.as_ref();
        let filters: Option<Vec<String>> = criteria.map(|criteria| {
            let filters = criteria.filters.iter().flatten();
            filters
                .map(|filter| filter.pattern.clone().unwrap_or_default())
                .collect()
        });
        for pattern in filters.iter().flatten() {
            constraints.length(
                "filterCriteria.filters.pattern",
                pattern,
                0..=MOST_CHARACTERS,
            );
        }
        constraints.finish()?;
        check_filters(filters.as_deref().unwrap_or_default())?;
        refuse_foreign(request)?;
        Ok(Self {
            enabled: request.enabled,
            batch_size,
            window_s,
            filters,
            reports_failures: types.map(|types| !types.is_empty()),
            maximum_concurrency,
        })
    }

    /// What a new mapping says, but for its function.
    pub(crate) fn over(&self, base: Mapping) -> Mapping {
        Mapping {
            enabled: self.enabled.unwrap_or(base.enabled),
            batch_size: self.batch_size.unwrap_or(base.batch_size),
            window_s: self.window_s.unwrap_or(base.window_s),
            filters: self.filters.clone().unwrap_or(base.filters),
            reports_failures: self.reports_failures.unwrap_or(base.reports_failures),
            maximum_concurrency: self.maximum_concurrency.unwrap_or(base.maximum_concurrency),
            ..base
        }
    }
}

/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
fn check_filters(filters: &[String]) -> Result<(), ApiError> {
    if filters.len() > FILTERS {
        return Err(ApiError::invalid(format!(
            "A mapping has at most {FILTERS} filters. Say more in one pattern, with $or."
        )));
    }
    filters
        .iter()
        .try_for_each(|text| match text.parse::<Pattern>() {
            Ok(_) => Ok(()),
            Err(error) => Err(ApiError::invalid(format!(
                "Invalid filter pattern definition. {error}."
            ))),
        })
}

/// What belongs to streams and brokers, or needs what a node does not have. Empty forms are taken, as clients send them.
fn refuse_foreign(request: &EventSourceMappingRequest) -> Result<(), ApiError> {
    let tells = |config: &DestinationConfig| {
        let ends = [&config.on_success, &config.on_failure];
        let told = ends.into_iter().flatten();
        told.into_iter()
            .any(|end| end.destination.as_ref().is_some_and(|arn| !arn.is_empty()))
    };
    for (is_there, member) in [
        (request.starting_position.is_some(), "StartingPosition"),
        (
            request.starting_position_timestamp.is_some(),
            "StartingPositionTimestamp",
        ),
        (
            request.parallelization_factor.is_some_and(|n| n != 1),
            "ParallelizationFactor",
        ),
        (
            request.maximum_record_age_in_seconds.is_some(),
            "MaximumRecordAgeInSeconds",
        ),
        (
            request.bisect_batch_on_function_error == Some(true),
            "BisectBatchOnFunctionError",
        ),
        (
            request.maximum_retry_attempts.is_some(),
            "MaximumRetryAttempts",
        ),
        (
            request.tumbling_window_in_seconds.is_some_and(|n| n != 0),
            "TumblingWindowInSeconds",
        ),
        (request.topics.is_some(), "Topics"),
        (request.queues.is_some(), "Queues"),
        (
            request
                .source_access_configurations
                .as_ref()
                .is_some_and(|list| !list.is_empty()),
            "SourceAccessConfigurations",
        ),
        (
            request.self_managed_event_source.is_some(),
            "SelfManagedEventSource",
        ),
        (
            request.amazon_managed_kafka_event_source_config.is_some(),
            "AmazonManagedKafkaEventSourceConfig",
        ),
        (
            request.self_managed_kafka_event_source_config.is_some(),
            "SelfManagedKafkaEventSourceConfig",
        ),
        (
            request.document_db_event_source_config.is_some(),
            "DocumentDBEventSourceConfig",
        ),
        (
            request.destination_config.as_ref().is_some_and(tells),
            "DestinationConfig: give the queue a RedrivePolicy instead",
        ),
    ] {
        if is_there {
            return Err(ApiError::invalid(format!(
                "Unsupported parameter for event sources that are queues: {member}. Leave it out."
            )));
        }
    }
    for (is_there, member) in [
        (
            request
                .kms_key_arn
                .as_ref()
                .is_some_and(|arn| !arn.is_empty()),
            "KMSKeyArn",
        ),
        (
            request.metrics_config.as_ref().is_some_and(|config| {
                config
                    .metrics
                    .as_ref()
                    .is_some_and(|metrics| !metrics.is_empty())
            }),
            "MetricsConfig",
        ),
        (request.logging_config.is_some(), "LoggingConfig"),
        (
            request.provisioned_poller_config.is_some(),
            "ProvisionedPollerConfig",
        ),
    ] {
        if is_there {
            return Err(ApiError::invalid(format!(
                "Hearth does not support {member} of event source mappings. Leave it out or empty."
            )));
        }
    }
    Ok(())
}

/// The queue of a mapping.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn source(scope: &Scope, arn: Option<&str>) -> Result<QueueId, ApiError> {
    let arn = arn.unwrap_or_default();
    match arn.parse() {
        Ok(Destination::Queue(id))
            if (&id.account, &id.region) == (&scope.account, &scope.region) =>
        {
            Ok(id)
        }
        Ok(Destination::Queue(_)) => Err(ApiError::invalid(
            "The event source must be a queue of the function's account and region.",
        )),
        _ => Err(ApiError::invalid(
            "Unrecognized event source. EventSourceArn must be the ARN of a queue of this node, as \
             arn:aws:sqs:region:123456789012:name.",
        )),
    }
}

/// A mapping of which nothing was said but between whom.
pub(crate) fn defaults(queue: QueueId, function: hearth_types::name::FunctionKey) -> Mapping {
    Mapping {
        queue,
        function,
        qualifier: None,
        enabled: true,
        batch_size: DEFAULT_BATCH_SIZE,
        window_s: 0,
        filters: Vec::new(),
        reports_failures: false,
        maximum_concurrency: None,
    }
}

/// Whether a mapping, its queue and the timeout of its function go together (guide, "Amazon SQS").
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn check(
    mapping: &Mapping,
    queue: Option<&Queue>,
    timeout_s: u32,
) -> Result<(), ApiError> {
    let Some(queue) = queue else {
        return Err(ApiError::invalid(
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error \
             Message: The specified queue does not exist.",
        ));
    };
    let visibility = queue.settings.visibility_seconds;
    if visibility < timeout_s {
        return Err(ApiError::invalid(format!(
            "Queue visibility timeout: {visibility} seconds is less than Function timeout: {timeout_s} seconds"
        )));
    }
    let is_large = mapping.batch_size > DEFAULT_BATCH_SIZE;
    if queue.settings.fifo.is_some() {
        if mapping.window_s > 0 {
            return Err(ApiError::invalid(
                "Batching window is not supported for FIFO queues. Set MaximumBatchingWindowInSeconds to 0.",
            ));
        }
        if is_large {
            return Err(ApiError::invalid(format!(
                "Batch size of a FIFO queue must be at most {DEFAULT_BATCH_SIZE}."
            )));
        }
    } else if is_large && mapping.window_s == 0 {
        return Err(ApiError::invalid(format!(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than \
             {DEFAULT_BATCH_SIZE}"
        )));
    }
    Ok(())
}
