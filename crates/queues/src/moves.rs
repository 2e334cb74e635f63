//! StartMessageMoveTask, ListMessageMoveTasks and CancelMessageMoveTask: what a dead-letter queue has goes back to where it
//! came from, or to another queue. A task is the store's: it goes on after the node was killed.

use std::collections::HashMap;
use std::time::Duration;

use hearth_store::queues::{MOST_MOVE_TASKS, MoveState, MoveTask, NewMove, QueueKey, StartedMove};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::address::{self, Caller};
use crate::error::{Kind, QueueError};
use crate::queues::Queues;
use crate::wire::Request;

/// Fastest that a task may be asked to be, messages a second (service model).
const MOST_RATE: i64 = 500;
/// Messages that a transaction moves: others go on in between.
const PART: usize = 100;
/// Between two rounds over all tasks.
const PAUSE: Duration = Duration::from_millis(20);
/// How often it is looked whether a task was begun of which nobody told, or after the store refused.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Queues {
    pub(crate) async fn start_message_move_task(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<Value, QueueError> {
        let key = named(caller, "SourceArn", request.source_arn.as_deref())?;
        let rate = match request.max_number_of_messages_per_second {
            None => None,
            Some(rate @ 1..=MOST_RATE) => u32::try_from(rate).ok(),
            Some(other) => {
                let reason = "Must be between 1 and 500, if provided.";
                return Err(QueueError::value(
                    other,
                    "MaxNumberOfMessagesPerSecond",
                    reason,
                ));
            }
        };
        let source = self.store.queue(key.clone()).await?;
        let source = source.ok_or_else(no_source)?;
        let sources = self.store.sources(key.clone(), String::new(), 1).await?;
        if sources.is_empty() {
            return Err(invalid(
                "Source queue must be configured as a Dead Letter Queue.",
            ));
        }
        let target = match request.destination_arn.as_deref() {
            None | Some("") => None,
            arn => {
                let target = named(caller, "DestinationArn", arn)?;
                if target == key {
                    return Err(invalid(
                        "Source queue arn and destination queue arn cannot be the same.",
                    ));
                }
                let found = self.store.queue(target).await?;
                let found = found.ok_or_else(|| missing("The resource that you specified for the DestinationArn parameter doesn't exist."))?;
                if found.settings.fifo.is_some() != source.settings.fifo.is_some() {
                    return Err(invalid(
                        "Source and destination queues must be of the same type.",
                    ));
                }
                Some(found.key.name)
            }
        };
        let new = NewMove { target, rate };
        let now = self.now();
        match self.store.start_move(key.clone(), new, now).await? {
            StartedMove::New(task) => {
                self.moves.notify_one();
                Ok(json!({ "TaskHandle": handle(&key, task) }))
            }
            StartedMove::Another => Err(QueueError::new(
                Kind::UnsupportedOperation,
                "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
            )),
        }
    }

    pub(crate) async fn list_message_move_tasks(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<Value, QueueError> {
        let key = named(caller, "SourceArn", request.source_arn.as_deref())?;
        let most = match request.max_results.unwrap_or(1) {
            most @ 1..=10 => most.unsigned_abs() as usize,
            other => {
                let reason = "Must be between 1 and 10, if provided.";
                return Err(QueueError::value(other, "MaxResults", reason));
            }
        };
        let queue = self.store.queue(key.clone()).await?;
        let queue = queue.ok_or_else(no_source)?;
        let tasks = self.store.moves(&queue).await?;
        let tasks = tasks.into_iter().take(most.min(MOST_MOVE_TASKS));
        let results: Vec<_> = tasks.map(|task| shown(&key, &task)).collect();
        Ok(json!({ "Results": results }))
    }

    pub(crate) async fn cancel_message_move_task(
        &self,
        caller: &Caller,
        request: Request,
    ) -> Result<Value, QueueError> {
        let handle = request.task_handle.as_deref();
        let handle = handle.ok_or_else(|| QueueError::missing_parameter("TaskHandle"))?;
        let bad = || QueueError::value(handle, "TaskHandle", "It is not one that was given out.");
        let (task, name) = handle.split_once(':').ok_or_else(bad)?;
        let task = i64::from_str_radix(task, 16).map_err(|_| bad())?;
        let none = || missing("There is no such task that runs.");
        if !address::is_name(name) {
            return Err(bad());
        }
        let key = caller.key(name);
        self.store.queue(key.clone()).await?.ok_or_else(none)?;
        let moved = self.store.cancel_move(key, task, self.now()).await?;
        let moved = moved.ok_or_else(none)?;
        Ok(json!({ "ApproximateNumberOfMessagesMoved": moved }))
    }

    /// Moves messages as tasks say, until the node stops.
    pub async fn run_moves(self) {
        let mut budgets = HashMap::new();
        loop {
            let is_busy = match self.move_round(&mut budgets).await {
                Ok(is_busy) => is_busy,
                Err(error) => {
                    tracing::error!(error = %error.message, "move messages");
                    false
                }
            };
            let pause = if is_busy { PAUSE } else { LOOK_AGAIN };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.moves.notified() => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// A part of each task that runs; whether there is any.
    async fn move_round(&self, budgets: &mut HashMap<i64, Budget>) -> Result<bool, QueueError> {
        let tasks = self.store.running_moves().await?;
        budgets.retain(|known, _| tasks.iter().any(|task| task.task == *known));
        let now = Instant::now();
        for task in &tasks {
            let part = match task.rate {
                None => PART,
                Some(rate) => budgets
                    .entry(task.task)
                    .or_insert(Budget {
                        since: now,
                        left: 1.0,
                    })
                    .take(rate, now),
            };
            if part > 0 {
                self.store.advance_move(task.task, part, self.now()).await?;
            }
        }
        Ok(!tasks.is_empty())
    }
}

/// Messages that a task may move now.
struct Budget {
    since: Instant,
    left: f64,
}

impl Budget {
    /// What `rate` allows until `now`, of one second at most, for what was not used is not saved up.
    fn take(&mut self, rate: u32, now: Instant) -> usize {
        let rate = f64::from(rate);
        let passed = now.duration_since(self.since).as_secs_f64();
        self.since = now;
        self.left = (self.left + passed * rate).min(rate.max(1.0));
        let whole = self.left.floor();
        self.left -= whole;
        // At most 500.
        whole as usize
    }
}

fn named(caller: &Caller, parameter: &str, arn: Option<&str>) -> Result<QueueKey, QueueError> {
    let arn = arn.ok_or_else(|| QueueError::missing_parameter(parameter))?;
    let name = address::name_of_arn(&caller.key(""), arn).ok_or_else(|| {
        let reason = "Expected the ARN of a queue of the caller's account and region.";
        QueueError::value(arn, parameter, reason)
    })?;
    Ok(caller.key(name))
}

fn handle(key: &QueueKey, task: i64) -> String {
    format!("{task:x}:{}", key.name)
}

fn shown(key: &QueueKey, task: &MoveTask) -> Value {
    let mut shown = json!({
        "Status": task.state.as_str(),
        "SourceArn": address::arn(key),
        "ApproximateNumberOfMessagesMoved": task.moved,
        "ApproximateNumberOfMessagesToMove": task.total,
        "StartedTimestamp": task.started.as_millis(),
    });
    if task.state == MoveState::Running {
        shown["TaskHandle"] = handle(key, task.task).into();
    }
    if let Some(target) = &task.target {
        let target = QueueKey {
            name: target.clone(),
            ..key.clone()
        };
        shown["DestinationArn"] = address::arn(&target).into();
    }
    if let Some(rate) = task.rate {
        shown["MaxNumberOfMessagesPerSecond"] = rate.into();
    }
    if let Some(reason) = &task.reason {
        shown["FailureReason"] = reason.clone().into();
    }
    shown
}

fn invalid(message: &'static str) -> QueueError {
    QueueError::new(Kind::InvalidParameterValue, message)
}

fn missing(message: &'static str) -> QueueError {
    QueueError::new(Kind::ResourceNotFound, message)
}

fn no_source() -> QueueError {
    missing("The resource that you specified for the SourceArn parameter doesn't exist.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_and_not_saved_up() {
        let start = Instant::now();
        let mut budget = Budget {
            since: start,
            left: 1.0,
        };
        let mut moved = 0;
        for step in 0..=500 {
            moved += budget.take(3, start + Duration::from_millis(20 * step));
        }
        assert_eq!(moved, 31, "one at once, and three in each of ten seconds");
        let later = start + Duration::from_secs(3_600);
        assert!(budget.take(3, later) <= 3);
    }
}
