//! The main process's side: networks that wait, prepared, for the environments to come.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot, watch};

use super::dns::{self, Relay};
use super::prepare::{self, Answer, Ask};
use super::{Network, NetworkError, NetworkOptions, NetworkReport, Slot};
use crate::channel::Channel;

/// Requests on their way at once, all kinds together: small enough that neither side ever waits for room on the line
/// while the other does.
const MAX_REQUESTED: usize = 32;

/// Gives out prepared networks. Cheap to clone; the preparer process ends with the last clone.
#[derive(Clone, Debug)]
pub struct Preparer {
    shared: Arc<Shared>,
}

/// Held by the handles only, so that their end is seen.
#[derive(Debug)]
struct Shared {
    core: Arc<Core>,
    relay: Relay,
    report: watch::Receiver<Option<NetworkReport>>,
}

#[derive(Debug)]
struct Core {
    state: Mutex<State>,
    wake: Notify,
    pool_size: usize,
}

#[derive(Debug, Default)]
struct State {
    none: Queue,
    egress: Queue,
    sockets: Sockets,
    /// No request can be answered any more.
    ended: bool,
    /// No handle is left.
    unused: bool,
}

/// The networks of one kind.
#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<Unused>,
    waiting: VecDeque<oneshot::Sender<Result<Unused, NetworkError>>>,
    requested: usize,
    /// Whether to keep some in store. Off until the first is taken, and from a failure until the next is.
    stock: bool,
}

/// Sockets in networks that are in use: answered in the order in which they were asked for.
#[derive(Debug, Default)]
struct Sockets {
    waiting: VecDeque<(OwnedFd, oneshot::Sender<MadeSockets>)>,
    requested: VecDeque<oneshot::Sender<MadeSockets>>,
}

type MadeSockets = Result<Vec<OwnedFd>, NetworkError>;

/// What is asked for next.
enum Next {
    Network(Network),
    /// In this namespace.
    Sockets(OwnedFd),
}

/// A network whose resolver does not run yet.
#[derive(Debug)]
struct Unused {
    slot: Slot,
    resolver: Option<(std::net::UdpSocket, std::net::TcpListener)>,
}

impl State {
    fn queue(&mut self, kind: Network) -> &mut Queue {
        match kind {
            Network::None => &mut self.none,
            Network::Egress => &mut self.egress,
        }
    }

    /// What should be asked for now.
    fn next_request(&mut self, pool_size: usize) -> Option<Next> {
        let requested = self.none.requested + self.egress.requested + self.sockets.requested.len();
        if requested >= MAX_REQUESTED {
            return None;
        }
        while let Some((netns, tell)) = self.sockets.waiting.pop_front() {
            if !tell.is_closed() {
                self.sockets.requested.push_back(tell);
                return Some(Next::Sockets(netns));
            }
        }
        // Who waits goes before the store.
        for store in [0, pool_size] {
            for kind in [Network::Egress, Network::None] {
                let queue = self.queue(kind);
                queue.waiting.retain(|waiting| !waiting.is_closed());
                let store = if queue.stock { store } else { 0 };
                if queue.ready.len() + queue.requested < queue.waiting.len() + store {
                    queue.requested += 1;
                    return Some(Next::Network(kind));
                }
            }
        }
        None
    }
}

impl Core {
    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two of its operations.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.core.state().unused = true;
        self.core.wake.notify_one();
    }
}

impl Preparer {
    /// Speaks to a [`preparer_main`](super::preparer_main) at the other end of a `SOCK_SEQPACKET` socket, for programs
    /// that run one without a launcher. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the socket cannot be watched.
    pub fn connect(line: OwnedFd, options: &NetworkOptions) -> io::Result<Self> {
        Ok(Self::new(Channel::new(line)?, options))
    }

    /// Speaks to a [`preparer_main`](super::preparer_main) at the other end of `channel`. Must be called inside a tokio
    /// runtime.
    pub(crate) fn new(channel: Channel, options: &NetworkOptions) -> Self {
        let core = Arc::new(Core {
            state: Mutex::default(),
            wake: Notify::new(),
            pool_size: options.pool_size,
        });
        // A first environment finds a network prepared, if it wants the usual kind.
        core.state().egress.stock = true;
        let (tell, report) = watch::channel(None);
        tokio::spawn(run(channel, Arc::clone(&core), tell));
        Self {
            shared: Arc::new(Shared {
                core,
                relay: Relay::new(dns::upstreams(&options.resolvers)),
                report,
            }),
        }
    }

    /// A network for one environment: from the store, or made now. Must be called inside a tokio runtime. Cancel safe: a
    /// network that nobody waits for any more goes into the store.
    ///
    /// # Errors
    /// [`NetworkError`]: the host's fault; safe to retry unless the preparer is gone.
    pub async fn take(&self, kind: Network) -> Result<Slot, NetworkError> {
        let core = &self.shared.core;
        let wait = {
            let mut state = core.state();
            if state.ended {
                return Err(NetworkError::Gone);
            }
            let queue = state.queue(kind);
            queue.stock = true;
            if let Some(unused) = queue.ready.pop_front() {
                core.wake.notify_one();
                drop(state);
                return self.begin_use(unused);
            }
            let (tell, told) = oneshot::channel();
            queue.waiting.push_back(tell);
            core.wake.notify_one();
            told
        };
        let unused = wait.await.map_err(|_| NetworkError::Gone)??;
        self.begin_use(unused)
    }

    /// TCP sockets in the network of an environment, not connected, non-blocking: one at least, or a few at once. Cancel
    /// safe.
    ///
    /// # Errors
    /// [`NetworkError`]: the host's fault, most likely out of descriptors; safe to retry unless the preparer is gone.
    pub(crate) async fn sockets(&self, netns: OwnedFd) -> Result<Vec<OwnedFd>, NetworkError> {
        let core = &self.shared.core;
        let (tell, told) = oneshot::channel();
        {
            let mut state = core.state();
            if state.ended {
                return Err(NetworkError::Gone);
            }
            state.sockets.waiting.push_back((netns, tell));
        }
        core.wake.notify_one();
        told.await.map_err(|_| NetworkError::Gone)?
    }

    /// What this host offers; waits until the preparer has found out, milliseconds after its start.
    pub async fn report(&self) -> NetworkReport {
        let mut report = self.shared.report.clone();
        match report.wait_for(Option::is_some).await {
            Ok(report) => report.clone(),
            Err(_) => None,
        }
        .unwrap_or_else(|| {
            prepare::unreachable("the process that prepares networks ended".to_owned())
        })
    }

    /// Ends the preparer, and waits until it has removed what it made. Later calls of [`Preparer::take`] fail.
    pub async fn close(&self) {
        self.shared.core.state().unused = true;
        self.shared.core.wake.notify_one();
        let mut report = self.shared.report.clone();
        while report.changed().await.is_ok() {}
    }

    fn begin_use(&self, unused: Unused) -> Result<Slot, NetworkError> {
        let Unused { mut slot, resolver } = unused;
        if let Some((udp, tcp)) = resolver {
            let tasks = self.shared.relay.serve(udp, tcp);
            slot.resolver = tasks.map_err(|error| NetworkError::Failed(error.to_string()))?;
        }
        Ok(slot)
    }
}

/// Speaks to the preparer until either side has enough.
async fn run(channel: Channel, core: Arc<Core>, report: watch::Sender<Option<NetworkReport>>) {
    loop {
        let next = {
            let mut state = core.state();
            if state.unused {
                break;
            }
            state.next_request(core.pool_size)
        };
        let sent = match &next {
            None => None,
            Some(Next::Network(kind)) => Some(channel.send(&Ask::Network(*kind), &[]).await),
            Some(Next::Sockets(netns)) => Some(channel.send(&Ask::Sockets, &[netns.as_fd()]).await),
        };
        match sent {
            Some(Ok(())) => continue,
            Some(Err(_)) => break,
            None => {}
        }
        tokio::select! {
            () = core.wake.notified() => {}
            answer = channel.receive::<Answer>() => {
                let Ok(Some((answer, descriptors))) = answer else { break };
                hear(&core, &report, answer, descriptors);
            }
        }
    }
    let state = {
        let mut state = core.state();
        let left = std::mem::take(&mut *state);
        state.ended = true;
        left
    };
    // Prepared networks close before the line does, and who waits hears of the end.
    drop(state);
    channel.hang_up();
    while let Ok(Some(_)) = channel.receive::<Answer>().await {}
}

fn hear(
    core: &Core,
    report: &watch::Sender<Option<NetworkReport>>,
    answer: Answer,
    descriptors: Vec<OwnedFd>,
) {
    let (kind, made) = match answer {
        Answer::Report(said) => {
            if let super::Uplink::Unavailable { why, what_to_do } = &said.uplink {
                tracing::warn!(why, what_to_do, "functions have no outgoing network");
            }
            report.send_replace(Some(said));
            return;
        }
        Answer::Made(kind) => (
            kind,
            unpack(descriptors).map_err(|error| NetworkError::Failed(error.to_string())),
        ),
        Answer::Failed(kind, why) => (kind, Err(NetworkError::Failed(why))),
        Answer::Sockets => return hear_sockets(core, Ok(descriptors)),
        Answer::NoSockets(why) => return hear_sockets(core, Err(NetworkError::Failed(why))),
    };
    let mut state = core.state();
    let queue = state.queue(kind);
    queue.requested = queue.requested.saturating_sub(1);
    if let Err(error) = &made {
        tracing::warn!(%error, ?kind, "cannot prepare a network");
        queue.stock = false;
    }
    let mut made = Some(made);
    while let Some(result) = made.take() {
        let Some(waiting) = queue.waiting.pop_front() else {
            if let Ok(unused) = result {
                queue.ready.push_back(unused);
            }
            break;
        };
        // Comes back if that one waits no more.
        made = waiting.send(result).err();
    }
}

fn hear_sockets(core: &Core, made: MadeSockets) {
    let made = made.and_then(|sockets| match sockets.is_empty() {
        // They were made, and could not be received.
        true => Err(NetworkError::Failed(
            "the process has too many open files for more sockets".to_owned(),
        )),
        false => Ok(sockets),
    });
    let tell = core.state().sockets.requested.pop_front();
    // Whoever waited may have gone; the sockets close then.
    let _ = tell.map(|tell| tell.send(made));
}

/// The descriptors of [`Answer::Made`].
fn unpack(descriptors: Vec<OwnedFd>) -> io::Result<Unused> {
    let mut descriptors = descriptors.into_iter();
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "an answer lacks descriptors");
    let mut next = || descriptors.next().ok_or_else(missing);
    let (netns, runtime_api, door) = (next()?, next()?, next()?);
    let rest = next().and_then(|lifeline| Ok((lifeline, next()?, next()?)));
    let (lifeline, resolver) = match rest {
        Ok((lifeline, udp, tcp)) => (Some(lifeline), Some((udp.into(), tcp.into()))),
        Err(_) => (None, None),
    };
    Ok(Unused {
        slot: Slot {
            netns,
            runtime_api: runtime_api.into(),
            door: door.into(),
            resolver: tokio::task::JoinSet::new(),
            _lifeline: lifeline,
        },
        resolver,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel;

    /// A preparer's end that answers each request with plain descriptors.
    fn pool(pool_size: usize) -> (Preparer, Channel) {
        let (near, far) = channel::pair().unwrap();
        let options = NetworkOptions {
            pool_size,
            ..NetworkOptions::default()
        };
        let preparer = Preparer::new(Channel::new(near).unwrap(), &options);
        (preparer, Channel::new(far).unwrap())
    }

    async fn asked(far: &Channel) -> Network {
        match far.receive::<Ask>().await.unwrap().unwrap().0 {
            Ask::Network(kind) => kind,
            Ask::Sockets => panic!("nobody asked for sockets"),
        }
    }

    async fn answer(far: &Channel, kind: Network) {
        let files: Vec<OwnedFd> = (0..3)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap().into())
            .collect();
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        far.send(&Answer::Made(kind), &files).await.unwrap();
    }

    #[tokio::test]
    async fn the_store_fills_to_its_size_and_refills() {
        let (preparer, far) = pool(2);
        for _ in 0..2 {
            assert_eq!(asked(&far).await, Network::Egress);
            answer(&far, Network::Egress).await;
        }
        preparer.take(Network::Egress).await.unwrap();
        assert_eq!(asked(&far).await, Network::Egress);
    }

    #[tokio::test]
    async fn nothing_in_store_means_made_now_and_a_failure_reaches_who_waits() {
        let (preparer, far) = pool(0);
        let taking = tokio::spawn(async move { preparer.take(Network::None).await });
        assert_eq!(asked(&far).await, Network::None);
        far.send(
            &Answer::Failed(Network::None, "no descriptors".to_owned()),
            &[],
        )
        .await
        .unwrap();
        let error = taking.await.unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot prepare a network: no descriptors"
        );
    }

    #[tokio::test]
    async fn a_network_nobody_waits_for_any_more_is_kept_for_the_next() {
        let (preparer, far) = pool(0);
        let first = preparer.clone();
        let waiting = tokio::spawn(async move { first.take(Network::None).await });
        assert_eq!(asked(&far).await, Network::None);
        waiting.abort();
        let _ = waiting.await;
        answer(&far, Network::None).await;
        preparer.take(Network::None).await.unwrap();
    }

    #[tokio::test]
    async fn the_end_of_the_preparer_is_an_error_and_never_a_wait() {
        let (preparer, far) = pool(1);
        drop(far);
        let error = preparer.take(Network::Egress).await.unwrap_err();
        assert!(matches!(error, NetworkError::Gone));
        assert!(matches!(
            preparer.report().await.uplink,
            super::super::Uplink::Unavailable { .. }
        ));
    }

    #[tokio::test]
    async fn the_line_ends_with_the_last_handle() {
        let (preparer, far) = pool(0);
        let other = preparer.clone();
        drop(preparer);
        drop(other);
        assert!(far.receive::<Ask>().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn sockets_come_in_the_order_of_the_questions_and_a_failure_to_who_asked() {
        let (preparer, far) = pool(0);
        let (other, _) = channel::pair().unwrap();
        let netns = other.try_clone().unwrap();
        let first = preparer.clone();
        let first = tokio::spawn(async move { first.sockets(netns).await });
        let (asked, descriptors) = far.receive::<Ask>().await.unwrap().unwrap();
        assert_eq!((asked, descriptors.len()), (Ask::Sockets, 1));
        let second = tokio::spawn(async move { preparer.sockets(other).await });
        far.send(&Answer::NoSockets("none left".to_owned()), &[])
            .await
            .unwrap();
        assert!(
            first
                .await
                .unwrap()
                .unwrap_err()
                .to_string()
                .contains("none left")
        );
        let (asked, descriptors) = far.receive::<Ask>().await.unwrap().unwrap();
        assert_eq!(asked, Ask::Sockets);
        far.send(&Answer::Sockets, &[descriptors[0].as_fd()])
            .await
            .unwrap();
        assert_eq!(second.await.unwrap().unwrap().len(), 1);
    }
}
