//! The places of one environment's Runtime API, and which of them a call of the runtime is about.

use hearth_types::invoke::RequestId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Event, Handout, Place, Refusal, Ticket};

/// At most three are under way at once (an answer's beginning and end, and the question after it); the rest is slack.
const EVENTS: usize = 8;

#[derive(Debug)]
pub(super) enum Phase {
    Init,
    /// The runtime waits at `next`. The receiver may be gone: then its connection was closed.
    Waiting(oneshot::Sender<Handout>),
    /// The runtime's connection was closed while it waited; its next `next` gets this.
    Held(Box<Handout>, Ticket),
    Running(Ticket),
    /// An answer to the invocation is being read; if it is passed on, what cuts it off.
    Receiving(Ticket, Option<CancellationToken>),
    /// The invocation's time is up, and the runtime may still be busy with it.
    Overdue(Ticket),
    Answered(RequestId),
    Ended,
}

impl Phase {
    /// The state's name in AWS's error messages.
    const fn name(&self) -> &'static str {
        match self {
            Self::Init => "Started",
            Self::Waiting(_) | Self::Held(..) => "Ready",
            Self::Running(_) | Self::Overdue(_) => "Running",
            Self::Receiving(..) => "InvocationResponse",
            Self::Answered(_) => "ResponseSent",
            Self::Ended => "Exited",
        }
    }

    pub(super) const fn refuse(&self, to: &'static str) -> Refusal {
        Refusal::InvalidStateTransition {
            from: self.name(),
            to,
        }
    }

    /// The invocation that the runtime was given here last.
    const fn invocation(&self) -> Option<&RequestId> {
        match self {
            Self::Running(ticket) | Self::Receiving(ticket, _) | Self::Overdue(ticket) => {
                Some(&ticket.request_id)
            }
            Self::Answered(id) => Some(id),
            Self::Init | Self::Waiting(_) | Self::Held(..) | Self::Ended => None,
        }
    }

    fn waits(&self) -> bool {
        matches!(self, Self::Waiting(runtime) if !runtime.is_closed())
    }
}

#[derive(Debug)]
struct Slot {
    phase: Phase,
    tell: mpsc::Sender<Event>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The places that the runtime has asked for, the first of which is there from the beginning.
    slots: Vec<Slot>,
    /// How many there may be.
    most: usize,
    opened: mpsc::UnboundedSender<Place>,
    /// Calls that were taken: the runtime's signs of life.
    pub(super) heard: u64,
}

impl State {
    pub(super) fn new(
        most: usize,
        opened: mpsc::UnboundedSender<Place>,
    ) -> (Self, mpsc::Receiver<Event>) {
        let mut state = Self {
            slots: Vec::new(),
            most,
            opened,
            heard: 0,
        };
        let (_, events) = state.add(Phase::Init);
        (state, events)
    }

    fn add(&mut self, phase: Phase) -> (usize, mpsc::Receiver<Event>) {
        let (tell, events) = mpsc::channel(EVENTS);
        self.slots.push(Slot { phase, tell });
        (self.slots.len() - 1, events)
    }

    /// The phase of a place; places never go.
    pub(super) fn phase(&mut self, slot: usize) -> &mut Phase {
        &mut self.slots[slot].phase
    }

    fn find(&self, wanted: impl Fn(&Phase) -> bool) -> Option<usize> {
        self.slots.iter().position(|slot| wanted(&slot.phase))
    }

    /// The place, of those that are there, to which a question of the runtime belongs, and whether it is a new question
    /// or one that its connection lost.
    pub(super) fn asked(&self) -> Option<(usize, bool)> {
        let lost = self.find(|phase| matches!(phase, Phase::Held(..)));
        let done = || self.find(|phase| matches!(phase, Phase::Init | Phase::Answered(_)));
        let closed =
            || self.find(|phase| matches!(phase, Phase::Waiting(runtime) if runtime.is_closed()));
        lost.map(|slot| (slot, false))
            .or_else(|| done().map(|slot| (slot, true)))
            .or_else(|| closed().map(|slot| (slot, false)))
    }

    /// One place more for a runtime that asks, or else one whose invocation's time is up: a runtime may give that up by
    /// itself and ask for another.
    pub(super) fn open(&mut self) -> Option<(usize, Option<mpsc::Receiver<Event>>)> {
        if matches!(self.slots.first()?.phase, Phase::Ended) {
            return None;
        }
        if self.slots.len() < self.most {
            let (slot, events) = self.add(Phase::Init);
            return Some((slot, Some(events)));
        }
        let overdue = self.find(|phase| matches!(phase, Phase::Overdue(_)))?;
        Some((overdue, None))
    }

    /// Why a runtime gets no more.
    pub(super) fn too_many(&mut self) -> Refusal {
        self.phase(0).refuse("Ready")
    }

    /// The place of the invocation with this id, from its beginning until the place has another one.
    pub(super) fn running(&self, request_id: &str) -> Option<usize> {
        self.find(|phase| {
            phase
                .invocation()
                .is_some_and(|id| id.as_str() == request_id)
        })
    }

    /// If the connection on which the runtime waited in this place is gone and it waits in another place as well, that
    /// one's connection takes its part: a worker of the runtime that has ended keeps nobody waiting.
    pub(super) fn reconnect(&mut self, slot: usize) {
        if self.slots.len() == 1 || self.phase(slot).waits() {
            return;
        }
        if let Some(other) = self.find(Phase::waits) {
            let phase = std::mem::replace(self.phase(other), Phase::Ended);
            let closed = std::mem::replace(self.phase(slot), phase);
            *self.phase(other) = closed;
        }
    }

    pub(super) fn make_known(&self, place: Place) {
        // Nobody listens: the environment is on its way out.
        let _ = self.opened.send(place);
    }

    pub(super) fn tell(&self, slot: usize, event: Event) {
        if self.slots[slot].tell.try_send(event).is_err() {
            // Nobody listens: the environment is on its way out.
            tracing::trace!("a runtime called after its environment had ended");
        }
    }
}
