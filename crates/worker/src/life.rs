//! The life of one environment, from the decision to start it to its end: a task each.
//!
//! ```text
//! room ─▶ turn to start ─▶ Init ─┬─▶ ready ⇄ invocation ─▶ … ─▶ end
//!                                └─▶ failed ─▶ Init again, within a waiting invocation ─▶ (as above)
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth_types::function::Deployment;
use hearth_types::{ApiError, ErrorKind};
use tokio_util::sync::CancellationToken;

use crate::capacity::NeverFits;
use crate::environment::{self, Environment, StartError, Turn};
use crate::logs::{self, EnvironmentLog, InitPhase, Wording};
use crate::pool::{Member, Ready};
use crate::shared::Shared;

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
            Ok(environment) => {
                let init = began.elapsed();
                member.initialised(init);
                self.serve(environment, member, &log, began, Some(init))
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
            Ok(mut environment) => {
                member.initialised(born.elapsed());
                let run = environment.run(turn, |took| member.answered(took));
                if self.kill.run_until_cancelled(run).await == Some(true) {
                    self.serve(environment, member, log, born, None).await;
                } else {
                    environment.destroy().await;
                }
            }
            Err(StartError::Platform(error)) => {
                turn.job.reply.send(Err(error));
            }
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

    /// Runs invocations until there is a reason to end.
    async fn serve(
        &self,
        mut environment: Environment,
        mut member: Member,
        log: &EnvironmentLog,
        born: Instant,
        init: Option<Duration>,
    ) {
        let expires = born + self.shared.options.max_lifetime;
        self.kill
            .run_until_cancelled(self.turns(&mut environment, &mut member, log, expires, init))
            .await;
        environment.destroy().await;
    }

    async fn turns(
        &self,
        environment: &mut Environment,
        member: &mut Member,
        log: &EnvironmentLog,
        expires: Instant,
        init: Option<Duration>,
    ) {
        let capacity = &self.shared.capacity;
        let id = member.pool().deployment.id;
        let memory_mib = u64::from(member.pool().deployment.configuration.memory_mib);
        let ready_at = Instant::now();
        let mut init = init;
        let mut served = false;
        loop {
            let yields = capacity.should_yield(id);
            if yields {
                capacity.expect(memory_mib);
            }
            let now = Instant::now();
            // A new one serves whoever waited for it, even if it is too old by now.
            let too_old = served && expires <= now;
            let job = match member.ready(now, expires, yields || too_old) {
                Ready::Run(job) => job,
                Ready::Leave => return,
                Ready::Idle(mut wake) => {
                    if capacity.wanted() {
                        capacity.press();
                    }
                    let job = tokio::select! {
                        biased;
                        job = &mut wake => job.ok(),
                        _ = environment.exit() => {
                            wake.close();
                            if let Ok(job) = wake.try_recv() {
                                // It never saw the invocation: another one can have it.
                                member.woken();
                                member.pool().put_back(job);
                            }
                            None
                        }
                    };
                    let Some(job) = job else {
                        return;
                    };
                    member.woken();
                    job
                }
            };
            served = true;
            // Whoever came while Init ran has waited for it.
            let waited_for = init.take().filter(|_| job.since < ready_at);
            let turn = Turn::begin(job, log, waited_for);
            if !environment.run(turn, |took| member.answered(took)).await {
                return;
            }
        }
    }
}

/// Ends the invocation that has waited longest with a failure of the platform.
fn refuse(member: &mut Member, error: ApiError) {
    if let Some(job) = member.take_waiting() {
        job.reply.send(Err(error));
    }
}

fn report_init(log: &EnvironmentLog, phase: InitPhase, began: Instant, status: logs::Status<'_>) {
    log.platform(&logs::Event::InitReport {
        phase,
        duration: began.elapsed(),
        status,
    });
}
