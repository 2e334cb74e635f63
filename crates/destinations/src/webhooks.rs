//! To a topic: a signed request to each of its webhooks.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hearth_store::record::{TopicRecord, WebhookRecord};
use hearth_types::time::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use url::Url;

use crate::memory::Memory;
use crate::message::Message;
use crate::outside::{Outside, Resolver};
use crate::signature::sign;

/// Time for one request, the answer's head included (Standard Webhooks, "Request timeouts": 15 to 30 seconds).
const TIME: Duration = Duration::from_secs(20);
/// Time to be connected.
const CONNECT: Duration = Duration::from_secs(5);
/// Connections to one host that are kept for the next message.
const KEPT: usize = 4;
/// What can't be in a header field, and the sign of the encoding.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Sends to webhooks.
#[derive(Debug)]
pub(crate) struct Webhooks {
    client: reqwest::Client,
    outside: Arc<Outside>,
    told: Memory,
}

impl Webhooks {
    pub(crate) fn new(outside: Outside) -> Result<Self, reqwest::Error> {
        // Refused when there is one already: as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let outside = Arc::new(outside);
        let client = reqwest::Client::builder()
            // Who says where a webhook is says where it is ("Delivery success and failure").
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Resolver(Arc::clone(&outside))))
            .connect_timeout(CONNECT)
            .timeout(TIME)
            .pool_max_idle_per_host(KEPT)
            .user_agent(concat!("hearth/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            outside,
            told: Memory::default(),
        })
    }

    /// Sends the message to all webhooks of the topic that have not taken it yet, and answers once all have.
    ///
    /// # Errors
    /// Which did not, and why.
    pub(crate) async fn tell(
        &self,
        topic: &TopicRecord,
        message: &Message,
        now: Timestamp,
    ) -> Result<(), String> {
        let id = format!("msg_{}", message.id);
        let id = id.as_str();
        let waiting = topic.webhooks.iter();
        let waiting = waiting.filter(|webhook| !self.told.has(id, webhook.url.as_str()));
        let requests: Vec<_> = waiting
            .map(|webhook| async move {
                let sent = self.send(webhook, id, message, now).await;
                if sent.is_ok() {
                    self.told.add(id, webhook.url.as_str());
                }
                sent
            })
            .collect();
        let mut failures = String::new();
        for sent in futures_util::future::join_all(requests).await {
            if let Err(why) = sent {
                let gap = if failures.is_empty() { "" } else { " " };
                // Writing to a text can't fail.
                let _ = write!(failures, "{gap}{why}.");
            }
        }
        if failures.is_empty() {
            Ok(())
        } else {
            Err(failures)
        }
    }

    async fn send(
        &self,
        webhook: &WebhookRecord,
        id: &str,
        message: &Message,
        now: Timestamp,
    ) -> Result<(), String> {
        let url = Url::parse(webhook.url.as_str()).map_err(|error| error.to_string())?;
        self.outside.check_url(&url)?;
        // All that is said of it: its path and query may be a secret of the receiver's.
        let host = url.host_str().unwrap_or_default().to_owned();
        let seconds = now.as_millis().div_euclid(1_000);
        let mut request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header(
                "webhook-signature",
                sign(&webhook.secret, id, seconds, &message.body),
            )
            .body(message.body.clone());
        for (name, value) in &message.attributes {
            let name = format!("hearth-attribute-{}", name.to_ascii_lowercase());
            let value = utf8_percent_encode(value, ENCODED).to_string();
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                request = request.header(name, value);
            }
        }
        // The answer's body is not read: the status says everything.
        let response = request.send().await;
        let response = response.map_err(|error| format!("{host}: {}", causes(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        Err(format!("{host} answers {status}"))
    }
}

/// An error with what it comes from; without the URL, which may hold secrets.
fn causes(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut last = None;
    let mut cause = error.source();
    while let Some(error) = cause {
        last = Some(error.to_string());
        cause = error.source();
    }
    last.unwrap_or_else(|| "the request failed".to_owned())
}
