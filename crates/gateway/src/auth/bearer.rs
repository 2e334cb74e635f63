//! Tokens of Cloudflare's API: made of an access key and a region, so that a client that can only send a token can be one
//! of an account, and who sees a token learns nothing of the key's secret and can sign nothing with it.
//!
//! `<access key id>.<region>.<64 hexadecimal digits>`: the digits authenticate the region with the secret.

use std::fmt;

use hearth_types::name::{AccountId, Region};
use hmac::{Hmac, Mac as _};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::Sha256;

use super::Keys;
use super::session::keyed;

/// What is authenticated besides the region: a token is good for nothing else.
const PURPOSE: &str = "hearth cloudflare api token";
/// Stands between a token and what the API has put after it.
const SESSION: char = '~';
/// The longest token that is looked at, bytes.
const LONGEST: usize = 512;

/// Who a token is of.
#[derive(Clone)]
pub(crate) struct Bearer {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    /// The token itself.
    pub(crate) token: String,
    /// What the API has put after it.
    pub(crate) session: Option<String>,
}

impl fmt::Debug for Bearer {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Bearer");
        let shown = shown.field("account", &self.account);
        shown.field("region", &self.region).finish_non_exhaustive()
    }
}

fn mac(secret: &str, region: &str) -> Hmac<Sha256> {
    let mut mac = keyed(secret.as_bytes());
    mac.update(PURPOSE.as_bytes());
    mac.update(b"\n");
    mac.update(region.as_bytes());
    mac
}

/// The token of an access key for a region.
pub fn api_token(access_key_id: &str, secret_access_key: &str, region: &str) -> String {
    let mac = hex::encode(mac(secret_access_key, region).finalize().into_bytes());
    format!("{access_key_id}.{region}.{mac}")
}

impl Keys {
    /// Who the bearer's token of a request is of; `None` if it has none, or none of this node's.
    pub(crate) fn bearer(&self, headers: &HeaderMap) -> Option<Bearer> {
        let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, rest) = value.split_once(' ')?;
        let rest = rest.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || rest.len() > LONGEST {
            return None;
        }
        let (token, session) = match rest.split_once(SESSION) {
            Some((token, session)) => (token, Some(session.to_owned())),
            None => (rest, None),
        };
        let mut parts = token.splitn(3, '.');
        let (id, region, digits) = (parts.next()?, parts.next()?, parts.next()?);
        let key = self.roots.get(id)?;
        let digits = hex::decode(digits).ok()?;
        // In constant time.
        mac(&key.secret_access_key, region)
            .verify_slice(&digits)
            .ok()?;
        Some(Bearer {
            account: key.account.clone(),
            region: region.parse().ok()?,
            token: token.to_owned(),
            session,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RootKey, Sessions};
    use super::*;

    fn of(value: &str) -> Option<Bearer> {
        let root = RootKey {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "secret".to_owned(),
            account: "123456789012".parse().unwrap(),
        };
        let keys = Keys::new([root], Sessions::new(&[3; 32]));
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        keys.bearer(&headers)
    }

    #[test]
    fn a_token_is_its_keys_and_for_its_region() {
        let token = api_token("AKIDEXAMPLE", "secret", "eu-west-1");
        let bearer = of(&format!("Bearer {token}")).unwrap();
        assert_eq!(bearer.account.as_str(), "123456789012");
        assert_eq!(
            (bearer.region.as_str(), bearer.session),
            ("eu-west-1", None)
        );
        let bearer = of(&format!("Bearer {token}~abc")).unwrap();
        assert_eq!(
            (bearer.token, bearer.session.as_deref()),
            (token, Some("abc"))
        );
    }

    #[test]
    fn no_other_token_is_taken() {
        let good = api_token("AKIDEXAMPLE", "secret", "eu-west-1");
        for bad in [
            String::new(),
            "Bearer ".to_owned(),
            format!("Basic {good}"),
            format!("Bearer {}", api_token("AKIDEXAMPLE", "Secret", "eu-west-1")),
            format!("Bearer {}", api_token("OTHER", "secret", "eu-west-1")),
            format!("Bearer {}", good.replace("eu-west-1", "us-east-1")),
            format!("Bearer {}", &good[..good.len() - 2]),
            format!("Bearer {good}00"),
            format!("Bearer {good}.more"),
            "Bearer AKIDEXAMPLE:secret".to_owned(),
            format!("Bearer {}", "x".repeat(600)),
        ] {
            assert!(of(&bad).is_none(), "{bad}");
        }
    }
}
