//! Control operations of a node: signed requests with JSON in both directions.

use std::net::SocketAddr;
use std::time::SystemTime;

use anyhow::{Context as _, bail};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::Value;

use crate::load::Connection;

/// Where a node is, and the key that it knows.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) address: SocketAddr,
    pub(crate) key_id: String,
    pub(crate) secret: String,
}

impl Access {
    /// The bytes of a signed request. The signature holds for five minutes: longer than a measurement.
    pub(crate) fn signed(&self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.signed_with(method, path, &[], body)
    }

    /// The same with headers besides, which are signed as well.
    pub(crate) fn signed_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Vec<u8>> {
        let url = format!("http://{}{path}", self.address);
        let identity = Credentials::new(&self.key_id, &self.secret, None, None, "bench").into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("lambda")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let request = SignableRequest::new(
            method,
            &url,
            headers.iter().copied(),
            SignableBody::Bytes(body),
        )?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers.iter().copied().chain(instructions.headers()) {
            head += &format!("{name}: {value}\r\n");
        }
        Ok([head.as_bytes(), b"\r\n", body].concat())
    }

    /// A connection for control operations.
    pub(crate) async fn api(&self) -> anyhow::Result<Api> {
        Ok(Api {
            access: self.clone(),
            connection: Connection::open(self.address).await?,
        })
    }
}

/// A connection for control operations.
pub(crate) struct Api {
    access: Access,
    connection: Connection,
}

impl Api {
    /// One operation; an error answer is an error.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let body = body.map_or_else(String::new, Value::to_string);
        let request = self.access.signed(method, path, body.as_bytes())?;
        let answer = self.connection.exchange(&request).await?;
        if !(200..300).contains(&answer.status) {
            bail!(
                "{method} {path}: {} {}",
                answer.status,
                String::from_utf8_lossy(answer.body)
            );
        }
        let (body, close) = (answer.body.to_vec(), answer.close);
        if close {
            self.connection = Connection::open(self.access.address).await?;
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).with_context(|| format!("{method} {path}: read the answer"))
    }
}
