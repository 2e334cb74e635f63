//! What is done to many messages of a queue outside at once: they are kept hidden from others, given back, and deleted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::BATCH;
use crate::connection::ANSWER;
use crate::sqs_client::SqsClient;

/// Requests that wait for answers at the same time: the 1,000 of a full batch (10,000 messages) are through in seconds at
/// an endpoint that answers in 50 ms, before messages of the usual 30 s are visible again.
const AT_ONCE: usize = 8;

pub(super) struct Queue {
    pub(super) client: SqsClient,
    pub(super) url: String,
    pub(super) arn: String,
    pub(super) region: String,
    pub(super) hidden_s: u64,
    /// Receipts of messages that are not settled.
    pub(super) open: Mutex<HashMap<u64, String>>,
}

impl Queue {
    pub(super) fn open(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        // Nothing in here can panic half-way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hides open messages anew, for ever.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            // Two attempts may fail.
            tokio::time::sleep(Duration::from_secs(self.hidden_s) / 3).await;
            let receipts: Vec<_> = self.open().values().cloned().collect();
            if let Err(why) = self.hide(&receipts, self.hidden_s).await {
                tracing::debug!(queue = %self.url, "hide messages anew: {why}");
            }
        }
    }

    /// Leaves messages alone from now on.
    pub(super) fn leave(&self, numbers: &[u64]) {
        let mut open = self.open();
        for number in numbers {
            open.remove(number);
        }
    }

    /// Deletes messages. They are kept hidden while that takes; those of which it fails are left alone.
    pub(super) async fn finish(&self, numbers: &[u64]) -> Result<(), String> {
        let receipts: Vec<_> = {
            let open = self.open();
            let receipts = numbers.iter().filter_map(|number| open.get(number));
            receipts.cloned().collect()
        };
        let deleted = self.delete(&receipts).await;
        self.leave(numbers);
        deleted
    }

    pub(super) async fn hide(&self, receipts: &[String], seconds: u64) -> Result<(), String> {
        self.batch(
            "ChangeMessageVisibilityBatch",
            receipts,
            |receipt| json!({"ReceiptHandle": receipt, "VisibilityTimeout": seconds}),
        )
        .await
    }

    async fn delete(&self, receipts: &[String]) -> Result<(), String> {
        self.batch(
            "DeleteMessageBatch",
            receipts,
            |receipt| json!({"ReceiptHandle": receipt}),
        )
        .await
    }

    /// Does something to messages, in as many requests as that takes. What fails keeps nothing else from being done.
    ///
    /// # Errors
    /// The first that was seen.
    async fn batch(
        &self,
        operation: &str,
        receipts: &[String],
        entry: impl Fn(&String) -> Value,
    ) -> Result<(), String> {
        let parts = receipts.chunks(BATCH).map(|part| {
            let entries = part.iter().enumerate().map(|(at, receipt)| {
                let mut entry = entry(receipt);
                entry["Id"] = at.to_string().into();
                entry
            });
            json!({"QueueUrl": self.url, "Entries": entries.collect::<Vec<_>>()})
        });
        let requests: Vec<_> = parts.collect();
        let calls = stream::iter(requests).map(|request| self.part(operation, request));
        let mut calls = calls.buffer_unordered(AT_ONCE);
        let mut first = Ok(());
        while let Some(result) = calls.next().await {
            first = first.and(result);
        }
        first
    }

    async fn part(&self, operation: &str, request: Value) -> Result<(), String> {
        let answer = tokio::time::timeout(ANSWER, self.client.call(operation, &request)).await;
        let answer = answer.map_err(|_| format!("no answer in {} s", ANSWER.as_secs()))??;
        match answer["Failed"].as_array().and_then(|all| all.first()) {
            Some(entry) => Err(format!("{}: {}", entry["Code"], entry["Message"])),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::server::{Password, Server, Tls};

    /// What the endpoint was asked for, and how many messages were open then.
    type Seen = Arc<Mutex<Vec<(Vec<String>, usize)>>>;

    /// Answers requests of one connection: with an error those that have the receipt `r5`, and in part those that have `r13`.
    async fn serve(stream: TcpStream, queue: Arc<Queue>, seen: Seen) {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        let mut length = 0;
        while stream.read_line(&mut line).await.unwrap() > 0 {
            let header = line.trim().to_ascii_lowercase();
            line.clear();
            if let Some(bytes) = header.strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap();
            }
            if !header.is_empty() {
                continue;
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.unwrap();
            let request: Value = serde_json::from_slice(&body).unwrap();
            let entries = request["Entries"].as_array().unwrap();
            let receipt = |entry: &Value| entry["ReceiptHandle"].as_str().unwrap().to_owned();
            let receipts: Vec<_> = entries.iter().map(receipt).collect();
            let (status, answer) = if receipts.contains(&"r5".to_owned()) {
                (500, json!({"__type": "InternalError", "message": "no"}))
            } else if receipts.contains(&"r13".to_owned()) {
                let failed = json!({"Id": "3", "Code": "ReceiptHandleIsInvalid", "Message": ""});
                (200, json!({"Failed": [failed]}))
            } else {
                (200, json!({}))
            };
            seen.lock().unwrap().push((receipts, queue.open().len()));
            let answer = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n",
                answer.len()
            );
            let answer = head + &answer;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    /// A queue with 95 open messages, and what its endpoint sees.
    async fn queue() -> (Arc<Queue>, Seen) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = Server {
            name: "cloud".parse().unwrap(),
            url: format!("http://127.0.0.1:{port}").parse().unwrap(),
            more: Vec::new(),
            username: Some("id".to_owned()),
            password: Some(Password::Text("secret".to_owned())),
            tls: Tls::default(),
        };
        let queue = Arc::new(Queue {
            client: SqsClient::new(&server, "eu-west-1").await.unwrap(),
            url: "q".to_owned(),
            arn: String::new(),
            region: String::new(),
            hidden_s: 30,
            open: Mutex::new((0..95).map(|at| (at, format!("r{at}"))).collect()),
        });
        let seen = Seen::default();
        let (inside, told) = (Arc::clone(&queue), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&inside), Arc::clone(&told)));
            }
        });
        (queue, seen)
    }

    fn every(seen: &Seen) -> BTreeSet<String> {
        let seen = seen.lock().unwrap();
        assert!(seen.iter().all(|(receipts, _)| receipts.len() <= BATCH));
        seen.iter()
            .flat_map(|(receipts, _)| receipts.clone())
            .collect()
    }

    #[tokio::test]
    async fn a_failure_keeps_no_other_message_from_being_deleted_or_hidden() {
        let (queue, seen) = queue().await;
        let receipts: Vec<_> = (0..95).map(|at| format!("r{at}")).collect();
        let all: BTreeSet<_> = receipts.iter().cloned().collect();
        let why = queue.hide(&receipts, 30).await.unwrap_err();
        assert!(
            why.contains("InternalError: no") || why.contains("Invalid"),
            "{why}"
        );
        assert_eq!(every(&seen), all);
        seen.lock().unwrap().clear();
        queue
            .finish(&(0..95).collect::<Vec<_>>())
            .await
            .unwrap_err();
        assert_eq!(every(&seen), all);
    }

    #[tokio::test]
    async fn messages_are_kept_hidden_until_they_are_deleted() {
        let (queue, seen) = queue().await;
        queue.finish(&(20..60).collect::<Vec<_>>()).await.unwrap();
        // A failure is the endpoint's to give again: nobody works on it.
        queue.finish(&[5, 1_000]).await.unwrap_err();
        queue.leave(&[6]);
        let open: Vec<_> = seen.lock().unwrap().iter().map(|(_, open)| *open).collect();
        assert_eq!(open, [95, 95, 95, 95, 55]);
        assert_eq!(queue.open().len(), 53);
    }
}
