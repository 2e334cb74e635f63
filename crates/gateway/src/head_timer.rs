//! The time for the heads of a connection's requests, without a timer of its own for each.
//!
//! The server sets a deadline before each head and drops it when the head has come. A timer of the runtime stands in a
//! list that all connections share, under one lock: to enter it and take it out again for every request costs more
//! than a look-up of a route. Here a connection has one timer. It is left as it is when a deadline is dropped, and is
//! moved on only when it rings: at most once in the time that a head has.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};

/// The timer of one connection's heads. It never rings after the deadline that is set, because each deadline is later
/// than those before it.
#[derive(Clone, Debug)]
pub(crate) struct HeadTimer(Arc<Mutex<Pin<Box<tokio::time::Sleep>>>>);

impl HeadTimer {
    /// `head`: the time for a head, and so no more than what is left to the first deadline.
    pub(crate) fn new(head: Duration) -> Self {
        Self(Arc::new(Mutex::new(Box::pin(tokio::time::sleep(head)))))
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Deadline {
            at: deadline.into(),
            timer: self.clone(),
        })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

/// One head's deadline.
struct Deadline {
    at: tokio::time::Instant,
    timer: HeadTimer,
}

impl Sleep for Deadline {}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Never waited for: only the connection's own task takes it.
        let mut timer = self.timer.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            ready!(timer.as_mut().poll(cx));
            // It has rung for an earlier head.
            if tokio::time::Instant::now() >= self.at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn each_deadline_counts_from_when_it_was_set() {
        let start = tokio::time::Instant::now();
        let timer = HeadTimer::new(HEAD);
        for _ in 0..5 {
            // A head that comes in time.
            let deadline = timer.sleep(HEAD);
            let came = tokio::time::sleep(Duration::from_secs(50));
            tokio::select! {
                () = deadline => panic!("the deadline came first"),
                () = came => {}
            }
        }
        assert_eq!(start.elapsed(), Duration::from_secs(250));
        timer.sleep(HEAD).await;
        let waited = start.elapsed();
        assert!((310..=311).contains(&waited.as_secs()), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_deadline_is_kept() {
        let start = tokio::time::Instant::now();
        HeadTimer::new(HEAD).sleep(HEAD).await;
        let waited = start.elapsed();
        assert!((60..=61).contains(&waited.as_secs()), "{waited:?}");
    }
}
