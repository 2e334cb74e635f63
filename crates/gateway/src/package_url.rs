//! Links to packages: `/_hearth/packages/<digest>`, signed by the node for one package and a short time, so that
//! anything that can fetch a URL can fetch it.

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use hearth_types::digest::Digest;
use hearth_types::time::Timestamp;
use hearth_types::{ApiError, ErrorKind};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::auth::{SignedAt, derived};

/// Where packages are fetched.
pub(crate) const PREFIX: &str = "/_hearth/packages/";
/// How long a link opens (the service: ten minutes).
const LIFE: Duration = Duration::from_secs(600);

/// Makes links and checks them.
#[derive(Clone)]
pub(crate) struct PackageLinks(Hmac<Sha256>);

impl fmt::Debug for PackageLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PackageLinks")
    }
}

impl PackageLinks {
    pub(crate) fn new(node_secret: &[u8; 32]) -> Self {
        Self(derived(node_secret, b"hearth package link"))
    }

    /// A link on `host` (the `Host` of the request that asks for it) that opens `package` for ten minutes.
    pub(crate) fn link(&self, host: &str, package: &Digest, now: Timestamp) -> String {
        let date = SignedAt::of(now);
        let signed = signed_part(package, date.as_str(), LIFE.as_secs());
        let signature = hex::encode(self.mac(&signed).finalize().into_bytes());
        format!("http://{host}{signed}&X-Amz-Signature={signature}")
    }

    /// Which package a request's path and query open.
    ///
    /// # Errors
    /// AccessDenied if the link was not made by this node, was changed, or is too old.
    pub(crate) fn open(&self, path: &str, query: &str, now: Timestamp) -> Result<Digest, ApiError> {
        let denied = || {
            ApiError::new(
                ErrorKind::AccessDenied,
                "This link does not open a package. Ask for a new one.",
            )
        };
        let digest = path.strip_prefix(PREFIX).ok_or_else(denied)?;
        let digest = Digest::from_str(digest).map_err(|_| denied())?;
        let [date, expires, signature] = parameters(query).ok_or_else(denied)?;
        let date = SignedAt::from_basic(date).ok_or_else(denied)?;
        let expires: u64 = expires.parse().map_err(|_| denied())?;
        let mut given = [0; 32];
        hex::decode_to_slice(signature, &mut given).map_err(|_| denied())?;
        // What was signed is written anew from what was read, and must be what came, letter for letter.
        let signed = signed_part(&digest, date.as_str(), expires);
        if format!("{path}?{query}") != format!("{signed}&X-Amz-Signature={}", hex::encode(given)) {
            return Err(denied());
        }
        // Constant time.
        self.mac(&signed)
            .verify_slice(&given)
            .map_err(|_| denied())?;
        let age = now.as_millis().saturating_sub(date.at().as_millis());
        let life = i64::try_from(expires)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000);
        if age > life {
            return Err(ApiError::new(
                ErrorKind::AccessDenied,
                "Request has expired",
            ));
        }
        Ok(digest)
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(signed.as_bytes());
        mac
    }
}

fn signed_part(package: &Digest, date: &str, expires: u64) -> String {
    format!("{PREFIX}{package}?X-Amz-Date={date}&X-Amz-Expires={expires}")
}

fn parameters(query: &str) -> Option<[&str; 3]> {
    let mut pairs = query.split('&');
    let date = pairs.next()?.strip_prefix("X-Amz-Date=")?;
    let expires = pairs.next()?.strip_prefix("X-Amz-Expires=")?;
    let signature = pairs.next()?.strip_prefix("X-Amz-Signature=")?;
    pairs.next().is_none().then_some([date, expires, signature])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_000);

    fn split(link: &str) -> (String, String) {
        let target = link.strip_prefix("http://h:1").unwrap();
        let (path, query) = target.split_once('?').unwrap();
        (path.to_owned(), query.to_owned())
    }

    #[test]
    fn a_link_opens_its_package_for_ten_minutes() {
        let links = PackageLinks::new(&[1; 32]);
        let digest = Digest::from_bytes([5; 32]);
        let (path, query) = split(&links.link("h:1", &digest, NOW));
        assert_eq!(links.open(&path, &query, NOW).unwrap(), digest);
        let end = Timestamp::from_millis(NOW.as_millis() + 600_000);
        assert!(links.open(&path, &query, end).is_ok());
        let after = Timestamp::from_millis(NOW.as_millis() + 600_001);
        assert!(links.open(&path, &query, after).is_err());
        assert!(
            PackageLinks::new(&[2; 32])
                .open(&path, &query, NOW)
                .is_err()
        );
    }

    #[test]
    fn no_changed_letter_opens_anything() {
        let links = PackageLinks::new(&[1; 32]);
        let (path, query) = split(&links.link("h:1", &Digest::from_bytes([0xab; 32]), NOW));
        let whole = format!("{path}?{query}");
        for at in 0..whole.len() {
            for bit in 0..7 {
                let mut bytes = whole.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else {
                    continue;
                };
                let (path, query) = changed.split_once('?').unwrap_or((&changed, ""));
                assert!(links.open(path, query, NOW).is_err(), "{changed}");
            }
        }
        assert!(links.open(&path, &format!("{query}&x=1"), NOW).is_err());
        assert!(links.open(PREFIX, "", NOW).is_err());
    }
}
