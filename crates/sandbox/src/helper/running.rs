//! One sandbox as the launcher sees it, from its birth to the removal of its last trace.

use std::os::fd::AsFd;

use super::clone::{self, Born, Limits};
use super::polling::Watch;
use super::trial::Walls;
use crate::cgroup;
use crate::channel;
use crate::protocol::{Event, Failure, Meter, Report};
use crate::spec::{Exit, StartCpu, Usage};

#[derive(Debug)]
pub(super) struct Running {
    born: Born,
    limits: Limits,
    /// Whether the program has been executed.
    started: bool,
    /// What pid 1 said last.
    last: Option<Report>,
    /// Where there is no cgroup.
    watch: Option<Watch>,
}

impl Running {
    pub(super) fn new(born: Born, limits: Limits) -> Self {
        let watch = born
            .group
            .is_none()
            .then(|| Watch::new(born.child.pid, limits.memory_mib));
        Self {
            born,
            limits,
            started: false,
            last: None,
            watch,
        }
    }

    pub(super) fn born(&self) -> &Born {
        &self.born
    }

    /// Kills everything inside; what is left is seen to once pid 1 is dead.
    pub(super) fn kill(&self) {
        self.let_die();
        // Fails only if it is dead already.
        let _ = rustix::process::pidfd_send_signal(
            &self.born.child.pidfd,
            rustix::process::Signal::KILL,
        );
    }

    /// Nothing inside runs any more, or will in a moment: no processor limit may keep it from dying.
    fn let_die(&self) {
        if let Some(group) = &self.born.group {
            // Fails only if the sandbox is gone. Otherwise it would die all the same, later.
            let _ = group.free_cpu();
        }
    }

    pub(super) fn limit_cpu(&self) {
        if let Some(group) = &self.born.group {
            // Fails only if the sandbox is gone.
            let _ = group.limit_cpu(self.limits.memory_mib, StartCpu::Share);
        }
    }

    /// Hears what pid 1 has to say; `true` while there may be more.
    pub(super) fn listen(&mut self, id: u64, events: &mut Vec<Event>) -> bool {
        loop {
            match channel::receive::<Report>(self.born.line.as_fd()) {
                Ok(Some((Report::Started, _))) => {
                    self.started = true;
                    let meter = self
                        .born
                        .group
                        .as_ref()
                        .map_or(Meter::Polled, cgroup::Group::meter);
                    events.push(Event::Launched {
                        id,
                        pid: self.born.child.pid.cast_unsigned(),
                        meter,
                    });
                }
                Ok(Some((report, _))) => {
                    // Pid 1 ends after any other report, and all that is left inside with it.
                    self.let_die();
                    self.last = Some(report);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return true,
                Ok(None) | Err(_) => return false,
            }
        }
    }

    /// Measures a sandbox without a cgroup, and kills it when it is over its limit.
    pub(super) fn poll(&mut self, id: u64, events: &mut Vec<Event>) {
        let Some(watch) = &mut self.watch else { return };
        if let Some(usage) = watch.measure() {
            events.push(Event::Polled { id, usage });
        }
        if watch.over() {
            self.kill();
        }
    }

    /// After the death of pid 1: waits for it, gives everything back and says how it ended.
    pub(super) fn finish(mut self, id: u64, walls: &mut Walls, events: &mut Vec<Event>) {
        self.listen(id, events);
        clone::kill_and_reap(&self.born.child);
        let group = self.born.group.take();
        let starved = group.as_ref().is_some_and(cgroup::Group::ran_out_of_memory)
            || self.watch.as_ref().is_some_and(Watch::over);
        let metered = group
            .as_ref()
            .and_then(|group| cgroup::read_usage(&group.meter()));
        clone::put_back(walls, group, Some(self.born.user));
        events.push(match self.last {
            Some(Report::Failed(failure)) => Event::Failed { id, failure },
            _ if !self.started => {
                let reason = if starved {
                    "out of memory"
                } else {
                    "pid 1 ended early"
                };
                Event::Failed {
                    id,
                    failure: Failure::Setup {
                        step: "start the function".to_owned(),
                        reason: reason.to_owned(),
                    },
                }
            }
            Some(Report::Ended {
                status,
                peak_bytes,
                cpu_us,
            }) => {
                let polled = self.watch.as_ref().map_or(0, Watch::peak_bytes);
                let reported = Usage {
                    peak_memory_bytes: peak_bytes.max(polled),
                    cpu: std::time::Duration::from_micros(cpu_us),
                };
                Event::Exited {
                    id,
                    exit: exit(status, starved),
                    usage: metered.unwrap_or(reported),
                }
            }
            _ => {
                let polled = self.watch.as_ref().map(Watch::usage).unwrap_or_default();
                Event::Exited {
                    id,
                    exit: exit(libc::SIGKILL, starved),
                    usage: metered.unwrap_or(polled),
                }
            }
        });
    }
}

/// A `wait` status in our own words.
fn exit(status: i32, starved: bool) -> Exit {
    if libc::WIFEXITED(status) {
        Exit::Code(libc::WEXITSTATUS(status))
    } else if starved && libc::WTERMSIG(status) == libc::SIGKILL {
        Exit::OutOfMemory
    } else {
        Exit::Signal(libc::WTERMSIG(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_status_is_told_apart() {
        assert_eq!(exit(3 << 8, false), Exit::Code(3));
        assert_eq!(exit(libc::SIGSEGV, false), Exit::Signal(libc::SIGSEGV));
        assert_eq!(exit(libc::SIGKILL, false), Exit::Signal(libc::SIGKILL));
        assert_eq!(exit(libc::SIGKILL, true), Exit::OutOfMemory);
    }

    #[test]
    fn only_the_killing_of_the_main_process_is_out_of_memory() {
        // The kernel killed a child; the main process noticed and left by itself.
        assert_eq!(exit(1 << 8, true), Exit::Code(1));
        assert_eq!(exit(libc::SIGABRT, true), Exit::Signal(libc::SIGABRT));
    }
}
