//! A request's stay in an environment, as the environment sees it: bounded, measured and logged.
//!
//! A request whose time is up is cut: its connection is closed, and the others run on. The environment ends as well if
//! its server seems to be stuck: if no head of any response came from it for as long as the request waited for its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::server::Server;
use super::visit::{Leaving, Line, Visit};
use crate::environment::{After, End, Environment, Turn, timeout};
use crate::failure::Failure;
use crate::reply::Reply;
use crate::runtime_api::Answer;

/// How long a server's end may take to be known after its connections have told of it, and the other way round: what
/// it wrote last may still be on its way.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// Lets a request in and waits until it has left; `answered` is told how long that took.
pub(crate) async fn attend(
    environment: &Environment,
    server: &Arc<Server>,
    turn: Turn,
    answered: impl FnOnce(Duration),
) -> After {
    let mut turn = turn;
    let (tell, ended) = oneshot::channel();
    let reply = std::mem::replace(&mut turn.job.reply, Reply::Whole(tell));
    let over = CancellationToken::new();
    let line = Line::default();
    let (visit, left) = Visit::new(server, over.clone(), line.clone(), ended);
    let heads = server.heads();
    // If nobody takes it, it is dropped, and has left.
    reply.let_in(visit);
    let (end, reusable) = stay(environment, server, &turn, heads, left).await;
    over.cancel();
    if matches!(end, End::Failure(_) | End::Platform(_))
        && let Some(cut) = line.take()
    {
        cut.cancel();
    }
    let took = turn.began.elapsed();
    answered(took);
    let max_memory_mib = environment.peak_mib(!reusable);
    turn.end(end, took, max_memory_mib, &environment.log);
    if reusable { After::Ready } else { After::Gone }
}

async fn stay(
    environment: &Environment,
    server: &Server,
    turn: &Turn,
    heads: u64,
    mut left: oneshot::Receiver<Leaving>,
) -> (End, bool) {
    let well = || End::Answer(Answer::Response(Bytes::new()));
    tokio::select! {
        biased;
        how = &mut left => match how {
            Ok(Leaving::Well) => (well(), true),
            Ok(Leaving::Badly(failure)) => {
                match tokio::time::timeout(LAST_WORDS, environment.exit()).await {
                    Ok(exit) => (environment.exited(exit).await, false),
                    // A server that does not listen any more is of no use to anybody.
                    Err(_) => (End::Failure(failure), !server.is_deaf()),
                }
            }
            Err(_) => (End::Failure(Failure::Abandoned), true),
        },
        exit = environment.exit() => match tokio::time::timeout(LAST_WORDS, left).await {
            Ok(Ok(Leaving::Well)) => (well(), false),
            _ => (environment.exited(exit).await, false),
        },
        () = tokio::time::sleep_until(turn.deadline.into()) => {
            let stuck = server.heads() == heads;
            let limit = timeout(&turn.job.invocation.deployment);
            tracing::debug!(stuck, waited = ?Instant::now().saturating_duration_since(turn.began), "cut a request");
            (End::Failure(Failure::Timeout(limit)), !stuck)
        }
    }
}
