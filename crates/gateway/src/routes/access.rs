//! Who may ask at a route.

use std::net::IpAddr;

use hearth_registry::{Access, Jwt, Route};
use hearth_types::ErrorKind;
use hearth_types::name::RouteName;
use hearth_types::time::Timestamp;
use hearth_types::wire::function_url::{ApiKey, Authorizer};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::request::Parts;
use hyper::body::Incoming;

use super::token::Bad;
use crate::function_url::refusal::Refusal;
use crate::function_url::{Arriving, Peer};
use crate::gateway::{Parted, discard};

/// The field in which API keys come, as at API Gateway.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Somebody who was let in, with the request's body.
pub(super) struct Visitor {
    pub(super) arriving: Arriving,
    /// Who it is, if they had to say.
    pub(super) authorizer: Option<Authorizer>,
    /// What tells callers apart; empty if nobody counts them.
    pub(super) caller: Vec<u8>,
}

impl Parted {
    /// Lets a request in.
    ///
    /// # Errors
    /// [`Refusal`]: who asks does not say who they are, or may not. The body is taken care of.
    pub(super) async fn let_in(
        &self,
        route: &Route,
        parts: &mut Parts,
        mut body: Incoming,
        at: Timestamp,
        peer: &Peer,
    ) -> Result<Visitor, Refusal> {
        let (authorizer, caller) = match route.access() {
            Access::Open => (Ok(None), String::new()),
            Access::ApiKey(names) => match self.key(route, names, &parts.headers) {
                Ok(key) => {
                    // A secret that functions have no business with.
                    parts.headers.remove(API_KEY);
                    let caller = format!("k{}", key.id);
                    let authorizer = Authorizer {
                        api_key: Some(key),
                        ..Authorizer::default()
                    };
                    (Ok(Some(authorizer)), caller)
                }
                Err(refusal) => (Err(refusal), String::new()),
            },
            Access::Jwt(asked) => match self.token(asked, &parts.headers).await {
                Ok((authorizer, subject)) => (Ok(Some(authorizer)), format!("s{subject}")),
                Err(refusal) => (Err(refusal), String::new()),
            },
            Access::AwsIam => {
                let id = route.id();
                let own = |account: &_| *account == id.account;
                let signed = self.signed(&id.region, own, parts, &mut body, at).await;
                let (read, signer) = match signed {
                    Ok(signed) => signed,
                    Err(refusal) => {
                        if !refusal.closes() {
                            discard(parts, body);
                        }
                        return Err(refusal);
                    }
                };
                let caller = format!("a{}", signer.account_id);
                return Ok(Visitor {
                    arriving: Arriving::Read(read),
                    authorizer: Some(Authorizer {
                        iam: Some(signer),
                        ..Authorizer::default()
                    }),
                    caller: caller.into_bytes(),
                });
            }
        };
        let authorizer = match authorizer {
            Ok(authorizer) => authorizer,
            Err(refusal) => {
                discard(parts, body);
                return Err(refusal);
            }
        };
        let caller = if !route.is_limited() {
            Vec::new()
        } else if caller.is_empty() {
            network(peer.address)
        } else {
            caller.into_bytes()
        };
        Ok(Visitor {
            arriving: Arriving::Streaming(body),
            authorizer,
            caller,
        })
    }

    fn key(
        &self,
        route: &Route,
        names: &[RouteName],
        headers: &HeaderMap,
    ) -> Result<ApiKey, Refusal> {
        let unknown = |message| {
            let refusal = Refusal::new(401, "UnauthorizedException", message);
            refusal.with(WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"))
        };
        let shown = one(headers, &API_KEY)
            .ok_or_else(|| unknown("An API key is needed: one x-api-key field."))?;
        let known = self.registry.route_key_of(shown.as_bytes());
        let key = known
            .filter(|key| key.is_beside(route.id()))
            .ok_or_else(|| unknown("The API key is not known, or is disabled."))?;
        if !names.is_empty() && !names.contains(key.name()) {
            return Err(Refusal::new(
                403,
                ErrorKind::AccessDenied.code(),
                "The API key is not for this route.",
            ));
        }
        Ok(ApiKey {
            id: key.id().to_owned(),
            name: key.name().to_string(),
        })
    }

    async fn token(
        &self,
        asked: &Jwt,
        headers: &HeaderMap,
    ) -> Result<(Authorizer, String), Refusal> {
        let unauthorized = |challenge: &'static str, message| {
            let refusal = Refusal::new(401, "UnauthorizedException", message);
            refusal.with(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
        };
        let token = one(headers, &AUTHORIZATION).and_then(|value| bearer(value.to_str().ok()?));
        let Some(token) = token else {
            return Err(unauthorized(
                "Bearer",
                "A token is needed: one Authorization field, with Bearer and the token.",
            ));
        };
        match self.tokens.check(asked, token).await {
            Ok(good) => {
                let subject = good.subject();
                let authorizer = Authorizer {
                    jwt: Some(good.shown()),
                    ..Authorizer::default()
                };
                Ok((authorizer, subject))
            }
            Err(Bad::Token(why)) => Err(unauthorized("Bearer error=\"invalid_token\"", why)),
            Err(Bad::Insufficient(why)) => {
                let refusal = Refusal::new(403, ErrorKind::AccessDenied.code(), why);
                let challenge = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
                Err(refusal.with(WWW_AUTHENTICATE, challenge))
            }
            Err(Bad::NoKeys) => {
                let refusal = Refusal::new(
                    503,
                    ErrorKind::ServiceUnavailable.code(),
                    "The keys of the token's issuer can't be had now. Try again.",
                );
                Err(refusal.after(std::time::Duration::from_secs(10)))
            }
        }
    }
}

/// The one value of a field: who sends two means to be seen as two.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => value,
        (_, Some(_)) => None,
    }
}

/// The token of an `Authorization` field (RFC 6750, section 2.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// What an address is counted as: of IPv6 the network of one customer, who has all the addresses in it.
fn network(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_scheme_and_one_field() {
        assert_eq!(bearer("Bearer a.b.c"), Some("a.b.c"));
        assert_eq!(bearer("bearer  a.b.c "), Some("a.b.c"));
        for bad in ["", "Bearer", "Bearer ", "Basic a", "Bearera", "a.b.c"] {
            assert_eq!(bearer(bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append(API_KEY, HeaderValue::from_static("a"));
        assert!(one(&headers, &API_KEY).is_some());
        headers.append(API_KEY, HeaderValue::from_static("a"));
        assert!(one(&headers, &API_KEY).is_none());
    }

    #[test]
    fn addresses_of_one_customer_are_counted_as_one() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:3:4:5:6"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
