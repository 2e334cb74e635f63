//! Routes and API keys, as Hearth's own API shows them, and as they are stored.
//!
//! Unknown members are errors: a misspelt `Auth` must not leave a route open. A new member must be optional, for what
//! was stored before has none.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::lambda::Cors;

/// `RevisionId` of a `PUT` that must not find a route of that name.
pub const NEW: &str = "NEW";

/// A route: the body of `PUT`, and every answer about one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Route {
    /// Its name; in a request it may be left to the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Changes with every change. In a request: the one that is expected, or [`NEW`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
    /// When it was made; passed over in requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<String>,
    /// When it was changed; passed over in requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_time: Option<String>,
    /// Hosts; absent or `["*"]` for all that no route names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// The pattern of paths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Methods; absent for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<Vec<String>>,
    /// What answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// The path that the function sees; absent: as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// What is done to the request's header fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_headers: Option<HeaderEdits>,
    /// What is done to the response's header fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_headers: Option<HeaderEdits>,
    /// How fast all callers together may ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// How fast each caller may ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caller_rate_limit: Option<RateLimit>,
    /// Who may ask; absent: everyone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// What browsers allow pages of other origins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// Whether it matches anything; absent: it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// What answers: a function, or a fixed response.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Target {
    /// Name or ARN of a function of the route's account and region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_name: Option<String>,
    /// A version or an alias of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qualifier: Option<String>,
    /// A response that is always the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<FixedResponse>,
}

/// A response that is always the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct FixedResponse {
    /// 200 to 599; absent: 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// Header fields.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Text, or base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Whether the body is base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_base64_encoded: Option<bool>,
}

/// The path that the function sees: one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Rewrite {
    /// Literal segments that are taken from the path's beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// A path made of the route's captures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What is done to header fields: `Remove` first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct HeaderEdits {
    /// Fields that get this value instead of what they have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Fields that are taken out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct RateLimit {
    /// Tokens that come back each second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
    /// Tokens that the bucket holds; absent: those of one second, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
}

/// Who may ask.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Auth {
    /// `NONE`, `API_KEY`, `JWT` or `AWS_IAM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// With `API_KEY`: names of the keys that are taken; absent or empty: every key of the account and region.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_keys: Vec<String>,
    /// With `JWT`: whose tokens are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
}

/// Which tokens are taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Jwt {
    /// `iss` of the tokens, and where OpenID Connect discovery begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// One of these must be in `aud`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// One of these must be in `scope` or `scp`, if there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Claims that must be there with these values: the value itself, or a list that has it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, serde_json::Value>,
    /// Where the issuer's keys are; absent: discovery tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
}

/// Answer of the list of routes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListRoutesResponse {
    /// The page.
    pub routes: Vec<Route>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

/// Body of the operations that make or change an API key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct RouteKeyRequest {
    /// Whether it lets anybody in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// The one that is expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
}

/// An API key.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RouteKey {
    /// Its name.
    pub name: String,
    /// What tells keys apart in functions' events: never used again.
    pub id: String,
    /// Whether it lets anybody in.
    pub enabled: bool,
    /// Changes with every change.
    pub revision_id: String,
    /// When it was made.
    pub creation_time: String,
    /// The key itself, when it has just been made, and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl fmt::Debug for RouteKey {
    /// Without the secret: nobody writes one into a log by mistake.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteKey")
            .field("name", &self.name)
            .field("id", &self.id)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// Answer of the list of API keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListRouteKeysResponse {
    /// The page.
    pub route_keys: Vec<RouteKey>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_put_back() {
        let text = r#"{"Name":"a","RevisionId":"r","CreationTime":"t","Path":"/a","Target":{"FunctionName":"f"},
            "Auth":{"Type":"JWT","Jwt":{"Issuer":"https://i","Audiences":["a"],"Claims":{"n":1}}},
            "RateLimit":{"RequestsPerSecond":0.5}}"#;
        let route: Route = serde_json::from_str(text).unwrap();
        let again = serde_json::from_str(&serde_json::to_string(&route).unwrap()).unwrap();
        assert_eq!(route, again);
        assert_eq!(route.auth.unwrap().jwt.unwrap().claims["n"], 1);
    }

    #[test]
    fn a_misspelt_member_is_an_error() {
        for bad in [
            r#"{"Path":"/a","auth":{}}"#,
            r#"{"Auth":{"type":"NONE"}}"#,
            r#"{"Auth":{"Type":"API_KEY","Keys":["a"]}}"#,
            r#"{"Target":{"Function":"f"}}"#,
        ] {
            assert!(serde_json::from_str::<Route>(bad).is_err(), "{bad}");
        }
    }
}
