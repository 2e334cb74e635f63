//! The launcher's event loop.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::process::Pid;

use super::clone::{self, Limits};
use super::polling;
use super::running::Running;
use super::trial::Walls;
use crate::channel;
use crate::protocol::{Event, Failure, Order, Request};

/// What an event is about. Sandboxes have numbers from 1 up, two tokens each.
const MAIN_LINE: u64 = 0;
const MAIN_PROCESS: u64 = 1;

/// How long to wait at the end for the kernel to let go of cgroups.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How long nothing must have happened before work is done ahead; also the pause between attempts to remove
/// a group that the kernel still holds.
const QUIET: Duration = Duration::from_millis(5);

pub(super) struct Server {
    walls: Walls,
    line: OwnedFd,
    epoll: OwnedFd,
    running: HashMap<u64, Running>,
    /// Kept open while it is watched.
    _main: Option<OwnedFd>,
}

impl Server {
    pub(super) fn new(walls: Walls, line: OwnedFd, main: Option<Pid>) -> io::Result<Self> {
        let watch = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let token = epoll::EventData::new_u64;
        epoll::add(&watch, &line, token(MAIN_LINE), epoll::EventFlags::IN)?;
        // The line ends with the main process, unless a child of it has inherited the other end.
        let main = main.and_then(|pid| {
            rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
        });
        if let Some(main) = &main {
            epoll::add(&watch, main, token(MAIN_PROCESS), epoll::EventFlags::IN)?;
        }
        Ok(Self {
            walls,
            line,
            epoll: watch,
            running: HashMap::new(),
            _main: main,
        })
    }

    /// Serves until the main process hangs up or is gone; then nothing is left.
    pub(super) fn run(mut self) -> io::Result<()> {
        let outcome = self.serve();
        self.end();
        outcome
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut ready = Vec::with_capacity(64);
        let mut next_poll = Instant::now();
        loop {
            ready.clear();
            let timeout = self
                .patience(next_poll)
                .and_then(|patience| Timespec::try_from(patience).ok());
            match epoll::wait(&self.epoll, spare_capacity(&mut ready), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let quiet = ready.is_empty();
            let mut events = Vec::new();
            for event in ready.drain(..) {
                match event.data.u64() {
                    MAIN_LINE => match channel::receive::<Request>(self.line.as_fd()) {
                        Ok(Some((request, descriptors))) => {
                            self.answer(request, descriptors, &mut events)
                        }
                        Ok(None) => return Ok(()),
                        Err(error) => eprintln!("hearth launcher: unreadable request: {error}"),
                    },
                    MAIN_PROCESS => return Ok(()),
                    token if token % 2 == 0 => self.hear(token / 2, &mut events),
                    token => self.bury(token / 2, &mut events),
                }
            }
            if self.walls.groups.is_none() && Instant::now() >= next_poll {
                next_poll = Instant::now() + polling::INTERVAL;
                self.running
                    .iter_mut()
                    .for_each(|(id, sandbox)| sandbox.poll(*id, &mut events));
            }
            for event in events {
                if channel::send(self.line.as_fd(), &event, &[]).is_err() {
                    return Ok(());
                }
            }
            if quiet && let Some(groups) = &mut self.walls.groups {
                groups.tend();
            }
        }
    }

    /// How long nothing may happen before there is something to do; `None` for ever.
    fn patience(&self, next_poll: Instant) -> Option<Duration> {
        match &self.walls.groups {
            Some(groups) => groups.wants_tending().then_some(QUIET),
            None if self.running.is_empty() => None,
            None => Some(next_poll.saturating_duration_since(Instant::now())),
        }
    }

    fn answer(&mut self, request: Request, descriptors: Vec<OwnedFd>, events: &mut Vec<Event>) {
        match request {
            Request::Launch { id, order } => {
                if let Err(failure) = self.launch(id, &order, descriptors) {
                    events.push(Event::Failed { id, failure });
                }
            }
            Request::Kill { id } => self.running.get(&id).into_iter().for_each(Running::kill),
            Request::LimitCpu { id } => self
                .running
                .get(&id)
                .into_iter()
                .for_each(Running::limit_cpu),
            Request::Start { .. } => {}
        }
    }

    fn launch(&mut self, id: u64, order: &Order, descriptors: Vec<OwnedFd>) -> Result<(), Failure> {
        let limits = Limits {
            memory_mib: order.memory_mib,
            tmp_mib: order.tmp_mib,
            start_cpu: order.start_cpu,
        };
        let work = clone::prepare(order, descriptors)?;
        let sandbox = Running::new(clone::start(&mut self.walls, &limits, work)?, limits);
        let token = epoll::EventData::new_u64;
        let watched = epoll::add(
            &self.epoll,
            &sandbox.born().line,
            token(id * 2),
            epoll::EventFlags::IN,
        )
        .and_then(|()| {
            epoll::add(
                &self.epoll,
                &sandbox.born().child.pidfd,
                token(id * 2 + 1),
                epoll::EventFlags::IN,
            )
        });
        if let Err(error) = watched {
            sandbox.finish(id, &mut self.walls, &mut Vec::new());
            return Err(Failure::setup("watch the sandbox", &error.into()));
        }
        self.running.insert(id, sandbox);
        Ok(())
    }

    /// A pid 1 has spoken or hung up.
    fn hear(&mut self, id: u64, events: &mut Vec<Event>) {
        if let Some(sandbox) = self.running.get_mut(&id)
            && !sandbox.listen(id, events)
        {
            let _ = epoll::delete(&self.epoll, &sandbox.born().line);
        }
    }

    /// A pid 1 is dead.
    fn bury(&mut self, id: u64, events: &mut Vec<Event>) {
        if let Some(sandbox) = self.running.remove(&id) {
            let _ = epoll::delete(&self.epoll, &sandbox.born().child.pidfd);
            let _ = epoll::delete(&self.epoll, &sandbox.born().line);
            sandbox.finish(id, &mut self.walls, events);
        }
    }

    /// Kills what runs and removes what is left.
    fn end(&mut self) {
        self.running.values().for_each(Running::kill);
        for (id, sandbox) in self.running.drain() {
            sandbox.finish(id, &mut self.walls, &mut Vec::new());
        }
        let Some(groups) = &mut self.walls.groups else {
            return;
        };
        let deadline = Instant::now() + LAST_WAIT;
        while !groups.clear() && Instant::now() < deadline {
            std::thread::sleep(QUIET);
        }
    }
}
