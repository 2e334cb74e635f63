//! `hearth topic`: lists of webhooks that are told of the ends of events.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::functions::all_pages;
use super::{Done, output};
use crate::client::{CallError, Client, Connection, encode};

/// Where topics are in the API.
const TOPICS: &str = "/hearth/2026-11-01/topics";

#[derive(Args, Debug)]
pub(super) struct TopicArgs {
    #[command(subcommand)]
    command: TopicCommand,
}

#[derive(Subcommand, Debug)]
enum TopicCommand {
    /// Make a topic; secrets of its webhooks are printed once
    Create(CreateArgs),
    /// List topics
    List,
    /// Show a topic whole, as JSON, without secrets
    Show {
        /// Name of the topic
        name: String,
    },
    /// Remove a topic
    Rm {
        /// Name of the topic
        name: String,
    },
}

#[derive(Args, Debug)]
struct CreateArgs {
    /// Name of the topic
    name: String,
    /// Tell this URL: https, or http on a loopback address; may be given several times
    #[arg(long, value_name = "URL")]
    webhook: Vec<String>,
    /// Put it in the place of the topic with this name, if there is one; URLs that it has keep their secrets
    #[arg(long)]
    replace: bool,
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: TopicArgs,
) -> Result<Done, CallError> {
    match args.command {
        TopicCommand::Create(args) => {
            let webhooks: Vec<_> = args
                .webhook
                .iter()
                .map(|url| json!({ "Url": url }))
                .collect();
            let mut topic = json!({ "Webhooks": webhooks });
            if !args.replace {
                topic["RevisionId"] = json!("NEW");
            }
            let made = client.lambda("PUT", one(&args.name), Some(&topic)).await?;
            if connection.json {
                output::print_json(&made);
            } else {
                created(&made);
            }
        }
        TopicCommand::List => {
            let topics = all_pages(client, &format!("{TOPICS}?"), "Topics").await?;
            if connection.json {
                output::print_json(&Value::Array(topics));
            } else if topics.is_empty() {
                output::note("no topics; `hearth topic create NAME --webhook URL` makes one");
            } else {
                let row = |topic: &Value| {
                    vec![
                        output::member(topic, "Name"),
                        webhooks(topic).count().to_string(),
                        output::member(topic, "TopicArn"),
                    ]
                };
                let header = ["TOPIC", "WEBHOOKS", "ARN"];
                output::print(&output::table(&header, topics.iter().map(row).collect()));
            }
        }
        TopicCommand::Show { name } => {
            output::print_json(&client.lambda("GET", one(&name), None).await?);
        }
        TopicCommand::Rm { name } => {
            client.lambda("DELETE", one(&name), None).await?;
            output::said(connection.json, "removed topic", "Deleted", &name);
        }
    }
    Ok(Done::Ok)
}

fn created(topic: &Value) {
    output::print(&output::member(topic, "TopicArn"));
    let rows: Vec<_> = webhooks(topic)
        .map(|webhook| {
            vec![
                output::member(webhook, "Url"),
                output::member(webhook, "Secret"),
            ]
        })
        .collect();
    if rows.is_empty() {
        output::note("it tells nobody yet; --webhook URL with --replace says whom it should");
        return;
    }
    output::print(&output::table(&["WEBHOOK", "SECRET"], rows));
    output::note(
        "keep new secrets: nobody can show them again; receivers verify signatures with them",
    );
}

fn webhooks(topic: &Value) -> impl Iterator<Item = &Value> {
    let list = topic.get("Webhooks").and_then(Value::as_array);
    list.into_iter().flatten()
}

fn one(name: &str) -> String {
    format!("{TOPICS}/{}", encode(name))
}
