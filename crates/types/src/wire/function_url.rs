//! Payload format 2.0: the event that a function gets for an HTTP request, and the result that it answers with.
//!
//! Names and forms are those of the developer guide ("Invoking Lambda function URLs"). Events are also written by
//! hand, so that everything may be absent or null when one is read; results are hostile input (INV-8), so that a
//! member of a wrong type is an error.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// `version` of every event.
pub const VERSION: &str = "2.0";
/// `stage` of every event, and `routeKey` of those of function URLs.
pub const DEFAULT_ROUTE: &str = "$default";

/// The event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    /// [`VERSION`].
    #[serde(deserialize_with = "or_default")]
    pub version: String,
    /// [`DEFAULT_ROUTE`]; at a route its method and path, such as `GET /users/{id}`.
    #[serde(deserialize_with = "or_default")]
    pub route_key: String,
    /// The path as it came, still escaped.
    #[serde(deserialize_with = "or_default")]
    pub raw_path: String,
    /// The query as it came, without the question mark.
    #[serde(deserialize_with = "or_default")]
    pub raw_query_string: String,
    /// `name=value` of each cookie; absent if there are none.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<String>,
    /// Header fields in lower case, those sent more than once joined with commas.
    #[serde(deserialize_with = "or_default")]
    pub headers: BTreeMap<String, String>,
    /// Query parameters, unescaped, those given more than once joined with commas; absent if there are none.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub query_string_parameters: BTreeMap<String, String>,
    /// What the route's path has captured, unescaped; absent if there is nothing.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub path_parameters: BTreeMap<String, String>,
    /// Who asked, for what, and when.
    #[serde(deserialize_with = "or_default")]
    pub request_context: RequestContext,
    /// The body: text, or base64; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Whether the body is base64.
    #[serde(deserialize_with = "or_default")]
    pub is_base64_encoded: bool,
}

/// `requestContext` of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestContext {
    /// The caller's account, `anonymous` if nobody had to sign.
    #[serde(deserialize_with = "or_default")]
    pub account_id: String,
    /// The URL's identifier, or the route's name.
    #[serde(deserialize_with = "or_default")]
    pub api_id: String,
    /// Who signed; absent if nobody had to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorizer: Option<Authorizer>,
    /// The host that was asked, without its port.
    #[serde(deserialize_with = "or_default")]
    pub domain_name: String,
    /// The host's first label: of a URL its identifier.
    #[serde(deserialize_with = "or_default")]
    pub domain_prefix: String,
    /// The request line.
    #[serde(deserialize_with = "or_default")]
    pub http: Http,
    /// The request's identifier.
    #[serde(deserialize_with = "or_default")]
    pub request_id: String,
    /// As in the event.
    #[serde(deserialize_with = "or_default")]
    pub route_key: String,
    /// [`DEFAULT_ROUTE`].
    #[serde(deserialize_with = "or_default")]
    pub stage: String,
    /// When it came, as servers log it: `07/Sep/2021:22:50:22 +0000`.
    #[serde(deserialize_with = "or_default")]
    pub time: String,
    /// When it came, milliseconds since the UNIX epoch.
    #[serde(deserialize_with = "or_default")]
    pub time_epoch: i64,
}

/// `http` of a request's context.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Http {
    /// `GET`, `POST`, …
    #[serde(deserialize_with = "or_default")]
    pub method: String,
    /// The path as in `rawPath`.
    #[serde(deserialize_with = "or_default")]
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    #[serde(deserialize_with = "or_default")]
    pub protocol: String,
    /// The caller's address.
    #[serde(deserialize_with = "or_default")]
    pub source_ip: String,
    /// The `User-Agent` field, empty if there is none.
    #[serde(deserialize_with = "or_default")]
    pub user_agent: String,
}

/// `authorizer` of a request's context.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Authorizer {
    /// The identity that signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iam: Option<Iam>,
    /// The token that let the caller in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtClaims>,
    /// The API key that let the caller in.
    #[serde(rename = "apiKey", skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKey>,
}

/// `jwt` of an authorizer, as HTTP APIs have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JwtClaims {
    /// The token's claims, all as text: lists in brackets, separated by spaces.
    #[serde(deserialize_with = "or_default")]
    pub claims: BTreeMap<String, String>,
    /// The scopes of the route that the token has; null if the route asks for none.
    pub scopes: Option<Vec<String>>,
}

/// `apiKey` of an authorizer: Hearth's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiKey {
    /// The key's identifier.
    #[serde(deserialize_with = "or_default")]
    pub id: String,
    /// The key's name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
}

/// `iam` of an authorizer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Iam {
    /// The access key's identifier.
    #[serde(deserialize_with = "or_default")]
    pub access_key: String,
    /// The account of the identity.
    #[serde(deserialize_with = "or_default")]
    pub account_id: String,
    /// The identity that called.
    #[serde(deserialize_with = "or_default")]
    pub caller_id: String,
    /// Always null.
    pub cognito_identity: Option<()>,
    /// Always null: there are no organisations.
    pub principal_org_id: Option<String>,
    /// The ARN of the identity.
    #[serde(deserialize_with = "or_default")]
    pub user_arn: String,
    /// The identity.
    #[serde(deserialize_with = "or_default")]
    pub user_id: String,
}

/// The result of a function that answers as payload format 2.0 says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Response {
    /// The HTTP status. A result without one is no response but the body of one.
    #[serde(deserialize_with = "status", skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
    /// Header fields.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub headers: BTreeMap<String, FieldValue>,
    /// Header fields with several values each; one that is here counts for nothing in `headers`.
    #[serde(
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub multi_value_headers: BTreeMap<String, Vec<FieldValue>>,
    /// One `Set-Cookie` each.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub cookies: Vec<String>,
    /// The body: text, or base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Whether the body is base64.
    #[serde(deserialize_with = "or_default")]
    pub is_base64_encoded: bool,
}

/// The value of a header field in a result. Numbers and booleans are taken too, as their text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FieldValue(pub String);

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for FieldValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Scalar;

        impl Visitor<'_> for Scalar {
            type Value = FieldValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number or a boolean")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<FieldValue, E> {
                Ok(FieldValue(text.to_owned()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<FieldValue, E> {
                Ok(FieldValue(text))
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<FieldValue, E> {
                Ok(FieldValue(value.to_string()))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<FieldValue, E> {
                Ok(FieldValue(value.to_string()))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<FieldValue, E> {
                Ok(FieldValue(value.to_string()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<FieldValue, E> {
                Ok(FieldValue(value.to_string()))
            }
        }

        deserializer.deserialize_any(Scalar)
    }
}

/// Null is what an absent member is.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A status: a whole number, or one as text, which some frameworks write.
fn status<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    struct Status;

    impl<'de> Visitor<'de> for Status {
        type Value = Option<u16>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an HTTP status")
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
            match u16::try_from(value) {
                Ok(status) => Ok(Some(status)),
                Err(_) => Err(E::invalid_value(Unexpected::Unsigned(value), &self)),
            }
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
            // Languages with one kind of numbers may write 200.0.
            if value.fract() == 0.0 && (0.0..1000.0).contains(&value) {
                return Ok(Some(value as u16));
            }
            Err(E::invalid_value(Unexpected::Float(value), &self))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            match text.parse() {
                Ok(status) => Ok(Some(status)),
                Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
            }
        }

        fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
    }

    deserializer.deserialize_any(Status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_written_by_hand_are_read() {
        let event: Event = serde_json::from_str(
            r#"{"version": "2.0", "rawPath": "/a", "cookies": null, "headers": {"a": "b"}, "pathParameters": null,
                "requestContext": {"authentication": null, "authorizer": {"iam": {"cognitoIdentity": null}},
                "http": {"method": "POST"}}, "body": "x"}"#,
        )
        .unwrap();
        assert_eq!(event.raw_path, "/a");
        assert_eq!(event.request_context.http.method, "POST");
        assert_eq!(event.headers["a"], "b");
        assert!(event.request_context.authorizer.unwrap().iam.is_some());
        assert_eq!(event.body.as_deref(), Some("x"));
    }

    #[test]
    fn an_event_is_written_as_the_guide_has_it() {
        let event = Event {
            version: VERSION.to_owned(),
            ..Event::default()
        };
        let value = serde_json::to_value(&event).unwrap();
        let members: Vec<_> = value.as_object().unwrap().keys().collect();
        assert_eq!(
            members,
            [
                "headers",
                "isBase64Encoded",
                "rawPath",
                "rawQueryString",
                "requestContext",
                "routeKey",
                "version"
            ]
        );
        assert_eq!(value["requestContext"]["timeEpoch"], 0);
        assert_eq!(value["requestContext"]["http"]["sourceIp"], "");
    }

    #[test]
    fn results_take_scalars_and_refuse_the_rest() {
        let read = serde_json::from_str::<Response>;
        let response = read(
            r#"{"statusCode": "201", "headers": {"a": 1, "b": true, "c": "x"}, "body": null,
                "multiValueHeaders": {"d": ["1", 2]}, "cookies": ["e=f"], "other": {}}"#,
        )
        .unwrap();
        assert_eq!(response.status_code, Some(201));
        assert_eq!(response.headers["a"].0, "1");
        assert_eq!(response.headers["b"].0, "true");
        assert_eq!(response.multi_value_headers["d"].len(), 2);
        assert_eq!(
            read(r#"{"statusCode": 204.0}"#).unwrap().status_code,
            Some(204)
        );
        assert_eq!(read("{}").unwrap().status_code, None);
        for bad in [
            r#"{"statusCode": -1}"#,
            r#"{"statusCode": 200.5}"#,
            r#"{"statusCode": 65536}"#,
            r#"{"statusCode": []}"#,
            r#"{"statusCode": 200, "headers": {"a": []}}"#,
            r#"{"statusCode": 200, "headers": ["a"]}"#,
            r#"{"statusCode": 200, "body": {}}"#,
            r#"{"statusCode": 200, "cookies": "a=b"}"#,
            r#"{"statusCode": 200, "isBase64Encoded": "yes"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
