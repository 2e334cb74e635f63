//! The state of one environment's Runtime API: which call is allowed when.
//!
//! An environment has places, each of which runs one invocation at a time, and each of which is this:
//!
//! ```text
//!            next                offer               response, error           next
//!   Init ──────────▶ Waiting ──────────▶ Running ────────────────▶ Answered ──────────▶ Waiting …
//!     └─ init/error ─▶ Ended               └─ its time is up ─▶ Overdue ─ response, error ─▶ Answered
//! ```
//!
//! A place is there as soon as the runtime asks for one invocation more than it has, and never before: who asks for one
//! at a time has one place, whatever the function allows. What the runtime answers is matched by its request id.
//!
//! An answer that the caller takes as it is made is told twice: that it has begun, and that it has ended.
//!
//! Connections of the guest call in from several tasks; whoever attends to an invocation hears of what happened through
//! the bounded channel of its place, which the state machine can't overfill. Everything that the guest does wrong is a
//! [`Refusal`] to the guest and nothing to anybody else (INV-8).

mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hearth_types::invoke::RequestId;
use http::Response;
use http_body_util::Full;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::state::{Phase, State};
use crate::reply::Beginning;

/// What the runtime is given for `next`.
pub(crate) type Handout = Response<Full<Bytes>>;

/// Answers above [`super::body::SMALL_BYTES`] that are read at the same time: with one place an environment could never
/// have more than one, and with all of its places it is not to hold a multiple of its own memory in the node's.
const LARGE_ANSWERS: usize = 16;

/// What an environment's task hears of one place.
#[derive(Debug)]
pub(crate) enum Event {
    /// The runtime asks for an invocation.
    Next,
    /// The runtime gives up its Init.
    InitFailed(Answer),
    /// The runtime's response has begun, for a caller that takes it as it is made.
    Begun(Beginning),
    /// The runtime answered the invocation.
    Answered(Answer),
}

/// What the runtime says about an invocation, or about its Init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The result.
    Response(Bytes),
    /// The response that had begun is whole.
    Streamed,
    /// The error object, and its type as the runtime names it (empty if it does not).
    Error { kind: String, body: Bytes },
    /// More bytes than [`hearth_types::limits::RESPONSE_PAYLOAD_BYTES`].
    TooLarge,
    /// The response that had begun has more bytes than [`hearth_types::limits::STREAMED_RESPONSE_BYTES`].
    StreamTooLarge,
    /// The response that had begun broke off.
    Truncated,
}

/// An invocation, as far as the Runtime API knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) request_id: RequestId,
    /// Whether its caller takes the response as it is made.
    pub(crate) streams: bool,
}

/// Why a call of the runtime is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No invocation that runs.
    InvalidRequestId,
    /// The invocation's time was up before.
    Overdue,
    /// Not now; from which state to which.
    InvalidStateTransition {
        from: &'static str,
        to: &'static str,
    },
}

/// The state machine. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    state: Arc<Mutex<State>>,
    large_answers: Arc<Semaphore>,
    places: usize,
}

/// One place, as the environment's task knows it: where an invocation is offered, and what comes of it.
#[derive(Debug)]
pub(crate) struct Place {
    session: Session,
    slot: usize,
    events: mpsc::Receiver<Event>,
}

impl Session {
    /// A runtime that has just been started and may ask for `places` invocations at the same time. Gives the place that
    /// it has from the beginning, and where the others are made known.
    pub(crate) fn new(places: usize) -> (Self, Place, mpsc::UnboundedReceiver<Place>) {
        let (open, opened) = mpsc::unbounded_channel();
        let (state, events) = State::new(places, open);
        let session = Self {
            state: Arc::new(Mutex::new(state)),
            large_answers: Arc::new(Semaphore::new(LARGE_ANSWERS)),
            places,
        };
        let first = Place {
            session: session.clone(),
            slot: 0,
            events,
        };
        (session, first, opened)
    }

    /// Invocations that the runtime may have at the same time.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// Turns to read an answer that is not small.
    pub(super) fn large_answers(&self) -> &Semaphore {
        &self.large_answers
    }

    /// The runtime asks for an invocation.
    ///
    /// # Errors
    /// If it has or waits for as many as it may already, or its Init failed.
    pub(super) fn next(&self) -> Result<oneshot::Receiver<Handout>, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        let (slot, asks_anew, opened) = match state.asked() {
            Some((slot, asks_anew)) => (slot, asks_anew, None),
            None => {
                let Some((slot, opened)) = state.open() else {
                    return Err(state.too_many());
                };
                (slot, true, opened)
            }
        };
        state.heard += 1;
        let phase = state.phase(slot);
        *phase = match std::mem::replace(phase, Phase::Ended) {
            Phase::Held(handout, ticket) => match sender.send(*handout) {
                Ok(()) => Phase::Running(ticket),
                Err(handout) => Phase::Held(Box::new(handout), ticket),
            },
            _ => Phase::Waiting(sender),
        };
        if asks_anew {
            state.tell(slot, Event::Next);
        }
        // Known only now, so that whoever hears of a place finds in it what made it.
        if let Some(events) = opened {
            state.make_known(Place {
                session: self.clone(),
                slot,
                events,
            });
        }
        Ok(receiver)
    }

    /// The runtime begins to answer the invocation named `request_id`; `to` names the call. Only one answer to each is
    /// read at a time, so that a guest can't make the platform hold more.
    ///
    /// # Errors
    /// If it is none that runs, or it is answered already, or its time was up.
    pub(super) fn begin_answer(
        &self,
        request_id: &str,
        to: &'static str,
    ) -> Result<Receipt<'_>, Refusal> {
        let mut state = self.lock();
        let slot = state.running(request_id).ok_or(Refusal::InvalidRequestId)?;
        let phase = state.phase(slot);
        let ticket = match phase {
            Phase::Running(ticket) => *ticket,
            Phase::Overdue(ticket) => {
                *phase = Phase::Answered(ticket.request_id);
                state.heard += 1;
                return Err(Refusal::Overdue);
            }
            other => return Err(other.refuse(to)),
        };
        *phase = Phase::Receiving(ticket, None);
        state.heard += 1;
        Ok(Receipt {
            session: self,
            slot,
            ticket,
            begun: false,
        })
    }

    /// Whether `init/error` may be called now.
    ///
    /// # Errors
    /// If Init is over.
    pub(super) fn check_init(&self) -> Result<(), Refusal> {
        match self.lock().phase(0) {
            Phase::Init => Ok(()),
            other => Err(other.refuse("InitError")),
        }
    }

    /// The runtime gives up its Init.
    ///
    /// # Errors
    /// If Init is over.
    pub(super) fn fail_init(&self, answer: Answer) -> Result<(), Refusal> {
        let mut state = self.lock();
        let phase = state.phase(0);
        match phase {
            Phase::Init => {
                *phase = Phase::Ended;
                state.tell(0, Event::InitFailed(answer));
                Ok(())
            }
            other => Err(other.refuse("InitError")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Phases are replaced as a whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Gives the runtime an invocation: at once if it waits at `next`, otherwise as soon as it asks.
    pub(crate) fn offer(&self, ticket: Ticket, handout: Handout) {
        let mut state = self.session.lock();
        state.reconnect(self.slot);
        let phase = state.phase(self.slot);
        *phase = match std::mem::replace(phase, Phase::Ended) {
            Phase::Waiting(runtime) => match runtime.send(handout) {
                Ok(()) => Phase::Running(ticket),
                Err(handout) => Phase::Held(Box::new(handout), ticket),
            },
            // Only a runtime that has asked is given anything: whoever offers waits for `Event::Next`.
            other => other,
        };
    }

    /// The invocation's time is up, and what the runtime says about it from now on is refused. A response that is on
    /// its way is cut off.
    pub(crate) fn give_up(&self) {
        let mut state = self.session.lock();
        let phase = state.phase(self.slot);
        *phase = match std::mem::replace(phase, Phase::Ended) {
            Phase::Running(ticket) => Phase::Overdue(ticket),
            Phase::Receiving(ticket, cut) => {
                if let Some(cut) = cut {
                    cut.cancel();
                }
                Phase::Overdue(ticket)
            }
            // It never reached the runtime.
            Phase::Held(_, ticket) => Phase::Answered(ticket.request_id),
            other => other,
        };
    }

    /// How often the runtime has asked for invocations and answered them, in all places.
    pub(crate) fn heard(&self) -> u64 {
        self.session.lock().heard
    }

    /// Waits for what happens next. Cancel safe.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Waits until the runtime asks for an invocation, whatever it says before. Cancel safe.
    pub(crate) async fn asks(&mut self) {
        loop {
            match self.events.recv().await {
                Some(Event::Next) => return,
                Some(_) => {}
                // The session is as old as the environment, which ends this.
                None => std::future::pending().await,
            }
        }
    }
}

/// The right to answer the invocation. Dropping it unused (the connection broke in the middle of the body) gives the
/// runtime another try, unless the caller has seen the beginning.
#[derive(Debug)]
pub(super) struct Receipt<'a> {
    session: &'a Session,
    slot: usize,
    ticket: Ticket,
    begun: bool,
}

impl Receipt<'_> {
    /// Whether the caller takes the response as it is made.
    pub(super) const fn streams(&self) -> bool {
        self.ticket.streams
    }

    /// Begins a response that the caller takes as it is made. What it gives is cancelled when the invocation's time is
    /// up.
    pub(super) fn begin(&mut self, beginning: Beginning) -> CancellationToken {
        let cut = CancellationToken::new();
        let mut state = self.session.lock();
        match state.phase(self.slot) {
            Phase::Receiving(ticket, slot) if *ticket == self.ticket => {
                *slot = Some(cut.clone());
                self.begun = true;
                state.tell(self.slot, Event::Begun(beginning));
            }
            _ => cut.cancel(),
        }
        cut
    }

    /// Answers.
    ///
    /// # Errors
    /// If the invocation's time is up meanwhile.
    pub(super) fn answer(self, answer: Answer) -> Result<(), Refusal> {
        let mut state = self.session.lock();
        let phase = state.phase(self.slot);
        match phase {
            Phase::Receiving(ticket, _) if *ticket == self.ticket => {
                *phase = Phase::Answered(self.ticket.request_id);
                state.tell(self.slot, Event::Answered(answer));
                Ok(())
            }
            // What becomes of its place is decided when the receipt is dropped, in a moment.
            _ => Err(Refusal::Overdue),
        }
    }
}

impl Drop for Receipt<'_> {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        let phase = state.phase(self.slot);
        match phase {
            Phase::Receiving(ticket, _) if *ticket == self.ticket => {
                if self.begun {
                    *phase = Phase::Answered(self.ticket.request_id);
                    state.tell(self.slot, Event::Answered(Answer::Truncated));
                } else {
                    *phase = Phase::Running(self.ticket);
                }
            }
            // It broke off or was cut off, too late for another try.
            Phase::Overdue(ticket) if *ticket == self.ticket => {
                *phase = Phase::Answered(self.ticket.request_id);
            }
            _ => {}
        }
    }
}
