//! Function URLs: made through the API, asked in the form that needs no name resolution.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::api::Access;
use crate::hearth::Hearth;
use crate::load::Target;

/// How a URL's responses are sent: `InvokeMode` of the API.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Buffered,
    Streamed,
}

/// A function's URL.
#[derive(Clone)]
pub(crate) struct Url {
    id: String,
}

impl Url {
    /// `path` begins with a slash.
    pub(crate) fn target(&self, node: &Hearth, path: &str, expected: &str) -> Target {
        let path = format!("/_url/{}{path}", self.id);
        Target::get(node.access.address, &path, expected)
    }
}

/// Gives a function a URL that everyone may call.
pub(crate) async fn make(access: &Access, name: &str, mode: Mode) -> anyhow::Result<Url> {
    let mut api = access.api().await?;
    let permissions = [
        json!({
            "StatementId": "url",
            "Action": "lambda:InvokeFunctionUrl",
            "Principal": "*",
            "FunctionUrlAuthType": "NONE",
        }),
        json!({
            "StatementId": "invoke",
            "Action": "lambda:InvokeFunction",
            "Principal": "*",
            "InvokedViaFunctionUrl": true,
        }),
    ];
    for permission in permissions {
        let path = format!("/2015-03-31/functions/{name}/policy");
        api.call("POST", &path, Some(&permission)).await?;
    }
    let mode = match mode {
        Mode::Buffered => "BUFFERED",
        Mode::Streamed => "RESPONSE_STREAM",
    };
    let path = format!("/2021-10-31/functions/{name}/url");
    let settings = json!({ "AuthType": "NONE", "InvokeMode": mode });
    let answer = api.call("POST", &path, Some(&settings)).await?;
    Ok(Url {
        id: identifier(&answer)?,
    })
}

/// The identifier: the first label of the URL's host.
fn identifier(answer: &Value) -> anyhow::Result<String> {
    let url = answer["FunctionUrl"]
        .as_str()
        .context("read a function's URL")?;
    let host = url.split("://").nth(1).unwrap_or(url);
    let id = host.split('.').next().unwrap_or_default();
    ensure!(!id.is_empty(), "read a function's URL: {url}");
    Ok(id.to_owned())
}
