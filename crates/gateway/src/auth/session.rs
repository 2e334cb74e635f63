//! Temporary credentials for functions, kept nowhere: the session token carries its own claims, authenticated with
//! the node's secret, and the secret access key follows from the token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth_types::name::{AccountId, FunctionKey};
use hearth_types::time::Timestamp;
use hearth_types::{ApiError, ErrorKind};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Version of the token's layout: `[version][expiry, i64 big endian, ms][account/region/function][mac]`.
const LAYOUT: u8 = 1;
const MAC_BYTES: usize = 32;
const HEAD_BYTES: usize = 1 + 8;
/// The longest token that is looked at, bytes: far above the longest that is made (under 250).
const LONGEST_TOKEN: usize = 1_024;

/// Credentials that a function finds in its environment.
#[derive(Clone)]
pub struct SessionCredentials {
    /// `AWS_ACCESS_KEY_ID`: `ASIA` and 16 characters.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`, 40 characters.
    pub secret_access_key: String,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: String,
}

impl fmt::Debug for SessionCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionCredentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

/// What a valid token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) account: AccountId,
    pub(crate) secret_access_key: String,
}

/// Makes and opens session tokens. Cheap to clone; never shows its keys.
#[derive(Clone)]
pub struct Sessions {
    token: Hmac<Sha256>,
    secret: Hmac<Sha256>,
    name: Hmac<Sha256>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl Sessions {
    /// `node_secret`: 32 secret random bytes that outlive a restart if running functions are to keep their
    /// credentials over it.
    pub fn new(node_secret: &[u8; 32]) -> Self {
        Self {
            token: derived(node_secret, b"hearth session token"),
            secret: derived(node_secret, b"hearth session secret"),
            name: derived(node_secret, b"hearth session access key id"),
        }
    }

    /// Credentials of `function`'s account, good until `expires`.
    pub fn mint(&self, function: &FunctionKey, expires: Timestamp) -> SessionCredentials {
        let mut claims = Vec::with_capacity(128);
        claims.push(LAYOUT);
        claims.extend_from_slice(&expires.as_millis().to_be_bytes());
        claims.extend_from_slice(function.to_string().as_bytes());
        let mac = tag(&self.token, &claims);
        claims.extend_from_slice(&mac);
        SessionCredentials {
            access_key_id: self.access_key_id(&claims),
            secret_access_key: self.secret_access_key(&claims),
            session_token: STANDARD.encode(claims),
        }
    }

    /// # Errors
    /// UnrecognizedClient if the token is not one of this node's or not that of `access_key_id`; ExpiredToken.
    pub(crate) fn open(
        &self,
        access_key_id: &str,
        token: &str,
        now: Timestamp,
    ) -> Result<Session, ApiError> {
        let (session, expires) = self.read(access_key_id, token).ok_or_else(unrecognized)?;
        if expires <= now {
            return Err(ApiError::new(
                ErrorKind::ExpiredToken,
                "The security token included in the request is expired",
            ));
        }
        Ok(session)
    }

    fn read(&self, access_key_id: &str, token: &str) -> Option<(Session, Timestamp)> {
        if token.len() > LONGEST_TOKEN {
            return None;
        }
        let token = STANDARD.decode(token).ok()?;
        let (claims, mac) = token.split_at_checked(token.len().checked_sub(MAC_BYTES)?)?;
        let mut check = self.token.clone();
        check.update(claims);
        // Constant time.
        check.verify_slice(mac).ok()?;
        let (head, function) = claims.split_at_checked(HEAD_BYTES)?;
        let (&LAYOUT, expires) = head.split_first()? else {
            return None;
        };
        let expires = Timestamp::from_millis(i64::from_be_bytes(expires.try_into().ok()?));
        let account = std::str::from_utf8(function).ok()?.split('/').next()?;
        // Signing keys are cached by access key id, so an id must stand for one token only.
        if self.access_key_id(&token) != access_key_id {
            return None;
        }
        let session = Session {
            account: account.parse().ok()?,
            secret_access_key: self.secret_access_key(&token),
        };
        Some((session, expires))
    }

    fn access_key_id(&self, token: &[u8]) -> String {
        // RFC 4648's base 32 alphabet, in which AWS writes its own.
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let name = tag(&self.name, token);
        let letters = name
            .iter()
            .take(16)
            .map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
        "ASIA".chars().chain(letters).collect()
    }

    fn secret_access_key(&self, token: &[u8]) -> String {
        // 30 bytes are 40 characters of base64, the length of every AWS secret access key.
        STANDARD.encode(&tag(&self.secret, token)[..30])
    }
}

/// The answer to credentials that nobody has.
pub(crate) fn unrecognized() -> ApiError {
    ApiError::new(
        ErrorKind::UnrecognizedClient,
        "The security token included in the request is invalid.",
    )
}

/// A key of its own for each purpose, so that a value made for one never passes for another.
pub(crate) fn derived(node_secret: &[u8; 32], purpose: &[u8]) -> Hmac<Sha256> {
    keyed(&tag(&keyed(node_secret), purpose))
}

/// HMAC-SHA256 keyed with `key`.
pub(crate) fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // RFC 2104, section 3.
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// HMAC-SHA256 of `message`.
pub(crate) fn tag(key: &Hmac<Sha256>, message: &[u8]) -> [u8; 32] {
    let mut mac = key.clone();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function() -> FunctionKey {
        FunctionKey {
            account: "123456789012".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            name: "f".parse().unwrap(),
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn minted_credentials_open_until_they_expire() {
        let sessions = Sessions::new(&[7; 32]);
        let minted = sessions.mint(&function(), at(1_000));
        assert_eq!(minted.access_key_id.len(), 20);
        assert_eq!(minted.secret_access_key.len(), 40);
        let session = sessions
            .open(&minted.access_key_id, &minted.session_token, at(999))
            .unwrap();
        assert_eq!(session.account.as_str(), "123456789012");
        assert_eq!(session.secret_access_key, minted.secret_access_key);
        let error = sessions
            .open(&minted.access_key_id, &minted.session_token, at(1_000))
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::ExpiredToken);
    }

    #[test]
    fn every_changed_bit_of_a_token_is_noticed() {
        let sessions = Sessions::new(&[7; 32]);
        let minted = sessions.mint(&function(), at(1_000));
        let token = STANDARD.decode(&minted.session_token).unwrap();
        for bit in 0..token.len() * 8 {
            let mut changed = token.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let error = sessions
                .open(&minted.access_key_id, &STANDARD.encode(changed), at(0))
                .unwrap_err();
            assert_eq!(error.kind, ErrorKind::UnrecognizedClient, "bit {bit}");
        }
    }

    #[test]
    fn a_token_serves_its_own_access_key_on_its_own_node_only() {
        let sessions = Sessions::new(&[7; 32]);
        let one = sessions.mint(&function(), at(1_000));
        let two = sessions.mint(&function(), at(2_000));
        assert!(
            sessions
                .open(&one.access_key_id, &two.session_token, at(0))
                .is_err()
        );
        let elsewhere = Sessions::new(&[8; 32]);
        assert!(
            elsewhere
                .open(&one.access_key_id, &one.session_token, at(0))
                .is_err()
        );
        for hostile in ["", "!", "AAAA", &"A".repeat(100_000)] {
            assert!(sessions.open(&one.access_key_id, hostile, at(0)).is_err());
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let minted = Sessions::new(&[7; 32]).mint(&function(), at(1));
        let shown = format!("{minted:?} {:?}", Sessions::new(&[7; 32]));
        assert!(!shown.contains(&minted.secret_access_key));
        assert!(!shown.contains(&minted.session_token));
    }
}
