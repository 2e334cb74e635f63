//! WebSockets at function URLs: a connection that a client and a function, a web server or a worker, speak another
//! protocol over.
//!
//! The handshake is a request like any other. Once the server has switched, bytes are copied both ways, through buffers
//! of a fixed size, until either side ends or the function's time is up. It counts as a running invocation all the
//! while.

use std::time::Duration;

use hearth_types::function_url::fields;
use hearth_types::invoke::{Body, RequestId};
use http::header::{CONNECTION, HeaderName, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Method, Response, Version};
use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::refusal::Refusal;
use crate::error_response;
use crate::response_body::{Held, ResponseBody};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADES: HeaderValue = HeaderValue::from_static("upgrade");
/// The answer to the handshake's key, without which no client goes on (RFC 6455, section 4.2.2).
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// How long one direction may go on after the other has ended: for the last words of a side that was told to close.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A client that asks for a WebSocket.
#[derive(Debug)]
pub(super) struct Handshake {
    client: OnUpgrade,
}

impl Handshake {
    /// Whether a request asks for a WebSocket (RFC 6455, section 4.1). Other protocols are not looked at: a server may
    /// go on as if they had not been named (RFC 9110, section 7.8).
    pub(super) fn of(parts: &mut Parts) -> Option<Self> {
        let names = |name: HeaderName, word: &str| {
            parts.headers.get_all(name).iter().any(|value| {
                let mut words = value.as_bytes().split(|byte| *byte == b',');
                words.any(|one| one.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
            })
        };
        let asks = parts.method == Method::GET
            && parts.version == Version::HTTP_11
            && names(UPGRADE, "websocket")
            && names(CONNECTION, "upgrade");
        if !asks {
            return None;
        }
        let client = parts.extensions.remove::<OnUpgrade>()?;
        Some(Self { client })
    }

    /// Puts the fields back that ended at the front door with the connection's others.
    pub(super) fn ask(parts: &mut Parts) {
        parts.headers.insert(CONNECTION, UPGRADES);
        parts.headers.insert(UPGRADE, WEBSOCKET);
    }

    /// Answers that the server has switched, and has the bytes copied from then on.
    ///
    /// # Errors
    /// [`Refusal`] if the server has switched to something else.
    pub(super) fn switch(
        self,
        response: Response<Body>,
        held: Held,
        request_id: RequestId,
    ) -> Result<Response<ResponseBody>, Refusal> {
        let (mut head, stay) = response.into_parts();
        let is_websocket = head
            .headers
            .get(UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
            && head.headers.contains_key(ACCEPT);
        let server = head.extensions.remove::<OnUpgrade>();
        let Some(server) = server.filter(|_| is_websocket) else {
            return Err(Refusal::function_failed());
        };
        fields::strip_response(&mut head.headers);
        error_response::set_request_id(&mut head.headers, request_id);
        head.headers.insert(CONNECTION, UPGRADES);
        head.headers.insert(UPGRADE, WEBSOCKET);
        head.version = Version::HTTP_11;
        tokio::spawn(async move {
            let mut stay = stay;
            let copied = async {
                let (client, server) = tokio::try_join!(self.client, server)?;
                copy(TokioIo::new(client), TokioIo::new(server)).await;
                Ok::<_, hyper::Error>(())
            };
            tokio::select! {
                copied = copied => if let Err(error) = copied {
                    tracing::debug!(%error, %request_id, "switch protocols");
                },
                // It has no bytes: what comes is the end of the function's time, or of the node.
                _ = stay.frame() => {}
            }
            drop(held);
        });
        Ok(Response::from_parts(
            head,
            ResponseBody::from(bytes::Bytes::new()),
        ))
    }
}

/// Copies both ways until one direction has ended, and a moment longer.
async fn copy<A, B>(client: A, server: B)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let inward = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
    };
    let outward = async {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::pin!(inward, outward);
    tokio::select! {
        () = &mut inward => drop(tokio::time::timeout(LAST_WORDS, outward).await),
        () = &mut outward => drop(tokio::time::timeout(LAST_WORDS, inward).await),
    }
}
