//! Queues at an SQS endpoint outside: AWS, another node, or whatever else speaks the API.
//!
//! What is received is hidden from others for the queue's visibility timeout, which is begun anew, again and again, for as long
//! as somebody works on it. What fails is left alone, and is visible again when its time has run out: that, and after how many
//! times it goes to a dead-letter queue, is the queue's to say.

mod queue;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hearth_types::wire::broker_event::BrokerRecord;
use hearth_types::wire::queue_event::{QueueRecord, QueueRecordAttribute};
use queue::Queue;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::connection::{ANSWER, Connection, Delivery, End, Room, Tag, answered};
use crate::error::BrokerError;
use crate::server::Server;
use crate::sqs_client::SqsClient;

/// How long one question for a message waits at the endpoint: the API's most.
const WAIT_S: u64 = 20;
/// Most messages of a request (service model, `MaxNumberOfMessages` and batches).
const BATCH: usize = 10;
/// Most bytes of a message (quotas, "Message size").
const MESSAGE_BYTES: usize = 1 << 20;
/// Least time for which messages are hidden: a shorter one can't be begun anew in time; and the API's most.
const LEAST_HIDDEN_S: u64 = 3;
const MOST_HIDDEN_S: u64 = 43_200;
/// The visibility timeout of a queue that does not say (service model).
const HIDDEN_S: u64 = 30;

pub(crate) struct Sqs {
    server: Arc<Server>,
    queue: Arc<Queue>,
    next: AtomicU64,
    keeper: JoinHandle<()>,
}

impl Sqs {
    pub(crate) async fn connect(
        server: &Arc<Server>,
        arn: &str,
        name: &str,
    ) -> Result<Self, BrokerError> {
        let region = arn.split(':').nth(3).unwrap_or_default();
        let client = SqsClient::new(server, region).await?;
        let found = async {
            let ask = json!({"QueueName": name});
            let url = text(&client.call("GetQueueUrl", &ask).await?, "QueueUrl")?;
            let names = ["QueueArn", "VisibilityTimeout"];
            let ask = json!({"QueueUrl": url, "AttributeNames": names});
            let answer = client.call("GetQueueAttributes", &ask).await?;
            let arn = text(&answer["Attributes"], "QueueArn")?;
            let hidden_s = number(&answer["Attributes"], "VisibilityTimeout");
            Ok::<_, String>((url, arn, hidden_s.unwrap_or(HIDDEN_S)))
        };
        let (url, arn, hidden_s) = answered(server, "find the queue of", found).await?;
        let queue = Arc::new(Queue {
            client,
            url,
            region: arn.split(':').nth(3).unwrap_or_default().to_owned(),
            arn,
            hidden_s: hidden_s.clamp(LEAST_HIDDEN_S, MOST_HIDDEN_S),
            open: Mutex::default(),
        });
        Ok(Self {
            server: Arc::clone(server),
            keeper: tokio::spawn(Arc::clone(&queue).keep()),
            queue,
            next: AtomicU64::new(0),
        })
    }

    async fn receive(&self, most: usize, wait_s: u64) -> Result<Vec<Delivery>, BrokerError> {
        let request = json!({
            "QueueUrl": self.queue.url,
            "MaxNumberOfMessages": most.clamp(1, BATCH),
            "WaitTimeSeconds": wait_s,
            "VisibilityTimeout": self.queue.hidden_s,
            "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let received = self.queue.client.call("ReceiveMessage", &request);
        let most = Duration::from_secs(wait_s) + ANSWER;
        let answer = match tokio::time::timeout(most, received).await {
            Ok(answer) => answer,
            Err(_) => Err("no answer".to_owned()),
        };
        let answer = answer.map_err(|why| self.server.failed("receive from", why))?;
        let messages = answer["Messages"].as_array().into_iter().flatten();
        messages
            .map(|message| {
                let record = record(message, &self.queue);
                record.map_err(|why| self.server.failed("read a message of", why))
            })
            .map(|record| record.map(|record| self.delivery(record)))
            .collect()
    }

    fn delivery(&self, record: QueueRecord) -> Delivery {
        let tag = self.next.fetch_add(1, Ordering::Relaxed);
        self.queue.open().insert(tag, record.receipt_handle.clone());
        Delivery {
            id: record.message_id.clone(),
            bytes: record.body.len(),
            group: None,
            time: None,
            tag: Tag::Number(tag),
            record: BrokerRecord::Sqs(Box::new(record)),
        }
    }
}

fn text(of: &Value, name: &str) -> Result<String, String> {
    let text = of[name].as_str().map(str::to_owned);
    text.ok_or_else(|| format!("its answer has no {name}"))
}

/// A number, which the API writes as a text.
fn number(of: &Value, name: &str) -> Option<u64> {
    of[name].as_str()?.parse().ok()
}

/// A message as functions are given it.
fn record(message: &Value, queue: &Queue) -> Result<QueueRecord, String> {
    let optional = |of: &Value, name: &str| of[name].as_str().map(str::to_owned);
    let members = |name: &str| message[name].as_object().into_iter().flatten();
    let attributes: BTreeMap<_, _> = members("Attributes")
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let own = members("MessageAttributes").map(|(name, value)| {
        let attribute = QueueRecordAttribute {
            string_value: optional(value, "StringValue"),
            binary_value: optional(value, "BinaryValue"),
            string_list_values: Vec::new(),
            binary_list_values: Vec::new(),
            data_type: text(value, "DataType")?,
        };
        Ok::<_, String>((name.clone(), attribute))
    });
    Ok(QueueRecord {
        message_id: text(message, "MessageId")?,
        receipt_handle: text(message, "ReceiptHandle")?,
        body: text(message, "Body")?,
        attributes,
        message_attributes: own.collect::<Result<_, _>>()?,
        md5_of_message_attributes: optional(message, "MD5OfMessageAttributes"),
        md5_of_body: optional(message, "MD5OfBody").unwrap_or_default(),
        event_source: QueueRecord::SOURCE.to_owned(),
        event_source_arn: queue.arn.clone(),
        aws_region: queue.region.clone(),
    })
}

#[async_trait]
impl Connection for Sqs {
    async fn next(&self) -> Result<Delivery, BrokerError> {
        loop {
            if let Some(delivery) = self.receive(1, WAIT_S).await?.pop() {
                return Ok(delivery);
            }
        }
    }

    async fn more(&self, room: Room) -> Result<Vec<Delivery>, BrokerError> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while taken.len() < room.messages && bytes < room.bytes {
            let fit = (room.bytes - bytes) / MESSAGE_BYTES;
            let most = fit.min(room.messages - taken.len());
            let received = self.receive(most, 0).await?;
            if received.is_empty() {
                break;
            }
            bytes += received.iter().map(|one| one.bytes).sum::<usize>();
            taken.extend(received);
        }
        Ok(taken)
    }

    async fn settle(&self, tags: Vec<Tag>, end: End) -> Result<(), BrokerError> {
        let numbers: Vec<_> = tags.iter().filter_map(Tag::number).collect();
        if end == End::Again {
            self.queue.leave(&numbers);
            return Ok(());
        }
        let deleted = self.queue.finish(&numbers).await;
        deleted.map_err(|why| self.server.failed("delete messages of", why))
    }

    async fn waiting(&self) -> Result<Option<u64>, BrokerError> {
        const COUNT: &str = "ApproximateNumberOfMessages";
        let ask = json!({"QueueUrl": self.queue.url, "AttributeNames": [COUNT]});
        let answer = self.queue.client.call("GetQueueAttributes", &ask);
        let answer = answered(&self.server, "ask for the lag of", answer).await?;
        Ok(number(&answer["Attributes"], COUNT))
    }

    /// Each request finds out by itself.
    fn is_alive(&self) -> bool {
        true
    }

    /// The endpoint keeps nothing.
    async fn forget(&self) -> Result<(), BrokerError> {
        Ok(())
    }
}

impl Drop for Sqs {
    /// What is in hand is given back at once.
    fn drop(&mut self) {
        self.keeper.abort();
        let receipts: Vec<_> = self.queue.open().drain().map(|(_, one)| one).collect();
        if let (false, Ok(runtime)) = (receipts.is_empty(), tokio::runtime::Handle::try_current()) {
            let queue = Arc::clone(&self.queue);
            runtime.spawn(async move {
                // The rest is visible by itself, when its time has run out.
                let _ = tokio::time::timeout(ANSWER, queue.hide(&receipts, 0)).await;
            });
        }
    }
}
