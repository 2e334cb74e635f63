//! `hearth invoke`: one synchronous invocation.

use std::io::Read as _;

use anyhow::Context as _;
use base64::Engine as _;
use clap::Args;
use serde_json::{Value, json};

use super::{Done, output};
use crate::client::{Call, CallError, Client, Connection, encode};

#[derive(Args, Debug)]
pub(super) struct InvokeArgs {
    /// Name or ARN of the function
    name: String,
    /// The event: JSON, @FILE, or - for standard input
    #[arg(long, short, default_value = "{}", value_name = "JSON|@FILE|-")]
    data: String,
    /// Version or alias
    #[arg(long, short, value_name = "VERSION|ALIAS")]
    qualifier: Option<String>,
    /// Print the end of the invocation's log to stderr
    #[arg(long, short)]
    tail: bool,
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: InvokeArgs,
) -> Result<Done, CallError> {
    let payload = read_data(&args.data)?;
    if let Err(error) = serde_json::from_slice::<&serde_json::value::RawValue>(&payload) {
        return Err(anyhow::anyhow!(
            "the event is not JSON: {error}; a text needs quotes: --data '\"text\"'"
        )
        .into());
    }
    let mut target = format!("/2015-03-31/functions/{}/invocations", encode(&args.name));
    if let Some(qualifier) = &args.qualifier {
        target += &format!("?Qualifier={}", encode(qualifier));
    }
    let log_type = if args.tail { "Tail" } else { "None" };
    let call = Call {
        service: "lambda",
        method: "POST",
        target,
        headers: vec![("x-amz-log-type", log_type.to_owned())],
        body: payload,
        progress: None,
    };
    let answer = client.call(call).await?;
    let log = answer
        .header("x-amz-log-result")
        .map(|log| base64::engine::general_purpose::STANDARD.decode(log));
    let log = log
        .transpose()
        .context("read the log of the answer")?
        .unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let failed = answer.header("x-amz-function-error").map(str::to_owned);
    if connection.json {
        let payload = answer
            .json()
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&answer.body).into_owned()));
        output::print_json(&json!({
            "StatusCode": answer.status,
            "ExecutedVersion": answer.header("x-amz-executed-version"),
            "FunctionError": failed,
            "LogResult": args.tail.then_some(&*log),
            "Payload": payload,
        }));
    } else {
        if args.tail {
            output::note(log.trim_end());
        }
        output::print_bytes(&answer.body);
    }
    Ok(if failed.is_some() {
        Done::FunctionFailed
    } else {
        Done::Ok
    })
}

fn read_data(data: &str) -> anyhow::Result<Vec<u8>> {
    if data == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("read the event from standard input")?;
        return Ok(bytes);
    }
    match data.strip_prefix('@') {
        Some(path) => std::fs::read(path).with_context(|| format!("read the event from {path}")),
        None => Ok(data.as_bytes().to_vec()),
    }
}
