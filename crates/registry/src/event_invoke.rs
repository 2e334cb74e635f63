//! How events are handled: `PutFunctionEventInvokeConfig`, `UpdateFunctionEventInvokeConfig`,
//! `GetFunctionEventInvokeConfig`, `ListFunctionEventInvokeConfigs`, `DeleteFunctionEventInvokeConfig`; and what the
//! events' dispatcher asks.

use hearth_store::contract::Change;
use hearth_store::record::EventInvokeRecord;
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::event_invoke::{
    DestinationArn, EVENT_AGE_S, EventInvokeConfig, EventSettings, RETRY_ATTEMPTS,
};
use hearth_types::name::{FunctionKey, Qualifier, Version};
use hearth_types::wire::lambda::{
    DestinationConfig, FunctionEventInvokeConfig, FunctionEventInvokeConfigRequest,
    ListFunctionEventInvokeConfigsResponse, OnEnd,
};

use crate::constraints::Constraints;
use crate::destination::{self, Role};
use crate::page::Listing;
use crate::registry::{Subject, new_revision};
use crate::scope::{one_qualifier, unqualified};
use crate::snapshot::{FunctionEntry, Snapshot};
use crate::{PageRequest, Registry, Scope, present};

impl Registry {
    /// `PutFunctionEventInvokeConfig`: what is absent is the default from then on.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound) if the function, version or alias is not there;
    /// those of bad parameters and of the store. Nothing was changed then.
    pub async fn put_event_invoke_config(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
        request: FunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        let asked = Asked::read(&request)?;
        let (key, qualifier) = (scope.key(function)?, subject(function, qualifier)?);
        self.check_queues(&key, &asked).await?;
        self.set_event_invoke_config(&key, &qualifier, |_| Ok(asked.over(None)))
            .await
    }

    /// `UpdateFunctionEventInvokeConfig`: what is absent stays as it is. `DestinationConfig` is one thing.
    ///
    /// # Errors
    /// As [`put_event_invoke_config`](Self::put_event_invoke_config), and
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound) if there is nothing to change.
    pub async fn update_event_invoke_config(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
        request: FunctionEventInvokeConfigRequest,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        let asked = Asked::read(&request)?;
        let (key, qualifier) = (scope.key(function)?, subject(function, qualifier)?);
        self.check_queues(&key, &asked).await?;
        self.set_event_invoke_config(&key, &qualifier, |current| match current {
            Some(current) => Ok(asked.over(Some(&current.config))),
            None => Err(no_config(&key, &qualifier)),
        })
        .await
    }

    async fn check_queues(&self, key: &FunctionKey, asked: &Asked) -> Result<(), ApiError> {
        for end in asked.destinations.iter().flat_map(|(a, b)| [a, b]) {
            self.check_queue(key, end.as_ref()).await?;
        }
        Ok(())
    }

    async fn set_event_invoke_config(
        &self,
        key: &FunctionKey,
        qualifier: &Qualifier,
        decide: impl Fn(Option<&EventInvokeRecord>) -> Result<EventInvokeConfig, ApiError>,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        let (now, revision) = (self.now(), new_revision());
        let buckets = &self.inner.options.buckets;
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = entry(snapshot, key, qualifier)?;
            let current = entry.event_invoke(qualifier);
            let config = decide(current)?;
            for (role, arn) in [
                (Role::OnSuccess, &config.on_success),
                (Role::OnFailure, &config.on_failure),
            ] {
                if let Some(arn) = arn {
                    destination::check(snapshot, buckets, key, role, arn)?;
                }
            }
            let record = EventInvokeRecord {
                qualifier: qualifier.clone(),
                revision: revision.clone(),
                modified: now,
                config,
            };
            let answer = shown(key, &record);
            let change = Change::PutEventInvoke {
                key: key.clone(),
                record,
                expected: current.map(|current| current.revision.clone()),
            };
            Ok((vec![change], answer))
        })
        .await
    }

    /// `GetFunctionEventInvokeConfig`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad parameters.
    pub fn get_event_invoke_config(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<FunctionEventInvokeConfig, ApiError> {
        let key = scope.key(function)?;
        let qualifier = subject(function, qualifier)?;
        let snapshot = self.snapshot();
        let record = entry(&snapshot, &key, &qualifier)?.event_invoke(&qualifier);
        record
            .map(|record| shown(&key, record))
            .ok_or_else(|| no_config(&key, &qualifier))
    }

    /// `ListFunctionEventInvokeConfigs`: of a function, its versions and its aliases.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad parameters.
    pub fn list_event_invoke_configs(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        page: &PageRequest,
    ) -> Result<ListFunctionEventInvokeConfigsResponse, ApiError> {
        let (after, size) = Listing::EventInvokes.begin::<Qualifier>(page)?;
        let key = unqualified(scope, function)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .function(&key)
            .ok_or_else(|| present::function_not_found(&key, None))?;
        let records = entry
            .event_invokes()
            .filter(|record| after.as_ref().is_none_or(|after| record.qualifier > *after));
        let (records, next_marker) =
            Listing::EventInvokes.take(records, size, |record| record.qualifier.to_string());
        Ok(ListFunctionEventInvokeConfigsResponse {
            function_event_invoke_configs: records
                .into_iter()
                .map(|record| shown(&key, record))
                .collect(),
            next_marker,
        })
    }

    /// `DeleteFunctionEventInvokeConfig`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad parameters and of the store.
    pub async fn delete_event_invoke_config(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<(), ApiError> {
        let key = scope.key(function)?;
        let qualifier = subject(function, qualifier)?;
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let record = entry(snapshot, &key, &qualifier)?.event_invoke(&qualifier);
            record.ok_or_else(|| no_config(&key, &qualifier))?;
            let change = Change::DeleteEventInvoke(key.clone(), qualifier.clone());
            Ok((vec![change], ()))
        })
        .await
    }

    /// What holds now for events that were sent to `qualifier` of a function; `None` if there is no such function. Two
    /// look-ups in the snapshot, without a lock (INV-9).
    pub fn event_settings(
        &self,
        key: &FunctionKey,
        qualifier: Option<&Qualifier>,
    ) -> Option<EventSettings> {
        let snapshot = self.inner.snapshot.load();
        let entry = snapshot.function(key)?;
        let latest = Qualifier::Version(Version::Latest);
        let record = entry.event_invoke(qualifier.unwrap_or(&latest));
        let version = entry.qualified(qualifier);
        Some(EventSettings {
            invoke: record.map_or_else(EventInvokeConfig::default, |record| record.config.clone()),
            dead_letter: version.and_then(|version| version.configuration.dead_letter.clone()),
        })
    }
}

/// What a configuration is about. A function without a qualifier is its `$LATEST`, as the service has it.
fn subject(function: &FunctionRef, qualifier: Option<&Qualifier>) -> Result<Qualifier, ApiError> {
    let named = one_qualifier(function, qualifier)?.cloned();
    Ok(named.unwrap_or(Qualifier::Version(Version::Latest)))
}

fn entry<'s>(
    snapshot: &'s Snapshot,
    key: &FunctionKey,
    qualifier: &Qualifier,
) -> Result<&'s FunctionEntry, ApiError> {
    snapshot
        .function(key)
        .filter(|entry| entry.qualified(Some(qualifier)).is_some())
        .map(AsRef::as_ref)
        .ok_or_else(|| present::function_not_found(key, Some(qualifier)))
}

fn no_config(key: &FunctionKey, qualifier: &Qualifier) -> ApiError {
    ApiError::not_found(format!(
        "The function {} doesn't have an EventInvokeConfig",
        present::arn(key, Some(qualifier.clone()))
    ))
}

/// What a request asks for.
struct Asked {
    retries: Option<u32>,
    age_s: Option<u32>,
    /// Where the ends of events are told, if the request says anything of it.
    destinations: Option<(Option<DestinationArn>, Option<DestinationArn>)>,
}

impl Asked {
    /// # Errors
    /// [`hearth_types::ErrorKind::Validation`] for breaches of shape;
    /// [`hearth_types::ErrorKind::InvalidParameterValue`] if it asks for nothing.
    fn read(request: &FunctionEventInvokeConfigRequest) -> Result<Self, ApiError> {
        let mut constraints = Constraints::default();
        let mut number = |member, value: Option<i64>, range: std::ops::RangeInclusive<u32>| {
            let value = value?;
            constraints.range(
                member,
                value,
                i64::from(*range.start())..=i64::from(*range.end()),
            );
            u32::try_from(value).ok()
        };
        let retries = number(
            "maximumRetryAttempts",
            request.maximum_retry_attempts,
            RETRY_ATTEMPTS,
        );
        let age_s = number(
            "maximumEventAgeInSeconds",
            request.maximum_event_age_in_seconds,
            EVENT_AGE_S,
        );
        let destinations = request.destination_config.as_ref().map(|config| {
            let mut read = |member, end: &Option<OnEnd>| {
                let text = end.as_ref().and_then(|end| end.destination.as_deref());
                destination::read(member, text, &mut constraints)
            };
            (
                read(
                    "destinationConfig.onSuccess.destination",
                    &config.on_success,
                ),
                read(
                    "destinationConfig.onFailure.destination",
                    &config.on_failure,
                ),
            )
        });
        constraints.finish()?;
        if retries.is_none() && age_s.is_none() && destinations.is_none() {
            return Err(ApiError::invalid(
                "You must specify at least one of error handling or destination setting.",
            ));
        }
        Ok(Self {
            retries,
            age_s,
            destinations,
        })
    }

    fn over(&self, current: Option<&EventInvokeConfig>) -> EventInvokeConfig {
        let mut config = current.cloned().unwrap_or_default();
        config.maximum_retry_attempts = self.retries.or(config.maximum_retry_attempts);
        config.maximum_event_age_s = self.age_s.or(config.maximum_event_age_s);
        if let Some((on_success, on_failure)) = &self.destinations {
            config.on_success.clone_from(on_success);
            config.on_failure.clone_from(on_failure);
        }
        config
    }
}

fn shown(key: &FunctionKey, record: &EventInvokeRecord) -> FunctionEventInvokeConfig {
    let end = |arn: &Option<DestinationArn>| {
        Some(OnEnd {
            destination: arn.as_ref().map(ToString::to_string),
        })
    };
    let config = &record.config;
    FunctionEventInvokeConfig {
        last_modified: record.modified.as_millis() as f64 / 1e3,
        function_arn: present::arn(key, Some(record.qualifier.clone())),
        maximum_retry_attempts: config.maximum_retry_attempts,
        maximum_event_age_in_seconds: config.maximum_event_age_s,
        destination_config: DestinationConfig {
            on_success: end(&config.on_success),
            on_failure: end(&config.on_failure),
        },
    }
}
