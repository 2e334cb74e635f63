//! Calls of the SQS API at an endpoint outside: JSON 1.0, signed with Signature Version 4.

use std::error::Error;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::Value;

use crate::connection::ANSWER;
use crate::error::BrokerError;
use crate::server::Server;
use crate::tls;

/// Most bytes of an answer: ten messages of 1 MiB each, of which JSON may write a byte with up to three.
const MOST_BYTES: usize = 32 << 20;
/// Characters of an endpoint's error that are shown.
const SHOWN: usize = 500;

/// A client of one endpoint, in one region of it.
pub(crate) struct SqsClient {
    http: reqwest::Client,
    endpoint: String,
    region: String,
    credentials: Credentials,
}

impl SqsClient {
    /// A client with the keys that the configuration has now. `region` is that of endpoints that don't name one.
    pub(crate) async fn new(server: &Server, region: &str) -> Result<Self, BrokerError> {
        let (Some(id), Some(secret)) = (&server.username, server.password().await?) else {
            return Err(server.bad(
                "an SQS endpoint needs an access key: its identifier as username, its secret as password".to_owned(),
            ));
        };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::configuration(server).await?)
            // What is signed is signed for this host.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(ANSWER)
            .user_agent(concat!("hearth/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| server.bad(innermost(&error)))?;
        Ok(Self {
            http,
            endpoint: server.url.as_str().to_owned(),
            region: region_of(server.host()).unwrap_or(region).to_owned(),
            credentials: Credentials::new(id, secret, None, None, "hearth"),
        })
    }

    /// Calls an operation.
    ///
    /// # Errors
    /// What the endpoint says, or why it can't be reached.
    pub(crate) async fn call(&self, operation: &str, request: &Value) -> Result<Value, String> {
        let body = request.to_string().into_bytes();
        let target = format!("AmazonSQS.{operation}");
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target.as_str()),
        ];
        let signature = self
            .sign(&headers, &body)
            .map_err(|error| error.to_string())?;
        let mut request = self.http.post(&self.endpoint);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in &signature {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await;
        let mut response = response.map_err(|error| innermost(&error))?;
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| innermost(&error))? {
            if answer.len() + chunk.len() > MOST_BYTES {
                return Err(format!("its answer has more than {MOST_BYTES} bytes"));
            }
            answer.extend_from_slice(&chunk);
        }
        let status = response.status();
        // Some answers say nothing.
        let read = if answer.is_empty() {
            Ok(Value::Null)
        } else {
            serde_json::from_slice(&answer)
        };
        match read {
            Ok(answer) if status.is_success() => Ok(answer),
            Ok(answer) => Err(refusal(&answer).unwrap_or_else(|| format!("it answers {status}"))),
            Err(_) => Err(format!(
                "it answers {status} in words that are not the SQS API's JSON"
            )),
        }
    }

    fn sign(
        &self,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Vec<(String, String)>, Box<dyn Error + Send + Sync>> {
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("sqs")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let body = SignableBody::Bytes(body);
        let request = SignableRequest::new("POST", &*self.endpoint, headers.iter().copied(), body)?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        let headers = instructions.headers();
        Ok(headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }
}

/// The region that a host of AWS names, as `sqs.eu-west-1.amazonaws.com`.
fn region_of(host: &str) -> Option<&str> {
    let is_aws = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
    if !is_aws.iter().any(|end| host.ends_with(end)) {
        return None;
    }
    let mut labels = host.split('.');
    labels.find(|label| matches!(*label, "sqs" | "sqs-fips"))?;
    labels.next()
}

/// What an error of the API says: its code without the namespace, and its message.
fn refusal(answer: &Value) -> Option<String> {
    let code = answer["__type"].as_str()?;
    let code = code.rsplit('#').next().unwrap_or(code);
    let message = answer["message"].as_str().or(answer["Message"].as_str());
    let text = format!("{code}: {}", message.unwrap_or_default());
    Some(text.chars().take(SHOWN).collect())
}

/// The cause of an error, without the layers around it.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hosts_of_aws_name_their_region() {
        for (host, region) in [
            ("sqs.eu-west-1.amazonaws.com", Some("eu-west-1")),
            ("sqs-fips.us-east-1.amazonaws.com", Some("us-east-1")),
            ("sqs.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("sqs.eu-west-1.api.aws", Some("eu-west-1")),
            ("vpce-1.sqs.eu-west-1.vpce.amazonaws.com", Some("eu-west-1")),
            ("queue.amazonaws.com", None),
            ("sqs.example.com", None),
            ("127.0.0.1", None),
        ] {
            assert_eq!(region_of(host), region, "{host}");
        }
    }

    #[test]
    fn errors_are_told_by_code_and_message() {
        let error = json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no"});
        assert_eq!(refusal(&error).unwrap(), "QueueDoesNotExist: no");
        assert_eq!(refusal(&json!({"__type": "X"})).unwrap(), "X: ");
        assert_eq!(refusal(&json!([])), None);
        let long = json!({"__type": "X", "message": "é".repeat(10_000)});
        assert_eq!(refusal(&long).unwrap().chars().count(), SHOWN);
    }
}
