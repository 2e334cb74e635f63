//! Work that ends when nobody waits for it any more.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Error;
use tokio::task::JoinHandle;

/// A task that is ended when this is dropped.
#[derive(Debug)]
pub(crate) struct Task<T>(JoinHandle<Result<T, Error>>);

impl<T> Task<T> {
    pub(crate) fn new(handle: JoinHandle<Result<T, Error>>) -> Self {
        Self(handle)
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // It was not ended by us: the runtime is going down, or it panicked, which was reported.
        Pin::new(&mut self.0)
            .poll(context)
            .map(|end| end.unwrap_or(Err(Error::Ended)))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
