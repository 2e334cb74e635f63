//! A tail of a worker as a WebSocket (protocol `trace-v1`): a message for each request, as it ends.
//!
//! Who has its address may read it: that is unguessable, was given to who may see the worker, and takes one reader.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hearth_cloudflare::{Failure, PREFIX};
use hearth_telemetry::tails::LIFE;
use hearth_types::invoke::RequestId;
use http::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    UPGRADE,
};
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::cloudflare_api::written;
use crate::error_response::{self, Answer};
use crate::gateway::Parted;

/// The protocol.
const TRACES: &str = "trace-v1";
/// Most bytes of a message of the reader's: it says one word, and pings.
const MOST_SAID: usize = 64 << 10;
/// How long a reader may take for one message.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a quiet tail is looked at: a reader that is gone is then found.
const QUIET: Duration = Duration::from_secs(60);

/// The tail that a path names.
pub(crate) fn tail(path: &str) -> Option<&str> {
    let id = path.strip_prefix(PREFIX)?.strip_prefix("/tails/")?;
    (!id.is_empty() && !id.contains('/')).then_some(id)
}

/// Answers the handshake, and tells the reader from then on. `seat`: the connection's place among all.
pub(crate) fn answer(
    gateway: &Parted,
    parts: &mut Parts,
    id: &str,
    seat: Arc<OwnedSemaphorePermit>,
    request_id: RequestId,
) -> Answer {
    let key = parts.headers.get(SEC_WEBSOCKET_KEY).cloned();
    let client = parts.extensions.remove::<OnUpgrade>();
    let (Some(key), Some(client)) = (key, client) else {
        return refused(400, "A tail is read by a WebSocket.", request_id);
    };
    let Some(traces) = gateway.cloudflare.tails.attend(id) else {
        return refused(
            404,
            "There is no such tail, or it has its reader.",
            request_id,
        );
    };
    let mut answer = error_response::empty(101, request_id);
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(TRACES));
    let accepted = derive_accept_key(key.as_bytes());
    if let Ok(accepted) = HeaderValue::from_str(&accepted) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    }
    tokio::spawn(async move {
        let _seat = seat;
        if let Ok(client) = client.await {
            // Wrangler sends its first message unmasked.
            let config = WebSocketConfig::default()
                .max_message_size(Some(MOST_SAID))
                .max_frame_size(Some(MOST_SAID))
                .accept_unmasked_frames(true);
            let client = TokioIo::new(client);
            let socket = WebSocketStream::from_raw_socket(client, Role::Server, Some(config));
            tell(socket.await, traces).await;
        }
    });
    answer
}

/// Tells the reader what comes, until it leaves or the tail is over.
async fn tell<S>(mut socket: WebSocketStream<S>, mut traces: mpsc::Receiver<Arc<str>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let end = Instant::now() + LIFE;
    loop {
        let message = tokio::select! {
            trace = timeout_at(end, traces.recv()) => match trace {
                Ok(Some(trace)) => Message::text(&*trace),
                _ => {
                    let _ = tokio::time::timeout(PATIENCE, socket.close(None)).await;
                    return;
                }
            },
            // Pings are answered by being read.
            said = socket.next() => match said {
                Some(Ok(message)) if !message.is_close() => continue,
                _ => return,
            },
            () = tokio::time::sleep(QUIET) => Message::Ping(bytes::Bytes::new()),
        };
        let sent = tokio::time::timeout(PATIENCE, socket.send(message)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

fn refused(status: u16, why: &str, request_id: RequestId) -> Answer {
    written(Failure::request(status, why).into(), request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_tail() {
        assert_eq!(tail("/client/v4/tails/abc"), Some("abc"));
        for other in [
            "/client/v4/tails/",
            "/client/v4/tails/a/b",
            "/client/v4/accounts/1/tails/a",
            "/tails/a",
        ] {
            assert_eq!(tail(other), None, "{other}");
        }
    }
}
