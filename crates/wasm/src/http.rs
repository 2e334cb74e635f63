//! A request handed to a guest of `wasi:http`, 0.2 and 0.3.
//!
//! Both are a future that runs up to the guest's own end and says on the way, over a channel, what it answered. Nothing
//! here is spawned: who polls the future polls the guest.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, header};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::{oneshot, watch};
use wasmtime::Store;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme as Scheme02;
use wasmtime_wasi_http::{Error, WasiBody, WasiHttpView as _};

use crate::call::Failure;
use crate::entry::Exports;
use crate::failure::code_name;
use crate::instance::Instance;
use crate::state::State;

/// What a guest answered.
pub(crate) type Answer = Result<Response<WasiBody>, Failure>;

/// Stands where a client did not say whom it wants: `wasi:http` needs an authority.
const NOBODY: &str = "localhost";

/// Hands `request` to the guest and runs it to its end. What it answered is sent to `answer` meanwhile.
///
/// # Errors
/// What killed the guest.
pub(crate) async fn serve(
    instance: &mut Instance,
    request: Request<WasiBody>,
    answer: oneshot::Sender<Answer>,
) -> wasmtime::Result<()> {
    let store = &mut instance.store;
    match &instance.exports {
        Exports::Http02(guest) => {
            let scheme = match request.uri().scheme() {
                Some(scheme) if *scheme == Scheme::HTTPS => Scheme02::Https,
                _ => Scheme02::Http,
            };
            let mut http = store.data_mut().http();
            let request = http.new_incoming_request(scheme, request)?;
            let response = http.new_response_outparam_from_callback(|response| {
                // Nobody may be there to take it any more.
                let _ = answer.send(response.map_err(|code| declined(&code)));
            })?;
            guest
                .wasi_http_incoming_handler()
                .call_handle(store, request, response)
                .await
        }
        Exports::Http03(guest) => serve03(store, guest, request, answer).await,
        Exports::Command02(_) | Exports::Command03(_) => {
            Err(wasmtime::format_err!("a command can't be called by HTTP"))
        }
    }
}

async fn serve03(
    store: &mut Store<State>,
    guest: &wasmtime_wasi_http::p3::bindings::Service,
    request: Request<WasiBody>,
    answer: oneshot::Sender<Answer>,
) -> wasmtime::Result<()> {
    use wasmtime_wasi_http::p3;

    let http = store.data_mut().http();
    // What becomes of the request's body is the guest's to know: nobody outside asks.
    let (request, _) = p3::Request::from_http(http.hooks, request);
    let request = http.table.push(request)?;
    store
        .run_concurrent(async |accessor| {
            let response = guest
                .wasi_http_handler()
                .call_handle(accessor, request)
                .await?;
            // The body flows as long as this future is polled. The sender goes with the body.
            let (body_there, mut body_gone) = watch::channel(());
            let response = match response {
                Ok(response) => accessor.with(|mut access| {
                    let response = access.data_mut().http().table.delete(response)?;
                    let mut taken = body_gone.clone();
                    response.into_http(&mut access, async move {
                        let _ = taken.changed().await;
                        Ok(())
                    })
                })?,
                Err(code) => {
                    let _ = answer.send(Err(declined(&code)));
                    return Ok(());
                }
            };
            let _ = answer.send(Ok(response.map(|body| {
                Watched {
                    body,
                    _there: body_there,
                }
                .boxed_unsync()
            })));
            let _ = body_gone.changed().await;
            std::future::poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await?
}

/// A body, and that it is there.
struct Watched {
    body: WasiBody,
    _there: watch::Sender<()>,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The guest declined with an error code of `wasi:http`.
fn declined(code: &dyn std::fmt::Debug) -> Failure {
    Failure::BadResponse(format!(
        "the function answered with the error {}",
        code_name(code)
    ))
}

/// `request` as `wasi:http` takes it: with a body of its own type, and with an authority.
pub(crate) fn adopt<B>(request: Request<B>) -> Request<WasiBody>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Why a client's body breaks off is not for the guest to know.
    let mut request =
        request.map(|body| body.map_err(|_| Error::ConnectionTerminated).boxed_unsync());
    if request.uri().authority().is_none() {
        let host = request.headers().get(header::HOST);
        if host.is_none_or(|host| host.to_str().is_err()) {
            request
                .headers_mut()
                .insert(header::HOST, HeaderValue::from_static(NOBODY));
        }
    }
    request
}
