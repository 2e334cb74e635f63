//! Who is asking: Signature Version 4, in the `Authorization` header or in a pre-signed query.
//!
//! A request is looked at twice. [`Keys::admit`] reads its head: the key is known, the date is near, the signature
//! covers what it must. Only then is the body read, and [`Admitted::verify`] checks the signature over head and body.
//! Until that has succeeded nothing that the request says is believed.

mod canonical;
mod claim;
mod instant;
mod presigned;
mod session;
mod signing_key;
#[cfg(test)]
mod vectors;

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use hearth_types::ApiError;
use hearth_types::name::{AccountId, Region};
use hearth_types::time::Timestamp;
use http::Method;
use http::request::Parts;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use self::canonical::Canonical;
use self::claim::{ALGORITHM, Claim, Form, incomplete, invalid};
use self::instant::{basic, earlier, later};
use self::session::unrecognized;
use self::signing_key::SigningKeys;

pub(crate) use self::claim::Service;
pub(crate) use self::instant::SignedAt;
pub use self::session::{SessionCredentials, Sessions};
pub(crate) use self::session::{derived, tag};

/// How far a request's date may be from the node's clock, either way (AWS: five minutes).
const SKEW: Duration = Duration::from_secs(5 * 60);
/// Stands for the hash of a body that is not signed.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// A long-lived access key.
#[derive(Clone)]
pub struct RootKey {
    /// Its identifier: letters and digits.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// Whose it is.
    pub account: AccountId,
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKey")
            .field("access_key_id", &self.access_key_id)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// The keys that this node knows.
#[derive(Debug)]
pub struct Keys {
    roots: HashMap<String, RootKey>,
    sessions: Sessions,
    derived: SigningKeys,
}

impl Keys {
    /// Long-lived keys, and temporary ones as `sessions` mints them.
    pub fn new(roots: impl IntoIterator<Item = RootKey>, sessions: Sessions) -> Self {
        Self {
            roots: roots
                .into_iter()
                .map(|key| (key.access_key_id.clone(), key))
                .collect(),
            sessions,
            derived: SigningKeys::default(),
        }
    }

    /// Looks at the head of a request. No body needs to be read for a request that fails here.
    ///
    /// # Errors
    /// Why the request can't be authentic: MissingAuthenticationToken, IncompleteSignature, InvalidSignature (dates
    /// and scopes), UnrecognizedClient, ExpiredToken.
    pub(crate) fn admit<'a>(
        &'a self,
        parts: &'a Parts,
        now: Timestamp,
    ) -> Result<Admitted<'a>, ApiError> {
        let claim = Claim::read(parts)?;
        check_date(&claim, now)?;
        check_payload_word(&claim, parts)?;
        let (account, secret) = match (&claim.session_token, self.roots.get(&*claim.access_key_id))
        {
            (None, Some(root)) => (root.account.clone(), Secret::Root(&root.secret_access_key)),
            (Some(token), None) => {
                let session = self.sessions.open(&claim.access_key_id, token, now)?;
                (session.account, Secret::Session(session.secret_access_key))
            }
            (None, None) | (Some(_), Some(_)) => return Err(unrecognized()),
        };
        Ok(Admitted {
            keys: self,
            parts,
            claim,
            account,
            secret,
        })
    }
}

enum Secret<'a> {
    Root(&'a str),
    Session(String),
}

impl Secret<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Root(secret) => secret,
            Self::Session(secret) => secret,
        }
    }
}

/// A request whose head may be authentic.
pub(crate) struct Admitted<'a> {
    keys: &'a Keys,
    parts: &'a Parts,
    claim: Claim<'a>,
    account: AccountId,
    secret: Secret<'a>,
}

/// Who is asking, for sure.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The account of the credentials.
    pub(crate) account: AccountId,
    /// The region of the signature's scope.
    pub(crate) region: Region,
}

impl Admitted<'_> {
    /// The service of the signature's scope.
    pub(crate) fn service(&self) -> Service {
        self.claim.service
    }

    /// Checks the signature. `body` is the SHA-256 of the body as it was read.
    ///
    /// # Errors
    /// InvalidSignature.
    pub(crate) fn verify(self, body: &[u8; 32]) -> Result<Caller, ApiError> {
        let hash = hex::encode(body);
        let payload_hash = match content_sha256(self.parts)? {
            Some(UNSIGNED_PAYLOAD) => UNSIGNED_PAYLOAD,
            Some(said) if said != hash => {
                return Err(invalid(
                    "The value of the X-Amz-Content-Sha256 header is not the SHA-256 of the body.",
                ));
            }
            Some(_) | None => &hash,
        };
        let canonical = Canonical {
            method: self.parts.method.as_str(),
            path: self.parts.uri.path(),
            query: self.parts.uri.query().unwrap_or_default(),
            without: match self.claim.form {
                Form::Header => None,
                Form::Query { .. } => Some(presigned::SIGNATURE),
            },
            headers: &self.parts.headers,
            authority: self.parts.uri.authority().map(http::uri::Authority::as_str),
            signed_headers: &self.claim.signed_headers,
            payload_hash,
        };
        let request = canonical.to_bytes().ok_or_else(mismatch)?;
        let text = string_to_sign(&self.claim, &request);
        let scope = self.claim.scope();
        let cached = self.keys.derived.get(&self.claim.access_key_id, scope);
        let is_new = cached.is_none();
        let key = cached.unwrap_or_else(|| signing_key::derive(self.secret.as_str(), scope));
        let signature = tag(&key, text.as_bytes());
        if !bool::from(signature.ct_eq(&self.claim.signature)) {
            return Err(mismatch());
        }
        if is_new {
            self.keys.derived.put(&self.claim.access_key_id, scope, key);
        }
        Ok(Caller {
            account: self.account,
            region: self.claim.region,
        })
    }
}

/// Step 3 of signing: what the signing key signs.
fn string_to_sign(claim: &Claim<'_>, canonical_request: &[u8]) -> String {
    let signing_key::Scope {
        day,
        region,
        service,
    } = claim.scope();
    let hash = hex::encode(Sha256::digest(canonical_request));
    let date = claim.date.as_str();
    format!("{ALGORITHM}\n{date}\n{day}/{region}/{service}/aws4_request\n{hash}")
}

fn mismatch() -> ApiError {
    invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access \
         Key and signing method. Consult the service documentation for details.",
    )
}

/// The date is near the node's clock, or within the life that a pre-signed URL gives itself. The wording is AWS's.
fn check_date(claim: &Claim<'_>, now: Timestamp) -> Result<(), ApiError> {
    let date = claim.date.as_str();
    let latest = later(now, SKEW);
    if claim.date.at() > latest {
        return Err(invalid(format!(
            "Signature not yet current: {date} is still later than {} ({} + 5 min.)",
            basic(latest),
            basic(now)
        )));
    }
    let expired = |end: String, now_text: String| {
        invalid(format!(
            "Signature expired: {end} is now earlier than {now_text}"
        ))
    };
    match claim.form {
        Form::Header => {
            let earliest = earlier(now, SKEW);
            if claim.date.at() < earliest {
                let bound = format!("{} ({} - 5 min.)", basic(earliest), basic(now));
                return Err(expired(date.to_owned(), bound));
            }
        }
        Form::Query { expires } => {
            let end = later(claim.date.at(), expires);
            if end < now {
                return Err(expired(basic(end), basic(now)));
            }
        }
    }
    Ok(())
}

/// A body that no signature covers is taken with a pre-signed GET only, which has none.
fn check_payload_word(claim: &Claim<'_>, parts: &Parts) -> Result<(), ApiError> {
    let Some(said) = content_sha256(parts)? else {
        return Ok(());
    };
    let may_be_unsigned = matches!(claim.form, Form::Query { .. }) && parts.method == Method::GET;
    let is_hash = said.len() == 64 && said.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_hash || (said == UNSIGNED_PAYLOAD && may_be_unsigned) {
        return Ok(());
    }
    Err(invalid(
        "The X-Amz-Content-Sha256 header must be the SHA-256 of the body in lower-case hexadecimal.",
    ))
}

/// What the request says of its body, in a header that its signature must cover.
fn content_sha256(parts: &Parts) -> Result<Option<&str>, ApiError> {
    let mut values = parts.headers.get_all("x-amz-content-sha256").iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            Ok(Some(value.to_str().map_err(|_| {
                incomplete("The X-Amz-Content-Sha256 header is not text.")
            })?))
        }
        (Some(_), Some(_)) => Err(incomplete(
            "The X-Amz-Content-Sha256 header was sent twice.",
        )),
    }
}
