//! The way of a batch's records: handed over part by part, settled, and given up.
//!
//! What a broker has stays in order. So a part that fails and comes again takes with it what is behind it, and what is given up
//! is done with before anything behind it is handed over: its destination has been told, and the broker knows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hearth_brokers::{End, Taken};
use hearth_registry::Resolved;

use crate::attempts::{self, Attempt, Condition, Lost};
use crate::batch::{self, Record, Unfit};
use crate::destinations::Told;
use crate::failure::failure;
use crate::pace::Ending;
use crate::parts::{Parts, is_over};
use crate::source::{Handle, Problem, Source};
use crate::work::{Rules, Work};

/// Longest that a destination is waited for, while the batch has a turn and the function's concurrency: a webhook has 20 s to
/// answer (crate `destinations`), and 6 MB reach a bucket in that time by 2 Mbit/s. It is told again.
const TELL: Duration = Duration::from_secs(25);

/// What the records of a batch are worked on with.
pub(crate) struct Course<'b> {
    pub(crate) work: &'b Work,
    pub(crate) rules: &'b Rules,
    pub(crate) resolved: &'b Resolved,
    /// Of the longest chain that one of them is of.
    pub(crate) trace: Option<String>,
    pub(crate) taken: Option<Taken>,
}

/// How a batch ended.
pub(crate) struct Ended {
    pub(crate) ending: Ending,
    /// Whether anything was given up.
    pub(crate) gave_up: bool,
    /// Why a destination could not be told.
    pub(crate) untold: Option<String>,
}

/// What became of a part.
enum Step {
    /// It is to be tried in halves.
    Halves(Vec<Record>),
    Ended(PartEnded),
    Left(Left),
}

/// How a part ended.
struct PartEnded {
    ending: Ending,
    again: Vec<Record>,
    /// Whether what is behind it, in one order with it, is not to be handed over now.
    is_over: bool,
}

/// That records could not be given up.
struct Left {
    /// Why a destination could not be told; none, if the mapping does not say so any more.
    why: Option<String>,
    /// Those of which it was to be told, and all that is behind them.
    again: Vec<Record>,
}

impl Ended {
    /// It ends before its end.
    fn leave(&mut self, untold: Option<String>) {
        if untold.is_some() {
            self.ending = Ending::Untold;
            self.untold = untold;
        }
    }
}

impl Course<'_> {
    /// Works on all records; `unfit` are those that no function can be given.
    pub(crate) async fn run(&self, unfit: Vec<Unfit>, records: Vec<Record>) -> Ended {
        let mut ended = Ended {
            ending: Ending::Nothing,
            gave_up: false,
            untold: None,
        };
        if let Err(left) = self.give_up_unfit(unfit, &mut ended).await {
            ended.leave(left.why);
            self.give_back(left.again.into_iter().chain(records)).await;
            return ended;
        }
        let mut parts = self.parts(records);
        while !self.is_stopped()
            && let Some(part) = parts.next()
        {
            let PartEnded {
                ending,
                mut again,
                is_over,
            } = match self.step(part, &mut ended).await {
                Step::Halves(part) => {
                    parts.halve(part);
                    continue;
                }
                Step::Ended(ended) => ended,
                Step::Left(Left { why, again }) => {
                    ended.leave(why);
                    PartEnded {
                        ending: ended.ending,
                        again,
                        is_over: true,
                    }
                }
            };
            if ending == Ending::GivenUp {
                parts.setback();
            }
            parts.stop(&again);
            if is_over {
                again.extend(parts.rest());
            }
            self.give_back(again).await;
            ended.ending = ended.ending.max(ending);
        }
        self.give_back(parts.rest()).await;
        ended
    }

    /// Whether the mapping was changed, disabled or deleted, or the node stops: what a broker has is given back then.
    fn is_stopped(&self) -> bool {
        match self.rules.source {
            // What of a queue is not handed over now is due only when its visibility has run out.
            Source::Queue(_) => false,
            Source::Broker(_) => self.rules.stop.is_cancelled(),
        }
    }

    /// Parts of which each is an event. What has failed alone is tried alone, where batches are halved.
    fn parts(&self, records: Vec<Record>) -> Parts {
        let Rules {
            mapping,
            around,
            attempts,
            ..
        } = self.rules;
        let parts = batch::parts(records, around);
        if mapping.retries.bisects {
            let has_failed = |record: &Record| attempts.count(record) > 0;
            return Parts::new(attempts::isolated(parts, has_failed));
        }
        Parts::new(parts)
    }

    /// Gives up what is to be, and hands the rest of a part over.
    async fn step(&self, part: Vec<Record>, ended: &mut Ended) -> Step {
        let Rules {
            mapping, attempts, ..
        } = self.rules;
        let retries = &mapping.retries;
        // What could not be told of before, or is too old by now, is not run any more.
        let (lost, part) = match self.now() {
            Some(now) => attempts::sort(part, |_, record| attempts.verdict(record, retries, &now)),
            None => (Vec::new(), part.into_iter().enumerate().collect()),
        };
        let part: Vec<_> = part.into_iter().map(|(_, record)| record).collect();
        if let Err(mut left) = self.give_up(lost, ended).await {
            left.again.extend(part);
            return Step::Left(left);
        }
        if part.is_empty() {
            return Step::Ended(PartEnded {
                ending: Ending::Passed,
                again: Vec::new(),
                is_over: false,
            });
        }
        self.hand_over(part, ended).await
    }

    /// Hands a part over, and gives up what has failed once too often.
    async fn hand_over(&self, part: Vec<Record>, ended: &mut Ended) -> Step {
        let Rules {
            mapping, attempts, ..
        } = self.rules;
        let retries = &mapping.retries;
        let (work, trace) = (self.work, self.trace.clone());
        let went = work.invoke(self.rules, self.resolved, &part, trace).await;
        let failed = went.failed;
        let attempt = went.attempt.filter(|_| retries.counts()).map(Arc::new);
        let mut verdicts = HashMap::new();
        if let Some(attempt) = &attempt {
            let is_all = failed.themselves.len() == part.len();
            // Halving is no attempt (developer guide, "Retain discarded batch records for a Kinesis Data Streams event source").
            if retries.bisects && is_all && part.len() > 1 {
                return Step::Halves(part);
            }
            let places = part.iter().enumerate();
            let themselves = places.filter(|(at, _)| failed.themselves.contains(at));
            verdicts = attempts.failed(themselves, retries, attempt);
        }
        let (lost, kept) = attempts::sort(part, |at, _| verdicts.remove(&at));
        let (mut again, mut done) = (Vec::new(), Vec::new());
        for (at, record) in kept {
            if failed.contains(at) {
                again.push(record);
            } else {
                done.push(record);
            }
        }
        attempts.forget(&done);
        let done = done.into_iter().map(|record| record.handle);
        self.settle(done.collect(), End::Done).await;
        // Something else is first from now on, if anything is given up.
        let ending = if lost.is_empty() {
            went.ending
        } else {
            Ending::GivenUp
        };
        if let Err(mut left) = self.give_up(lost, ended).await {
            left.again.extend(again);
            return Step::Left(left);
        }
        // A queue has groups for its order.
        let is_over = match self.rules.source {
            Source::Queue(_) => went.ending == Ending::Refused,
            Source::Broker(_) => is_over(went.ending, &again),
        };
        Step::Ended(PartEnded {
            ending,
            again,
            is_over,
        })
    }

    /// What finds out now that a record is to be given up; none, where none ever is.
    fn now(&self) -> Option<Arc<Attempt>> {
        if !self.rules.mapping.retries.counts() {
            return None;
        }
        self.found()
    }

    fn found(&self) -> Option<Arc<Attempt>> {
        let (request, trace) = self.work.fresh(false)?;
        Some(Arc::new(Attempt {
            request,
            at: (self.work.clock)(),
            trace,
            ran: None,
        }))
    }

    async fn give_up_unfit(&self, unfit: Vec<Unfit>, ended: &mut Ended) -> Result<(), Left> {
        let id = &self.rules.id.uuid;
        let mut unfit = unfit.into_iter();
        while let Some(Unfit { record, bytes, why }) = unfit.next() {
            let behind = |unfit: std::vec::IntoIter<Unfit>| unfit.map(|unfit| *unfit.record);
            let Some(now) = self.found() else {
                return Err(Left {
                    why: Some("the operating system has no random bytes".to_owned()),
                    again: [*record].into_iter().chain(behind(unfit)).collect(),
                });
            };
            let condition = Condition::MaximumPayloadSizeExceeded;
            let lost = Lost {
                verdict: self.rules.attempts.given_up(&record, condition, &now),
                unwritten: Some(bytes),
                records: vec![*record],
            };
            let message = lost.first().to_owned();
            if let Err(mut left) = self.give_up(vec![lost], ended).await {
                left.again.extend(behind(unfit));
                return Err(left);
            }
            tracing::error!(mapping = %id, message, bytes, "a message of a broker was given up: {why}");
        }
        Ok(())
    }

    /// Tells the destination, if there is one, and is done with what it was told of.
    async fn give_up(&self, lost: Vec<Lost>, ended: &mut Ended) -> Result<(), Left> {
        let mut lost = lost.into_iter();
        while let Some(one) = lost.next() {
            let told = if self.is_stopped() {
                Err(None)
            } else {
                self.tell(&one).await.map_err(Some)
            };
            if let Err(why) = told {
                if let Some(why) = &why {
                    let id = &self.rules.id.uuid;
                    tracing::warn!(mapping = %id, "tell of messages that are to be given up: {why}");
                }
                let behind = lost.flat_map(|lost| lost.records);
                let again = one.records.into_iter().chain(behind).collect();
                return Err(Left { why, again });
            }
            let end = match one.verdict.condition {
                Condition::MaximumPayloadSizeExceeded => End::Never,
                _ => End::Done,
            };
            let handles = one.records.iter().map(|record| record.handle.clone());
            // What is not settled comes again, and is told of again: not tried.
            if self.settle(handles.collect(), end).await {
                self.rules.attempts.forget(&one.records);
                self.log(&one);
            }
            ended.gave_up = true;
        }
        Ok(())
    }

    /// Says what was given up: aloud, if nobody else was told.
    fn log(&self, lost: &Lost) {
        let Rules { id, mapping, .. } = self.rules;
        let (mapping_id, condition) = (&id.uuid, lost.verdict.condition);
        if condition == Condition::MaximumPayloadSizeExceeded {
            // Whoever found it says more of it.
            return;
        }
        let (condition, messages) = (condition.as_str(), lost.records.len());
        let (first, last) = (lost.first(), lost.last());
        let request_id = lost.verdict.last.request;
        if mapping.retries.on_failure.is_some() {
            tracing::info!(mapping = %mapping_id, condition, messages, first, last, %request_id, "messages were given up");
        } else {
            tracing::warn!(
                mapping = %mapping_id, condition, messages, first, last, %request_id,
                "messages were given up, and the mapping has no destination that is told"
            );
        }
    }

    async fn tell(&self, lost: &Lost) -> Result<(), String> {
        let Rules {
            id,
            mapping,
            around,
            ..
        } = self.rules;
        let Some(destination) = &mapping.retries.on_failure else {
            return Ok(());
        };
        let body = serde_json::to_vec(&failure(mapping, around, lost, destination));
        let body = body.map_err(|error| format!("The record can't be written: {error}."))?;
        let last = &lost.verdict.last;
        let told = Told {
            destination,
            mapping: id,
            at: last.at,
            trace_id: &last.trace,
            body: body.into(),
        };
        let telling = self.work.destinations.tell(told);
        match tokio::time::timeout(TELL, telling).await {
            Ok(told) => told,
            Err(_) => Err(format!("It did not answer within {} s.", TELL.as_secs())),
        }
    }

    async fn give_back(&self, records: impl IntoIterator<Item = Record>) {
        let handles = records.into_iter().map(|record| record.handle);
        self.settle(handles.collect(), End::Again).await;
    }

    /// Settles messages: whether that is so. What can't be settled now is given to the function again.
    pub(crate) async fn settle(&self, handles: Vec<Handle>, end: End) -> bool {
        if handles.is_empty() {
            return true;
        }
        let settled = self.rules.source.settle(self.taken.as_ref(), handles, end);
        if let Err(Problem(problem)) = settled.await {
            tracing::error!(mapping = %self.rules.id.uuid, "settle messages: {problem}");
            return false;
        }
        true
    }
}
