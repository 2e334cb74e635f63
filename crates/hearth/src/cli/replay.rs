//! `hearth replay`: runs the very event of a recorded failure once more, and shows what comes of it.

use anyhow::Context as _;
use base64::Engine as _;
use clap::Args;

use super::dlq;
use super::invoke::finish;
use super::{Done, output};
use crate::client::{Call, CallError, Client, Connection, encode};

#[derive(Args, Debug)]
pub(super) struct ReplayArgs {
    /// Request ID of an event that was given up
    request_id: String,
}

/// The event stays where it is: `hearth dlq redrive` or `purge` is what takes it from there.
pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: ReplayArgs,
) -> Result<Done, CallError> {
    let dead = dlq::get(client, &args.request_id).await?;
    let text = |name: &str| dead.get(name).and_then(serde_json::Value::as_str);
    let function = text("FunctionName").context("read the event's function")?;
    let mut target = format!("/2015-03-31/functions/{}/invocations", encode(function));
    if let Some(qualifier) = text("Qualifier") {
        target += &format!("?Qualifier={}", encode(qualifier));
    }
    let mut headers = vec![("x-amz-log-type", "Tail".to_owned())];
    if let Some(context) = text("ClientContext") {
        let encoded = base64::engine::general_purpose::STANDARD.encode(context);
        headers.push(("x-amz-client-context", encoded));
    }
    if !connection.json {
        output::note(&format!("running event {} of {function}", args.request_id));
    }
    let call = Call {
        service: "lambda",
        method: "POST",
        target,
        headers,
        body: text("Payload").unwrap_or_default().as_bytes().to_vec(),
        progress: None,
    };
    finish(connection, client.call(call).await?, true)
}
