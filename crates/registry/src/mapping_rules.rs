//! What a request may ask of an event source mapping.

use std::ops::RangeInclusive;

use hearth_patterns::{MOST_CHARACTERS, Pattern};
use hearth_store::queues::Queue;
use hearth_types::ApiError;
use hearth_types::mapping::{
    BATCH_SIZE, DEFAULT_BATCH_SIZE, FILTERS, MAXIMUM_CONCURRENCY, Mapping, WINDOW_S,
};
use hearth_types::source::SourceAccess;
use hearth_types::wire::lambda::EventSourceMappingRequest;

use crate::constraints::Constraints;
use crate::mapping_retries::AskedRetries;
use crate::mapping_source;

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
    access: Option<Vec<SourceAccess>>,
    retries: AskedRetries,
}

impl Asked {
    /// # Errors
    /// [`hearth_types::ErrorKind::Validation`] for breaches of shape;
    /// [`hearth_types::ErrorKind::InvalidParameterValue`] for filters that can't be read.
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
        let retries = AskedRetries::read(request, &mut constraints);
        mapping_source::check_shape(request, &mut constraints);
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
        Ok(Self {
            enabled: request.enabled,
            batch_size,
            window_s,
            filters,
            reports_failures: types.map(|types| !types.is_empty()),
            maximum_concurrency,
            access: mapping_source::access(request),
            retries,
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
            retries: self.retries.over(base.retries),
            source: mapping_source::with_access(base.source, self.access.as_deref()),
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

/// Whether a mapping of a queue of the node, the queue and the timeout of its function go together (guide, "Amazon SQS").
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
