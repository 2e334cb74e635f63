//! When a server is ready: it is asked until it answers as it should.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hearth_types::web::Check;
use http::header::{CONNECTION, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request};

use super::server::{Server, Upload};

/// The pause between two questions (the Web Adapter's).
const PAUSE: Duration = Duration::from_millis(10);

/// The longest that one question waits for its answer: a server that has accepted a connection before it could serve
/// it is asked again.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the server did when it was asked last.
#[derive(Debug, Default)]
pub(crate) struct Impression(Mutex<String>);

impl Impression {
    fn note(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// In words that complete "The web server was not ready …: ".
    pub(crate) fn text(&self) -> String {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Waits until the server is ready, however long that takes. Cancel safe.
pub(crate) async fn wait(server: &Server, impression: &Impression) {
    let port = server.settings.readiness.port;
    impression.note(format!("nothing listened on 127.0.0.1:{port}"));
    while let Err(why) = ask(server).await {
        impression.note(why);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asks once.
async fn ask(server: &Server) -> Result<(), String> {
    let readiness = &server.settings.readiness;
    let port = readiness.port;
    let opened = server.open(port, server.seat()).await;
    let mut connection = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => format!("nothing listened on 127.0.0.1:{port}"),
        _ => format!("no connection to 127.0.0.1:{port}: {error}"),
    })?;
    let cut = connection.cut.clone().drop_guard();
    let Check::Http { path, healthy } = &readiness.check else {
        return Ok(());
    };
    let mut request = Request::new(Upload::empty());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = path.parse().map_err(|_| format!("{path} is no path"))?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("localhost"));
    headers.insert(USER_AGENT, HeaderValue::from_static("hearth-readiness"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let answer = tokio::time::timeout(PATIENCE, connection.sender.send_request(request)).await;
    drop(cut);
    match answer {
        Err(_) => Err(format!("GET {path} was not answered")),
        Ok(Err(error)) => Err(format!("GET {path} was not answered with HTTP: {error}")),
        Ok(Ok(response)) => {
            let status = response.status().as_u16();
            if healthy.iter().any(|range| range.contains(&status)) {
                Ok(())
            } else {
                Err(format!("GET {path} was answered with status {status}"))
            }
        }
    }
}
