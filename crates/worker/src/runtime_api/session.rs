//! The state of one environment's Runtime API: which call is allowed when.
//!
//! ```text
//!            next                offer               response, error           next
//!   Init ──────────▶ Waiting ──────────▶ Running ────────────────▶ Answered ──────────▶ Waiting …
//!     └─ init/error ─▶ Ended
//! ```
//!
//! An answer that the caller takes as it is made is told twice: that it has begun, and that it has ended.
//!
//! Connections of the guest call in from several tasks; the environment's own task hears of what happened through a
//! bounded channel that the state machine can't overfill. Everything that the guest does wrong is a [`Refusal`] to the
//! guest and nothing to anybody else (INV-8).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hearth_types::invoke::RequestId;
use http::Response;
use http_body_util::Full;
use tokio::sync::{mpsc, oneshot};

use crate::reply::Beginning;

/// What the runtime is given for `next`.
pub(crate) type Handout = Response<Full<Bytes>>;

/// At most three are under way at once (an answer's beginning and end, and the question after it); the rest is slack.
const EVENTS: usize = 8;

/// What the environment's task hears.
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
    /// Not the invocation that runs.
    InvalidRequestId,
    /// Not now; from which state to which.
    InvalidStateTransition {
        from: &'static str,
        to: &'static str,
    },
}

#[derive(Debug)]
enum Phase {
    Init,
    /// The runtime waits at `next`. The receiver may be gone: then its connection was closed.
    Waiting(oneshot::Sender<Handout>),
    /// The runtime's connection was closed while it waited; its next `next` gets this.
    Held(Box<Handout>, Ticket),
    Running(Ticket),
    /// An answer to the invocation is being read.
    Receiving(Ticket),
    Answered(RequestId),
    Ended,
}

impl Phase {
    /// The state's name in AWS's error messages.
    const fn name(&self) -> &'static str {
        match self {
            Self::Init => "Started",
            Self::Waiting(_) | Self::Held(..) => "Ready",
            Self::Running(_) => "Running",
            Self::Receiving(_) => "InvocationResponse",
            Self::Answered(_) => "ResponseSent",
            Self::Ended => "Exited",
        }
    }
}

/// The state machine. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    phase: Arc<Mutex<Phase>>,
    events: mpsc::Sender<Event>,
}

impl Session {
    /// A runtime that has just been started, and the ear of the environment's task.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Event>) {
        let (events, ear) = mpsc::channel(EVENTS);
        let session = Self {
            phase: Arc::new(Mutex::new(Phase::Init)),
            events,
        };
        (session, ear)
    }

    /// Gives the runtime an invocation: at once if it waits at `next`, otherwise as soon as it asks.
    pub(crate) fn offer(&self, ticket: Ticket, handout: Handout) {
        let mut phase = self.lock();
        *phase = match std::mem::replace(&mut *phase, Phase::Ended) {
            Phase::Waiting(runtime) => match runtime.send(handout) {
                Ok(()) => Phase::Running(ticket),
                Err(handout) => Phase::Held(Box::new(handout), ticket),
            },
            // Only a runtime that has asked is given anything: the environment's task waits for `Event::Next`.
            other => other,
        };
    }

    /// The runtime asks for an invocation.
    ///
    /// # Errors
    /// If it has one already, waits already, or its Init failed.
    pub(super) fn next(&self) -> Result<oneshot::Receiver<Handout>, Refusal> {
        let mut phase = self.lock();
        let asks_anew = match &*phase {
            Phase::Init | Phase::Answered(_) => true,
            // The connection on which it waited is gone: it may wait on another one.
            Phase::Waiting(earlier) if earlier.is_closed() => false,
            Phase::Held(..) => false,
            other => return Err(refuse(other, "Ready")),
        };
        let (sender, receiver) = oneshot::channel();
        *phase = match std::mem::replace(&mut *phase, Phase::Ended) {
            Phase::Held(handout, ticket) => match sender.send(*handout) {
                Ok(()) => Phase::Running(ticket),
                Err(handout) => Phase::Held(Box::new(handout), ticket),
            },
            _ => Phase::Waiting(sender),
        };
        if asks_anew {
            self.tell(Event::Next);
        }
        Ok(receiver)
    }

    /// The runtime begins to answer the invocation named `request_id`; `to` names the call. Only one answer at a time
    /// is read, so that a guest can't make the platform hold more than one.
    ///
    /// # Errors
    /// If it is not the invocation that runs, or it is answered already.
    pub(super) fn begin_answer(
        &self,
        request_id: &str,
        to: &'static str,
    ) -> Result<Receipt<'_>, Refusal> {
        let mut phase = self.lock();
        match &*phase {
            Phase::Running(running) if running.request_id.as_str() == request_id => {
                let ticket = *running;
                *phase = Phase::Receiving(ticket);
                Ok(Receipt {
                    session: self,
                    ticket,
                    begun: false,
                })
            }
            Phase::Receiving(Ticket { request_id: id, .. }) | Phase::Answered(id)
                if id.as_str() == request_id =>
            {
                Err(refuse(&phase, to))
            }
            _ => Err(Refusal::InvalidRequestId),
        }
    }

    /// Whether `init/error` may be called now.
    ///
    /// # Errors
    /// If Init is over.
    pub(super) fn check_init(&self) -> Result<(), Refusal> {
        match &*self.lock() {
            Phase::Init => Ok(()),
            other => Err(refuse(other, "InitError")),
        }
    }

    /// The runtime gives up its Init.
    ///
    /// # Errors
    /// If Init is over.
    pub(super) fn fail_init(&self, answer: Answer) -> Result<(), Refusal> {
        let mut phase = self.lock();
        match &*phase {
            Phase::Init => {
                *phase = Phase::Ended;
                self.tell(Event::InitFailed(answer));
                Ok(())
            }
            other => Err(refuse(other, "InitError")),
        }
    }

    fn tell(&self, event: Event) {
        if self.events.try_send(event).is_err() {
            // Nobody listens: the environment is on its way out.
            tracing::trace!("a runtime called after its environment had ended");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        // The phase is replaced as a whole.
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refuse(from: &Phase, to: &'static str) -> Refusal {
    Refusal::InvalidStateTransition {
        from: from.name(),
        to,
    }
}

/// The right to answer the invocation. Dropping it unused (the connection broke in the middle of the body) gives the
/// runtime another try, unless the caller has seen the beginning.
#[derive(Debug)]
pub(super) struct Receipt<'a> {
    session: &'a Session,
    ticket: Ticket,
    begun: bool,
}

impl Receipt<'_> {
    /// Whether the caller takes the response as it is made.
    pub(super) const fn streams(&self) -> bool {
        self.ticket.streams
    }

    /// Begins a response that the caller takes as it is made.
    pub(super) fn begin(&mut self, beginning: Beginning) {
        self.begun = true;
        self.session.tell(Event::Begun(beginning));
    }

    /// Answers.
    pub(super) fn answer(self, answer: Answer) {
        self.end(answer);
    }

    fn end(&self, answer: Answer) {
        let mut phase = self.session.lock();
        *phase = Phase::Answered(self.ticket.request_id);
        self.session.tell(Event::Answered(answer));
    }
}

impl Drop for Receipt<'_> {
    fn drop(&mut self) {
        let receiving =
            matches!(&*self.session.lock(), Phase::Receiving(ticket) if *ticket == self.ticket);
        match (receiving, self.begun) {
            (true, true) => self.end(Answer::Truncated),
            (true, false) => *self.session.lock() = Phase::Running(self.ticket),
            (false, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> RequestId {
        RequestId::from_random([byte; 16])
    }

    fn ticket(byte: u8) -> Ticket {
        Ticket {
            request_id: id(byte),
            streams: false,
        }
    }

    fn handout() -> Handout {
        Response::new(Full::new(Bytes::from_static(b"{}")))
    }

    #[test]
    fn one_invocation_goes_round() {
        let (session, mut ear) = Session::new();
        for round in 0..3 {
            let mut waiting = session.next().unwrap();
            assert!(matches!(ear.try_recv(), Ok(Event::Next)));
            session.offer(ticket(round), handout());
            assert!(waiting.try_recv().is_ok());
            let receipt = session
                .begin_answer(id(round).as_str(), "InvocationResponse")
                .unwrap();
            receipt.answer(Answer::Response(Bytes::new()));
            assert!(matches!(
                ear.try_recv(),
                Ok(Event::Answered(Answer::Response(_)))
            ));
        }
    }

    #[test]
    fn calls_out_of_turn_are_refused() {
        let (session, _ear) = Session::new();
        let refused = |result: Result<Receipt<'_>, Refusal>| result.map(drop).unwrap_err();
        assert_eq!(
            refused(session.begin_answer(id(1).as_str(), "InvocationResponse")),
            Refusal::InvalidRequestId
        );
        let _waiting = session.next().unwrap();
        assert!(session.next().is_err(), "two cannot wait");
        session.offer(ticket(1), handout());
        assert!(session.next().is_err(), "not before the answer");
        assert_eq!(
            refused(session.begin_answer(id(2).as_str(), "InvocationResponse")),
            Refusal::InvalidRequestId
        );
        let first = session
            .begin_answer(id(1).as_str(), "InvocationResponse")
            .unwrap();
        assert!(matches!(
            refused(session.begin_answer(id(1).as_str(), "InvocationResponse")),
            Refusal::InvalidStateTransition { .. }
        ));
        first.answer(Answer::TooLarge);
        assert!(matches!(
            refused(session.begin_answer(id(1).as_str(), "InvocationResponse")),
            Refusal::InvalidStateTransition { .. }
        ));
        assert!(session.fail_init(Answer::TooLarge).is_err());
    }

    #[test]
    fn an_answer_that_breaks_off_can_be_given_again() {
        let (session, _ear) = Session::new();
        let _waiting = session.next().unwrap();
        session.offer(ticket(1), handout());
        drop(
            session
                .begin_answer(id(1).as_str(), "InvocationResponse")
                .unwrap(),
        );
        assert!(
            session
                .begin_answer(id(1).as_str(), "InvocationResponse")
                .is_ok()
        );
    }

    #[test]
    fn a_response_that_breaks_off_after_its_beginning_has_ended() {
        let (session, mut ear) = Session::new();
        let _waiting = session.next().unwrap();
        let streams = Ticket {
            streams: true,
            ..ticket(1)
        };
        session.offer(streams, handout());
        let mut receipt = session
            .begin_answer(id(1).as_str(), "InvocationResponse")
            .unwrap();
        assert!(receipt.streams());
        receipt.begin(Beginning::new(None).0);
        drop(receipt);
        assert!(matches!(ear.try_recv(), Ok(Event::Next)));
        assert!(matches!(ear.try_recv(), Ok(Event::Begun(_))));
        assert!(matches!(
            ear.try_recv(),
            Ok(Event::Answered(Answer::Truncated))
        ));
        assert!(
            session
                .begin_answer(id(1).as_str(), "InvocationResponse")
                .is_err()
        );
    }

    #[test]
    fn an_invocation_waits_for_a_runtime_that_lost_its_connection() {
        let (session, mut ear) = Session::new();
        drop(session.next().unwrap());
        session.offer(ticket(1), handout());
        let mut waiting = session.next().unwrap();
        assert!(waiting.try_recv().is_ok());
        assert!(matches!(ear.try_recv(), Ok(Event::Next)));
        assert!(ear.try_recv().is_err(), "told once");
        assert!(
            session
                .begin_answer(id(1).as_str(), "InvocationResponse")
                .is_ok()
        );
    }

    #[test]
    fn a_failed_init_is_the_end() {
        let (session, mut ear) = Session::new();
        session
            .fail_init(Answer::Error {
                kind: String::new(),
                body: Bytes::new(),
            })
            .unwrap();
        assert!(matches!(ear.try_recv(), Ok(Event::InitFailed(_))));
        assert!(session.next().is_err());
    }
}
