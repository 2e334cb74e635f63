//! `hearth invoke`: one invocation, its answer whole or as the function makes it, or none waited for.

use anyhow::Context as _;
use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use base64::Engine as _;
use bytes::BytesMut;
use clap::Args;
use hearth_types::wire::lambda::InvokeComplete;
use serde_json::{Value, json};

use super::{Done, output, read_data};
use crate::client::{Answer, Call, CallError, Client, Connection, encode};

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
    /// Print the answer as the function makes it
    #[arg(long)]
    stream: bool,
    /// Queue the event and don't wait for the function; prints the request ID
    #[arg(long = "async", conflicts_with_all = ["tail", "stream"])]
    asynchronous: bool,
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
    let name = encode(&args.name);
    let mut target = if args.stream {
        format!("/2021-11-15/functions/{name}/response-streaming-invocations")
    } else {
        format!("/2015-03-31/functions/{name}/invocations")
    };
    if let Some(qualifier) = &args.qualifier {
        target += &format!("?Qualifier={}", encode(qualifier));
    }
    let log_type = if args.tail { "Tail" } else { "None" };
    let mut headers = vec![("x-amz-log-type", log_type.to_owned())];
    if args.asynchronous {
        headers.push(("x-amz-invocation-type", "Event".to_owned()));
    }
    let call = Call {
        service: "lambda",
        method: "POST",
        target,
        headers,
        body: payload,
        progress: None,
    };
    if args.stream {
        return print_stream(client, connection, call).await;
    }
    let answer = client.call(call).await?;
    if args.asynchronous {
        queued(connection, &answer)?;
        return Ok(Done::Ok);
    }
    finish(connection, answer, args.tail)
}

/// Says which event was queued.
fn queued(connection: &Connection, answer: &Answer) -> Result<(), CallError> {
    let id = answer
        .header("x-amzn-requestid")
        .context("read the request ID of the answer")?;
    if connection.json {
        output::print_json(&json!({ "StatusCode": answer.status, "RequestId": id }));
    } else {
        output::print(id);
    }
    Ok(())
}

/// Prints what the function answered, and its log if it was asked for.
pub(super) fn finish(
    connection: &Connection,
    answer: Answer,
    tail: bool,
) -> Result<Done, CallError> {
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
            "LogResult": tail.then_some(&*log),
            "Payload": payload,
        }));
    } else {
        if tail {
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

/// Prints what comes as it comes; as JSON, an object a line.
async fn print_stream(
    client: &Client,
    connection: &Connection,
    call: Call,
) -> Result<Done, CallError> {
    let mut stream = client.stream(call).await?;
    let mut decoder = MessageFrameDecoder::new();
    let mut bytes = BytesMut::new();
    while let Some(piece) = stream.next().await? {
        bytes.extend_from_slice(&piece);
        while let DecodedFrame::Complete(message) = decoder
            .decode_frame(&mut bytes)
            .context("read the node's answer")?
        {
            let mut headers = message.headers().iter();
            let kind = headers.find(|header| header.name().as_str() == ":event-type");
            let kind = kind.and_then(|kind| kind.value().as_string().ok());
            match kind.map(|kind| kind.as_str()) {
                Some("PayloadChunk") if connection.json => {
                    let text = String::from_utf8_lossy(message.payload());
                    output::print(&json!({ "PayloadChunk": text }).to_string());
                }
                Some("PayloadChunk") => output::print_piece(message.payload()),
                Some("InvokeComplete") => return complete(connection, message.payload()),
                // Later versions may say more.
                _ => {}
            }
        }
    }
    Err(anyhow::anyhow!("the answer broke off").into())
}

fn complete(connection: &Connection, event: &[u8]) -> Result<Done, CallError> {
    let end: InvokeComplete = serde_json::from_slice(event).context("read the node's answer")?;
    let log = end
        .log_result
        .map(|log| base64::engine::general_purpose::STANDARD.decode(log))
        .transpose()
        .context("read the log of the answer")?;
    let log = log.map(|log| String::from_utf8_lossy(&log).into_owned());
    let failed = end.error_code.is_some();
    if connection.json {
        let end = json!({
            "ErrorCode": end.error_code,
            "ErrorDetails": end.error_details,
            "LogResult": log,
        });
        output::print(&json!({ "InvokeComplete": end }).to_string());
    } else {
        if let Some(log) = log {
            output::note(log.trim_end());
        }
        if let Some(details) = end.error_details {
            output::note(&details);
        }
    }
    Ok(if failed {
        Done::FunctionFailed
    } else {
        Done::Ok
    })
}
