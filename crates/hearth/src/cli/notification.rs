//! `hearth notification`: which bucket notifies which function or queue.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::functions::all_pages;
use super::{Done, output};
use crate::client::{CallError, Client, Connection, encode};

/// Where notifications are in the API.
const NOTIFICATIONS: &str = "/hearth/2026-11-01/notifications";

#[derive(Args, Debug)]
pub(super) struct NotificationArgs {
    #[command(subcommand)]
    command: NotificationCommand,
}

#[derive(Subcommand, Debug)]
enum NotificationCommand {
    /// Tell a function or a queue what changes in a bucket; one with the same name is replaced
    Add(AddArgs),
    /// List notifications
    List,
    /// Show a notification whole, as JSON
    Show {
        /// Name of the notification
        name: String,
    },
    /// Remove a notification
    Rm {
        /// Name of the notification
        name: String,
    },
}

#[derive(Args, Debug)]
struct AddArgs {
    /// Name of the notification
    name: String,
    /// Bucket, as storage.buckets of the node's configuration names it
    #[arg(long)]
    bucket: String,
    /// ARN of the function (with an optional version or alias) or queue that is told
    #[arg(long, value_name = "ARN")]
    target: String,
    /// Kind of event; may be given several times
    #[arg(long = "event", value_name = "KIND", default_values = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"])]
    events: Vec<String>,
    /// Only keys that begin with this
    #[arg(long)]
    prefix: Option<String>,
    /// Only keys that end with this
    #[arg(long)]
    suffix: Option<String>,
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: NotificationArgs,
) -> Result<Done, CallError> {
    match args.command {
        NotificationCommand::Add(args) => {
            let rules = [("prefix", &args.prefix), ("suffix", &args.suffix)];
            let rules: Vec<_> = rules
                .into_iter()
                .filter_map(|(name, value)| Some(json!({ "Name": name, "Value": value.as_ref()? })))
                .collect();
            let body = json!({
                "Bucket": args.bucket,
                "Events": args.events,
                "Filter": { "Key": { "FilterRules": rules } },
                "TargetArn": args.target,
            });
            let made = client.lambda("PUT", one(&args.name), Some(&body)).await?;
            if connection.json {
                output::print_json(&made);
            } else {
                output::note(&format!(
                    "{} is told what changes in {} from now on",
                    args.target, args.bucket
                ));
            }
        }
        NotificationCommand::List => {
            let all = all_pages(client, &format!("{NOTIFICATIONS}?"), "Notifications").await?;
            if connection.json {
                output::print_json(&Value::Array(all));
            } else if all.is_empty() {
                output::note("no notifications; `hearth notification add` makes one");
            } else {
                let header = ["NOTIFICATION", "BUCKET", "EVENTS", "KEYS", "TARGET"];
                output::print(&output::table(&header, all.iter().map(row).collect()));
            }
        }
        NotificationCommand::Show { name } => {
            output::print_json(&client.lambda("GET", one(&name), None).await?);
        }
        NotificationCommand::Rm { name } => {
            client.lambda("DELETE", one(&name), None).await?;
            output::said(connection.json, "removed notification", "Deleted", &name);
        }
    }
    Ok(Done::Ok)
}

fn row(notification: &Value) -> Vec<String> {
    let texts = |pointer: &str| {
        let list = notification.pointer(pointer).and_then(Value::as_array);
        list.into_iter().flatten()
    };
    let events: Vec<_> = texts("/Events").filter_map(Value::as_str).collect();
    let rule = |name: &str| {
        let mut rules = texts("/Filter/Key/FilterRules");
        let rule = rules.find(|rule| rule["Name"] == name);
        rule.map_or_else(String::new, |rule| output::member(rule, "Value"))
    };
    vec![
        output::member(notification, "Name"),
        output::member(notification, "Bucket"),
        events.join(", "),
        format!("{}*{}", rule("prefix"), rule("suffix")),
        output::member(notification, "TargetArn"),
    ]
}

fn one(name: &str) -> String {
    format!("{NOTIFICATIONS}/{}", encode(name))
}
