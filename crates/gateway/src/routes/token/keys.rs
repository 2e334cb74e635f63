//! An issuer's public keys, as its JWKS document (RFC 7517) lists them.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Keys of one issuer that are kept. Issuers have two or three.
const KEYS: usize = 64;

/// The keys that tokens may be signed with.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<Key>);

/// One of them.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    /// What it may be used with: never more than its own kind of key is for.
    algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a document. Keys that are for something else, or of a kind that is not taken, are passed over.
    ///
    /// # Errors
    /// If it is no such document.
    pub(super) fn read(document: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_slice(document)?;
        let keys = document.keys.into_iter().filter_map(Key::read);
        Ok(Self(keys.take(KEYS).collect()))
    }

    /// The key that a token names; without a name, the only one that there is for its algorithm.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut usable = self.0.iter().filter(|key| {
            key.algorithms.contains(&algorithm)
                && kid.is_none_or(|kid| key.kid.as_deref() == Some(kid))
        });
        match (usable.next(), kid, usable.next()) {
            (found, Some(_), _) | (found, None, None) => found,
            (_, None, Some(_)) => None,
        }
    }
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        if jwk
            .common
            .public_key_use
            .as_ref()
            .is_some_and(|usage| *usage != PublicKeyUse::Signature)
        {
            return None;
        }
        let kind = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => vec![
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) => match key.curve {
                EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
                _ => return None,
            },
            // Shared secrets among them.
            _ => return None,
        };
        let algorithms = match jwk.common.key_algorithm {
            None => kind,
            Some(own) => kind
                .into_iter()
                .filter(|algorithm| is_same(own, *algorithm))
                .collect(),
        };
        Some(Self {
            kid: jwk.common.key_id.clone(),
            algorithms,
            key: DecodingKey::from_jwk(&jwk).ok()?,
        })
    }
}

/// Whether a document and a token name the same algorithm.
fn is_same(own: KeyAlgorithm, algorithm: Algorithm) -> bool {
    format!("{own:?}") == format!("{algorithm:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 7517, appendix A.1: an elliptic curve key and an RSA key (its modulus shortened: it is not used here).
    const DOCUMENT: &str = r#"{"keys": [
        {"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
         "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"},
        {"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
         "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"sig","kid":"2"},
        {"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN","e":"AQAB","alg":"RS256","kid":"2011-04-29"},
        {"kty":"oct","k":"c2VjcmV0","kid":"secret"},
        {"kty":"new","kid":"unknown"},
        {"kid":"none"}, 7
    ]}"#;

    #[test]
    fn keys_are_found_by_name_and_algorithm() {
        let keys = Keys::read(DOCUMENT.as_bytes()).unwrap();
        assert_eq!(keys.0.len(), 2);
        assert!(keys.find(Some("2"), Algorithm::ES256).is_some());
        assert!(keys.find(Some("2011-04-29"), Algorithm::RS256).is_some());
        for (kid, algorithm) in [
            (Some("1"), Algorithm::ES256),
            (Some("2"), Algorithm::ES384),
            (Some("2"), Algorithm::RS256),
            (Some("2"), Algorithm::HS256),
            (Some("2011-04-29"), Algorithm::RS512),
            (Some("2011-04-29"), Algorithm::HS256),
            (Some("secret"), Algorithm::HS256),
            (Some(""), Algorithm::ES256),
            (None, Algorithm::EdDSA),
        ] {
            assert!(keys.find(kid, algorithm).is_none(), "{kid:?} {algorithm:?}");
        }
        assert!(keys.find(None, Algorithm::ES256).is_some());
        for bad in ["", "[]", "{}", "{\"keys\": 1}"] {
            assert!(Keys::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
