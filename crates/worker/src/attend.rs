//! An invocation's stay in an environment whose runtime asks for events: offered, waited for, measured and logged.
//!
//! Where it is alone, whatever ends it badly ends the environment. Where others may run beside it, only what ends the
//! runtime does. An invocation whose time is up has ended for its caller, and the runtime may be busy with it for as long
//! as it likes: its place is not there until the runtime asks again. The environment takes nothing more if the runtime
//! seems to be stuck: if it has neither asked nor answered for as long as the invocation took.

use std::time::{Duration, Instant, SystemTime};

use hearth_sandbox::Exit;
use tokio_util::sync::CancellationToken;

use crate::environment::{After, End, Environment, LAST_WORDS, Turn, timeout};
use crate::failure::Failure;
use crate::runtime_api::{Answer, Event, Place, Ticket, handout};

/// When a runtime's response breaks off, its process may have ended, which says more and is known a little later, on a
/// busy host too: how long it is waited for. The environment or the place in it is lost either way.
const BREAK: Duration = Duration::from_millis(500);

/// When nobody reads a response any more, how long the function may go on making it. Lambda does not stop a function
/// whose caller went away; here that cancels, or a stream of events would hold its environment, and count against
/// concurrency, until its timeout. A response that is almost made keeps its environment warm.
const UNREAD: Duration = Duration::from_secs(1);

/// Runs one invocation; `answered` is told how long it took, before the caller is.
pub(crate) async fn attend(
    environment: &Environment,
    place: &mut Place,
    mut turn: Turn,
    answered: impl FnOnce(Duration),
) -> After {
    let deadline = turn.deadline;
    let left = deadline.saturating_duration_since(Instant::now());
    let invocation = &turn.job.invocation;
    let heard = environment.shared().then(|| place.heard());
    place.offer(
        Ticket {
            request_id: invocation.request_id,
            streams: turn.job.reply.streams(),
        },
        handout(invocation, SystemTime::now() + left),
    );
    let end = end_of(environment, place, &mut turn).await;
    let took = turn.began.elapsed();
    let lasts = match &end {
        End::Answer(_) => true,
        End::Failure(Failure::Timeout(_)) => heard.is_some_and(|heard| place.heard() != heard),
        End::Failure(Failure::Truncated | Failure::Abandoned) => environment.shared(),
        End::Failure(_) | End::Platform(_) => false,
    };
    let max_memory_mib = environment.meter.peak_mib(!lasts);
    answered(took);
    turn.end(end, took, max_memory_mib, &environment.log);
    if lasts {
        asks_again(environment, place, deadline).await
    } else {
        After::Gone
    }
}

/// Waits for the end of an invocation that was offered; a response that the caller takes as it is made is handed over
/// when it begins.
async fn end_of(environment: &Environment, place: &mut Place, turn: &mut Turn) -> End {
    let deadline = turn.deadline;
    let mut response: Option<Response> = None;
    let mut exited: Option<Exit> = None;
    loop {
        let unread = response.as_ref().map(|response| response.gone.clone());
        let given_up = response.as_ref().and_then(|response| response.given_up);
        tokio::select! {
            biased;
            event = place.event() => match event {
                Some(Event::Begun(beginning)) => {
                    let gone = turn.job.reply.begin(beginning);
                    response = Some(Response { gone, given_up: None });
                }
                // A process that ends breaks its connection off: the end says more.
                Some(Event::Answered(Answer::Truncated)) => {
                    if exited.is_none() {
                        exited = tokio::time::timeout(BREAK, environment.exit()).await.ok();
                    }
                    return match exited {
                        Some(exit) => environment.exited(exit).await,
                        None => End::Failure(Failure::Truncated),
                    };
                }
                Some(Event::Answered(answer)) => return End::Answer(answer),
                // The session lets nothing else happen between an offer and its answer.
                Some(Event::Next | Event::InitFailed(_)) | None => {
                    return End::Failure(Failure::Exit(Exit::Signal(9)));
                }
            },
            exit = environment.exit(), if exited.is_none() => exited = Some(exit),
            // The last answer may still be in the socket, as may be a whole response that is read slowly.
            () = tokio::time::sleep(LAST_WORDS), if exited.is_some() && response.is_none() => {
                if let Some(exit) = exited {
                    return environment.exited(exit).await;
                }
            }
            () = cancelled(unread), if given_up.is_none() => {
                if let Some(response) = &mut response {
                    response.given_up = Some(Instant::now() + UNREAD);
                }
            }
            () = tokio::time::sleep_until(given_up.unwrap_or(deadline).min(deadline).into()) => {
                place.give_up();
                if !environment.shared() {
                    environment.kill();
                }
                return if Instant::now() >= deadline {
                    End::Failure(Failure::Timeout(timeout(&turn.job.invocation.deployment)))
                } else {
                    End::Failure(Failure::Abandoned)
                };
            }
        }
    }
}

/// Waits until the runtime asks for the next invocation, which belongs to the time of the one that it answered.
async fn asks_again(environment: &Environment, place: &mut Place, deadline: Instant) -> After {
    tokio::select! {
        biased;
        () = place.asks() => After::Ready,
        _ = environment.exit() => After::Gone,
        () = tokio::time::sleep_until(deadline.into()) => {
            if environment.shared() {
                After::Late
            } else {
                After::Gone
            }
        }
    }
}

/// A response on its way to the caller.
struct Response {
    /// Cancelled when nobody reads it any more.
    gone: CancellationToken,
    /// When it is given up, once nobody does.
    given_up: Option<Instant>,
}

/// Waits until a token is cancelled; for ever if there is none.
async fn cancelled(token: Option<CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}
