//! A mapping's membership in a consumer group of Kafka: a task that asks for records while they are wanted, and that says
//! that the node is there while they are not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use hearth_types::source::{Begin, Start};
use krafka::KrafkaError;
use krafka::consumer::{Consumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::connection::{ANSWER, answered};
use crate::error::BrokerError;
use crate::kafka_client::partitions;
use crate::kafka_ledger::Ledger;
use crate::server::Server;

/// How long the group is asked before it is looked whether anything else is to be done: a rebalance waits that long for
/// this member.
const POLL: Duration = Duration::from_secs(2);
/// Pause after a failure that may pass.
const AGAIN: Duration = Duration::from_millis(500);
/// Longest that a partition that goes to somebody else waits for the batch that has its records: what is not done then is
/// given to that one as well.
const HAND_OVER: Duration = Duration::from_secs(20);
/// How often it is looked where the topic's partitions are: the client asks only when a server says that it has moved, and
/// one that has died says nothing.
const LOOK: Duration = Duration::from_secs(15);
/// How often offsets are committed again that could not be.
const COMMIT_AGAIN: Duration = Duration::from_secs(5);
/// What the protocol calls the first and the last offset, where it asks for one by time (`ListOffsets`).
const FIRST: i64 = -2;
pub(crate) const LAST: i64 = -1;

/// A mapping's membership in a group.
pub(crate) struct Session {
    pub(crate) server: Arc<Server>,
    pub(crate) topic: String,
    /// How many partitions the topic had before the group was joined.
    pub(crate) partitions: usize,
    pub(crate) begin: Begin,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) consumer: Consumer,
    /// Whoever commits: a smaller offset must not come after a larger one.
    pub(crate) committing: Mutex<()>,
}

/// Told by the consumer, which the session has: it is known once that is made.
#[derive(Clone, Default)]
pub(crate) struct Listener(pub(crate) Arc<OnceLock<Weak<Session>>>);

impl Session {
    /// Joins the group and asks, until the connection has ended.
    pub(crate) async fn run(self: Arc<Self>) {
        if let Err(why) = self.ask().await {
            self.ledger.end(why);
        }
    }

    /// Gives why it has ended.
    async fn ask(&self) -> Result<(), String> {
        let subscribed = self.consumer.subscribe([&self.topic]).await;
        subscribed.map_err(|error| error.to_string())?;
        let mut answered = Instant::now();
        let mut committed = Instant::now();
        let mut looked = Instant::now();
        while self.ledger.ended().is_none() {
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                let found = partitions(&self.server, &self.consumer, &self.topic).await;
                if found.map_err(|error| error.to_string())?.len() != self.partitions {
                    // They are divided when somebody joins: this member comes again.
                    return Err("the topic has other partitions now".to_owned());
                }
            }
            self.open_and_shut().await;
            match self.consumer.poll(POLL).await {
                Ok(records) => {
                    answered = Instant::now();
                    self.ledger.add(records);
                }
                // Somebody wants other partitions now.
                Err(KrafkaError::Wakeup) => {}
                Err(error) if may_pass(&error) && answered.elapsed() < ANSWER => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error.to_string()),
            }
            if committed.elapsed() > COMMIT_AGAIN {
                committed = Instant::now();
                // Whoever commits now has it.
                if let Ok(_turn) = self.committing.try_lock() {
                    let _ = self.commit_due().await;
                }
            }
        }
        Ok(())
    }

    /// Asks of the partitions of which records are wanted, and of no others.
    async fn open_and_shut(&self) {
        let assigned = self.consumer.assignment().await;
        let assigned = assigned.get(&self.topic).cloned().unwrap_or_default();
        let paused = self.consumer.paused_partitions().await;
        let paused: BTreeSet<i32> = paused.into_iter().map(|(_, number)| number).collect();
        let wanted = self.ledger.wanted();
        let (open, shut): (Vec<i32>, Vec<i32>) = assigned
            .into_iter()
            .partition(|number| wanted.contains(number));
        let shut: Vec<_> = shut
            .into_iter()
            .filter(|one| !paused.contains(one))
            .collect();
        let open: Vec<_> = open
            .into_iter()
            .filter(|one| paused.contains(one))
            .collect();
        if !shut.is_empty() {
            self.consumer.pause(&self.topic, &shut).await;
        }
        if !open.is_empty() {
            self.consumer.resume(&self.topic, &open).await;
        }
    }

    /// Whether all that the broker had when it was last asked is in the ledger.
    pub(crate) async fn is_caught_up(&self) -> bool {
        let lag = self.consumer.lag().await;
        !lag.is_empty() && lag.values().all(|partition| partition.lag == Some(0))
    }

    /// Has the group store what is done. What passes is tried again, for as long as an answer may take.
    pub(crate) async fn commit(&self) -> Result<(), BrokerError> {
        let _turn = self.committing.lock().await;
        let end = Instant::now() + ANSWER;
        loop {
            match tokio::time::timeout_at(end, self.commit_due()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error))
                    if !error.is_fatal()
                        && self.ledger.ended().is_none()
                        && Instant::now() + AGAIN < end =>
                {
                    tokio::time::sleep(AGAIN).await;
                }
                Ok(Err(error)) => return Err(self.server.failed("commit offsets of", error)),
                Err(_) => return Err(self.server.failed("commit offsets of", "no answer")),
            }
        }
    }

    async fn commit_due(&self) -> Result<(), KrafkaError> {
        let due = self.ledger.due();
        if due.is_empty() {
            return Ok(());
        }
        self.store(due.iter().copied()).await?;
        for (number, offset) in due {
            self.ledger.committed(number, offset);
        }
        Ok(())
    }

    async fn store(&self, offsets: impl Iterator<Item = (i32, i64)>) -> Result<(), KrafkaError> {
        let offsets = offsets.map(|(number, offset)| {
            let partition = TopicPartition::new(&self.topic, number);
            (partition, OffsetAndMetadata::new(offset))
        });
        self.consumer.commit_offsets(offsets).await
    }

    /// Begins with partitions where the group has stopped. Where it has not begun, it begins where the mapping says, and that
    /// is stored: a broker or a node that stops before the first record is done must not make it begin elsewhere. A partition
    /// that the topic was given since is begun at its first record.
    async fn begin(&self, added: &[i32]) -> Result<(), BrokerError> {
        let known = partitions(&self.server, &self.consumer, &self.topic).await?;
        // Another member may know of more.
        let all: BTreeSet<i32> = known.into_iter().chain(added.iter().copied()).collect();
        let mut begun = self.committed(&all).await?;
        let missing: BTreeSet<_> = all
            .into_iter()
            .filter(|number| !begun.contains_key(number))
            .collect();
        if !missing.is_empty() {
            let begin = if begun.is_empty() {
                self.begin
            } else {
                Begin::From(Start::TrimHorizon)
            };
            let mut found = self.offsets(&missing, begin).await?;
            // Another member may have begun with them, and gone on, in the meantime: that holds.
            let committed = self.committed(&missing).await?;
            found.retain(|number, _| !committed.contains_key(number));
            begun.extend(committed);
            if !found.is_empty() {
                let stored = self.store(found.iter().map(|(number, offset)| (*number, *offset)));
                answered(&self.server, "commit offsets of", stored).await?;
            }
            begun.extend(found);
        }
        for number in added {
            if let Some(offset) = begun.get(number) {
                let sought = self.consumer.seek(&self.topic, *number, *offset).await;
                sought.map_err(|error| self.server.failed("begin with", error))?;
                self.ledger.assign(*number, *offset);
            }
        }
        Ok(())
    }

    fn named<'a>(&'a self, numbers: impl IntoIterator<Item = &'a i32>) -> Vec<(&'a str, i32)> {
        let numbers = numbers.into_iter();
        numbers
            .map(|number| (self.topic.as_str(), *number))
            .collect()
    }

    /// What the group has stored, by partition.
    async fn committed(&self, numbers: &BTreeSet<i32>) -> Result<BTreeMap<i32, i64>, BrokerError> {
        let named = self.named(numbers);
        let committed = self.consumer.committed(&named);
        let committed = answered(&self.server, "ask for the offsets of", committed).await?;
        let committed = committed.into_iter();
        Ok(committed
            .map(|((_, number), position)| (number, position.offset))
            .collect())
    }

    async fn offsets(
        &self,
        numbers: &BTreeSet<i32>,
        begin: Begin,
    ) -> Result<BTreeMap<i32, i64>, BrokerError> {
        match begin {
            Begin::From(Start::TrimHorizon) => self.offsets_at(numbers, FIRST).await,
            Begin::From(Start::Latest) => self.offsets_at(numbers, LAST).await,
            Begin::At(millis) => {
                let mut found = self.offsets_at(numbers, millis).await?;
                // Nothing is as new as that.
                let none = found.iter().filter(|(_, offset)| **offset < 0);
                let none: BTreeSet<_> = none.map(|(number, _)| *number).collect();
                if !none.is_empty() {
                    found.extend(self.offsets_at(&none, LAST).await?);
                }
                Ok(found)
            }
        }
    }

    /// The first offset of each partition that is not older.
    pub(crate) async fn offsets_at(
        &self,
        numbers: &BTreeSet<i32>,
        time: i64,
    ) -> Result<BTreeMap<i32, i64>, BrokerError> {
        let named = self.named(numbers);
        let found = async {
            let found = self.consumer.offsets_for_times(&named, time).await;
            let found = found.into_iter();
            found
                .map(|((_, number), offset)| offset.map(|offset| (number, offset)))
                .collect::<Result<_, KrafkaError>>()
        };
        answered(&self.server, "ask for the offsets of", found).await
    }
}

impl Listener {
    fn session(&self) -> Option<Arc<Session>> {
        self.0.get()?.upgrade()
    }
}

fn numbers(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(TopicPartition::partition).collect()
}

impl ConsumerRebalanceListener for Listener {
    async fn on_partitions_assigned(&self, partitions: &[TopicPartition]) {
        let Some(session) = self.session() else {
            return;
        };
        if partitions.is_empty() {
            return;
        }
        if let Err(error) = session.begin(&numbers(partitions)).await {
            session.ledger.end(error.to_string());
        }
    }

    async fn on_partitions_revoked(&self, partitions: &[TopicPartition]) {
        let Some(session) = self.session() else {
            return;
        };
        let (ledger, partitions) = (&session.ledger, numbers(partitions));
        ledger.begin_revoke(&partitions);
        let mut changes = ledger.changes();
        let done = async {
            while ledger.is_with_somebody(&partitions) && changes.changed().await.is_ok() {}
        };
        let _ = tokio::time::timeout(HAND_OVER, done).await;
        let _turn = session.committing.lock().await;
        // What can't be stored is given again, by somebody else.
        let _ = tokio::time::timeout(AGAIN, session.commit_due()).await;
        ledger.revoke(&partitions);
    }

    async fn on_partitions_lost(&self, partitions: &[TopicPartition]) {
        if let Some(session) = self.session() {
            session.ledger.revoke(&numbers(partitions));
        }
    }
}

/// Whether a failure may pass while the membership lasts. What can't be read stays as it is.
fn may_pass(error: &KrafkaError) -> bool {
    match error {
        KrafkaError::Network(_) | KrafkaError::Timeout { .. } => true,
        KrafkaError::Broker { code, .. } => code.is_retriable(),
        _ => false,
    }
}
