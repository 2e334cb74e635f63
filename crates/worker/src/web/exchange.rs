//! One request to a server, up to the head of its response.

use std::io;

use hearth_types::invoke::Body;
use http::header::{CONNECTION, HOST, HeaderValue, UPGRADE};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;

use super::download::Download;
use super::server::{Connection, Server, Taken, Upload};
use super::visit::{Leaving, Line, Visit};
use crate::failure::Failure;

/// The host of a request that names none.
const LOCALHOST: HeaderValue = HeaderValue::from_static("localhost");

/// Sends a request, whose head says all that it should. When the future is dropped the stay ends.
///
/// # Errors
/// How the request should leave, and the visit to do so.
pub(super) async fn exchange(
    visit: Visit,
    request: Request<Body>,
) -> Result<Response<Download>, (Visit, Failure)> {
    let over = visit.over.clone();
    let request = prepare(&visit.server, request).map(Upload::new);
    let upgrades = request.headers().contains_key(UPGRADE);
    let uploaded = request.body().whole();
    let sent = over
        .run_until_cancelled(send(&visit.server, &visit.line, request))
        .await;
    let (response, connection) = match sent {
        Some(Ok(answered)) => answered,
        Some(Err(failure)) => return Err((visit, failure)),
        // Whoever ended it knows why.
        None => return Err((visit, Failure::Abandoned)),
    };
    visit.server.head_came();
    let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if upgraded && !upgrades {
        connection.cut.cancel();
        let why = "The web server switched to a protocol that nobody had asked for";
        return Err((visit, Failure::BadResponse(why.into())));
    }
    Ok(response.map(|incoming| Download::new(incoming, upgraded, visit, connection, uploaded)))
}

/// Sends it over a kept connection if there is one, and over a new one if that had just been closed.
async fn send(
    server: &Server,
    line: &Line,
    request: Request<Upload>,
) -> Result<(Response<Incoming>, Connection), Failure> {
    let mut request = request;
    let repeatable = may_be_repeated(&request);
    let mut taken = Some(server.take(repeatable));
    loop {
        let mut connection = match taken.take().unwrap_or_else(|| Taken::Open(server.seat())) {
            Taken::Kept(connection) => connection,
            Taken::Open(seat) => {
                let opened = server.open(server.settings.port, seat).await;
                opened.map_err(|error| {
                    if error.kind() == io::ErrorKind::ConnectionRefused {
                        server.deafened();
                    }
                    refused(&error)
                })?
            }
        };
        line.set(&connection.cut);
        let cut = CutOnDrop(Some(connection.cut.clone()));
        // The end of what was answered before may not have been noted yet.
        if let Err(error) = connection.sender.ready().await {
            if connection.used {
                continue;
            }
            return Err(failure(&error));
        }
        let again = (connection.used && repeatable).then(|| copy(&request));
        match connection.sender.try_send_request(request).await {
            Ok(response) => {
                cut.keep();
                connection.used = true;
                return Ok((response, connection));
            }
            Err(mut error) => {
                // Either nothing of it was sent, or it may be sent twice.
                let unsent = error.take_message().or(again).filter(|_| connection.used);
                match unsent {
                    Some(unsent) => request = unsent,
                    None => return Err(failure(error.error())),
                }
            }
        }
    }
}

/// Cuts a connection unless it is kept: a request that nobody waits for any more.
struct CutOnDrop(Option<tokio_util::sync::CancellationToken>);

impl CutOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CutOnDrop {
    fn drop(&mut self) {
        if let Some(cut) = self.0.take() {
            cut.cancel();
        }
    }
}

/// Makes a request one for a server: its own path, HTTP/1.1, and a host.
fn prepare(server: &Server, mut request: Request<Body>) -> Request<Body> {
    let uri = request.uri();
    let path = server.settings.own_path(uri.path());
    let own = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    *request.uri_mut() = Uri::from(own.unwrap_or(PathAndQuery::from_static("/")));
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.entry(HOST).or_insert(LOCALHOST);
    if !headers.contains_key(UPGRADE) {
        headers.remove(CONNECTION);
    }
    request
}

/// Whether a request may reach the server twice (RFC 9110, section 9.2.2), and whether there is another copy of it.
fn may_be_repeated(request: &Request<Upload>) -> bool {
    let idempotent = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    idempotent && hyper::body::Body::is_end_stream(request.body())
}

/// A copy of a request without a body.
fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn refused(error: &io::Error) -> Failure {
    Failure::BadResponse(format!("The web server does not accept connections: {error}").into())
}

/// What went wrong with a response, in words for the function's log.
pub(super) fn failure(error: &hyper::Error) -> Failure {
    if error.is_user() {
        // The request's own body broke off.
        return Failure::Abandoned;
    }
    let why = if error.is_parse() {
        format!("The web server's response is not HTTP: {error}")
    } else {
        "The web server closed the connection before its response was whole".to_owned()
    };
    Failure::BadResponse(why.into())
}

/// Ends a stay badly.
pub(super) fn leave(visit: Visit, failure: Failure) {
    visit.leave(Leaving::Badly(failure));
}
