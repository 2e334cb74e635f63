//! `hearth list`, `hearth rm`, `hearth versions`.

use clap::Args;
use serde_json::{Value, json};

use super::{Done, output};
use crate::client::{CallError, Client, Connection, encode};

#[derive(Args, Debug)]
pub(super) struct ListArgs {}

#[derive(Args, Debug)]
pub(super) struct RmArgs {
    /// Name of the function
    name: String,
    /// Delete only this version
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

#[derive(Args, Debug)]
pub(super) struct VersionsArgs {
    /// Name of the function
    name: String,
    /// Publish a version of the current code and configuration first
    #[arg(long)]
    publish: bool,
}

pub(super) async fn list(
    client: &Client,
    connection: &Connection,
    _: ListArgs,
) -> Result<Done, CallError> {
    let functions = all_pages(client, "/2015-03-31/functions/?", "Functions").await?;
    if connection.json {
        output::print_json(&Value::Array(functions));
        return Ok(Done::Ok);
    }
    if functions.is_empty() {
        output::note(&format!(
            "no functions in {}; deploy one with `hearth deploy PATH`",
            connection.region
        ));
        return Ok(Done::Ok);
    }
    let row = |f: &Value| {
        [
            "FunctionName",
            "Runtime",
            "MemorySize",
            "Timeout",
            "LastModified",
        ]
        .map(|m| output::member(f, m))
        .into()
    };
    let header = [
        "FUNCTION",
        "RUNTIME",
        "MEMORY MB",
        "TIMEOUT S",
        "LAST MODIFIED",
    ];
    output::print(&output::table(&header, functions.iter().map(row).collect()));
    Ok(Done::Ok)
}

pub(super) async fn rm(
    client: &Client,
    connection: &Connection,
    args: RmArgs,
) -> Result<Done, CallError> {
    let mut target = format!("/2015-03-31/functions/{}", encode(&args.name));
    if let Some(version) = &args.version {
        target += &format!("?Qualifier={}", encode(version));
    }
    client.lambda("DELETE", target, None).await?;
    if connection.json {
        output::print_json(&json!({ "Deleted": args.name, "Version": args.version }));
    } else {
        match args.version {
            Some(version) => output::note(&format!("deleted version {version} of {}", args.name)),
            None => output::note(&format!("deleted {}", args.name)),
        }
    }
    Ok(Done::Ok)
}

pub(super) async fn versions(
    client: &Client,
    connection: &Connection,
    args: VersionsArgs,
) -> Result<Done, CallError> {
    let function = format!("/2015-03-31/functions/{}/versions", encode(&args.name));
    if args.publish {
        client
            .lambda("POST", function.clone(), Some(&json!({})))
            .await?;
    }
    let versions = all_pages(client, &format!("{function}?"), "Versions").await?;
    if connection.json {
        output::print_json(&Value::Array(versions));
        return Ok(Done::Ok);
    }
    let row = |v: &Value| {
        ["Version", "LastModified", "CodeSha256", "Description"]
            .map(|m| output::member(v, m))
            .into()
    };
    let header = ["VERSION", "LAST MODIFIED", "CODE SHA-256", "DESCRIPTION"];
    output::print(&output::table(&header, versions.iter().map(row).collect()));
    Ok(Done::Ok)
}

/// Every entry of a listing; `target` ends where a parameter can be added.
pub(super) async fn all_pages(
    client: &Client,
    target: &str,
    member: &str,
) -> Result<Vec<Value>, CallError> {
    let (mut entries, mut marker) = (Vec::new(), None::<String>);
    loop {
        let page = match &marker {
            None => {
                client
                    .lambda("GET", target.trim_end_matches(['?', '&']).to_owned(), None)
                    .await?
            }
            Some(marker) => {
                client
                    .lambda("GET", format!("{target}Marker={}", encode(marker)), None)
                    .await?
            }
        };
        entries.extend(
            page.get(member)
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
        );
        marker = page
            .get("NextMarker")
            .and_then(Value::as_str)
            .map(str::to_owned);
        if marker.is_none() {
            return Ok(entries);
        }
    }
}
