//! Event source mappings: `CreateEventSourceMapping`, `GetEventSourceMapping`, `ListEventSourceMappings`,
//! `UpdateEventSourceMapping`, `DeleteEventSourceMapping`; and what the pollers ask and say.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_store::contract::Change;
use hearth_store::record::MappingRecord;
use hearth_types::ApiError;
use hearth_types::error::ErrorKind;
use hearth_types::event_invoke::DestinationArn;
use hearth_types::mapping::{MAPPINGS, Mapping, MappingId, MappingState, MappingUuid};
use hearth_types::name::{FunctionKey, Qualifier};
use hearth_types::source::{Origin, Source, virtual_host};
use hearth_types::wire::lambda::{
    EventSourceMappingConfiguration, EventSourceMappingRequest, ListEventSourceMappingsResponse,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::constraints::Constraints;
use crate::destination::{self, Role};
use crate::mapping_rules::{self, Asked};
use crate::page::Listing;
use crate::registry::{Subject, new_revision};
use crate::scope::parse_function;
use crate::snapshot::Snapshot;
use crate::{PageRequest, Registry, Scope, mapping_shown, mapping_source, present, tag_rules};

/// Which mappings to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingFilter {
    /// `EventSourceArn`.
    pub source: Option<String>,
    /// `FunctionName`; without a qualifier, mappings of all of its versions and aliases are meant.
    pub function: Option<String>,
}

/// What pollers have told of their mappings, since the node began.
#[derive(Debug, Default)]
pub(crate) struct AllSeen(Mutex<HashMap<MappingId, Seen>>);

/// What a poller has told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// How the last batch ended, or why there is none.
    pub(crate) result: Option<String>,
    /// Messages that wait.
    pub(crate) lag: Option<u64>,
}

impl AllSeen {
    fn all(&self) -> MutexGuard<'_, HashMap<MappingId, Seen>> {
        // Nothing in here can panic half-way, so a poisoned lock holds a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// `CreateEventSourceMapping`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound) if the function, version or alias is not there,
    /// [`ResourceConflict`](ErrorKind::ResourceConflict) if the queue and the function have a mapping; those of bad
    /// parameters and of the store. Nothing was created then.
    pub async fn create_mapping(
        &self,
        scope: &Scope,
        request: EventSourceMappingRequest,
    ) -> Result<EventSourceMappingConfiguration, ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("functionName", request.function_name.is_some());
        let tags = request.tags.clone().unwrap_or_default();
        tag_rules::check_shape(&tags, &mut constraints);
        constraints.finish()?;
        tag_rules::check_names(&tags)?;
        let asked = Asked::read(&request)?;
        let (function, qualifier) =
            target(scope, request.function_name.as_deref().unwrap_or_default())?;
        let source = mapping_source::read(scope, &self.inner.options, &request)?;
        mapping_source::check(&request, &source)?;
        let mapping = asked.over(Mapping {
            qualifier,
            ..mapping_source::defaults(source, function)
        });
        let id = MappingId {
            account: scope.account.clone(),
            region: scope.region.clone(),
            uuid: new_uuid()?,
        };
        self.put_mapping(&id, |_| {
            Ok(Put {
                mapping: mapping.clone(),
                state: MappingState::Creating,
                tags: tags.clone(),
                names_destination: true,
            })
        })
        .await
    }

    /// `UpdateEventSourceMapping`: what is absent stays as it is.
    ///
    /// # Errors
    /// As [`create_mapping`](Self::create_mapping), and [`ResourceInUse`](ErrorKind::ResourceInUse) while it is being
    /// changed.
    pub async fn update_mapping(
        &self,
        scope: &Scope,
        uuid: &str,
        request: EventSourceMappingRequest,
    ) -> Result<EventSourceMappingConfiguration, ApiError> {
        let asked = Asked::read(&request)?;
        let function = match &request.function_name {
            Some(name) => Some(target(scope, name)?),
            None => None,
        };
        let id = id(scope, uuid)?;
        // What was there once, and nobody speaks of, must not be in the way of a change.
        let names_destination =
            request.destination_config.is_some() || request.function_name.is_some();
        self.put_mapping(&id, |snapshot| {
            let current = settled(snapshot, &id, "update")?;
            mapping_source::check(&request, &current.mapping.source)?;
            let mut mapping = asked.over(current.mapping.clone());
            if let Some((function, qualifier)) = &function {
                mapping.function.clone_from(function);
                mapping.qualifier.clone_from(qualifier);
            }
            let state = match (current.mapping.enabled, mapping.enabled) {
                (false, true) => MappingState::Enabling,
                (true, false) => MappingState::Disabling,
                _ => MappingState::Updating,
            };
            let tags = current.tags.clone();
            Ok(Put {
                mapping,
                state,
                tags,
                names_destination,
            })
        })
        .await
    }

    /// Stores what is decided, if it goes together with its function, its queue and the other mappings.
    async fn put_mapping(
        &self,
        id: &MappingId,
        decide: impl Fn(&Snapshot) -> Result<Put, ApiError>,
    ) -> Result<EventSourceMappingConfiguration, ApiError> {
        // A mapping keeps its queue, so that it is the same whenever this is decided.
        let first = decide(&self.snapshot())?;
        let queue = match &first.mapping.source {
            Source::Queue(id) => self.queue(id).await?,
            Source::Broker(_) => None,
        };
        self.check_queue(&first.mapping.function, first.destination())
            .await?;
        let (now, revision) = (self.now(), new_revision());
        self.change(&Subject::Mappings, |snapshot| {
            let put = decide(snapshot)?;
            let mapping = &put.mapping;
            let qualifier = mapping.qualifier.as_ref();
            let version = snapshot
                .function(&mapping.function)
                .and_then(|entry| entry.qualified(qualifier))
                .ok_or_else(|| present::function_not_found(&mapping.function, qualifier))?;
            if let Source::Queue(_) = mapping.source {
                let timeout_s = version.configuration.timeout_s;
                mapping_rules::check(mapping, queue.as_ref(), timeout_s)?;
            }
            if let Some(arn) = put.destination() {
                let buckets = &self.inner.options.buckets;
                destination::check(snapshot, buckets, &mapping.function, Role::OnFailure, arn)?;
            }
            must_fit(snapshot, id, mapping)?;
            let record = MappingRecord {
                id: id.clone(),
                revision: revision.clone(),
                modified: now,
                state: put.state,
                mapping: put.mapping,
                tags: put.tags,
            };
            let answer = self.shown(&record);
            let current = snapshot.mappings.get(id);
            let expected = current.map(|current| current.revision.clone());
            Ok((vec![Change::PutMapping { record, expected }], answer))
        })
        .await
    }

    /// `GetEventSourceMapping`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound).
    pub fn get_mapping(
        &self,
        scope: &Scope,
        uuid: &str,
    ) -> Result<EventSourceMappingConfiguration, ApiError> {
        let record = found(&self.snapshot(), &id(scope, uuid)?)?;
        Ok(self.shown(&record))
    }

    /// `ListEventSourceMappings`, by UUID.
    ///
    /// # Errors
    /// Those of bad parameters.
    pub fn list_mappings(
        &self,
        scope: &Scope,
        filter: &MappingFilter,
        page: &PageRequest,
    ) -> Result<ListEventSourceMappingsResponse, ApiError> {
        let (after, size) = Listing::Mappings.begin::<MappingUuid>(page)?;
        let source = match filter.source.as_deref() {
            None | Some("") => None,
            Some(arn) => {
                mapping_source::check_arn(arn)?;
                Some(arn)
            }
        };
        let function = match filter.function.as_deref() {
            None | Some("") => None,
            Some(name) => Some(target(scope, name)?),
        };
        let is_meant = |record: &&Arc<MappingRecord>| {
            let Mapping {
                source: own,
                function: of,
                qualifier,
                ..
            } = &record.mapping;
            source.is_none_or(|source| own.arn().as_deref() == Some(source))
                && function.as_ref().is_none_or(|(key, wanted)| {
                    key == of && (wanted.is_none() || wanted == qualifier)
                })
                && after.as_ref().is_none_or(|after| record.id.uuid > *after)
        };
        let snapshot = self.snapshot();
        let records = of_scope(&snapshot, scope).filter(is_meant);
        let (records, next_marker) =
            Listing::Mappings.take(records, size, |record| record.id.uuid.to_string());
        Ok(ListEventSourceMappingsResponse {
            event_source_mappings: records.into_iter().map(|one| self.shown(one)).collect(),
            next_marker,
        })
    }

    /// `DeleteEventSourceMapping`: it goes when its poller has stopped.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound), [`ResourceInUse`](ErrorKind::ResourceInUse) while it is being
    /// changed; those of the store.
    pub async fn delete_mapping(
        &self,
        scope: &Scope,
        uuid: &str,
    ) -> Result<EventSourceMappingConfiguration, ApiError> {
        let id = id(scope, uuid)?;
        let (now, revision) = (self.now(), new_revision());
        self.change(&Subject::Mappings, |snapshot| {
            let current = settled(snapshot, &id, "delete")?;
            let record = MappingRecord {
                revision: revision.clone(),
                modified: now,
                state: MappingState::Deleting,
                ..MappingRecord::clone(&current)
            };
            let answer = self.shown(&record);
            let expected = Some(current.revision.clone());
            Ok((vec![Change::PutMapping { record, expected }], answer))
        })
        .await
    }

    /// The tags of a mapping.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound).
    pub(crate) fn mapping_tags(
        &self,
        id: &MappingId,
    ) -> Result<BTreeMap<String, String>, ApiError> {
        Ok(found(&self.snapshot(), id)?.tags.clone())
    }

    pub(crate) async fn set_mapping_tags(
        &self,
        id: &MappingId,
        tags_after: impl Fn(&BTreeMap<String, String>) -> BTreeMap<String, String>,
    ) -> Result<(), ApiError> {
        let revision = new_revision();
        self.change(&Subject::Mappings, |snapshot| {
            let current = found(snapshot, id)?;
            let tags = tags_after(&current.tags);
            if tags == current.tags {
                return Ok((Vec::new(), ()));
            }
            tag_rules::check_names(&tags)?;
            let record = MappingRecord {
                revision: revision.clone(),
                tags,
                ..MappingRecord::clone(&current)
            };
            let expected = Some(current.revision.clone());
            Ok((vec![Change::PutMapping { record, expected }], ()))
        })
        .await
    }

    /// Tells whenever a mapping has changed: for the pollers.
    pub fn mappings_changed(&self) -> watch::Receiver<()> {
        self.inner.mappings_changed.subscribe()
    }

    /// All mappings of all accounts.
    pub fn mappings(&self) -> Vec<Arc<MappingRecord>> {
        self.snapshot().mappings.values().cloned().collect()
    }

    /// The poller of a mapping does what the mapping says as of `revision`: it is enabled, disabled or gone from now on.
    /// Nothing happens if it was changed since.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn settle_mapping(&self, id: &MappingId, revision: &str) -> Result<(), ApiError> {
        let next = new_revision();
        self.change(&Subject::Mappings, |snapshot| {
            let current = snapshot.mappings.get(id);
            let current = current.filter(|current| current.revision == revision);
            let Some(current) = current.filter(|current| !current.state.is_settled()) else {
                return Ok((Vec::new(), ()));
            };
            let expected = current.revision.clone();
            let state = match (current.state, current.mapping.enabled) {
                (MappingState::Deleting, _) => {
                    self.inner.seen.all().remove(id);
                    let id = id.clone();
                    return Ok((vec![Change::DeleteMapping { id, expected }], ()));
                }
                (_, true) => MappingState::Enabled,
                (_, false) => MappingState::Disabled,
            };
            let record = MappingRecord {
                revision: next.clone(),
                state,
                ..MappingRecord::clone(current)
            };
            let expected = Some(expected);
            Ok((vec![Change::PutMapping { record, expected }], ()))
        })
        .await
    }

    /// What became of a mapping's last batch: `LastProcessingResult`.
    pub fn note_processing(&self, id: &MappingId, result: &str) {
        self.note(id, |seen| {
            if seen.result.as_deref() != Some(result) {
                seen.result = Some(result.to_owned());
            }
        });
    }

    /// How many messages wait at a mapping's source.
    pub fn note_lag(&self, id: &MappingId, lag: u64) {
        self.note(id, |seen| seen.lag = Some(lag));
    }

    fn note(&self, id: &MappingId, note: impl FnOnce(&mut Seen)) {
        let mut all = self.inner.seen.all();
        match all.get_mut(id) {
            Some(seen) => note(seen),
            None if self.inner.snapshot.load().mappings.contains_key(id) => {
                note(all.entry(id.clone()).or_default());
            }
            None => {}
        }
    }

    fn shown(&self, record: &MappingRecord) -> EventSourceMappingConfiguration {
        let seen = self.inner.seen.all().get(&record.id).cloned();
        mapping_shown::shown(record, seen.unwrap_or_default())
    }
}

/// What is to be stored of a mapping.
struct Put {
    mapping: Mapping,
    state: MappingState,
    tags: BTreeMap<String, String>,
    /// Whether the destination is one that the request speaks of, so that it has to be there.
    names_destination: bool,
}

impl Put {
    /// The destination that has to be there.
    fn destination(&self) -> Option<&DestinationArn> {
        let on_failure = self.mapping.retries.on_failure.as_ref();
        on_failure.filter(|_| self.names_destination)
    }
}

fn new_uuid() -> Result<MappingUuid, ApiError> {
    Uuid::new_v4()
        .to_string()
        .parse()
        .map_err(|error| ApiError::service(format!("{error}")))
}

/// The mapping that a path names. A text that is no UUID names none.
fn id(scope: &Scope, uuid: &str) -> Result<MappingId, ApiError> {
    Ok(MappingId {
        account: scope.account.clone(),
        region: scope.region.clone(),
        uuid: uuid.parse().map_err(|_| no_mapping())?,
    })
}

/// The function of a request, and the version or alias.
fn target(scope: &Scope, name: &str) -> Result<(FunctionKey, Option<Qualifier>), ApiError> {
    let function = parse_function(name)?;
    Ok((scope.key(&function)?, function.qualifier))
}

fn found(snapshot: &Snapshot, id: &MappingId) -> Result<Arc<MappingRecord>, ApiError> {
    snapshot.mappings.get(id).cloned().ok_or_else(no_mapping)
}

/// A mapping that can be changed now.
fn settled(
    snapshot: &Snapshot,
    id: &MappingId,
    what: &str,
) -> Result<Arc<MappingRecord>, ApiError> {
    let record = found(snapshot, id)?;
    if record.state.is_settled() {
        return Ok(record);
    }
    Err(ApiError::new(
        ErrorKind::ResourceInUse,
        format!(
            "Cannot {what} the event source mapping because it is in use: it is {}. Try again.",
            record.state.as_str()
        ),
    ))
}

fn no_mapping() -> ApiError {
    ApiError::not_found("The resource you requested does not exist.")
}

fn of_scope<'s>(
    snapshot: &'s Snapshot,
    scope: &'s Scope,
) -> impl Iterator<Item = &'s Arc<MappingRecord>> {
    snapshot.mappings.values().filter(move |record| {
        record.id.account == scope.account && record.id.region == scope.region
    })
}

/// One mapping for a source and a function, and not too many of them.
fn must_fit(snapshot: &Snapshot, id: &MappingId, mapping: &Mapping) -> Result<(), ApiError> {
    let scope = Scope {
        account: id.account.clone(),
        region: id.region.clone(),
    };
    let others = || of_scope(snapshot, &scope).filter(|other| other.id != *id);
    let subject = |mapping: &Mapping| {
        let Mapping {
            source,
            function,
            qualifier,
            ..
        } = mapping;
        let of = match source {
            Source::Queue(_) => None,
            Source::Broker(broker) => match &broker.origin {
                Origin::RabbitMq { queue, access } => {
                    Some((queue.clone(), virtual_host(access).to_owned()))
                }
                // Groups have what they consume to themselves.
                Origin::Kafka(kafka) => Some((
                    format!("{} {}", broker.broker, kafka.topic),
                    kafka.group.clone().unwrap_or_default(),
                )),
                // The ARN says it all.
                _ => None,
            },
        };
        (source.arn(), of, function.clone(), qualifier.clone())
    };
    let own = subject(mapping);
    if let Some(other) = others().find(|other| subject(&other.mapping) == own) {
        return Err(ApiError::new(
            ErrorKind::ResourceConflict,
            format!(
                "An event source mapping with {} arn (\" {} \") and function (\" {} \") already exists. Please update or \
                 delete the existing mapping with UUID {}",
                match mapping.source {
                    Source::Queue(_) => "SQS",
                    Source::Broker(_) => "broker",
                },
                match mapping.source.kafka() {
                    Some(kafka) => kafka.topic.clone(),
                    None => mapping.source.arn().unwrap_or_default(),
                },
                mapping.function.name,
                other.id.uuid
            ),
        ));
    }
    if others().count() >= MAPPINGS {
        return Err(ApiError::invalid(format!(
            "There are {MAPPINGS} event source mappings already. Delete those that nobody needs."
        )));
    }
    Ok(())
}
