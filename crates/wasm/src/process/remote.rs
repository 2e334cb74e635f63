//! In the node: a function whose guests run in its account's process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::{Bytes, BytesMut};
use hearth_egress::Egress;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::Mutex;
use tokio::time::timeout_at;

use super::Reach;
use super::call_body::CallBody;
use super::head;
use super::lead_out::Granted;
use super::link::{Broken, Occupied, Process};
use super::message::EndingMessage;
use super::reader::{Called, Event, Reader};
use super::remote_body::RemoteBody;
use super::wire::{COMMAND, REQUEST};
use crate::call::{Call, CommandEnd, Ending, Failure, Usage};
use crate::grants::Grants;
use crate::program::Program;

/// A function whose guests run in its account's process. Its last handle takes it out of there.
pub(crate) struct Remote {
    program: Arc<Program>,
    granted: Granted,
    reach: Reach,
    /// Where it is ready.
    placed: ArcSwapOption<Placed>,
    /// Only one caller makes it ready.
    placing: Mutex<()>,
    /// The most memory that a guest of it is known to have taken: what an abandoned call is told.
    peak_memory_bytes: AtomicU64,
}

/// A function in a process.
struct Placed {
    process: Process,
    number: u64,
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.process.delete(self.number);
    }
}

impl Remote {
    pub(crate) fn new(
        program: Arc<Program>,
        grants: Grants,
        egress: Arc<Egress>,
        reach: Reach,
    ) -> Self {
        Self {
            program,
            granted: Granted {
                grants: Arc::new(grants),
                egress,
            },
            reach,
            placed: ArcSwapOption::empty(),
            placing: Mutex::default(),
            peak_memory_bytes: AtomicU64::new(0),
        }
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// As [`crate::Function::request`].
    pub(crate) async fn request<B>(
        self: &Arc<Self>,
        request: Request<B>,
        call: Call,
    ) -> Result<Response<RemoteBody>, Failure>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let broke_off = Arc::new(AtomicBool::new(false));
        let noticed = Arc::clone(&broke_off);
        let body = body.map_err(move |error| {
            noticed.store(true, Ordering::Relaxed);
            error
        });
        let body = CallBody::with_rest(head::request_with_length(&head), body);
        let begun = self.begin(REQUEST, Called::Request, call, body);
        let (mut reader, mut metered) = begun.await?;
        match reader.event().await {
            Ok(Event::Head(response)) => {
                let mut body = RemoteBody::new(&head.method, &response, reader, metered);
                // A short response is complete by now: its length is known, and it goes out in one piece.
                std::future::poll_fn(|cx| std::task::Poll::Ready(body.look_ahead(cx))).await?;
                Ok(response.map(|()| body))
            }
            Ok(Event::Ending(ending)) => Err(metered.end(ending).unwrap_or(Failure::NoResponse)),
            Ok(Event::Data(_) | Event::BodyEnd) => Err(metered
                .broken(Broken::Protocol("a body before its head"))
                .await),
            // What it was not sent to its end, it did not have to answer.
            Err(Broken::Gone) if broke_off.load(Ordering::Relaxed) => {
                Err(metered.fail(Failure::Abandoned))
            }
            Err(broken) => Err(metered.broken(broken).await),
        }
    }

    /// As [`crate::Function::command`].
    pub(crate) async fn command(
        self: &Arc<Self>,
        input: Bytes,
        call: Call,
    ) -> Result<CommandEnd, Failure> {
        let body = CallBody::whole(input);
        let begun = self.begin(COMMAND, Called::Command, call, body);
        let (mut reader, mut metered) = begun.await?;
        let mut stdout = BytesMut::new();
        loop {
            match reader.event().await {
                // No more than was granted: the reader counts.
                Ok(Event::Data(data)) => stdout.extend_from_slice(&data),
                Ok(Event::Ending(ending)) => {
                    let exit_code = ending.exit_code;
                    return match (metered.end(ending), exit_code) {
                        (None, Some(exit_code)) => Ok(CommandEnd {
                            stdout: stdout.freeze(),
                            exit_code,
                        }),
                        (failure, _) => Err(failure.unwrap_or(Failure::NoResponse)),
                    };
                }
                Ok(Event::Head(_) | Event::BodyEnd) => {
                    let broken = Broken::Protocol("a command with a body");
                    return Err(metered.broken(broken).await);
                }
                Err(broken) => return Err(metered.broken(broken).await),
            }
        }
    }

    /// Begins a call in the account's process, with the function ready there.
    async fn begin(
        self: &Arc<Self>,
        what: &'static str,
        called: Called,
        call: Call,
        body: CallBody,
    ) -> Result<(Reader, Metered), Failure> {
        let mut metered = Metered {
            function: Arc::clone(self),
            begin: Instant::now(),
            ended: Some(call.ended),
            occupied: None,
        };
        let ready = timeout_at(call.deadline.into(), self.ready());
        let placed = match ready.await {
            Ok(Ok(placed)) => placed,
            Ok(Err(failure)) => return Err(metered.fail(failure)),
            Err(_) => return Err(metered.fail(Failure::NoRoom)),
        };
        metered.occupied = Some(placed.process.occupy());
        // Making it ready is not the guest's time.
        metered.begin = Instant::now();
        let begun = placed
            .process
            .call(placed.number, what, call.deadline, body)
            .await;
        match begun {
            Ok(incoming) => Ok((
                Reader::new(
                    incoming,
                    called,
                    call.output,
                    call.deadline,
                    self.granted.grants.output_bytes,
                ),
                metered,
            )),
            Err(broken) => Err(metered.broken(broken).await),
        }
    }

    /// The account's process with this function in it.
    async fn ready(&self) -> Result<Arc<Placed>, Failure> {
        let process = (self.reach)().await?;
        let placed = || {
            let placed = self.placed.load_full();
            placed.filter(|placed| placed.process.is(&process))
        };
        if let Some(placed) = placed() {
            return Ok(placed);
        }
        let _turn = self.placing.lock().await;
        if let Some(placed) = placed() {
            return Ok(placed);
        }
        let _occupied = process.occupy();
        let number = process.put(&self.program, &self.granted).await?;
        let placed = Arc::new(Placed {
            process: process.clone(),
            number,
        });
        self.placed.store(Some(Arc::clone(&placed)));
        Ok(placed)
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// Tells how a call ended, once.
pub(super) struct Metered {
    function: Arc<Remote>,
    begin: Instant,
    ended: Option<Box<dyn FnOnce(Ending) + Send>>,
    /// From when the process has the call.
    occupied: Option<Occupied>,
}

impl Metered {
    /// Ends as the process says, as far as that can be; gives the failure.
    pub(super) fn end(&mut self, message: EndingMessage) -> Option<Failure> {
        let most = self.function.granted.grants.memory_bytes;
        let ending = message.ending(self.begin.elapsed(), most);
        let peak = ending.usage.peak_memory_bytes;
        self.function
            .peak_memory_bytes
            .fetch_max(peak, Ordering::Relaxed);
        let failure = ending.failure.clone();
        self.tell(ending);
        failure
    }

    /// Ends by what the node found out.
    pub(super) fn fail(&mut self, failure: Failure) -> Failure {
        let duration = if self.occupied.is_some() {
            self.begin.elapsed()
        } else {
            Duration::ZERO
        };
        self.tell(Ending {
            usage: Usage {
                init: None,
                duration,
                peak_memory_bytes: self.function.peak_memory_bytes.load(Ordering::Relaxed),
            },
            failure: Some(failure.clone()),
        });
        failure
    }

    /// Ends by the process's fault.
    pub(super) async fn broken(&mut self, broken: Broken) -> Failure {
        let failure = match &self.occupied {
            Some(occupied) => occupied.process().clone().failure(broken).await,
            None => Failure::Abandoned,
        };
        self.fail(failure)
    }

    fn tell(&mut self, ending: Ending) {
        if let Some(ended) = self.ended.take() {
            ended(ending);
        }
        self.occupied = None;
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        if self.ended.is_some() {
            self.fail(Failure::Abandoned);
        }
    }
}
