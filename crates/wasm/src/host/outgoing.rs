//! Requests of guests to the outside, in the words of `wasi:http`. What is decided is [`hearth_egress`]'s; in an account's
//! process all is sent to the node.

use std::sync::Arc;

use hearth_egress::{Egress, Error as Why, Times};
use http::Request;
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use crate::call::{Output, OutputStream};
use crate::grants::Grants;

/// Requests of one instance at the same time; more wait. Browsers keep 6 to one host.
const REQUESTS_PER_INSTANCE: usize = 32;

/// The way out of one instance.
pub(crate) struct Outgoing {
    egress: Arc<Egress>,
    grants: Arc<Grants>,
    log: Arc<dyn Output>,
    /// Made with the first request: most instances send none.
    requests: Option<Arc<Semaphore>>,
}

/// A response on its way, with what drives its connection.
pub(crate) type Response = Box<dyn Future<Output = Result<Answer, Error>> + Send>;

/// A response, and what must be polled or kept until its body is over.
pub(crate) type Answer = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl Outgoing {
    /// A way out to the granted hosts alone. What is denied is told to `log`.
    pub(crate) fn new(egress: Arc<Egress>, grants: Arc<Grants>, log: Arc<dyn Output>) -> Self {
        Self {
            egress,
            grants,
            log,
            requests: None,
        }
    }

    /// Sends a request. Dropping the future, or what it gave, ends the connection.
    pub(crate) fn send(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Response {
        if let Some(way_out) = &self.grants.way_out {
            return Box::new(
                way_out
                    .clone()
                    .send(request, options, Arc::clone(&self.log)),
            );
        }
        let turns = self
            .requests
            .get_or_insert_with(|| Arc::new(Semaphore::new(REQUESTS_PER_INSTANCE)));
        let times = times(options.unwrap_or_default());
        let log = Arc::clone(&self.log);
        match self.egress.send(request, &self.grants.hosts, turns, times) {
            Ok(sending) => Box::new(async move {
                let response = sending.await.map_err(|why| say(&*log, why))?;
                let response = response.map(|body| body.map_err(of_egress).boxed_unsync());
                // The body keeps its connection by itself.
                let driver: Box<dyn Future<Output = Result<(), Error>> + Send> =
                    Box::new(async { Ok(()) });
                Ok((response, driver))
            }),
            Err(why) => {
                let error = say(&*log, why);
                Box::new(async { Err(error) })
            }
        }
    }
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Outgoing")
            .field("hosts", &self.grants.hosts)
            .finish_non_exhaustive()
    }
}

fn times(options: RequestOptions) -> Times {
    Times::within_bounds(
        options.connect_timeout,
        options.first_byte_timeout,
        options.between_bytes_timeout,
    )
}

/// Tells the function's log what its code can't know, and its code what `wasi:http` has a word for.
fn say(log: &dyn Output, why: Why) -> Error {
    if why.is_the_platforms() {
        log.write(OutputStream::Stderr, format!("{why}\n").as_bytes());
    }
    of_egress(why)
}

fn of_egress(why: Why) -> Error {
    match why {
        Why::Method => Error::HttpRequestMethodInvalid,
        Why::Scheme | Why::Protocol => Error::HttpProtocolError,
        Why::Url => Error::HttpRequestUriInvalid,
        Why::NotListed(_) => Error::HttpRequestDenied,
        Why::Closed { .. } => Error::DestinationIpProhibited,
        Why::Unknown(_) => Error::DnsError {
            rcode: None,
            info_code: None,
        },
        Why::NoRoute(_) | Why::Unreachable => Error::DestinationIpUnroutable,
        Why::ConnectTimeout => Error::ConnectionTimeout,
        Why::Refused => Error::ConnectionRefused,
        Why::Unavailable => Error::DestinationUnavailable,
        Why::Certificate => Error::TlsCertificateError,
        Why::TlsAlert { number, name } => Error::TlsAlertReceived {
            alert_id: Some(number),
            alert_message: Some(name),
        },
        Why::Tls => Error::TlsProtocolError,
        Why::NoTls => Error::ConfigurationError,
        Why::ReadTimeout => Error::ConnectionReadTimeout,
        Why::HeadTooLarge(bytes) => Error::HttpResponseHeaderSectionSize(Some(bytes)),
        Why::Incomplete => Error::HttpResponseIncomplete,
        Why::Body(error) => Error::Hyper(error),
        Why::Ended => Error::ConnectionTerminated,
        Why::Internal => Error::InternalError(None),
    }
}
