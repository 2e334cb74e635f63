//! The main process's handle on one running sandbox.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpSocket;
use tokio::sync::watch;

use crate::cgroup;
use crate::launcher::Orders;
use crate::network::{Preparer, Slot};
use crate::protocol::{Meter, Request};
use crate::spec::{Exit, Usage};

/// One running sandbox. Dropping it kills everything inside and cleans up in the background.
#[derive(Debug)]
pub struct Sandbox {
    life: Arc<Life>,
    orders: Orders,
    runtime_api: Option<TcpListener>,
    door: Option<TcpListener>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    preparer: Preparer,
    /// Sockets in its network that are not connected yet.
    spare: tokio::sync::Mutex<Vec<OwnedFd>>,
}

/// What the handle and the task that hears the launcher share.
#[derive(Debug)]
pub(crate) struct Life {
    id: u64,
    pid: u32,
    meter: Meter,
    /// Requests that are sent once.
    killed: AtomicBool,
    limited: AtomicBool,
    exit: watch::Sender<Option<Exit>>,
    /// The last that was heard of its use: the final one once it has ended.
    usage: Mutex<Usage>,
    /// Its network, given back when no process is left to use it.
    slot: Mutex<Option<Slot>>,
}

impl Life {
    pub(crate) fn new(id: u64, pid: u32, meter: Meter) -> Self {
        Self {
            id,
            pid,
            meter,
            killed: AtomicBool::new(false),
            limited: AtomicBool::new(false),
            exit: watch::Sender::new(None),
            usage: Mutex::default(),
            slot: Mutex::default(),
        }
    }

    /// Takes the network into keeping until the end.
    pub(crate) fn keep(&self, slot: Slot) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot);
        // It may have ended meanwhile.
        if self.exit.borrow().is_some() {
            self.release();
        }
    }

    pub(crate) fn used(&self, usage: Usage) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    /// No process is left.
    pub(crate) fn end(&self, exit: Exit, usage: Option<Usage>) {
        usage.into_iter().for_each(|usage| self.used(usage));
        self.exit.send_replace(Some(exit));
        self.release();
    }

    /// Its network namespace; `None` once no process is left.
    fn netns(&self) -> Option<io::Result<OwnedFd>> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map(|slot| slot.netns.try_clone())
    }

    fn release(&self) {
        let slot = self
            .slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(slot);
    }
}

impl Sandbox {
    pub(crate) fn new(
        life: Arc<Life>,
        orders: Orders,
        [runtime_api, door]: [TcpListener; 2],
        [stdout, stderr]: [OwnedFd; 2],
        preparer: Preparer,
    ) -> Self {
        Self {
            life,
            orders,
            runtime_api: Some(runtime_api),
            door: Some(door),
            stdout: Some(stdout),
            stderr: Some(stderr),
            preparer,
            spare: tokio::sync::Mutex::default(),
        }
    }

    /// The listening socket at `127.0.0.1:9001` inside, non-blocking; `None` once taken.
    pub fn take_runtime_api(&mut self) -> Option<TcpListener> {
        self.runtime_api.take()
    }

    /// The listening socket at `127.0.0.1:9002` inside, non-blocking; `None` once taken.
    pub fn take_door(&mut self) -> Option<TcpListener> {
        self.door.take()
    }

    /// The read end of the function's standard output, non-blocking; `None` once taken. A function that writes while the
    /// pipe is full waits: read it, or take and close it.
    pub fn take_stdout(&mut self) -> Option<OwnedFd> {
        self.stdout.take()
    }

    /// The read end of the function's standard error, like [`Sandbox::take_stdout`].
    pub fn take_stderr(&mut self) -> Option<OwnedFd> {
        self.stderr.take()
    }

    /// Connects to `127.0.0.1:port` inside, as a process in there would. The connection is not delayed (`TCP_NODELAY`).
    /// Each takes one descriptor, and a few more are kept for those to come. Cancel safe.
    ///
    /// # Errors
    /// `ConnectionRefused` while nothing listens there; `NotConnected` once no process is left; others are the host's
    /// fault.
    pub async fn connect(&self, port: u16) -> io::Result<tokio::net::TcpStream> {
        let socket = TcpSocket::from_std_stream(TcpStream::from(self.socket().await?));
        let stream = socket.connect((Ipv4Addr::LOCALHOST, port).into()).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A socket in its network.
    async fn socket(&self) -> io::Result<OwnedFd> {
        // The network may outlive what was in it for a moment.
        if self.life.exit.borrow().is_some() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        // Held while more are fetched: whoever comes meanwhile takes one of those.
        let mut spare = self.spare.lock().await;
        if let Some(socket) = spare.pop() {
            return Ok(socket);
        }
        let netns = self.life.netns().ok_or(io::ErrorKind::NotConnected)??;
        let mut sockets = self
            .preparer
            .sockets(netns)
            .await
            .map_err(io::Error::other)?;
        let socket = sockets.pop().ok_or(io::ErrorKind::NotConnected)?;
        *spare = sockets;
        Ok(socket)
    }

    /// The process number of the sandbox's pid 1 as the host sees it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.life.pid
    }

    /// Waits until the function's main process has ended and nothing is left of the sandbox, and says how it ended. All other
    /// processes inside end with it. Cancel safe; any number of callers may wait.
    pub async fn wait(&self) -> Exit {
        let mut exit = self.life.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await.map(|exit| *exit);
        // The sender lives in `life`, which lives as long as this call.
        ended.ok().flatten().unwrap_or(Exit::Signal(libc::SIGKILL))
    }

    /// Kills everything inside, without waiting. [`Sandbox::wait`] then gives `Exit::Signal(9)`.
    pub fn kill(&self) {
        if !self.life.killed.swap(true, Ordering::Relaxed) && self.life.exit.borrow().is_none() {
            self.orders.send(Request::Kill { id: self.life.id });
        }
    }

    /// Ends the boost of [`StartCpu::Boost`](crate::StartCpu::Boost): from now on the processor's share is the one of
    /// the memory size. Does not wait.
    pub fn limit_cpu(&self) {
        if !self.life.limited.swap(true, Ordering::Relaxed) {
            self.orders.send(Request::LimitCpu { id: self.life.id });
        }
    }

    /// What the sandbox used so far; its final use once it has ended. Reads one or two small kernel files.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let running = self.life.exit.borrow().is_none();
        let read = if running {
            cgroup::read_usage(&self.life.meter)
        } else {
            None
        };
        read.unwrap_or_else(|| {
            *self
                .life
                .usage
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        })
    }

    /// Kills everything inside and waits until no process, mount, cgroup or network of it is left. Cancelling it cancels only
    /// the waiting.
    pub async fn destroy(self) {
        self.kill();
        self.wait().await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill();
    }
}
