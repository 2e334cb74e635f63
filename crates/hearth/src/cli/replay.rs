//! `hearth replay`: runs the very event of a recorded failure once more, and shows what comes of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use clap::Args;
use serde_json::Value;

use super::invoke::finish;
use super::local::Local;
use super::logs::Follower;
use super::{Done, dlq, output};
use crate::client::{Answer, Call, CallError, Client, Connection, encode};
use crate::config::Config;
use crate::package;

/// How often the log is looked at while the function runs: it feels live.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Args, Debug)]
pub(super) struct ReplayArgs {
    /// Request ID of an event that was given up
    request_id: String,
    /// Run it on this machine, on a node of its own that has the function and nothing else, and is gone afterwards
    #[arg(long)]
    local: bool,
    /// Source file, folder or package to run in the place of the function's code
    #[arg(long, requires = "local", value_name = "PATH")]
    code: Option<PathBuf>,
}

/// The event stays where it is: `hearth dlq redrive` or `purge` is what takes it from there.
pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: ReplayArgs,
    config: &Config,
) -> Result<Done, CallError> {
    let dead = dlq::get(client, &args.request_id).await?;
    if !connection.json {
        let function = output::member(&dead, "FunctionName");
        let place = if args.local { " on this machine" } else { "" };
        output::note(&format!(
            "running event {} of {function}{place}",
            args.request_id
        ));
    }
    if args.local {
        return locally(client, connection, &dead, args.code, config).await;
    }
    let answer = client.call(invocation(&dead, &query(&dead))?).await?;
    finish(connection, answer, true)
}

/// What names the version or alias that the event is for, behind a function's path; nothing if it is for none.
fn query(dead: &Value) -> String {
    let qualifier = dead["Qualifier"].as_str();
    qualifier.map_or_else(String::new, |qualifier| {
        format!("?Qualifier={}", encode(qualifier))
    })
}

/// The event's invocation.
fn invocation(dead: &Value, query: &str) -> anyhow::Result<Call> {
    let text = |name: &str| dead.get(name).and_then(Value::as_str);
    let function = text("FunctionName").context("read the event's function")?;
    let target = format!(
        "/2015-03-31/functions/{}/invocations{query}",
        encode(function)
    );
    let mut headers = vec![("x-amz-log-type", "Tail".to_owned())];
    if let Some(context) = text("ClientContext") {
        let encoded = base64::engine::general_purpose::STANDARD.encode(context);
        headers.push(("x-amz-client-context", encoded));
    }
    Ok(Call {
        service: "lambda",
        method: "POST",
        target,
        headers,
        body: text("Payload").unwrap_or_default().as_bytes().to_vec(),
        progress: None,
    })
}

async fn locally(
    client: &Client,
    connection: &Connection,
    dead: &Value,
    code: Option<PathBuf>,
    config: &Config,
) -> Result<Done, CallError> {
    let name = output::member(dead, "FunctionName");
    let target = format!("/2015-03-31/functions/{}{}", encode(&name), query(dead));
    let function = client.lambda("GET", target, None).await?;
    let code = match code {
        None => {
            let location = output::member(&function["Code"], "Location");
            client.download(&location).await?
        }
        Some(path) => {
            let configuration = &function["Configuration"];
            let wanted = package::Wanted {
                runtime: configuration["Runtime"].as_str(),
                handler: configuration["Handler"].as_str(),
                web: function["Tags"]["hearth:web"] == "on",
            };
            package::build(&path, wanted)?.zip
        }
    };
    let account = client.account().await?;
    let local = Local::start(config, &account, &connection.region).await?;
    let answer = tokio::select! {
        answer = ask(client, connection, &local, (dead, &function), code) => answer,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted").into()),
    };
    local.stop().await;
    finish(connection, answer?, connection.json)
}

/// Makes the function on its own node and gives it the event; shows its log meanwhile.
async fn ask(
    client: &Client,
    connection: &Connection,
    local: &Local,
    (dead, function): (&Value, &Value),
    code: Vec<u8>,
) -> Result<Answer, CallError> {
    local.create(client, function, code).await?;
    let mut log = Follower::new(&output::member(dead, "FunctionName"), Duration::ZERO, None);
    // There it has no versions.
    let call = local.client.call(invocation(dead, "")?);
    tokio::pin!(call);
    let answer = loop {
        tokio::select! {
            answer = &mut call => break answer?,
            () = tokio::time::sleep(LOOK), if !connection.json => show(&mut log, local).await?,
        }
    };
    if !connection.json {
        show(&mut log, local).await?;
    }
    Ok(answer)
}

async fn show(log: &mut Follower, local: &Local) -> Result<(), CallError> {
    let line = |event: &Value| output::note(output::member(event, "message").trim_end());
    match log.more(&local.client, line).await {
        // The function has written nothing yet.
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}
