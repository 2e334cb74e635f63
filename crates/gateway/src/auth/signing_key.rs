//! Signing keys, derived once for each day, region and service of an access key.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{PoisonError, RwLock};

use hmac::Hmac;
use sha2::Sha256;

use super::session::{keyed, tag};

/// Locks that requests spread over; few, as each is held for one look-up.
const SHARDS: usize = 16;
/// Keys of one shard. Together 4,096: functions with credentials in use on one day, times regions.
const SHARD_ENTRIES: usize = 256;

/// What a signing key is derived for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope<'a> {
    /// `20150830`.
    pub(crate) day: &'a str,
    /// The region.
    pub(crate) region: &'a str,
    /// The service's signing name.
    pub(crate) service: &'a str,
}

/// HMAC-SHA256 keyed with a signing key: a clone of it signs.
pub(crate) type SigningKey = Hmac<Sha256>;

/// Derives the key that signs requests of one day, region and service.
pub(crate) fn derive(secret_access_key: &str, scope: Scope<'_>) -> SigningKey {
    let start = keyed(format!("AWS4{secret_access_key}").as_bytes());
    let day = keyed(&tag(&start, scope.day.as_bytes()));
    let region = keyed(&tag(&day, scope.region.as_bytes()));
    let service = keyed(&tag(&region, scope.service.as_bytes()));
    keyed(&tag(&service, b"aws4_request"))
}

/// A bounded cache. Only keys that have verified a signature are put in: nobody without a secret fills it.
pub(crate) struct SigningKeys {
    shards: [RwLock<HashMap<String, SigningKey>>; SHARDS],
    hasher: RandomState,
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeys")
    }
}

impl Default for SigningKeys {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::new(),
        }
    }
}

impl SigningKeys {
    /// The key, if it is here.
    pub(crate) fn get(&self, access_key_id: &str, scope: Scope<'_>) -> Option<SigningKey> {
        let name = entry_name(access_key_id, scope);
        let shard = self.shard(&name).read();
        // A panic elsewhere leaves a map whole: its operations are not interrupted half-way.
        shard
            .unwrap_or_else(PoisonError::into_inner)
            .get(&name)
            .cloned()
    }

    /// Keeps a key. A full shard starts anew: deriving again costs microseconds.
    pub(crate) fn put(&self, access_key_id: &str, scope: Scope<'_>, key: SigningKey) {
        let name = entry_name(access_key_id, scope);
        let shard = self.shard(&name).write();
        let mut shard = shard.unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_ENTRIES {
            shard.clear();
        }
        shard.insert(name, key);
    }

    fn shard(&self, name: &str) -> &RwLock<HashMap<String, SigningKey>> {
        // The remainder fits every width of usize.
        let at = self.hasher.hash_one(name) % SHARDS as u64;
        &self.shards[usize::try_from(at).unwrap_or_default()]
    }
}

/// The parts hold no slashes: an access key id and a day are alphanumeric, a region and a service are checked words.
fn entry_name(access_key_id: &str, scope: Scope<'_>) -> String {
    [access_key_id, scope.day, scope.region, scope.service].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(day: &str) -> Scope<'_> {
        Scope {
            day,
            region: "us-east-1",
            service: "iam",
        }
    }

    #[test]
    fn derivation_gives_the_documented_key() {
        // "Examples of how to derive a signing key", AWS General Reference: secret, scope and key in hexadecimal.
        let key = derive(
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            scope("20150830"),
        );
        let documented =
            hex::decode("c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9")
                .unwrap();
        assert_eq!(tag(&key, b"x"), tag(&keyed(&documented), b"x"));
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_scopes_apart() {
        let keys = SigningKeys::default();
        keys.put("AKIA", scope("20150830"), derive("s", scope("20150830")));
        assert!(keys.get("AKIA", scope("20150830")).is_some());
        assert!(keys.get("AKIA", scope("20150831")).is_none());
        assert!(keys.get("AKIB", scope("20150830")).is_none());
        let key = derive("s", scope("20150830"));
        for n in 0..SHARDS * SHARD_ENTRIES * 2 {
            keys.put(&format!("AKIA{n}"), scope("20150830"), key.clone());
        }
        let held: usize = keys.shards.iter().map(|s| s.read().unwrap().len()).sum();
        assert!(held <= SHARDS * SHARD_ENTRIES);
    }
}
