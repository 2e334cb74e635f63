//! What is called: a program with its grants, whose guests run here or in a process of their account's.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};

use crate::body::LocalBody;
use crate::call::{Call, CommandEnd, Failure};
use crate::function::LocalFunction;
use crate::process::{Remote, RemoteBody};
use crate::program::Program;

/// A program with what it is granted. Cheap to clone; all clones share idle instances.
#[derive(Clone, Debug)]
pub struct Function(Place);

#[derive(Clone, Debug)]
enum Place {
    Here(LocalFunction),
    Process(Arc<Remote>),
}

impl Function {
    pub(crate) fn here(function: LocalFunction) -> Self {
        Self(Place::Here(function))
    }

    pub(crate) fn in_process(function: Remote) -> Self {
        Self(Place::Process(Arc::new(function)))
    }

    /// Its program.
    pub fn program(&self) -> &Program {
        match &self.0 {
            Place::Here(function) => function.program(),
            Place::Process(function) => function.program(),
        }
    }

    /// Hands a request to the guest and waits for the head of its response; the body streams while the guest goes on.
    /// Dropping the future or the body ends the guest.
    ///
    /// # Errors
    /// How the guest failed before its response began. `call.ended` has been told, too.
    pub async fn request<B>(
        &self,
        request: Request<B>,
        call: Call,
    ) -> Result<Response<Body>, Failure>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match &self.0 {
            Place::Here(function) => {
                let response = function.request(request, call).await?;
                Ok(response.map(|body| Body(Source::Here(Box::new(body)))))
            }
            Place::Process(function) => {
                let response = function.request(request, call).await?;
                Ok(response.map(|body| Body(Source::Process(body))))
            }
        }
    }

    /// Runs a command with `input` on its standard input to its end.
    ///
    /// # Errors
    /// How the guest failed. A command that ends by itself with an exit code is a [`CommandEnd`].
    pub async fn command(&self, input: Bytes, call: Call) -> Result<CommandEnd, Failure> {
        match &self.0 {
            Place::Here(function) => function.command(input, call).await,
            Place::Process(function) => function.command(input, call).await,
        }
    }
}

/// The body of a guest's response, as it is produced.
#[derive(Debug)]
pub struct Body(Source);

#[derive(Debug)]
enum Source {
    Here(Box<LocalBody>),
    Process(RemoteBody),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match &mut self.0 {
            Source::Here(body) => Pin::new(&mut **body).poll_frame(cx),
            Source::Process(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Here(body) => body.is_end_stream(),
            Source::Process(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Here(body) => body.size_hint(),
            Source::Process(body) => body.size_hint(),
        }
    }
}
