//! A program with its grants, whose guests run here. Keeps idle instances where reuse is granted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request, Response};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

use crate::body::{LocalBody, Side};
use crate::call::{Call, CommandEnd, Failure, Output, OutputStream};
use crate::command;
use crate::failure;
use crate::gauge::{Gauge, Tell};
use crate::grants::Grants;
use crate::guest::{Guest, Weight};
use crate::http::{self as guest_http, Answer};
use crate::idle::Idle;
use crate::instance::Instance;
use crate::machine::Machine;
use crate::program::{Program, Shape};
use crate::state::Streams;
use crate::stdio::{Log, Sink};

/// A program with what it is granted, whose guests run here. Cheap to clone; all clones share idle instances.
#[derive(Clone)]
pub(crate) struct LocalFunction {
    shared: Arc<Shared>,
}

/// What a function's calls share.
pub(crate) struct Shared {
    pub(crate) machine: Arc<Machine>,
    pub(crate) program: Arc<Program>,
    pub(crate) grants: Arc<Grants>,
    idle: Arc<Idle>,
    weight: Arc<Weight>,
}

impl LocalFunction {
    pub(crate) fn new(machine: Arc<Machine>, program: Arc<Program>, grants: Grants) -> Self {
        Self {
            shared: Arc::new(Shared {
                machine,
                program,
                grants: Arc::new(grants),
                idle: Arc::default(),
                weight: Arc::default(),
            }),
        }
    }

    /// Its program.
    pub(crate) fn program(&self) -> &Program {
        &self.shared.program
    }

    /// As [`crate::Function::request`]. The guest runs in the caller's task, whoever polls it, and gives the thread back
    /// every few milliseconds; one that computes for long goes on elsewhere.
    pub(crate) async fn request<B>(
        &self,
        request: Request<B>,
        call: Call,
    ) -> Result<Response<LocalBody>, Failure>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.exchange(guest_http::adopt(request), call).await
    }

    async fn exchange(
        &self,
        request: Request<WasiBody>,
        call: Call,
    ) -> Result<Response<LocalBody>, Failure> {
        let gauge = Arc::new(Gauge::default());
        let mut tell = Tell::new(call.ended, Arc::clone(&gauge));
        let method = request.method().clone();
        let (answer, answered) = oneshot::channel();
        let run =
            Arc::clone(&self.shared).serve(request, call.output, call.deadline, gauge, answer);
        let guest = Guest::new(
            Arc::clone(&self.shared.machine),
            Arc::clone(&self.shared.weight),
            call.deadline,
            Box::pin(run),
        );
        match self.answer(guest, answered, &method, &mut tell).await {
            Ok(response) => Ok(response),
            Err(failure) => {
                tell.end(Some(failure.clone()));
                Err(failure)
            }
        }
    }

    /// Lets the guest go on until it has answered.
    async fn answer(
        &self,
        guest: Guest,
        mut answered: oneshot::Receiver<Answer>,
        method: &Method,
        tell: &mut Tell,
    ) -> Result<Response<LocalBody>, Failure> {
        let mut guest = Side::Runs(guest);
        let mut declined = false;
        let response = std::future::poll_fn(|cx| {
            if let Side::Runs(running) = &mut guest
                && let Poll::Ready(end) = running.poll(cx)
            {
                // Whatever it answered before it died has not been sent: the failure says more.
                guest = Side::Ended(end?);
            }
            if let Side::Ended(_) = guest {
                // Not polled: a task that has used its turn up would be told to come again.
                return Poll::Ready(match answered.try_recv() {
                    Ok(answer) => answer,
                    Err(_) => Err(Failure::NoResponse),
                });
            }
            if declined {
                return Poll::Pending;
            }
            match ready!(Pin::new(&mut answered).poll(cx)) {
                Ok(answer) => Poll::Ready(answer),
                Err(_) => {
                    // It dropped the means to answer. It may be about to die, and will say why.
                    declined = true;
                    Poll::Pending
                }
            }
        })
        .await?;

        let (head, body) = response.into_parts();
        if head.status.is_informational() {
            return Err(Failure::BadResponse(format!(
                "the function answered with the status {}, which can't end a request",
                head.status.as_u16()
            )));
        }
        let mut body = LocalBody::new(
            Arc::clone(&self.shared),
            method,
            &head,
            body,
            guest,
            tell.take(),
        );
        std::future::poll_fn(|cx| Poll::Ready(body.look_ahead(cx))).await?;
        Ok(Response::from_parts(head, body))
    }

    /// As [`crate::Function::command`], in an instance of its own.
    pub(crate) async fn command(&self, input: Bytes, call: Call) -> Result<CommandEnd, Failure> {
        let gauge = Arc::new(Gauge::default());
        let mut tell = Tell::new(call.ended, Arc::clone(&gauge));
        let (run, result) = command::run(
            Arc::clone(&self.shared),
            input,
            call.output,
            call.deadline,
            gauge,
        );
        let guest = Guest::new(
            Arc::clone(&self.shared.machine),
            Arc::clone(&self.shared.weight),
            call.deadline,
            Box::pin(run),
        );
        let end = guest.await.map(|instance| {
            instance.bury(&self.shared.machine);
            result.take()
        });
        tell.end(end.as_ref().err().cloned());
        end
    }
}

impl Shared {
    /// Hands `request` to an instance and runs the guest to its own end.
    async fn serve(
        self: Arc<Self>,
        request: Request<WasiBody>,
        output: Arc<dyn Output>,
        deadline: Instant,
        gauge: Arc<Gauge>,
        answer: oneshot::Sender<Answer>,
    ) -> Result<Box<Instance>, Failure> {
        if self.program.shape() == Shape::Command {
            return Err(Failure::Internal(
                "a command can't be called by HTTP".to_owned(),
            ));
        }
        let mut instance = match self.idle.take() {
            Some(instance) => instance,
            None => {
                let log = Arc::new(Log::default());
                let streams = Streams {
                    stdin: None,
                    stdout: Sink::Log(Arc::clone(&log), OutputStream::Stdout),
                    stderr: Sink::Log(Arc::clone(&log), OutputStream::Stderr),
                };
                self.make(streams, log, deadline, &gauge).await?
            }
        };
        instance.begin(output, &gauge);
        match guest_http::serve(&mut instance, request, answer).await {
            Ok(()) => {
                instance.end();
                Ok(instance)
            }
            Err(error) => {
                let failure = failure::of_call(&error, &instance.store.data().limits);
                gauge.died(&failure);
                Err(failure)
            }
        }
    }

    /// Makes an instance, as soon as there is room for it.
    pub(crate) async fn make(
        &self,
        streams: Streams,
        log: Arc<Log>,
        deadline: Instant,
        gauge: &Arc<Gauge>,
    ) -> Result<Box<Instance>, Failure> {
        let machine = &self.machine;
        let until = machine.until(deadline);
        loop {
            let slots = machine.slots(self.program.slots, until).await?;
            let freed = machine.budget.freed();
            let begin = Instant::now();
            let made = Instance::make(
                machine,
                &self.program.entry,
                &self.grants,
                (streams.clone(), Arc::clone(&log)),
                gauge,
                slots,
            )
            .await;
            if !matches!(made, Err(Failure::NoRoom)) {
                gauge.made_instance(begin.elapsed());
                return made;
            }
            machine.memory(freed, until).await?;
        }
    }

    /// Keeps an instance that ended well for the next call if that is granted, else drops it.
    pub(crate) fn keep(&self, instance: Box<Instance>) {
        let spare = if instance.served() < self.grants.reuse {
            self.idle.put(instance, &self.machine.parked)
        } else {
            Some(instance)
        };
        if let Some(instance) = spare {
            instance.bury(&self.machine);
        }
    }
}

impl std::fmt::Debug for LocalFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalFunction")
            .field("program", &self.shared.program)
            .finish_non_exhaustive()
    }
}
