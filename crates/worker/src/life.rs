//! The life of one environment, from the decision to start it to its end: a task each.
//!
//! ```text
//! room ─▶ turn to start ─▶ Init ─┬─▶ ready ⇄ invocation ─▶ … ─▶ end
//!                                └─▶ failed ─▶ Init again, within a waiting invocation ─▶ (as above)
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hearth_types::function::Deployment;
use hearth_types::{ApiError, ErrorKind};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::attend::attend;
use crate::capacity::NeverFits;
use crate::environment::{self, After, Environment, Places, StartError, Turn, places};
use crate::logs::{self, EnvironmentLog, InitPhase, Wording};
use crate::pool::{Job, Jobs, Member, Ready, Seat, Taker};
use crate::runtime_api::Place;
use crate::shared::Shared;
use crate::web::{Server, Visits};

/// Lives. When it returns nothing of the environment is left.
pub(crate) async fn live(shared: Arc<Shared>, member: Member) {
    let pool = Arc::clone(member.pool());
    // One of its own: all environments would wait at the lock of a common one.
    let kill = shared.kill.child_token();
    let life = Life {
        shared: &shared,
        kill,
    };
    life.begin(member).await;
    // Its room is free, and invocations may wait.
    shared.scale(&pool);
}

struct Life<'a> {
    shared: &'a Arc<Shared>,
    /// Ends it, wherever it is.
    kill: CancellationToken,
}

impl Life<'_> {
    async fn begin(&self, mut member: Member) {
        let shared = self.shared;
        let deployment = Arc::clone(&member.pool().deployment);
        let memory_mib = u64::from(deployment.configuration.memory_mib);
        let room = shared.capacity.room(deployment.id, memory_mib);
        let _room = match self.kill.run_until_cancelled(room).await {
            None => return,
            Some(Ok(room)) => room,
            Some(Err(NeverFits)) => {
                refuse(
                    &mut member,
                    ApiError::new(
                        ErrorKind::ServiceUnavailable,
                        format!(
                            "The function's memory size ({memory_mib} MB) is more than this node has for functions. \
                         Reduce it, or give the node more."
                        ),
                    ),
                );
                return;
            }
        };
        let turn = Arc::clone(&shared.starts).acquire_owned();
        let Some(Ok(turn)) = self.kill.run_until_cancelled(turn).await else {
            return;
        };
        // Others may have served those who waited.
        if !member.still_wanted(Instant::now()) {
            return;
        }
        let log_stream = logs::stream_name(deployment.version);
        let log = Arc::new(EnvironmentLog::new(
            shared.options.logs.stream(&deployment.key, &log_stream),
            Wording::new(&deployment.configuration),
        ));
        if let Ok(program) = shared.runtimes.program(&deployment.configuration.runtime) {
            log.platform(&logs::Event::InitStart {
                runtime: &program.banner,
            });
        }
        let began = Instant::now();
        let started = Environment::start(
            shared,
            &deployment,
            &log,
            &log_stream,
            began + shared.options.init_timeout,
            Some(turn),
            &self.kill,
        )
        .await;
        match started {
            Ok(started) => {
                let init = began.elapsed();
                member.initialised(init);
                self.serve(started, member, &log, began, Some(init), None)
                    .await;
            }
            Err(StartError::Platform(error)) => refuse(&mut member, error),
            Err(StartError::Hopeless(failure)) => {
                report_init(
                    &log,
                    InitPhase::Init,
                    began,
                    logs::Status::Error(failure.kind()),
                );
                if let Some(job) = member.take_waiting() {
                    let turn = Turn::begin(job, &log, None);
                    let took = turn.began.elapsed();
                    turn.end(environment::End::Failure(failure), took, 0, &log);
                }
            }
            Err(StartError::Init(end, _)) => {
                report_init(&log, InitPhase::Init, began, environment::init_status(&end));
                self.again(member, &deployment, &log, &log_stream).await;
            }
        }
    }

    /// Init once more, within the invocation that has waited longest and under the function's timeout.
    async fn again(
        &self,
        mut member: Member,
        deployment: &Arc<Deployment>,
        log: &Arc<EnvironmentLog>,
        log_stream: &str,
    ) {
        let Some(job) = member.take_waiting() else {
            return;
        };
        let turn = Turn::begin(job, log, None);
        let born = turn.began;
        let started = Environment::start(
            self.shared,
            deployment,
            log,
            log_stream,
            turn.deadline,
            None,
            &self.kill,
        )
        .await;
        match started {
            Ok(started) => {
                member.initialised(born.elapsed());
                self.serve(started, member, log, born, None, Some(turn))
                    .await;
            }
            Err(StartError::Platform(error)) => turn.job.refuse(error),
            Err(StartError::Hopeless(failure)) => {
                let took = turn.began.elapsed();
                turn.end(environment::End::Failure(failure), took, 0, log);
            }
            Err(StartError::Init(end, peak_mib)) => {
                report_init(log, InitPhase::Invoke, born, environment::init_status(&end));
                let took = turn.began.elapsed();
                turn.end(
                    environment::as_invocation(end, deployment),
                    took,
                    peak_mib,
                    log,
                );
            }
        }
    }

    /// Runs invocations until there is a reason to end; `first` is one that has begun.
    async fn serve(
        &self,
        (environment, runtime): (Environment, Places),
        mut member: Member,
        log: &EnvironmentLog,
        born: Instant,
        init: Option<Duration>,
        first: Option<Turn>,
    ) {
        let service = Service {
            shared: self.shared,
            environment: &environment,
            seat: member.seat(),
            log,
            expires: born + self.shared.options.max_lifetime,
            ready_at: Instant::now(),
        };
        match &environment.server {
            Some(server) => self.admit(&service, server, first, init).await,
            None => self.hand_out(&service, runtime, first, init).await,
        }
        environment.destroy().await;
    }

    /// Lets requests into a web server.
    async fn admit(
        &self,
        service: &Service<'_>,
        server: &Arc<Server>,
        first: Option<Turn>,
        init: Option<Duration>,
    ) {
        let Service {
            seat,
            environment,
            expires,
            ..
        } = service;
        let places = places(&seat.pool().deployment) - usize::from(first.is_some());
        let visits = Visits::new(self.shared, seat, environment, server, *expires, init);
        seat.enter(places, *expires, Taker::Door(visits.door()));
        visits.open(places, first);
        self.kill
            .run_until_cancelled(visits.watch(environment))
            .await;
        visits.end().await;
    }

    /// Gives a runtime what it asks for.
    async fn hand_out(
        &self,
        service: &Service<'_>,
        runtime: Places,
        first: Option<Turn>,
        init: Option<Duration>,
    ) {
        let (give, mut jobs) = mpsc::unbounded_channel();
        let places = usize::from(first.is_none());
        service
            .seat
            .enter(places, service.expires, Taker::Task(give));
        let turns = async {
            if service.environment.shared() {
                service.at_once(&mut jobs, runtime, first, init).await;
            } else {
                let mut place = runtime.first;
                service.one_by_one(&mut jobs, &mut place, first, init).await;
            }
        };
        self.kill.run_until_cancelled(turns).await;
        service.leave(&mut jobs);
    }
}

/// An environment that serves.
struct Service<'a> {
    shared: &'a Arc<Shared>,
    environment: &'a Environment,
    seat: Seat,
    log: &'a EnvironmentLog,
    /// When it is too old.
    expires: Instant,
    /// When its Init was over.
    ready_at: Instant,
}

impl Service<'_> {
    /// One invocation after the other.
    async fn one_by_one(
        &self,
        jobs: &mut Jobs,
        place: &mut Place,
        first: Option<Turn>,
        init: Option<Duration>,
    ) {
        let mut init = init;
        let mut served = first.is_some();
        let mut begun = first;
        loop {
            let turn = match begun.take() {
                Some(turn) => turn,
                None => {
                    let job = match self.ready(served, false, true) {
                        Ready::Run(job) => job,
                        Ready::Leave => return,
                        Ready::Idle => {
                            let job = tokio::select! {
                                biased;
                                // First: one whose process is gone gives back what it was handed.
                                _ = self.environment.exit() => None,
                                job = jobs.recv() => job,
                            };
                            let Some(job) = job else {
                                return;
                            };
                            job
                        }
                    };
                    self.begin(job, &mut init)
                }
            };
            served = true;
            if self.run(place, turn).await != After::Ready {
                return;
            }
        }
    }

    /// As many at the same time as there are places. Whatever ends the environment lets those that run in it end first.
    async fn at_once(
        &self,
        jobs: &mut Jobs,
        places: Places,
        first: Option<Turn>,
        init: Option<Duration>,
    ) {
        let Places {
            first: place,
            mut further,
        } = places;
        let mut known = 1;
        let mut init = init;
        let mut served = first.is_some();
        let mut leaves = false;
        let mut free = Vec::new();
        let mut late = FuturesUnordered::new();
        let mut running = FuturesUnordered::new();
        let mut coming = Vec::new();
        match first {
            Some(turn) => running.push(self.stay(place, turn)),
            None => coming.push(place),
        }
        loop {
            for place in coming.drain(..) {
                match self.ready(served, leaves, running.is_empty()) {
                    Ready::Run(job) => running.push(self.stay(place, self.begin(job, &mut init))),
                    Ready::Idle => free.push(place),
                    Ready::Leave => leaves = true,
                }
            }
            served = true;
            // Most of it does not come back.
            leaves |= late.len() * 2 > known;
            if leaves {
                self.leave(jobs);
                if running.is_empty() {
                    return;
                }
            }
            tokio::select! {
                biased;
                Some((place, after)) = running.next(), if !running.is_empty() => match after {
                    After::Ready => coming.push(place),
                    After::Late => {
                        self.seat.lose();
                        late.push(asks(place));
                    }
                    // A place that is of no use any more is counted out all the same.
                    After::Gone => {
                        coming.push(place);
                        leaves = true;
                    }
                },
                // Those that run notice by themselves; nothing more is to reach a process that is gone.
                _ = self.environment.exit(), if !leaves => leaves = true,
                Some(place) = late.next(), if !leaves && !late.is_empty() => {
                    self.seat.join();
                    coming.push(place);
                }
                Some(place) = further.recv(), if !leaves => {
                    known += 1;
                    self.seat.join();
                    // It has: that is what made the place.
                    coming.push(asks(place).await);
                }
                job = jobs.recv(), if !leaves => match (job, free.pop()) {
                    (Some(job), Some(place)) => {
                        running.push(self.stay(place, self.begin(job, &mut init)));
                    }
                    // No more comes than there are free places.
                    _ => leaves = true,
                },
            }
        }
    }

    /// A place can take an invocation. `alone` says that nothing runs in the others: then the environment's room is free
    /// as soon as it leaves.
    fn ready(&self, served: bool, leaves: bool, alone: bool) -> Ready {
        let capacity = &self.shared.capacity;
        let deployment = &self.seat.pool().deployment;
        let yields = !leaves && capacity.should_yield(deployment.id);
        if yields && alone {
            let memory_mib = u64::from(deployment.configuration.memory_mib);
            capacity.expect(memory_mib);
        }
        let now = Instant::now();
        // A new one serves whoever waited for it, even if it is too old by now.
        let too_old = served && self.expires <= now;
        let ready = self.seat.ready(now, leaves || yields || too_old);
        if matches!(ready, Ready::Idle) && capacity.wanted() {
            capacity.press();
        }
        ready
    }

    /// An invocation begins. `init` goes to the first one, if it came while Init ran and so has waited for it.
    fn begin(&self, job: Job, init: &mut Option<Duration>) -> Turn {
        let waited_for = init.take().filter(|_| job.since < self.ready_at);
        Turn::begin(job, self.log, waited_for)
    }

    async fn run(&self, place: &mut Place, turn: Turn) -> After {
        let answered = |took| self.seat.answered(took);
        attend(self.environment, place, turn, answered).await
    }

    async fn stay(&self, mut place: Place, turn: Turn) -> (Place, After) {
        let after = self.run(&mut place, turn).await;
        (place, after)
    }

    /// It takes nothing more, and somebody asks for another environment for what it gives back.
    fn leave(&self, jobs: &mut Jobs) {
        if self.seat.leave(jobs) {
            self.shared.ask_for(self.seat.pool());
        }
    }
}

/// Waits until the runtime asks for an invocation in a place.
async fn asks(mut place: Place) -> Place {
    place.asks().await;
    place
}

/// Ends the invocation that has waited longest with a failure of the platform.
fn refuse(member: &mut Member, error: ApiError) {
    if let Some(job) = member.take_waiting() {
        job.refuse(error);
    }
}

fn report_init(log: &EnvironmentLog, phase: InitPhase, began: Instant, status: logs::Status<'_>) {
    log.platform(&logs::Event::InitReport {
        phase,
        duration: began.elapsed(),
        status,
    });
}
