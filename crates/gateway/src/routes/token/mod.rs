//! JSON web tokens: who made one, whom it is for, and what it says.
//!
//! - `issuer`: where keys come from, and how long they are good; `keys`: what a token may be signed with.
//! - `provider`: the cryptography.
//!
//! A token is refused with a sentence that tells its bearer what to do, and nothing of keys or of other routes.

mod issuer;
mod keys;
mod provider;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hearth_registry::Jwt;
use hearth_types::wire::function_url::JwtClaims;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde_json::Value;

use self::issuer::{Issuer, NoKeys};

/// Bytes of a token. Those of large issuers have 2 KB; a head has 64 KiB in all.
const TOKEN_BYTES: usize = 16 * 1024;
/// How far the clocks of issuer and node may differ.
const LEEWAY: Duration = Duration::from_secs(30);
/// Places of keys that are remembered at the same time; each has some KB.
const ISSUERS: usize = 1_024;
/// What tokens may be signed with: public keys alone.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Everything that is known of issuers. Looked up without a lock.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    issuers: ArcSwap<HashMap<Place, Arc<Issuer>>>,
    /// Held while an issuer is added.
    adding: Mutex<()>,
    client: OnceLock<Option<reqwest::Client>>,
}

/// Who makes tokens, and where the keys are if discovery is not asked.
type Place = (String, Option<String>);

/// A token that was found good.
#[derive(Debug)]
pub(crate) struct Good {
    pub(crate) claims: BTreeMap<String, Value>,
    /// The scopes of the route that it has.
    pub(crate) scopes: Option<Vec<String>>,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// It is none, is not signed by the issuer, is for somebody else, or its time is over: what the bearer can be told.
    Token(&'static str),
    /// It lacks what the route asks for.
    Insufficient(&'static str),
    /// Nobody can say yet.
    NoKeys,
}

impl Tokens {
    /// Checks a token against what a route asks for.
    ///
    /// # Errors
    /// [`Bad`].
    pub(crate) async fn check(&self, asked: &Jwt, token: &str) -> Result<Good, Bad> {
        provider::install();
        if token.len() > TOKEN_BYTES {
            return Err(Bad::Token("The token is too long."));
        }
        let header = jsonwebtoken::decode_header(token)
            .map_err(|_| Bad::Token("The token can't be read, or its algorithm is not taken."))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Bad::Token("The token's algorithm is not taken."));
        }
        // What it says must be understood is not (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(Bad::Token("The token has critical extensions."));
        }
        let issuer = self.issuer(asked).ok_or(Bad::NoKeys)?;
        let kid = header.kid.as_deref();
        let known = issuer.keys(kid, header.alg).await;
        let known = known.map_err(|NoKeys| Bad::NoKeys)?;
        let key = known.keys.find(kid, header.alg);
        let key = key.ok_or(Bad::Token("The token is signed with an unknown key."))?;
        let decoded = jsonwebtoken::decode(token, &key.key, &validation(asked, header.alg));
        let claims: BTreeMap<String, Value> =
            decoded.map_err(|error| refusal(error.kind()))?.claims;
        if !is_for(&claims, &asked.audiences) {
            return Err(Bad::Token("The token is for another audience."));
        }
        let scopes = scopes(&claims, &asked.scopes)?;
        let has =
            |(name, value): (&String, &Value)| claims.get(name).is_some_and(|c| holds(c, value));
        if !asked.claims.iter().all(has) {
            return Err(Bad::Insufficient(
                "The token lacks a claim that is needed here.",
            ));
        }
        Ok(Good { claims, scopes })
    }

    fn issuer(&self, asked: &Jwt) -> Option<Arc<Issuer>> {
        let place = (asked.issuer.clone(), asked.jwks_url.clone());
        if let Some(issuer) = self.issuers.load().get(&place) {
            return Some(Arc::clone(issuer));
        }
        let client = self.client.get_or_init(client).clone()?;
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut issuers = HashMap::clone(&self.issuers.load());
        if let Some(issuer) = issuers.get(&place) {
            return Some(Arc::clone(issuer));
        }
        if issuers.len() >= ISSUERS
            && let Some(any) = issuers.keys().next().cloned()
        {
            issuers.remove(&any);
        }
        let issuer = Arc::new(Issuer::new(place.0.clone(), place.1.clone(), client));
        issuers.insert(place, Arc::clone(&issuer));
        self.issuers.store(Arc::new(issuers));
        Some(issuer)
    }
}

fn client() -> Option<reqwest::Client> {
    // Refused when there is one already: as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        // Who says where the keys are says where they are.
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build();
    client
        .inspect_err(|error| tracing::error!(%error, "make an HTTP client for issuers' keys"))
        .ok()
}

fn validation(asked: &Jwt, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY.as_secs();
    validation.validate_nbf = true;
    validation.set_required_spec_claims(&["exp", "iss"]);
    validation.set_issuer(&[&asked.issuer]);
    // Looked at below, with what some issuers have instead.
    validation.validate_aud = false;
    validation
}

fn refusal(kind: &ErrorKind) -> Bad {
    Bad::Token(match kind {
        ErrorKind::ExpiredSignature => "The token has expired.",
        ErrorKind::ImmatureSignature => "The token is not good yet.",
        ErrorKind::InvalidIssuer => "The token is of another issuer.",
        ErrorKind::MissingRequiredClaim(_) => "The token lacks exp or iss.",
        _ => "The token is not one of the issuer's.",
    })
}

/// Whether a claim is a text, or a list with it.
fn holds(claim: &Value, wanted: &Value) -> bool {
    match claim {
        Value::Array(list) => list.contains(wanted),
        claim => claim == wanted,
    }
}

/// `aud` counts; some issuers leave it out of access tokens and say `client_id`.
fn is_for(claims: &BTreeMap<String, Value>, audiences: &[String]) -> bool {
    let claim = claims.get("aud").or_else(|| claims.get("client_id"));
    claim.is_some_and(|claim| {
        let mut audiences = audiences.iter();
        audiences.any(|audience| holds(claim, &Value::String(audience.clone())))
    })
}

/// The scopes of the route that the token has: `None` if the route asks for none.
fn scopes(claims: &BTreeMap<String, Value>, asked: &[String]) -> Result<Option<Vec<String>>, Bad> {
    if asked.is_empty() {
        return Ok(None);
    }
    let has = |scope: &str| match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(list)) => list.split_ascii_whitespace().any(|one| one == scope),
        Some(Value::Array(list)) => list.iter().any(|one| one == scope),
        _ => false,
    };
    let granted: Vec<String> = asked.iter().filter(|scope| has(scope)).cloned().collect();
    if granted.is_empty() {
        return Err(Bad::Insufficient(
            "The token lacks a scope that is needed here.",
        ));
    }
    Ok(Some(granted))
}

impl Good {
    /// What tells callers apart.
    pub(crate) fn subject(&self) -> String {
        let text = |name| {
            self.claims
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        format!("{}\n{}", text("iss"), text("sub"))
    }

    /// As HTTP APIs show it to functions.
    pub(crate) fn shown(self) -> JwtClaims {
        let claims = self.claims.into_iter().map(|(name, value)| {
            let text = match value {
                Value::String(text) => text,
                Value::Array(list) => {
                    let list: Vec<String> = list.iter().map(plain).collect();
                    format!("[{}]", list.join(" "))
                }
                other => other.to_string(),
            };
            (name, text)
        });
        JwtClaims {
            claims: claims.collect(),
            scopes: self.scopes,
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_token_is_for_somebody() {
        let audiences = ["a".to_owned(), "b".to_owned()];
        for good in [
            json!({"aud": "a"}),
            json!({"aud": ["x", "b"]}),
            json!({"client_id": "b"}),
        ] {
            assert!(is_for(&claims(good.clone()), &audiences), "{good}");
        }
        for bad in [
            json!({}),
            json!({"aud": "x", "client_id": "a"}),
            json!({"aud": []}),
            json!({"aud": "ab"}),
            json!({"aud": {"a": 1}}),
            json!({"aud": null}),
        ] {
            assert!(!is_for(&claims(bad.clone()), &audiences), "{bad}");
        }
    }

    #[test]
    fn one_of_the_scopes_is_enough() {
        let asked = ["read".to_owned(), "write".to_owned()];
        let of = |value| scopes(&claims(value), &asked);
        assert_eq!(
            of(json!({"scope": "x write y"})).unwrap().unwrap(),
            ["write"]
        );
        assert_eq!(
            of(json!({"scp": ["read", "write"]}))
                .unwrap()
                .unwrap()
                .len(),
            2
        );
        for bad in [
            json!({}),
            json!({"scope": "reads"}),
            json!({"scope": 7}),
            json!({"scp": [["read"]]}),
        ] {
            assert!(of(bad.clone()).is_err(), "{bad}");
        }
        assert_eq!(scopes(&claims(json!({})), &[]), Ok(None));
    }

    #[test]
    fn claims_are_shown_as_text() {
        let good = Good {
            claims: claims(json!({"sub": "u", "n": 7, "b": true, "l": ["a", 1], "o": {"k": 1}})),
            scopes: None,
        };
        let shown = good.shown().claims;
        let shown: Vec<_> = shown
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("b", "true"),
                ("l", "[a 1]"),
                ("n", "7"),
                ("o", "{\"k\":1}"),
                ("sub", "u")
            ]
        );
    }
}
