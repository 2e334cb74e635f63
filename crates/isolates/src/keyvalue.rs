//! Workers KV for workers: what the dispatcher's `KeyValue` asks of the node, over the store of keys and values.
//!
//! Rules are the service's (its limits page, and the reference of each call); where it promises less than the store
//! gives (what is written is seen within a minute, elsewhere later), the store's word holds.

use std::borrow::Cow;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hearth_store::KeyValueStore;
use hearth_store::key_value::{
    BucketId, KeyValueError, Listed, MOST_KEYS, VALUE_BYTES, Value, Write,
};
use hearth_types::invoke::BodyError;
use hearth_types::time::Timestamp;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::door::{Reply, said};

/// The header field with a value's metadata, JSON that is percent-encoded.
const METADATA: &str = "x-hearth-metadata";

/// The shortest life that a value can be given, seconds. As Workers KV has it.
const LEAST_TTL: u64 = 60;

/// Kibibytes of values that are on their way between an account's engine and the store at the same time; more wait. Ten
/// of the largest.
const VALUES_KIB: usize = 10 * (VALUE_BYTES >> 10);

/// Room in the node's memory for values that are on their way.
pub(crate) fn room() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(VALUES_KIB))
}

/// Why a call fails: what the worker's author is told.
struct Refusal(StatusCode, Cow<'static, str>);

impl Refusal {
    fn bad(why: impl Into<Cow<'static, str>>) -> Self {
        Self(StatusCode::BAD_REQUEST, why.into())
    }
}

impl From<KeyValueError> for Refusal {
    fn from(error: KeyValueError) -> Self {
        match error {
            KeyValueError::Refused(why) => Self::bad(why),
            KeyValueError::Store(error) => {
                tracing::error!(%error, "can't use the store of keys and values");
                Self(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the store can't be used now; try again".into(),
                )
            }
        }
    }
}

/// One bucket, asked by a worker.
pub(crate) struct Asked<'a> {
    pub(crate) store: &'a dyn KeyValueStore,
    pub(crate) bucket: &'a BucketId,
    pub(crate) room: &'a Arc<Semaphore>,
}

impl Asked<'_> {
    /// Answers one call; `what` is its name.
    pub(crate) async fn answer(self, what: &str, request: Request<Incoming>) -> Reply {
        let query = request.uri().query().unwrap_or_default();
        let query: HashMap<String, String> = url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let answered = match (request.method(), what) {
            (&Method::GET, "get") => self.get(&query).await,
            (&Method::GET, "list") => self.list(&query).await,
            (&Method::PUT, "put") => self.put(&query, request).await,
            (&Method::DELETE, "delete") => self.delete(&query).await,
            _ => Err(Refusal(StatusCode::NOT_FOUND, "no such call".into())),
        };
        answered.unwrap_or_else(|Refusal(status, why)| said(status, why.into_owned()))
    }

    async fn get(self, query: &HashMap<String, String>) -> Result<Reply, Refusal> {
        let mut found = self.store.get(self.bucket, vec![key(query)]).await?;
        let Some(value) = found.pop().flatten() else {
            return Ok(said(StatusCode::NO_CONTENT, String::new()));
        };
        let held = self.room(value.bytes.len()).await;
        let body = Held {
            bytes: Some(value.bytes.into()),
            _room: held,
        };
        let mut reply = Response::new(body.boxed_unsync());
        if let Some(metadata) = value.metadata {
            let encoded: String = percent_encoding::utf8_percent_encode(
                &metadata,
                percent_encoding::NON_ALPHANUMERIC,
            )
            .collect();
            if let Ok(field) = HeaderValue::try_from(encoded) {
                reply.headers_mut().insert(METADATA, field);
            }
        }
        Ok(reply)
    }

    async fn list(self, query: &HashMap<String, String>) -> Result<Reply, Refusal> {
        let limit = match query.get("limit") {
            None => MOST_KEYS,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MOST_KEYS).contains(limit))
                .ok_or_else(|| Refusal::bad("limit is a number from 1 to 1000"))?,
        };
        let after = query.get("cursor").map(|cursor| {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
            bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| Refusal::bad("the cursor is none that list() gave"))
        });
        let prefix = query.get("prefix").cloned().unwrap_or_default();
        let page = self
            .store
            .list_by_name(self.bucket, prefix, after.transpose()?, limit)
            .await?;
        let last = page.keys.last().filter(|_| page.more);
        let list = List {
            cursor: last.map(|last| URL_SAFE_NO_PAD.encode(&last.key)),
            list_complete: !page.more,
            keys: page.keys.iter().map(Name::of).collect(),
        };
        // Strings and numbers always have a JSON form.
        let json = serde_json::to_string(&list).unwrap_or_default();
        Ok(said(StatusCode::OK, json))
    }

    async fn put(
        self,
        query: &HashMap<String, String>,
        request: Request<Incoming>,
    ) -> Result<Reply, Refusal> {
        let expires = expires(query, Timestamp::from(SystemTime::now()))?;
        let metadata = match request.headers().get(METADATA) {
            None => None,
            Some(field) => Some(metadata(field)?),
        };
        let size = request.body().size_hint().upper();
        let size = size.and_then(|size| usize::try_from(size).ok());
        let _held = self.room(size.unwrap_or(VALUE_BYTES)).await;
        let body = Limited::new(request.into_body(), VALUE_BYTES).collect();
        let bytes = body.await.map_err(|_| {
            Refusal(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a value has up to {VALUE_BYTES} bytes").into(),
            )
        })?;
        let value = Value {
            bytes: bytes.to_bytes().into(),
            metadata,
            expires,
        };
        let key = key(query);
        let write = vec![Write::Set { key, value }];
        self.store.write(self.bucket, write).await?;
        Ok(said(StatusCode::OK, String::new()))
    }

    async fn delete(self, query: &HashMap<String, String>) -> Result<Reply, Refusal> {
        let write = vec![Write::Delete { key: key(query) }];
        self.store.write(self.bucket, write).await?;
        Ok(said(StatusCode::OK, String::new()))
    }

    /// Waits for room for this many bytes.
    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = (bytes >> 10).min(VALUE_BYTES >> 10);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        // It is never closed.
        Arc::clone(self.room).acquire_many_owned(kib).await.ok()
    }
}

/// The key that a call is about; what it may be is the store's to say.
fn key(query: &HashMap<String, String>) -> String {
    query.get("key").cloned().unwrap_or_default()
}

/// When a value is there no more: by a life in seconds, which comes first, or a time in seconds since 1970.
fn expires(query: &HashMap<String, String>, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    let seconds = |name: &str| -> Result<Option<u64>, Refusal> {
        let number = query.get(name).map(|text| {
            text.parse().map_err(|_| {
                Refusal::bad("expiration and expirationTtl are whole numbers of seconds")
            })
        });
        number.transpose()
    };
    let least = |seconds: u64, what: &'static str| {
        (seconds >= LEAST_TTL)
            .then_some(seconds)
            .ok_or(Refusal::bad(what))
    };
    let now = u64::try_from(now.as_millis()).unwrap_or_default();
    let life = if let Some(ttl) = seconds("ttl")? {
        least(ttl, "expirationTtl is at least 60 seconds")?
    } else if let Some(at) = seconds("expiration")? {
        least(
            at.saturating_sub(now / 1_000),
            "expiration is at least 60 seconds from now, in seconds since 1970",
        )?
    } else {
        return Ok(None);
    };
    let life = Duration::from_secs(life).as_millis();
    let at = u128::from(now).saturating_add(life);
    Ok(Some(Timestamp::from_millis(
        i64::try_from(at).unwrap_or(i64::MAX),
    )))
}

fn metadata(field: &HeaderValue) -> Result<String, Refusal> {
    let text = percent_encoding::percent_decode(field.as_bytes());
    let text = text.decode_utf8().ok();
    text.filter(|text| serde_json::from_str::<&RawValue>(text).is_ok())
        .map(Cow::into_owned)
        .ok_or_else(|| Refusal::bad("the metadata is no JSON"))
}

/// What `list()` gives.
#[derive(Serialize)]
struct List<'a> {
    keys: Vec<Name<'a>>,
    list_complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
}

impl<'a> Name<'a> {
    fn of(listed: &'a Listed) -> Self {
        Self {
            name: &listed.key,
            expiration: listed.expires.map(|at| at.as_millis() / 1_000),
            // What another wall's functions wrote there may be none.
            metadata: listed
                .metadata
                .as_deref()
                .and_then(|metadata| serde_json::from_str(metadata).ok()),
        }
    }
}

/// A value on its way to a worker.
struct Held {
    bytes: Option<Bytes>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let bytes = self.bytes.take().filter(|bytes| !bytes.is_empty());
        Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_not_too_short() {
        let now = Timestamp::from_millis(1_000_000);
        let of = |pairs: &[(&str, &str)]| {
            let query = pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            expires(&query.collect(), now)
                .map(|at| at.map(Timestamp::as_millis))
                .map_err(|Refusal(status, _)| status.as_u16())
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("ttl", "60")]), Ok(Some(1_060_000)));
        assert_eq!(of(&[("expiration", "1060")]), Ok(Some(1_060_000)));
        assert_eq!(
            of(&[("ttl", "100"), ("expiration", "9999")]),
            Ok(Some(1_100_000))
        );
        for bad in [
            ("ttl", "59"),
            ("ttl", "-1"),
            ("ttl", "1.5"),
            ("expiration", "1059"),
            ("expiration", "x"),
        ] {
            assert_eq!(of(&[bad]), Err(400), "{bad:?}");
        }
        let far = u64::MAX.to_string();
        assert_eq!(of(&[("ttl", &far)]), Ok(Some(i64::MAX)));
    }
}
