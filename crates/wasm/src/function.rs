//! A program with its grants: what is called. Keeps idle instances where reuse is granted.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};

use crate::call::{Body, Call, CommandEnd, Failure};
use crate::grants::Grants;
use crate::program::Program;
use crate::wall::Wall;

/// A program with what it is granted. Cheap to clone; all clones share idle instances.
#[derive(Clone, Debug)]
pub struct Function {
    wall: Wall,
    program: Arc<Program>,
    grants: Arc<Grants>,
}

impl Function {
    pub(crate) fn new(wall: Wall, program: Arc<Program>, grants: Grants) -> Self {
        Self {
            wall,
            program,
            grants: Arc::new(grants),
        }
    }

    /// Its program.
    pub fn program(&self) -> &Program {
        &self.program
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
        let _ = (request, call, &self.wall, &self.grants);
        Err(Failure::Internal("not there yet".to_owned()))
    }

    /// Runs a command with `input` on its standard input to its end.
    ///
    /// # Errors
    /// How the guest failed. A command that ends by itself with an exit code is a [`CommandEnd`].
    pub async fn command(&self, input: Bytes, call: Call) -> Result<CommandEnd, Failure> {
        let _ = (input, call);
        Err(Failure::Internal("not there yet".to_owned()))
    }
}
