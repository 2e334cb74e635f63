//! One issuer: where its keys are, and what is known of them.
//!
//! Keys are fetched when they are first asked for, and again behind the requests' backs once they are old. A token that
//! names an unknown key asks again, within bounds, so that strangers can't make the node ask an issuer as often as they
//! like. While an issuer can't be reached its keys stay good for a day.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use hearth_types::network::is_safe_url;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::keys::Keys;

/// Keys older than this are fetched again. Issuers announce new keys for longer than that before they sign with them.
const FRESH: Duration = Duration::from_secs(600);
/// Keys older than this are not used before a new attempt was waited for: an issuer that withdrew a key is believed, and
/// one that can't be reached costs a wait of its routes alone.
const UNASKED: Duration = Duration::from_secs(1_800);
/// Keys older than this are not good any more, whatever the reason that no newer ones came.
const GOOD: Duration = Duration::from_secs(24 * 3_600);
/// Least time between two attempts to fetch keys.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(10);
/// Time that one request to an issuer may take.
const FETCH: Duration = Duration::from_secs(2);
/// Time that a request of a client waits for keys: two requests to the issuer, and some.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes of a document that are read. Issuers' documents have some KB.
const DOCUMENT_BYTES: usize = 256 * 1024;

/// One place that keys come from.
#[derive(Debug)]
pub(super) struct Issuer {
    /// `iss` of its tokens.
    name: String,
    /// Where the keys are; `None`: discovery tells.
    jwks_url: Option<String>,
    client: reqwest::Client,
    known: ArcSwapOption<Known>,
    /// When keys were last asked for; held while they are fetched.
    attempt: Mutex<Option<Instant>>,
}

/// Keys as they were fetched.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) keys: Keys,
    fetched: Instant,
}

/// No keys can be had.
#[derive(Debug)]
pub(super) struct NoKeys;

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("ask {0}: {1}")]
    Http(String, reqwest::Error),
    #[error("{0} answers {1}")]
    Status(String, reqwest::StatusCode),
    #[error("the document at {0} is larger than {DOCUMENT_BYTES} bytes")]
    TooLarge(String),
    #[error("read the document at {0}: {1}")]
    Document(String, serde_json::Error),
    #[error("the configuration is of the issuer '{0}'")]
    AnotherIssuer(String),
    #[error("the keys are at '{0}', which is neither https nor on this machine")]
    Unsafe(String),
}

/// The part of an issuer's configuration that matters here (OpenID Connect Discovery 1.0, section 3).
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl Issuer {
    pub(super) fn new(name: String, jwks_url: Option<String>, client: reqwest::Client) -> Self {
        Self {
            name,
            jwks_url,
            client,
            known: ArcSwapOption::empty(),
            attempt: Mutex::default(),
        }
    }

    /// Keys among which is the one that a token names, if the issuer has it.
    ///
    /// # Errors
    /// [`NoKeys`] if none were ever had, or none for a long time.
    pub(super) async fn keys(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Known>, NoKeys> {
        let known = self.known.load_full();
        if let Some(known) = &known {
            let age = known.fetched.elapsed();
            if age < UNASKED && known.keys.find(kid, algorithm).is_some() {
                if age > FRESH {
                    self.refresh_behind();
                }
                return Ok(Arc::clone(known));
            }
        }
        let seen = known.as_ref().map(|known| known.fetched);
        // Out of time: what is known by then counts.
        let _ = tokio::time::timeout(WAIT, self.refresh(seen)).await;
        let known = self.known.load_full();
        known
            .filter(|known| known.fetched.elapsed() < GOOD)
            .ok_or(NoKeys)
    }

    fn refresh_behind(self: &Arc<Self>) {
        // Somebody is at it, or was a moment ago.
        let Ok(mut attempt) = self.attempt.try_lock() else {
            return;
        };
        if attempt.is_some_and(|last| last.elapsed() < BETWEEN_ATTEMPTS) {
            return;
        }
        *attempt = Some(Instant::now());
        let issuer = Arc::clone(self);
        tokio::spawn(async move { issuer.fetch().await });
    }

    /// Fetches keys, unless it was tried a moment ago, or newer ones than `seen` have come while others were waited for.
    async fn refresh(self: &Arc<Self>, seen: Option<Instant>) {
        let mut attempt = self.attempt.lock().await;
        let fetched = self.known.load().as_ref().map(|known| known.fetched);
        if fetched != seen || attempt.is_some_and(|last| last.elapsed() < BETWEEN_ATTEMPTS) {
            return;
        }
        *attempt = Some(Instant::now());
        let issuer = Arc::clone(self);
        // On a task of its own: a client that goes away leaves the keys to those who wait behind it.
        if let Err(error) = tokio::spawn(async move { issuer.fetch().await }).await {
            tracing::error!(%error, "fetch an issuer's keys");
        }
    }

    async fn fetch(&self) {
        match self.fetched().await {
            Ok(keys) => {
                let fetched = Instant::now();
                self.known.store(Some(Arc::new(Known { keys, fetched })));
            }
            Err(error) => {
                // The issuer's doing, not the node's: of interest to whoever looks for why tokens are refused.
                tracing::info!(issuer = self.name, %error, "an issuer's keys can't be fetched");
            }
        }
    }

    async fn fetched(&self) -> Result<Keys, FetchError> {
        let url = match &self.jwks_url {
            Some(url) => url.clone(),
            None => self.discovered().await?,
        };
        let document = self.get(&url).await?;
        Keys::read(&document).map_err(|error| FetchError::Document(url, error))
    }

    async fn discovered(&self) -> Result<String, FetchError> {
        let base = self.name.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let document = self.get(&url).await?;
        let found: Configuration =
            serde_json::from_slice(&document).map_err(|error| FetchError::Document(url, error))?;
        // Section 4.3: it must be exactly the one that was asked.
        if found.issuer != self.name {
            return Err(FetchError::AnotherIssuer(found.issuer));
        }
        // An issuer on the network has no say about what is on this machine.
        let is_downgrade = self.name.starts_with("https:") && !found.jwks_uri.starts_with("https:");
        if is_downgrade || !is_safe_url(&found.jwks_uri) {
            return Err(FetchError::Unsafe(found.jwks_uri));
        }
        Ok(found.jwks_uri)
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let failed = |error| FetchError::Http(url.to_owned(), error);
        let request = self.client.get(url).timeout(FETCH);
        let mut response = request.send().await.map_err(failed)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(FetchError::Status(url.to_owned(), response.status()));
        }
        let mut document = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if document.len() + piece.len() > DOCUMENT_BYTES {
                return Err(FetchError::TooLarge(url.to_owned()));
            }
            document.extend_from_slice(&piece);
        }
        Ok(document)
    }
}
