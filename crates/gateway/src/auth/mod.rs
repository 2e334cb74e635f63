//! Who is asking: Signature Version 4, in the `Authorization` header or in a pre-signed query.
//!
//! A request is looked at twice. [`Keys::admit`] reads its head: the key is known, the date is near, the signature
//! covers what it must. Only then is the body read, and [`Admitted::verify`] checks the signature over head and body.
//! Until that has succeeded nothing that the request says is believed.

mod bearer;
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

pub use self::bearer::api_token;
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

    /// Looks at the head of a request to `service`. No body needs to be read for a request that fails here.
    ///
    /// # Errors
    /// Why the request can't be authentic: MissingAuthenticationToken, IncompleteSignature, InvalidSignature (dates
    /// and scopes), UnrecognizedClient, ExpiredToken.
    pub(crate) fn admit<'a>(
        &'a self,
        parts: &'a Parts,
        now: Timestamp,
        service: Service,
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
        if claim.service != service {
            let name = service.as_str();
            return Err(invalid(format!(
                "Credential should be scoped to correct service: '{name}'."
            )));
        }
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
    /// The key that was used.
    pub(crate) access_key_id: String,
}

impl Admitted<'_> {
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
            access_key_id: self.claim.access_key_id.into_owned(),
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

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use aws_sigv4::http_request::{
        SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
    };
    use aws_sigv4::sign::v4::SigningParams;
    use hearth_types::ErrorKind;
    use hearth_types::name::FunctionKey;
    use http::{HeaderName, HeaderValue, Request};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);

    /// An independent signer's idea of a request.
    #[derive(Clone)]
    struct Signed {
        method: String,
        uri: String,
        headers: Vec<(String, Vec<u8>)>,
        body: Vec<u8>,
    }

    impl Signed {
        fn parts(&self) -> Option<Parts> {
            let mut request = Request::builder()
                .method(self.method.as_str())
                .uri(&self.uri);
            for (name, value) in &self.headers {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                request = request.header(name, HeaderValue::from_bytes(value).ok()?);
            }
            Some(request.body(()).ok()?.into_parts().0)
        }

        /// `None` if HTTP itself has no such request.
        fn verify(&self, keys: &Keys, now: Timestamp) -> Option<Result<Caller, ApiError>> {
            let parts = self.parts()?;
            let body = Sha256::digest(&self.body).into();
            Some(
                keys.admit(&parts, now, Service::Lambda)
                    .and_then(|admitted| admitted.verify(&body)),
            )
        }

        fn kind(&self, keys: &Keys) -> ErrorKind {
            self.verify(keys, NOW).unwrap().unwrap_err().kind
        }
    }

    struct Signer {
        id: String,
        secret: String,
        token: Option<String>,
        location: SignatureLocation,
        at: Timestamp,
        service: &'static str,
    }

    impl Signer {
        fn root() -> Self {
            Self {
                id: "AKIDEXAMPLE".to_owned(),
                secret: "secret".to_owned(),
                token: None,
                location: SignatureLocation::Headers,
                at: NOW,
                service: "lambda",
            }
        }

        fn sign(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: &[u8]) -> Signed {
            let credentials = aws_credential_types::Credentials::new(
                self.id.clone(),
                self.secret.clone(),
                self.token.clone(),
                None,
                "test",
            );
            let identity = credentials.into();
            let mut settings = SigningSettings::default();
            settings.signature_location = self.location;
            if self.location == SignatureLocation::QueryParams {
                settings.expires_in = Some(Duration::from_secs(900));
            }
            let at = UNIX_EPOCH + Duration::from_millis(self.at.as_millis().try_into().unwrap());
            let params = SigningParams::builder()
                .identity(&identity)
                .region("eu-west-1")
                .name(self.service)
                .time(at)
                .settings(settings)
                .build()
                .unwrap()
                .into();
            let mut signed: Vec<(String, Vec<u8>)> =
                vec![("host".to_owned(), b"localhost:7070".to_vec())];
            signed.extend(
                headers
                    .iter()
                    .map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())),
            );
            let request = SignableRequest::new(
                method,
                format!("http://localhost:7070{uri}"),
                signed
                    .iter()
                    .map(|(n, v)| (n.as_str(), std::str::from_utf8(v).unwrap())),
                SignableBody::Bytes(body),
            )
            .unwrap();
            let (instructions, _) = sign(request, &params).unwrap().into_parts();
            let mut request = Request::builder().uri(uri).body(()).unwrap();
            instructions.apply_to_request_http1x(&mut request);
            let made = request.headers().iter();
            signed.extend(made.map(|(n, v)| (n.to_string(), v.as_bytes().to_vec())));
            Signed {
                method: method.to_owned(),
                uri: request.uri().to_string(),
                headers: signed,
                body: body.to_vec(),
            }
        }
    }

    const URI: &str = "/2015-03-31/functions/arn%3Aaws%3Af/invocations?Qualifier=%24LATEST";

    fn keys() -> Keys {
        let root = RootKey {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
            account: "123456789012".parse().unwrap(),
        };
        Keys::new([root], Sessions::new(&[3; 32]))
    }

    fn signed() -> Signed {
        Signer::root().sign("POST", URI, &[("x-amz-log-type", "Tail")], b"{\"a\":1}")
    }

    #[test]
    fn another_signer_is_understood() {
        let keys = keys();
        let caller = signed().verify(&keys, NOW).unwrap().unwrap();
        assert_eq!(caller.account.as_str(), "123456789012");
        assert_eq!(caller.region.as_str(), "eu-west-1");
        // Once more, with the signing key that is cached now.
        assert!(signed().verify(&keys, NOW).unwrap().is_ok());
        for uri in [
            "/",
            "/a/",
            "/a?b=c&a=%2B%20&a=",
            "/a%20b/%E2%82%AC",
            "/2017-03-31/tags/arn:aws:lambda",
        ] {
            let signed = Signer::root().sign("GET", uri, &[], b"");
            assert!(signed.verify(&keys, NOW).unwrap().is_ok(), "{uri}");
        }
    }

    /// Every value that differs in one bit.
    fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        (0..bytes.len() * 8).map(|bit| {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            changed
        })
    }

    fn assert_refused(keys: &Keys, changed: &Signed, what: &str) {
        if let Some(result) = changed.verify(keys, NOW) {
            assert_eq!(result.unwrap_err().kind.status(), 403, "{what}");
        }
    }

    /// A letter of an escape in the query may be of either case: it is the same request.
    fn says_the_same(original: &Signed, changed: &str) -> bool {
        let unescaped = |uri: &str| percent_encoding::percent_decode_str(uri).collect::<Vec<u8>>();
        unescaped(&original.uri) == unescaped(changed)
    }

    #[test]
    fn no_request_that_differs_in_one_bit_is_taken() {
        let keys = keys();
        for location in [SignatureLocation::Headers, SignatureLocation::QueryParams] {
            let signer = Signer {
                location,
                ..Signer::root()
            };
            let original = signer.sign("POST", URI, &[("x-amz-log-type", "Tail")], b"{\"a\":1}");
            assert!(original.verify(&keys, NOW).unwrap().is_ok());
            for method in
                flips(original.method.as_bytes()).filter_map(|m| String::from_utf8(m).ok())
            {
                let changed = Signed {
                    method,
                    ..original.clone()
                };
                assert_refused(&keys, &changed, "method");
            }
            for uri in flips(original.uri.as_bytes()).filter_map(|u| String::from_utf8(u).ok()) {
                if says_the_same(&original, &uri) {
                    continue;
                }
                let changed = Signed {
                    uri,
                    ..original.clone()
                };
                let what = changed.uri.clone();
                assert_refused(&keys, &changed, &what);
            }
            for body in flips(&original.body) {
                let changed = Signed {
                    body,
                    ..original.clone()
                };
                assert_refused(&keys, &changed, "body");
            }
            for at in 0..original.headers.len() {
                let (name, value) = &original.headers[at];
                for value in flips(value) {
                    let mut changed = original.clone();
                    changed.headers[at].1 = value;
                    assert_refused(&keys, &changed, name);
                }
                let mut changed = original.clone();
                changed.headers.remove(at);
                assert_refused(&keys, &changed, &format!("without {name}"));
                let mut changed = original.clone();
                changed.headers.push(original.headers[at].clone());
                assert_refused(&keys, &changed, &format!("{name} twice"));
            }
        }
    }

    #[test]
    fn headers_that_matter_can_not_be_added() {
        let mut changed = signed();
        changed
            .headers
            .push(("x-amz-client-context".to_owned(), b"e30=".to_vec()));
        assert_eq!(changed.kind(&keys()), ErrorKind::InvalidSignature);
    }

    #[test]
    fn a_signature_serves_its_own_request_only() {
        let keys = keys();
        let mut replayed = signed();
        replayed.uri = replayed.uri.replace("%3Af", "%3Ag");
        assert_eq!(replayed.kind(&keys), ErrorKind::InvalidSignature);
        let mut swapped = signed();
        swapped.body = b"{\"a\":2}".to_vec();
        assert_eq!(swapped.kind(&keys), ErrorKind::InvalidSignature);
    }

    #[test]
    fn a_signature_lives_for_five_minutes_either_way() {
        let keys = keys();
        let minutes = |n: i64| Timestamp::from_millis(NOW.as_millis() + n * 60_000);
        for (skew, taken) in [(-6, false), (-5, true), (5, true), (6, false)] {
            let signer = Signer {
                at: minutes(skew),
                ..Signer::root()
            };
            let result = signer
                .sign("GET", "/a", &[], b"")
                .verify(&keys, NOW)
                .unwrap();
            assert_eq!(result.is_ok(), taken, "{skew}");
            if let Err(error) = result {
                assert_eq!(error.kind, ErrorKind::InvalidSignature);
                let text = if skew < 0 {
                    "Signature expired: 20260102T025805Z is now earlier than 20260102T025905Z (20260102T030405Z - 5 min.)"
                } else {
                    "Signature not yet current: 20260102T031005Z is still later than 20260102T030905Z \
                     (20260102T030405Z + 5 min.)"
                };
                assert_eq!(error.message, text);
            }
        }
    }

    #[test]
    fn a_pre_signed_url_lives_as_long_as_it_says() {
        let keys = keys();
        let signer = Signer {
            location: SignatureLocation::QueryParams,
            ..Signer::root()
        };
        let signed = signer.sign("GET", "/a?b=1", &[], b"");
        let after = |s: i64| Timestamp::from_millis(NOW.as_millis() + s * 1_000);
        assert!(signed.verify(&keys, after(900)).unwrap().is_ok());
        assert!(signed.verify(&keys, after(901)).unwrap().is_err());
        assert!(signed.verify(&keys, after(-301)).unwrap().is_err());
    }

    #[test]
    fn nobody_else_s_keys_are_taken() {
        let keys = keys();
        let stranger = Signer {
            id: "AKIDSTRANGER".to_owned(),
            ..Signer::root()
        };
        assert_eq!(
            stranger.sign("GET", "/a", &[], b"").kind(&keys),
            ErrorKind::UnrecognizedClient
        );
        let liar = Signer {
            secret: "guess".to_owned(),
            ..Signer::root()
        };
        assert_eq!(
            liar.sign("GET", "/a", &[], b"").kind(&keys),
            ErrorKind::InvalidSignature
        );
        let with_token = Signer {
            token: Some("x".to_owned()),
            ..Signer::root()
        };
        assert_eq!(
            with_token.sign("GET", "/a", &[], b"").kind(&keys),
            ErrorKind::UnrecognizedClient
        );
        let elsewhere = Signer {
            service: "s3",
            ..Signer::root()
        };
        assert_eq!(
            elsewhere.sign("GET", "/a", &[], b"").kind(&keys),
            ErrorKind::InvalidSignature
        );
    }

    #[test]
    fn a_function_s_credentials_are_taken_until_they_expire() {
        let keys = keys();
        let function = FunctionKey {
            account: "210987654321".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            name: "f".parse().unwrap(),
        };
        let minted =
            Sessions::new(&[3; 32]).mint(&function, Timestamp::from_millis(NOW.as_millis() + 1));
        for location in [SignatureLocation::Headers, SignatureLocation::QueryParams] {
            let signer = Signer {
                id: minted.access_key_id.clone(),
                secret: minted.secret_access_key.clone(),
                token: Some(minted.session_token.clone()),
                location,
                ..Signer::root()
            };
            let signed = signer.sign("GET", "/a", &[], b"");
            let caller = signed.verify(&keys, NOW).unwrap().unwrap();
            assert_eq!(caller.account.as_str(), "210987654321");
            let later = Timestamp::from_millis(NOW.as_millis() + 1);
            let error = signed.verify(&keys, later).unwrap().unwrap_err();
            assert_eq!(error.kind, ErrorKind::ExpiredToken);
        }
        // The cached signing key does not stand for the token.
        let without_token = Signer {
            id: minted.access_key_id,
            secret: minted.secret_access_key,
            ..Signer::root()
        };
        assert_eq!(
            without_token.sign("GET", "/a", &[], b"").kind(&keys),
            ErrorKind::UnrecognizedClient
        );
    }

    #[test]
    fn a_body_is_signed_or_absent() {
        let keys = keys();
        let hash = hex::encode(Sha256::digest(b"{}"));
        let good = Signer::root().sign("POST", "/a", &[("x-amz-content-sha256", &hash)], b"{}");
        assert!(good.verify(&keys, NOW).unwrap().is_ok());
        for word in [
            "UNSIGNED-PAYLOAD",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "",
        ] {
            let signed =
                Signer::root().sign("POST", "/a", &[("x-amz-content-sha256", word)], b"{}");
            assert_eq!(signed.kind(&keys), ErrorKind::InvalidSignature, "{word}");
        }
        let other = hex::encode(Sha256::digest(b"other"));
        let signed = Signer::root().sign("POST", "/a", &[("x-amz-content-sha256", &other)], b"{}");
        assert_eq!(signed.kind(&keys), ErrorKind::InvalidSignature);
    }
}
