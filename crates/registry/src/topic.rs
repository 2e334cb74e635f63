//! Topics, Hearth's own operations: put, get, list, delete.

use std::collections::BTreeSet;
use std::sync::Arc;

use hearth_store::contract::Change;
use hearth_store::record::{TopicRecord, WebhookRecord};
use hearth_types::ApiError;
use hearth_types::destination::Destination;
use hearth_types::name::{TopicId, TopicName};
use hearth_types::webhook::{WebhookSecret, WebhookUrl};
use hearth_types::wire::topic::{ListTopicsResponse, Topic, Webhook};

use crate::page::Listing;
use crate::registry::{Subject, new_revision};
use crate::route::check_revision;
use crate::snapshot::Snapshot;
use crate::{PageRequest, Registry, Scope};

/// Webhooks of one topic. Each is a request of its own for every record.
const WEBHOOKS: usize = 16;
/// Topics of an account in a region: all are in memory.
const TOPICS: usize = 1_000;

impl Registry {
    /// Makes a topic, or puts it in the place of the one with its name. A webhook without a secret keeps the one that its
    /// URL has in the topic, or gets a new one; the answer is the only place where that is shown.
    ///
    /// # Errors
    /// [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict) if there is one already and there must be none,
    /// [`PreconditionFailed`](hearth_types::ErrorKind::PreconditionFailed) for another revision; those of bad parameters and of the
    /// store. Nothing was changed then.
    pub async fn put_topic(
        &self,
        scope: &Scope,
        name: TopicName,
        request: Topic,
    ) -> Result<Topic, ApiError> {
        if request.name.as_deref().is_some_and(|n| n != name.as_str()) {
            return Err(ApiError::invalid(
                "Name is not the one in the path. Leave it out, or use the same.",
            ));
        }
        let loopback = self.inner.options.loopback_webhooks;
        let asked = read(request.webhooks.unwrap_or_default(), loopback)?;
        let expected = request.revision_id;
        let id = scope.topic_id(name);
        let (now, revision) = (self.now(), new_revision());
        self.change(&Subject::Topic(id.clone()), |snapshot| {
            let current = snapshot.topic(&id);
            check_revision(current.map(|c| c.revision.as_str()), expected.as_deref())?;
            if current.is_none() && topics_of(snapshot, scope)?.count() >= TOPICS {
                return Err(ApiError::invalid(format!(
                    "There are {TOPICS} topics already. Delete one, or add webhooks to one that is there."
                )));
            }
            let known = current.map_or(&[][..], |current| &current.webhooks);
            let webhooks = asked.iter().map(|one| one.record(known)).collect();
            let record = TopicRecord {
                id: id.clone(),
                revision: revision.clone(),
                created: current.map_or(now, |current| current.created),
                modified: now,
                webhooks,
            };
            let mut answer = shown(&record);
            let webhooks = answer.webhooks.iter_mut().flatten();
            for ((shown, webhook), asked) in webhooks.zip(&record.webhooks).zip(&asked) {
                shown.secret = (webhook.secret == asked.made).then(|| webhook.secret.reveal());
            }
            let change = Change::PutTopic {
                record,
                expected: current.map(|current| current.revision.clone()),
            };
            Ok((vec![change], answer))
        })
        .await
    }

    /// One topic, without the secrets of its webhooks.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound).
    pub fn get_topic(&self, scope: &Scope, name: TopicName) -> Result<Topic, ApiError> {
        let id = scope.topic_id(name);
        let snapshot = self.snapshot();
        let record = snapshot.topic(&id);
        record
            .map(|record| shown(record))
            .ok_or_else(|| no_topic(&id))
    }

    /// Topics by name.
    ///
    /// # Errors
    /// Those of bad parameters.
    pub fn list_topics(
        &self,
        scope: &Scope,
        page: &PageRequest,
    ) -> Result<ListTopicsResponse, ApiError> {
        let (after, size) = Listing::Topics.begin::<TopicName>(page)?;
        let snapshot = self.snapshot();
        let records = topics_of(&snapshot, scope)?
            .filter(|record| after.as_ref().is_none_or(|after| record.id.name > *after));
        let (records, next_marker) = Listing::Topics.take(records, size, |r| r.id.name.to_string());
        Ok(ListTopicsResponse {
            topics: records.into_iter().map(|record| shown(record)).collect(),
            next_marker,
        })
    }

    /// Removes a topic. Who names it as a destination is not told any more.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound), [`PreconditionFailed`](ErrorKind::PreconditionFailed) for
    /// another revision; those of the store.
    pub async fn delete_topic(
        &self,
        scope: &Scope,
        name: TopicName,
        revision: Option<&str>,
    ) -> Result<(), ApiError> {
        let id = scope.topic_id(name);
        self.change(&Subject::Topic(id.clone()), |snapshot| {
            let record = snapshot.topic(&id).ok_or_else(|| no_topic(&id))?;
            check_revision(Some(&record.revision), revision)?;
            let change = Change::DeleteTopic {
                id: id.clone(),
                expected: record.revision.clone(),
            };
            Ok((vec![change], ()))
        })
        .await
    }

    /// The webhooks of a topic, with what they are signed with: for whoever delivers. One look-up, without a lock.
    pub fn topic(&self, id: &TopicId) -> Option<Arc<TopicRecord>> {
        self.inner.snapshot.load().topic(id).cloned()
    }
}

impl Scope {
    pub(crate) fn topic_id(&self, name: TopicName) -> TopicId {
        TopicId {
            account: self.account.clone(),
            region: self.region.clone(),
            name,
        }
    }
}

/// The topics of a scope, by name.
fn topics_of<'s>(
    snapshot: &'s Snapshot,
    scope: &'s Scope,
) -> Result<impl Iterator<Item = &'s Arc<TopicRecord>>, ApiError> {
    // The first name in order: a hyphen comes before every other character of a name.
    let first = scope.topic_id("-".parse()?);
    let is_own = |id: &TopicId| id.account == scope.account && id.region == scope.region;
    Ok(snapshot
        .topics_from(first)
        .take_while(move |record| is_own(&record.id)))
}

/// A webhook as a request asks for it.
struct Asked {
    url: WebhookUrl,
    secret: Option<WebhookSecret>,
    /// A new secret, in case that there is none.
    made: WebhookSecret,
}

impl Asked {
    fn record(&self, known: &[WebhookRecord]) -> WebhookRecord {
        let kept = known.iter().find(|webhook| webhook.url == self.url);
        let secret = self.secret.as_ref().or(kept.map(|webhook| &webhook.secret));
        WebhookRecord {
            url: self.url.clone(),
            secret: secret.unwrap_or(&self.made).clone(),
        }
    }
}

/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
fn read(webhooks: Vec<Webhook>, loopback: bool) -> Result<Vec<Asked>, ApiError> {
    if webhooks.len() > WEBHOOKS {
        return Err(ApiError::invalid(format!(
            "A topic may have {WEBHOOKS} Webhooks. Make another topic for the rest."
        )));
    }
    let mut seen = BTreeSet::new();
    webhooks
        .into_iter()
        .map(|webhook| {
            let url: WebhookUrl = webhook.url.unwrap_or_default().parse()?;
            if url.is_loopback() && !loopback {
                return Err(ApiError::invalid(format!(
                    "{url} is on a loopback address, where this node tells nobody. Use another, or set \
                     destinations.loopback_webhooks in its configuration."
                )));
            }
            if !seen.insert(url.clone()) {
                return Err(ApiError::invalid(format!(
                    "Two Webhooks have the Url {url}. Leave one of them out."
                )));
            }
            Ok(Asked {
                url,
                secret: webhook.secret.map(|text| text.parse()).transpose()?,
                made: new_secret()?,
            })
        })
        .collect()
}

fn new_secret() -> Result<WebhookSecret, ApiError> {
    let mut bytes = [0; WebhookSecret::BYTES];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "read random bytes from the operating system");
        ApiError::service("No secret could be made. Try again.")
    })?;
    Ok(WebhookSecret::from_random(bytes))
}

fn no_topic(id: &TopicId) -> ApiError {
    ApiError::not_found(format!("There is no topic '{}' in {}.", id.name, id.region))
}

/// A topic as the API shows it: without secrets.
fn shown(record: &TopicRecord) -> Topic {
    Topic {
        name: Some(record.id.name.to_string()),
        topic_arn: Some(Destination::Topic(record.id.clone()).to_string()),
        revision_id: Some(record.revision.clone()),
        creation_time: Some(record.created.to_iso_string()),
        last_modified_time: Some(record.modified.to_iso_string()),
        webhooks: Some(
            record
                .webhooks
                .iter()
                .map(|webhook| Webhook {
                    url: Some(webhook.url.to_string()),
                    secret: None,
                })
                .collect(),
        ),
    }
}
