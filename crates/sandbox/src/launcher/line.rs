//! The main process's end of the line to the launcher: one task writes requests, one hears events.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};

use crate::channel::Channel;
use crate::protocol::{Event, Failure, Request};
use crate::sandbox::Life;
use crate::spec::Exit;

/// The longest that the launcher may take to leave: it waits up to 2 s for the kernel to let go of cgroups.
pub(crate) const END_TIMEOUT: Duration = Duration::from_secs(10);

/// The way of requests to the launcher. Unbounded because sending must not wait; each sandbox sends at most three.
#[derive(Clone, Debug)]
pub(crate) struct Orders(pub(super) mpsc::UnboundedSender<Outgoing>);

#[derive(Debug)]
pub(super) enum Outgoing {
    /// A request and the descriptors that go with it; for a launch also who waits for the answer.
    Request(Request, Vec<OwnedFd>),
    /// End the launcher, and all sandboxes with it.
    HangUp,
}

impl Orders {
    /// Sends a request; without effect if the launcher is gone, which ends all sandboxes anyway.
    pub(crate) fn send(&self, request: Request) {
        let _ = self.0.send(Outgoing::Request(request, Vec::new()));
    }
}

/// Who waits for word of which sandbox.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The launcher is gone: nothing can be added.
    pub(super) closed: bool,
    pub(super) waiting: HashMap<u64, oneshot::Sender<Result<Arc<Life>, Failure>>>,
    living: HashMap<u64, Arc<Life>>,
}

pub(super) type SharedTable = Arc<Mutex<Table>>;

pub(super) fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // The table is whole between any two of its operations.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes requests until there is nobody left to make them.
pub(super) async fn write(
    channel: Arc<Channel>,
    mut outgoing: mpsc::UnboundedReceiver<Outgoing>,
    table: SharedTable,
) {
    while let Some(Outgoing::Request(request, descriptors)) = outgoing.recv().await {
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        if let Err(error) = channel.send(&request, &borrowed).await
            && let Request::Launch { id, .. } = request
            && let Some(tell) = lock(&table).waiting.remove(&id)
        {
            // Too large, or the launcher is gone. The specification is at fault in the first case.
            let _ = tell.send(Err(Failure::Spec {
                reason: error.to_string(),
            }));
        }
    }
    channel.hang_up();
}

/// Hears the launcher's events.
pub(super) struct Hearer {
    pub(super) channel: Arc<Channel>,
    pub(super) table: SharedTable,
    /// Weak: this task must not keep the launcher alive.
    pub(super) orders: mpsc::WeakUnboundedSender<Outgoing>,
}

impl Hearer {
    pub(super) async fn run(self, mut child: Child, ended: watch::Sender<bool>) {
        loop {
            match self.channel.receive::<Event>().await {
                Ok(Some((event, _))) => self.hear(event),
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "cannot understand the launcher");
                    break;
                }
            }
        }
        self.close();
        self.channel.hang_up();
        if tokio::time::timeout(END_TIMEOUT, child.wait())
            .await
            .is_err()
        {
            tracing::error!("the launcher does not leave: killing it");
            let _ = child.kill().await;
        }
        ended.send_replace(true);
    }

    fn hear(&self, event: Event) {
        match event {
            Event::Launched { id, pid, meter } => {
                let life = Arc::new(Life::new(id, pid, meter));
                let waiter = {
                    let mut table = lock(&self.table);
                    table.living.insert(id, Arc::clone(&life));
                    table.waiting.remove(&id)
                };
                // Nobody waits any more: nobody will ever kill it either.
                if waiter.is_none_or(|tell| tell.send(Ok(life)).is_err())
                    && let Some(orders) = self.orders.upgrade()
                {
                    Orders(orders).send(Request::Kill { id });
                }
            }
            Event::Failed { id, failure } => {
                if let Some(tell) = lock(&self.table).waiting.remove(&id) {
                    let _ = tell.send(Err(failure));
                }
            }
            Event::Exited { id, exit, usage } => {
                let life = lock(&self.table).living.remove(&id);
                life.into_iter()
                    .for_each(|life| life.end(exit, Some(usage)));
            }
            Event::Polled { id, usage } => {
                let life = lock(&self.table).living.get(&id).cloned();
                life.into_iter().for_each(|life| life.used(usage));
            }
            Event::Ready { .. } => {}
        }
    }

    /// The launcher is gone, and the kernel has killed its sandboxes.
    fn close(&self) {
        let (waiting, living) = {
            let mut table = lock(&self.table);
            table.closed = true;
            (
                std::mem::take(&mut table.waiting),
                std::mem::take(&mut table.living),
            )
        };
        drop(waiting);
        living
            .into_values()
            .for_each(|life| life.end(Exit::Signal(libc::SIGKILL), None));
    }
}
