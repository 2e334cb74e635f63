//! Threads that serve connections: one for each processor, each with a runtime of its own.
//!
//! A connection stays with its thread, and so does what it starts: its requests, an environment's life, connections to
//! servers and engines. What these tell each other wakes no other thread, which on the way of a small request costs more
//! than the request. Runtimes whose threads take work from each other would balance better; in their place, a connection
//! goes to the thread that has the fewest, and guests that compute for long are moved elsewhere by their walls.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Tasks that are polled until sockets and timers are looked at, while there are tasks to poll: a guest that computes is one,
/// for a millisecond or two each time. The runtime's own 61 are for threads that help each other.
const POLLS_BETWEEN_EVENTS: u32 = 16;

/// The same, until what other threads hand over is looked at: new connections are among that.
const POLLS_BETWEEN_ARRIVALS: u32 = 8;

/// The threads. Dropping this drops what runs on them, and waits for that: not to be done on one of them.
#[derive(Debug)]
pub struct FrontThreads {
    /// Dropped to end them.
    running: Vec<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
    spread: Spread,
}

impl FrontThreads {
    /// Starts one for each processor that this process may use.
    ///
    /// # Errors
    /// If the system refuses a thread or what a runtime needs of it.
    pub fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut started = Self {
            running: Vec::with_capacity(count),
            threads: Vec::with_capacity(count),
            spread: Spread::default(),
        };
        let mut fronts = Vec::with_capacity(count);
        for number in 0..count {
            let (running, ended) = oneshot::channel();
            let (tell, told) = mpsc::channel();
            let thread = thread::Builder::new()
                .name(format!("front-{number}"))
                .spawn(move || serve(ended, &tell))?;
            // It says one thing or another.
            let handle = told.recv().map_err(io::Error::other)??;
            fronts.push(Arc::new(Front {
                handle,
                connections: AtomicUsize::new(0),
            }));
            started.running.push(running);
            started.threads.push(thread);
        }
        started.spread = Spread(fronts.into());
        Ok(started)
    }

    /// The way to them.
    pub fn spread(&self) -> Spread {
        self.spread.clone()
    }
}

/// What one thread does until it is to end; it tells how its runtime is reached.
fn serve(ended: oneshot::Receiver<()>, tell: &mpsc::Sender<io::Result<Handle>>) {
    let built = Builder::new_current_thread()
        .enable_all()
        .event_interval(POLLS_BETWEEN_EVENTS)
        .global_queue_interval(POLLS_BETWEEN_ARRIVALS)
        .build();
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = tell.send(Err(error));
            return;
        }
    };
    let _ = tell.send(Ok(runtime.handle().clone()));
    let _ = runtime.block_on(ended);
    // Threads for blocking work may be in the middle of it: whoever waits for that does so elsewhere.
    runtime.shutdown_background();
}

impl Drop for FrontThreads {
    fn drop(&mut self) {
        self.running.clear();
        for thread in self.threads.drain(..) {
            // It only fails by a panic of its own, which was reported as such.
            let _ = thread.join();
        }
    }
}

/// Where connections are served. By default, on the runtime that accepts them.
#[derive(Clone, Debug, Default)]
pub struct Spread(Arc<[Arc<Front>]>);

#[derive(Debug)]
struct Front {
    handle: Handle,
    connections: AtomicUsize,
}

impl Spread {
    /// A place on the thread that has the fewest connections; `None` if there are no threads.
    pub(crate) fn place(&self) -> Option<Place> {
        let connections = |front: &&Arc<Front>| front.connections.load(Ordering::Relaxed);
        let front = self.0.iter().min_by_key(connections)?;
        front.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place(Arc::clone(front)))
    }
}

/// One connection's place on a thread.
pub(crate) struct Place(Arc<Front>);

impl Place {
    pub(crate) fn handle(&self) -> Handle {
        self.0.handle.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(spread: &Spread) -> Vec<usize> {
        let fronts = spread.0.iter();
        fronts
            .map(|front| front.connections.load(Ordering::Relaxed))
            .collect()
    }

    #[test]
    fn a_connection_goes_where_the_fewest_are() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let front = || {
            Arc::new(Front {
                handle: runtime.handle().clone(),
                connections: AtomicUsize::new(0),
            })
        };
        let spread = Spread([front(), front(), front()].into());
        let mut places: Vec<_> = (0..7).map(|_| spread.place().unwrap()).collect();
        assert_eq!(connections(&spread), [3, 2, 2]);
        // All of the second thread's end.
        places.retain(|place| !Arc::ptr_eq(&place.0, &spread.0[1]));
        assert_eq!(connections(&spread), [3, 0, 2]);
        places.push(spread.place().unwrap());
        assert_eq!(connections(&spread), [3, 1, 2]);
        drop(places);
        assert_eq!(connections(&spread), [0, 0, 0]);
        assert!(Spread::default().place().is_none());
    }

    #[test]
    fn what_runs_there_is_dropped_with_the_threads() {
        let fronts = FrontThreads::start().unwrap();
        let place = fronts.spread().place().unwrap();
        let (alive, gone) = std::sync::mpsc::channel::<()>();
        place.handle().spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        assert!(gone.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty));
        drop(fronts);
        assert!(gone.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected));
    }
}
