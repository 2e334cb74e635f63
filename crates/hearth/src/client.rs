//! A client of the public API: every command goes through it.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use clap::Args;
use hearth_cloudflare::PREFIX;
use hearth_gateway::auth::api_token;
use http_body::{Body, Frame, SizeHint};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::keys::RootKey;

/// The region of what does not name one.
pub(crate) const DEFAULT_REGION: &str = "us-east-1";

/// How commands find their node.
#[derive(Args, Clone, Debug)]
pub(crate) struct Connection {
    /// Address of the node [default: that of the node that runs on the data folder]
    #[arg(long, global = true, env = "HEARTH_ENDPOINT", value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Region of the functions
    #[arg(
        long,
        global = true,
        env = "HEARTH_REGION",
        value_name = "REGION",
        default_value = DEFAULT_REGION
    )]
    pub(crate) region: String,
    /// Print JSON for scripts
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The node answered with an error.
    #[error("{message} ({code})")]
    Api {
        status: u16,
        code: String,
        message: String,
    },
    /// No answer came.
    #[error("can't reach the node at {endpoint}: {cause}")]
    Unreachable { endpoint: String, cause: String },
    /// Something on this side.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

impl CallError {
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            // Every refusal is a 400 where the protocol is JSON 1.1.
            Self::Api { status, code, .. } => *status == 404 || code == "ResourceNotFoundException",
            _ => false,
        }
    }
}

/// An answer of the node.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn json(&self) -> Result<Value, CallError> {
        Ok(serde_json::from_slice(&self.body).context("read the node's answer")?)
    }
}

/// An answer that is read as it comes.
pub(crate) struct Stream<'a> {
    client: &'a Client,
    response: reqwest::Response,
}

impl Stream<'_> {
    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, CallError> {
        let piece = self.response.chunk().await;
        piece.map_err(|error| self.client.unreachable(&error))
    }
}

/// Told how many more bytes were handed to the connection.
pub(crate) type Progress = Arc<dyn Fn(u64) + Send + Sync>;

/// What is sent to a service.
pub(crate) struct Call {
    pub(crate) service: &'static str,
    pub(crate) method: &'static str,
    /// Path and query, percent-encoded.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    /// Called with the number of bytes as they are handed to the connection.
    pub(crate) progress: Option<Progress>,
}

/// A signed connection to one node.
pub(crate) struct Client {
    http: reqwest::Client,
    endpoint: String,
    region: String,
    credentials: Credentials,
}

/// What a path segment must encode: everything but the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encodes one segment of a path, or a value of a query.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

impl Client {
    /// A client of the node that `connection` names, else of the one that runs on `data`.
    pub(crate) fn open(connection: &Connection, data: &std::path::Path) -> anyhow::Result<Self> {
        let endpoint = match &connection.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => std::fs::read_to_string(endpoint_path(data)).map_err(|_| {
                anyhow::anyhow!(
                    "no node runs on {}: start one with `hearth up`, or name one with --endpoint",
                    data.display()
                )
            })?,
        };
        let key = match RootKey::from_environment()? {
            Some(key) => key,
            None => RootKey::read(data)
                .context("find credentials: set HEARTH_ACCESS_KEY_ID and HEARTH_SECRET_ACCESS_KEY, or name the data folder with --data-folder")?,
        };
        Self::new(endpoint.trim(), &connection.region, &key)
    }

    pub(crate) fn new(endpoint: &str, region: &str, key: &RootKey) -> anyhow::Result<Self> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            anyhow::bail!(
                "the endpoint '{endpoint}' is not a URL: it must start with http:// or https://"
            );
        }
        // Wanted even for plain HTTP. Refused when there is one already: as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            // A node on this machine is not behind the proxy that the environment may name.
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(5))
            .build()
            .context("make an HTTP client")?;
        let credentials = Credentials::new(
            &key.access_key_id,
            &key.secret_access_key,
            None,
            None,
            "hearth",
        );
        Ok(Self {
            http,
            endpoint,
            region: region.to_owned(),
            credentials,
        })
    }

    /// Where the node is.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The access key and its secret.
    pub(crate) fn key(&self) -> (&str, &str) {
        let credentials = &self.credentials;
        (credentials.access_key_id(), credentials.secret_access_key())
    }

    /// Signs and sends one call. An answer of 400 and more is an error.
    pub(crate) async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let response = self.send(call).await?;
        let answer = self.read(response).await?;
        if answer.status >= 400 {
            return Err(api_error(&answer));
        }
        Ok(answer)
    }

    /// As [`Client::call`], with an answer that is read as it comes.
    pub(crate) async fn stream(&self, call: Call) -> Result<Stream<'_>, CallError> {
        let response = self.send(call).await?;
        if response.status().as_u16() >= 400 {
            return Err(api_error(&self.read(response).await?));
        }
        Ok(Stream {
            client: self,
            response,
        })
    }

    async fn read(&self, response: reqwest::Response) -> Result<Answer, CallError> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await;
        Ok(Answer {
            status,
            headers,
            body: body.map_err(|error| self.unreachable(&error))?.to_vec(),
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> CallError {
        CallError::Unreachable {
            endpoint: self.endpoint.clone(),
            cause: innermost(error),
        }
    }

    async fn send(&self, call: Call) -> Result<reqwest::Response, CallError> {
        let url = format!("{}{}", self.endpoint, call.target);
        let signature = self.sign(&call, &url)?;
        let method =
            reqwest::Method::from_bytes(call.method.as_bytes()).context("make a request")?;
        let mut request = self.http.request(method, &url);
        for (name, value) in call.headers.iter().map(|(n, v)| (*n, v.as_str())).chain(
            signature
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        ) {
            request = request.header(name, value);
        }
        request
            .body(Upload::body(call.body, call.progress))
            .send()
            .await
            .map_err(|error| self.unreachable(&error))
    }

    fn sign(&self, call: &Call, url: &str) -> anyhow::Result<Vec<(String, String)>> {
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(call.service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .context("sign the request")?
            .into();
        let headers = call
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let signable =
            SignableRequest::new(call.method, url, headers, SignableBody::Bytes(&call.body))
                .context("sign the request")?;
        let (instructions, _) = sign(signable, &parameters)
            .context("sign the request")?
            .into_parts();
        Ok(instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    /// A call of the Lambda API with a JSON body and a JSON answer (`Null` when the answer is empty).
    pub(crate) async fn lambda(
        &self,
        method: &'static str,
        target: String,
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let mut headers = Vec::new();
        let body = match body {
            Some(body) => {
                headers.push(("content-type", "application/json".to_owned()));
                body.to_string().into_bytes()
            }
            None => Vec::new(),
        };
        let call = Call {
            service: "lambda",
            method,
            target,
            headers,
            body,
            progress: None,
        };
        let answer = self.call(call).await?;
        if answer.body.is_empty() {
            Ok(Value::Null)
        } else {
            answer.json()
        }
    }

    /// A call of Cloudflare's API with a JSON body.
    pub(crate) async fn cloudflare(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &Value,
    ) -> Result<(), CallError> {
        let (id, secret) = self.key();
        let token = api_token(id, secret, &self.region);
        let account = self.account().await?;
        let url = format!("{}{PREFIX}/accounts/{account}/{path}", self.endpoint);
        let request = self.http.request(method, url).bearer_auth(token);
        let response = request.body(body.to_string()).send().await;
        let answer = self
            .read(response.map_err(|error| self.unreachable(&error))?)
            .await?;
        if answer.status < 400 {
            return Ok(());
        }
        let error = answer.json()?["errors"][0].clone();
        Err(CallError::Api {
            status: answer.status,
            code: error["code"].to_string(),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
        })
    }

    /// What is at a URL that the node has signed.
    pub(crate) async fn download(&self, url: &str) -> Result<Vec<u8>, CallError> {
        let response = self.http.get(url).send().await;
        let answer = self
            .read(response.map_err(|error| self.unreachable(&error))?)
            .await?;
        if answer.status >= 400 {
            return Err(api_error(&answer));
        }
        Ok(answer.body)
    }

    /// A call of a service that speaks JSON 1.1.
    pub(crate) async fn json11(
        &self,
        service: &'static str,
        operation: &str,
        body: &Value,
    ) -> Result<Value, CallError> {
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", operation.to_owned()),
        ];
        let call = Call {
            service,
            method: "POST",
            target: "/".to_owned(),
            headers,
            body: body.to_string().into_bytes(),
            progress: None,
        };
        self.call(call).await?.json()
    }

    /// The region of what is asked for.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// The account that the credentials are of.
    pub(crate) async fn account(&self) -> Result<String, CallError> {
        let call = Call {
            service: "sts",
            method: "POST",
            target: "/".to_owned(),
            headers: vec![(
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            )],
            body: b"Action=GetCallerIdentity&Version=2011-06-15".to_vec(),
            progress: None,
        };
        let answer = self.call(call).await?;
        let xml = String::from_utf8_lossy(&answer.body);
        let account = xml
            .split_once("<Account>")
            .and_then(|(_, rest)| rest.split_once("</Account>"));
        let (account, _) = account.context("read the account from the node's answer")?;
        Ok(account.to_owned())
    }
}

/// A request body that is handed over in pieces, so that progress can be shown.
struct Upload {
    rest: Bytes,
    progress: Progress,
}

impl Upload {
    fn body(bytes: Vec<u8>, progress: Option<Progress>) -> reqwest::Body {
        match progress {
            None => bytes.into(),
            Some(progress) => reqwest::Body::wrap(Self {
                rest: bytes.into(),
                progress,
            }),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        // As much as one read of a socket usually takes.
        const PIECE: usize = 64 * 1024;
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let at = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(at);
        (self.progress)(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

fn api_error(answer: &Answer) -> CallError {
    let body = answer.json().unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let code = answer
        .header("x-amzn-errortype")
        .map(str::to_owned)
        .or_else(|| text("__type"));
    CallError::Api {
        status: answer.status,
        code: code.unwrap_or_else(|| format!("HTTP {}", answer.status)),
        message: text("Message")
            .or_else(|| text("message"))
            .unwrap_or_else(|| {
                String::from_utf8_lossy(&answer.body)
                    .chars()
                    .take(500)
                    .collect()
            }),
    }
}

/// The cause at the bottom: "error sending request" alone helps nobody.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Where a running node writes its address.
pub(crate) fn endpoint_path(data: &std::path::Path) -> PathBuf {
    data.join("endpoint")
}
