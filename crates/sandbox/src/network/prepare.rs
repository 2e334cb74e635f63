//! The preparer: a process beside the main one, with privileges over networks, that makes namespaces when asked.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::netlink::{self, Netlink};
use super::options::DNS_PORT;
use super::router::{Cable, Router};
use super::{Network, NetworkOptions, NetworkReport, Uplink, netns};
use crate::channel::Channel;
use crate::{DOOR_PORT, RUNTIME_API_PORT};

/// The number of the loopback interface in every namespace (`LOOPBACK_IFINDEX` in the kernel's net/core/dev.c).
const LOOPBACK_INDEX: u32 = 1;

/// What the preparer is asked for.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
pub(super) enum Ask {
    /// A network for one environment.
    Network(Network),
    /// Sockets in a network; its namespace comes along as descriptor.
    Sockets,
}

/// What one request for sockets gives: enough for most servers, few enough for one message
/// ([`crate::channel::MAX_DESCRIPTORS`]).
pub(super) const SOCKETS: usize = 8;

/// What the preparer says. The first message is the report; then one answer for each request, in order.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    /// What it can do.
    Report(NetworkReport),
    /// Descriptors: the namespace, the Runtime API's listener, the door's. With a way out also the lifeline, and the
    /// resolver's UDP and TCP sockets.
    Made(Network),
    /// Nothing was made, and why.
    Failed(Network, String),
    /// Descriptors: TCP sockets, not connected, non-blocking.
    Sockets,
    /// There are none, and why.
    NoSockets(String),
}

/// Serves requests until the other side of `line` is gone, then removes what it made and returns. For a
/// process of its own, single-threaded until now, that is root or "root" of a user namespace of its own.
pub fn preparer_main(line: OwnedFd, options: NetworkOptions) {
    // There is something to clean up after the end of whoever forked this process; the end of the line tells.
    let _ = rustix::process::set_parent_process_death_signal(None);
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(serve(line, options)));
    if let Err(error) = served {
        eprintln!("hearth network: {error}");
    }
}

/// What wakes the preparer.
enum Event {
    Asked(io::Result<Option<(Ask, Vec<OwnedFd>)>>),
    Freed(Cable),
    HostChanged,
    UplinkRestarted,
}

async fn serve(line: OwnedFd, options: NetworkOptions) -> io::Result<()> {
    let line = Channel::new(line)?;
    let changes = netlink::changes()?;
    let built = Router::build(&options).await;
    let uplink = built.as_ref().map_or_else(Clone::clone, Router::uplink);
    let mut router = built.ok();
    let outcome = match line
        .send(&Answer::Report(NetworkReport { uplink }), &[])
        .await
    {
        Ok(()) => answer_requests(&line, &changes, &mut router).await,
        Err(error) => Err(error),
    };
    if let Some(router) = router {
        router.close().await;
    }
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

async fn answer_requests(
    line: &Channel,
    changes: &tokio::sync::Notify,
    router: &mut Option<Router>,
) -> io::Result<()> {
    // Bounded by the number of slots: each is freed once.
    let (free, mut freed) = mpsc::unbounded_channel();
    loop {
        let event = {
            let uplink = pin!(async {
                match router {
                    Some(router) => router.keep_up().await,
                    None => std::future::pending().await,
                }
            });
            tokio::select! {
                // What is given back first, so that addresses are there for what is asked.
                biased;
                Some(cable) = freed.recv() => Event::Freed(cable),
                () = changes.notified() => Event::HostChanged,
                asked = line.receive::<Ask>() => Event::Asked(asked),
                () = uplink => Event::UplinkRestarted,
            }
        };
        match event {
            Event::Asked(asked) => {
                let Some((asked, descriptors)) = asked? else {
                    return Ok(());
                };
                let Ask::Network(kind) = asked else {
                    give_sockets(line, descriptors.first()).await?;
                    continue;
                };
                match make(kind, router.as_mut(), &free).await {
                    Ok(made) => {
                        let descriptors: Vec<_> = made.iter().map(AsFd::as_fd).collect();
                        line.send(&Answer::Made(kind), &descriptors).await?;
                    }
                    Err(error) => {
                        line.send(&Answer::Failed(kind, error.to_string()), &[])
                            .await?
                    }
                }
            }
            Event::Freed(cable) => {
                if let Some(router) = router {
                    router.disconnect(cable).await;
                }
            }
            Event::HostChanged => {
                if let Some(router) = router
                    && let Err(error) = router.follow_host().await
                {
                    eprintln!("hearth network: {error}");
                }
            }
            Event::UplinkRestarted => {}
        }
    }
}

/// Opens sockets in a namespace. They stay in it, wherever they are used from.
async fn give_sockets(line: &Channel, netns: Option<&OwnedFd>) -> io::Result<()> {
    let opened = match netns {
        Some(netns) => netns::inside(netns.as_fd(), || {
            (0..SOCKETS)
                .map(|_| {
                    let socket = rustix::net::socket_with(
                        rustix::net::AddressFamily::INET,
                        rustix::net::SocketType::STREAM,
                        rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK,
                        None,
                    )?;
                    Ok(socket)
                })
                .collect::<io::Result<Vec<OwnedFd>>>()
        }),
        None => Err(io::Error::other("no namespace came with the request")),
    };
    match opened {
        Ok(sockets) => {
            let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            line.send(&Answer::Sockets, &sockets).await
        }
        Err(error) => line.send(&Answer::NoSockets(error.to_string()), &[]).await,
    }
}

/// Makes a namespace and what belongs into it, as [`Answer::Made`] has it.
async fn make(
    kind: Network,
    router: Option<&mut Router>,
    free: &mpsc::UnboundedSender<Cable>,
) -> io::Result<Vec<OwnedFd>> {
    let netns = netns::create()?;
    let inside = Netlink::inside(netns.as_fd())?;
    inside.up(LOOPBACK_INDEX).await?;
    let router = match kind {
        Network::Egress => router,
        Network::None => None,
    };
    let Some(router) = router else {
        let [runtime_api, door] = doors(&netns)?;
        return Ok(vec![netns, runtime_api, door]);
    };
    let cable = router.connect(&netns, &inside).await?;
    // From here on the cable goes when the lifeline's other end is closed, also when that is by an early return.
    let lifeline = watch(cable, free.clone())?;
    let [runtime_api, door] = doors(&netns)?;
    let [udp, tcp] = netns::inside(netns.as_fd(), || {
        let place = (Ipv4Addr::LOCALHOST, DNS_PORT);
        Ok([
            UdpSocket::bind(place)?.into(),
            TcpListener::bind(place)?.into(),
        ])
    })?;
    Ok(vec![netns, runtime_api, door, lifeline, udp, tcp])
}

fn doors(netns: &OwnedFd) -> io::Result<[OwnedFd; 2]> {
    netns::inside(netns.as_fd(), || {
        let listen = |port| -> io::Result<OwnedFd> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
            listener.set_nonblocking(true)?;
            Ok(listener.into())
        };
        Ok([listen(RUNTIME_API_PORT)?, listen(DOOR_PORT)?])
    })
}

/// Gives the cable back once all copies of the returned descriptor are closed.
fn watch(cable: Cable, free: mpsc::UnboundedSender<Cable>) -> io::Result<OwnedFd> {
    let made = std::io::pipe().and_then(|(here, there)| {
        Ok((
            pipe::Receiver::from_owned_fd(here.into())?,
            OwnedFd::from(there),
        ))
    });
    let (mut here, there) = match made {
        Ok(made) => made,
        Err(error) => {
            let _ = free.send(cable);
            return Err(error);
        }
    };
    tokio::spawn(async move {
        // Nobody writes: whatever comes is the end.
        let _ = here.read(&mut [0]).await;
        let _ = free.send(cable);
    });
    Ok(there)
}

/// For the report when the preparer could not even say what it lacks.
pub(super) fn unreachable(why: String) -> NetworkReport {
    NetworkReport {
        uplink: Uplink::Unavailable {
            why,
            what_to_do: "look for earlier messages, then start again".to_owned(),
        },
    }
}
