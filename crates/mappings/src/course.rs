//! The way of a batch's records: handed over part by part, settled, and given up.
//!
//! What a broker has stays in order. So a part that fails and comes again takes with it what is behind it, and what is given up
//! is done with before anything behind it is handed over: its destination has been told, and the broker knows.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use hearth_brokers::{End, Taken};
use hearth_registry::Resolved;

use crate::attempts::{self, Attempt, Condition, Lost};
use crate::batch::{self, Record};
use crate::destinations::Told;
use crate::failure::failure;
use crate::pace::Ending;
use crate::source::{Handle, Problem, Source};
use crate::work::{Rules, Work};

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
    /// Why a destination could not be told.
    pub(crate) untold: Option<String>,
}

/// What became of a part.
enum Step {
    /// It is to be tried in halves.
    Halves(Vec<Record>, Vec<Record>),
    Ended(PartEnded),
    Untold(Untold),
}

/// How a part ended.
struct PartEnded {
    ending: Ending,
    again: Vec<Record>,
    /// Whether what is behind it, in one order with it, is not to be handed over now.
    is_over: bool,
}

/// That a destination could not be told.
struct Untold {
    why: String,
    /// Those of which it was to be told, and all that is behind them.
    again: Vec<Record>,
}

impl Course<'_> {
    /// Works on all records; `unfit` are those that no function can be given.
    pub(crate) async fn run(&self, unfit: Vec<Record>, records: Vec<Record>) -> Ended {
        if let Err(untold) = self.give_up_unfit(unfit).await {
            let again = untold.again.into_iter().chain(records);
            self.give_back(again).await;
            return Ended {
                ending: Ending::Untold,
                untold: Some(untold.why),
            };
        }
        let mut ended = Ended {
            ending: Ending::Nothing,
            untold: None,
        };
        let mut stopped = HashSet::new();
        let mut parts = self.parts(records);
        while let Some(mut part) = parts.pop_front() {
            // What comes after a failure of its group must not be run before it.
            part.retain(|record| !record.group.as_ref().is_some_and(|g| stopped.contains(g)));
            if part.is_empty() {
                continue;
            }
            let step = self.step(part).await;
            let PartEnded {
                ending,
                mut again,
                is_over,
            } = match step {
                Step::Halves(first, second) => {
                    parts.push_front(second);
                    parts.push_front(first);
                    continue;
                }
                Step::Ended(ended) => ended,
                Step::Untold(Untold { why, again }) => {
                    ended.untold = Some(why);
                    PartEnded {
                        ending: Ending::Untold,
                        again,
                        is_over: true,
                    }
                }
            };
            stopped.extend(again.iter().filter_map(|record| record.group.clone()));
            if is_over {
                again.extend(parts.drain(..).flatten());
            }
            self.give_back(again).await;
            ended.ending = ended.ending.max(ending);
        }
        ended
    }

    /// Parts of which each is an event. What has failed alone is tried alone, where batches are halved.
    fn parts(&self, records: Vec<Record>) -> VecDeque<Vec<Record>> {
        let Rules {
            mapping,
            around,
            attempts,
            ..
        } = self.rules;
        let parts = batch::parts(records, around);
        if mapping.retries.bisects {
            let has_failed = |record: &Record| attempts.count(record) > 0;
            return attempts::isolated(parts, has_failed).into();
        }
        parts.into()
    }

    /// Gives up what is to be, and hands the rest of a part over.
    async fn step(&self, part: Vec<Record>) -> Step {
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
        if let Err(mut untold) = self.give_up(lost).await {
            untold.again.extend(part);
            return Step::Untold(untold);
        }
        if part.is_empty() {
            return Step::Ended(PartEnded {
                ending: Ending::Passed,
                again: Vec::new(),
                is_over: false,
            });
        }
        self.hand_over(part).await
    }

    /// Hands a part over, and gives up what has failed once too often.
    async fn hand_over(&self, part: Vec<Record>) -> Step {
        let Rules {
            mapping, attempts, ..
        } = self.rules;
        let retries = &mapping.retries;
        let (work, trace) = (self.work, self.trace.clone());
        let went = work.invoke(self.rules, self.resolved, &part, trace).await;
        let failed = went.failed;
        let attempt = went.attempt.filter(|_| retries.counts()).map(Arc::new);
        if let Some(attempt) = &attempt {
            let is_all = failed.themselves.len() == part.len();
            // Halving is no attempt (developer guide, "Retain discarded batch records for a Kinesis Data Streams event source").
            if retries.bisects && is_all && part.len() > 1 {
                let mut first = part;
                let second = first.split_off(first.len() / 2);
                return Step::Halves(first, second);
            }
            let themselves = failed.themselves.iter().filter_map(|at| part.get(*at));
            attempts.failed(themselves, attempt);
        }
        let (lost, kept) = attempts::sort(part, |at, record| {
            let attempt = attempt.as_ref()?;
            let is_one = failed.themselves.contains(&at);
            is_one
                .then(|| attempts.verdict(record, retries, attempt))
                .flatten()
        });
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
        if let Err(mut untold) = self.give_up(lost).await {
            untold.again.extend(again);
            return Step::Untold(untold);
        }
        // What a broker has is in one order; a queue has groups for that.
        let is_over = match self.rules.source {
            Source::Queue(_) => went.ending == Ending::Refused,
            Source::Broker(_) => went.ending >= Ending::Failed && !again.is_empty(),
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

    async fn give_up_unfit(&self, unfit: Vec<Record>) -> Result<(), Untold> {
        if unfit.is_empty() {
            return Ok(());
        }
        let Some(now) = self.found() else {
            return Err(Untold {
                why: "the operating system has no random bytes".to_owned(),
                again: unfit,
            });
        };
        let attempts = &self.rules.attempts;
        let condition = Condition::MaximumPayloadSizeExceeded;
        let (lost, _) = attempts::sort(unfit, |_, record| {
            Some(attempts.given_up(record, condition, &now))
        });
        self.give_up(lost).await
    }

    /// Tells the destination, if there is one, and is done with what it was told of.
    async fn give_up(&self, lost: Vec<Lost>) -> Result<(), Untold> {
        let mut lost = lost.into_iter();
        while let Some(one) = lost.next() {
            if let Err(why) = self.tell(&one).await {
                let id = &self.rules.id.uuid;
                tracing::warn!(mapping = %id, "tell of messages that are to be given up: {why}");
                let behind = lost.flat_map(|lost| lost.records);
                let again = one.records.into_iter().chain(behind).collect();
                return Err(Untold { why, again });
            }
            let condition = one.verdict.condition;
            tracing::info!(
                mapping = %self.rules.id.uuid,
                condition = condition.as_str(),
                messages = one.records.len(),
                request_id = %one.verdict.last.request,
                "messages were given up"
            );
            let end = match condition {
                Condition::MaximumPayloadSizeExceeded => End::Never,
                _ => End::Done,
            };
            let handles = one.records.iter().map(|record| record.handle.clone());
            // What is not settled comes again, and is told of again: not tried.
            if self.settle(handles.collect(), end).await {
                self.rules.attempts.forget(&one.records);
            }
        }
        Ok(())
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
        self.work.destinations.tell(told).await
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
