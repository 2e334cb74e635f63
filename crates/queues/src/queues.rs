//! The handle, and the operations on queues themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hearth_store::SqliteQueueStore;
use hearth_store::queues::{Created, Queue, QueueKey, Settings};
use hearth_types::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::address::{self, Caller, FIFO};
use crate::attributes::{self, takes_letters_of};
use crate::error::{Kind, QueueError};
use crate::wire::Request;

/// Most names of a page (service model, `ListQueues`), and how many there are if nothing was said.
const MOST_LISTED: usize = 1000;
/// Most tags of a queue, and most characters of their names and values (SQS developer guide, "Queue quotas").
const MOST_TAGS: usize = 50;
const TAG_NAME_CHARACTERS: usize = 128;
const TAG_VALUE_CHARACTERS: usize = 256;
/// How often messages whose time is over are removed. They are not delivered in the meantime, and an idle node's disk
/// is left alone for that long.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Between the parts of what is removed at once: others go on meanwhile.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);

/// A clock.
pub(crate) type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The queues. Cheap to clone.
#[derive(Clone)]
pub struct Queues {
    pub(crate) store: Arc<SqliteQueueStore>,
    clock: Clock,
    pub(crate) stop: CancellationToken,
    /// Told when a task that moves messages has begun.
    pub(crate) moves: Arc<Notify>,
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues").finish_non_exhaustive()
    }
}

impl Queues {
    /// The queues of `store`. Receives that wait are answered once `stop` is cancelled.
    pub fn new(
        store: Arc<SqliteQueueStore>,
        clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            store,
            clock,
            stop,
            moves: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Removes what is there without need, until the node stops.
    pub async fn sweep(self) {
        loop {
            let more = match self.store.sweep(self.now()).await {
                Ok(more) => more,
                Err(error) => {
                    tracing::warn!(%error, "remove messages whose time is over");
                    false
                }
            };
            let pause = if more { SWEEP_PAUSE } else { SWEEP_INTERVAL };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// Does an operation of the API: its name, and the JSON that came with it.
    ///
    /// # Errors
    /// [`QueueError`]; nothing was changed.
    pub async fn call(
        &self,
        caller: &Caller,
        operation: &str,
        body: &[u8],
    ) -> Result<Value, QueueError> {
        match operation {
            "CreateQueue" => self.create_queue(caller, read(body)?).await,
            "GetQueueUrl" => self.get_queue_url(caller, read(body)?).await,
            "ListQueues" => self.list_queues(caller, read(body)?).await,
            "ListDeadLetterSourceQueues" => self.list_sources(caller, read(body)?).await,
            "DeleteQueue" => self.delete_queue(caller, read(body)?).await,
            "PurgeQueue" => self.purge_queue(caller, read(body)?).await,
            "GetQueueAttributes" => self.get_queue_attributes(caller, read(body)?).await,
            "SetQueueAttributes" => self.set_queue_attributes(caller, read(body)?).await,
            "TagQueue" => self.tag_queue(caller, read(body)?).await,
            "UntagQueue" => self.untag_queue(caller, read(body)?).await,
            "ListQueueTags" => self.list_queue_tags(caller, read(body)?).await,
            "SendMessage" => self.send_message(caller, read(body)?).await,
            "SendMessageBatch" => self.send_message_batch(caller, read(body)?).await,
            "ReceiveMessage" => self.receive_message(caller, read(body)?).await,
            "DeleteMessage" => self.delete_message(caller, read(body)?).await,
            "DeleteMessageBatch" => self.delete_message_batch(caller, read(body)?).await,
            "ChangeMessageVisibility" => self.change_message_visibility(caller, read(body)?).await,
            "ChangeMessageVisibilityBatch" => {
                self.change_message_visibility_batch(caller, read(body)?)
                    .await
            }
            "StartMessageMoveTask" => self.start_message_move_task(caller, read(body)?).await,
            "ListMessageMoveTasks" => self.list_message_move_tasks(caller, read(body)?).await,
            "CancelMessageMoveTask" => self.cancel_message_move_task(caller, read(body)?).await,
            other => {
                let shown: String = other.chars().take(80).collect();
                Err(QueueError::new(
                    Kind::UnsupportedOperation,
                    format!("Hearth does not have the operation {shown} of SQS."),
                ))
            }
        }
    }

    /// The queue at a URL.
    pub(crate) async fn queue(
        &self,
        caller: &Caller,
        url: Option<&str>,
    ) -> Result<Queue, QueueError> {
        let queue = self.store.queue(caller.at(url)?).await?;
        queue.ok_or_else(QueueError::missing_queue)
    }

    async fn create_queue(&self, caller: &Caller, request: Request) -> Result<Value, QueueError> {
        let name = request
            .queue_name
            .ok_or_else(|| QueueError::missing_parameter("QueueName"))?;
        let attributes = request.attributes.unwrap_or_default();
        let fifo = attributes.get("FifoQueue").is_some_and(|v| v == "true");
        if !address::is_name(&name) || name.ends_with(FIFO) != fifo {
            return Err(QueueError::new(
                Kind::InvalidParameterValue,
                "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length. The name of a \
                 FIFO queue, and of no other, ends with .fifo, and its attribute FifoQueue is true.",
            ));
        }
        let tags = request.created_tags.or(request.tags).unwrap_or_default();
        check_tags(&tags)?;
        let key = caller.key(&name);
        let mut settings = attributes::defaults(fifo);
        attributes::apply(&attributes, &key, &mut settings)?;
        self.check_redrive(&key, &settings, &attributes).await?;
        let now = self.now();
        match self.store.create(key.clone(), settings, tags, now).await? {
            Created::New => {}
            Created::Exists(queue) => {
                // What was said must be what is there; what was not said may be anything.
                let mut asked = queue.settings.clone();
                attributes::apply(&attributes, &key, &mut asked)?;
                if asked != queue.settings {
                    return Err(QueueError::new(
                        Kind::QueueNameExists,
                        "A queue already exists with the same name and a different value for an attribute. Set it with SetQueueAttributes.",
                    ));
                }
            }
            Created::Full => {
                return Err(QueueError::new(
                    Kind::RequestThrottled,
                    "There are as many queues as there may be. Delete those that nobody uses.",
                ));
            }
        }
        Ok(json!({ "QueueUrl": caller.url(&name) }))
    }

    /// A dead-letter queue must be there, be of the same kind, and take the queue's messages.
    async fn check_redrive(
        &self,
        key: &QueueKey,
        settings: &Settings,
        attributes: &BTreeMap<String, String>,
    ) -> Result<(), QueueError> {
        let said = attributes.get("RedrivePolicy");
        let (Some(redrive), Some(said)) = (&settings.redrive, said) else {
            return Ok(());
        };
        let target = QueueKey {
            name: redrive.target.clone(),
            ..key.clone()
        };
        let reason = match self.store.queue(target).await? {
            None => "Dead letter target does not exist.",
            Some(target) if target.settings.fifo.is_some() != settings.fifo.is_some() => {
                "Dead-letter queue must be same type of queue as the source."
            }
            Some(target) if !takes_letters_of(&target.settings, &key.name) => {
                "The dead-letter queue's RedriveAllowPolicy does not let this queue use it."
            }
            Some(_) => return Ok(()),
        };
        Err(QueueError::value(said, "RedrivePolicy", reason))
    }

    async fn get_queue_url(&self, caller: &Caller, request: Request) -> Result<Value, QueueError> {
        let name = request
            .queue_name
            .ok_or_else(|| QueueError::missing_parameter("QueueName"))?;
        let own = |account: &String| account.as_str() == caller.account.as_str();
        if !request.queue_owner_account_id.as_ref().is_none_or(own) {
            return Err(QueueError::missing_queue());
        }
        let queue = self.store.queue(caller.key(&name)).await?;
        queue.ok_or_else(QueueError::missing_queue)?;
        Ok(json!({ "QueueUrl": caller.url(&name) }))
    }

    async fn list_queues(&self, caller: &Caller, request: Request) -> Result<Value, QueueError> {
        let page = Page::of(&request)?;
        let prefix = request.queue_name_prefix.unwrap_or_default();
        let place = (caller.account.clone(), caller.region.clone());
        let names = self
            .store
            .names(place, prefix, page.after.clone(), page.limit + 1)
            .await?;
        Ok(page.answer("QueueUrls", names, caller))
    }

    async fn list_sources(&self, caller: &Caller, request: Request) -> Result<Value, QueueError> {
        let page = Page::of(&request)?;
        let queue = self.queue(caller, request.queue_url.as_deref()).await?;
        let names = self
            .store
            .sources(queue.key, page.after.clone(), page.limit + 1)
            .await?;
        let mut answer = page.answer("queueUrls", names, caller);
        // The model says that it is always there.
        if answer["queueUrls"].is_null() {
            answer["queueUrls"] = json!([]);
        }
        Ok(answer)
    }

    async fn delete_queue(&self, caller: &Caller, request: Request) -> Result<Value, QueueError> {
        let key = caller.at(request.queue_url.as_deref())?;
        self.store.delete_queue(key, self.now()).await?;
        Ok(json!({}))
    }

    async fn purge_queue(&self, caller: &Caller, request: Request) -> Result<Value, QueueError> {
        let key = caller.at(request.queue_url.as_deref())?;
        self.store.purge(key, self.now()).await?;
        Ok(json!({}))
    }

    async fn get_queue_attributes(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<Value, QueueError> {
        let queue = self.queue(caller, request.queue_url.as_deref()).await?;
        let counts = self.store.counts(&queue, self.now());
        let names = request.attribute_names.unwrap_or_default();
        let shown = attributes::shown(&queue, counts, &names)?;
        if shown.is_empty() {
            return Ok(json!({}));
        }
        Ok(json!({ "Attributes": shown }))
    }

    async fn set_queue_attributes(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<Value, QueueError> {
        let queue = self.queue(caller, request.queue_url.as_deref()).await?;
        let attributes = request
            .attributes
            .ok_or_else(|| QueueError::missing_parameter("Attributes"))?;
        if attributes.contains_key("FifoQueue") {
            return Err(attributes::unknown("FifoQueue"));
        }
        let key = queue.key.clone();
        let mut settings = queue.settings;
        attributes::apply(&attributes, &key, &mut settings)?;
        self.check_redrive(&key, &settings, &attributes).await?;
        let now = self.now();
        let change = move |queue: &mut Queue| {
            let mut settings = queue.settings.clone();
            // The same values have just been found good; only a change in the same moment can say otherwise.
            if attributes::apply(&attributes, &queue.key, &mut settings).is_ok() {
                queue.settings = settings;
                queue.modified = now;
            }
        };
        self.store.change(key, change, now).await?;
        Ok(json!({}))
    }

    async fn tag_queue(&self, caller: &Caller, request: Request) -> Result<Value, QueueError> {
        let queue = self.queue(caller, request.queue_url.as_deref()).await?;
        let tags = request
            .tags
            .ok_or_else(|| QueueError::missing_parameter("Tags"))?;
        let mut all = queue.tags;
        all.extend(tags.clone());
        check_tags(&all)?;
        let change = move |queue: &mut Queue| queue.tags.extend(tags.clone());
        self.store.change(queue.key, change, self.now()).await?;
        Ok(json!({}))
    }

    async fn untag_queue(&self, caller: &Caller, request: Request) -> Result<Value, QueueError> {
        let key = caller.at(request.queue_url.as_deref())?;
        let names = request
            .tag_keys
            .ok_or_else(|| QueueError::missing_parameter("TagKeys"))?;
        let change = move |queue: &mut Queue| queue.tags.retain(|name, _| !names.contains(name));
        self.store.change(key, change, self.now()).await?;
        Ok(json!({}))
    }

    async fn list_queue_tags(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<Value, QueueError> {
        let queue = self.queue(caller, request.queue_url.as_deref()).await?;
        if queue.tags.is_empty() {
            return Ok(json!({}));
        }
        Ok(json!({ "Tags": queue.tags }))
    }
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), QueueError> {
    let fits = |(name, value): (&String, &String)| {
        let count = name.chars().count();
        (1..=TAG_NAME_CHARACTERS).contains(&count)
            && value.chars().count() <= TAG_VALUE_CHARACTERS
            && !name.to_ascii_lowercase().starts_with("aws:")
    };
    if tags.len() <= MOST_TAGS && tags.iter().all(fits) {
        return Ok(());
    }
    Err(QueueError::new(
        Kind::InvalidParameterValue,
        "A queue has at most 50 tags, with names of 1 to 128 characters that don't begin with aws: and values of at most 256.",
    ))
}

/// A part of a list of names.
struct Page {
    after: String,
    limit: usize,
    /// Without `MaxResults` no more than one page is given (service model, `ListQueues`).
    asked: bool,
}

impl Page {
    fn of(request: &Request) -> Result<Self, QueueError> {
        let bad = |value: String, parameter| {
            QueueError::value(value, parameter, "Must be between 1 and 1000, if provided.")
        };
        let limit = match request.max_results {
            None => MOST_LISTED,
            Some(most) => usize::try_from(most)
                .ok()
                .filter(|most| (1..=MOST_LISTED).contains(most))
                .ok_or_else(|| bad(most.to_string(), "MaxResults"))?,
        };
        let after = match request.next_token.as_deref() {
            None => String::new(),
            Some(token) => {
                let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
                let name = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
                name.ok_or_else(|| {
                    QueueError::value(token, "NextToken", "It is not one that was given out.")
                })?
            }
        };
        Ok(Self {
            after,
            limit,
            asked: request.max_results.is_some(),
        })
    }

    /// `names` has one more than the page, if there is more.
    fn answer(&self, member: &str, mut names: Vec<String>, caller: &Caller) -> Value {
        let more = names.len() > self.limit;
        names.truncate(self.limit);
        let mut answer = json!({});
        if let Some(last) = names.last().filter(|_| more && self.asked) {
            answer["NextToken"] = BASE64_URL_SAFE_NO_PAD.encode(last).into();
        }
        if !names.is_empty() {
            let urls: Vec<_> = names.iter().map(|name| caller.url(name)).collect();
            answer[member] = json!(urls);
        }
        answer
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, QueueError> {
    let bad = |why: String| {
        QueueError::new(
            Kind::InvalidParameterValue,
            format!("The body is not the JSON that the operation takes: {why}"),
        )
    };
    // A list would be read as the members in some order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad("it is no object".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| bad(error.to_string()))
}

pub(crate) fn to_value(answer: &impl Serialize) -> Result<Value, QueueError> {
    serde_json::to_value(answer).map_err(|error| {
        tracing::error!(%error, "write an answer as JSON");
        QueueError::new(Kind::Damaged, "The answer can't be written.")
    })
}
