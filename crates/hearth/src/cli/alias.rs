//! `hearth alias`: names for versions.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::functions::all_pages;
use super::{Done, output};
use crate::client::{CallError, Client, Connection, encode};

#[derive(Args, Debug)]
pub(super) struct AliasArgs {
    #[command(subcommand)]
    command: AliasCommand,
}

#[derive(Subcommand, Debug)]
enum AliasCommand {
    /// List aliases of a function
    List {
        /// Name of the function
        name: String,
    },
    /// Create an alias, or point it elsewhere
    Set {
        /// Name of the function
        name: String,
        /// Name of the alias
        alias: String,
        /// Version that it points to
        version: String,
        /// A second version and its share of invocations, such as 4=0.1
        #[arg(long, value_name = "VERSION=SHARE", value_parser = weight)]
        weight: Option<(String, f64)>,
        /// Free text
        #[arg(long, default_value = "")]
        description: String,
    },
    /// Remove an alias
    Rm {
        /// Name of the function
        name: String,
        /// Name of the alias
        alias: String,
    },
}

fn weight(text: &str) -> Result<(String, f64), String> {
    let form = || format!("'{text}' is not VERSION=SHARE, such as 4=0.1");
    let (version, share) = text.split_once('=').ok_or_else(form)?;
    let share: f64 = share.parse().map_err(|_| form())?;
    if (0.0..=1.0).contains(&share) {
        Ok((version.to_owned(), share))
    } else {
        Err(format!("{share} is not between 0 and 1"))
    }
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: AliasArgs,
) -> Result<Done, CallError> {
    let path = |name: &str| format!("/2015-03-31/functions/{}/aliases", encode(name));
    match args.command {
        AliasCommand::List { name } => {
            let aliases = all_pages(client, &format!("{}?", path(&name)), "Aliases").await?;
            if connection.json {
                output::print_json(&Value::Array(aliases));
            } else {
                output::print(&output::table(&HEADER, aliases.iter().map(row).collect()));
            }
        }
        AliasCommand::Set {
            name,
            alias,
            version,
            weight,
            description,
        } => {
            let weights: serde_json::Map<String, Value> = weight
                .into_iter()
                .map(|(version, share)| (version, json!(share)))
                .collect();
            let mut body = json!({
                "FunctionVersion": version,
                "Description": description,
                "RoutingConfig": { "AdditionalVersionWeights": weights },
            });
            let one = format!("{}/{}", path(&name), encode(&alias));
            let set = match client.lambda("PUT", one, Some(&body)).await {
                Err(error) if error.is_not_found() => {
                    body["Name"] = json!(alias);
                    client.lambda("POST", path(&name), Some(&body)).await?
                }
                other => other?,
            };
            if connection.json {
                output::print_json(&set);
            } else {
                output::print(&output::table(&HEADER, vec![row(&set)]));
            }
        }
        AliasCommand::Rm { name, alias } => {
            client
                .lambda(
                    "DELETE",
                    format!("{}/{}", path(&name), encode(&alias)),
                    None,
                )
                .await?;
            if connection.json {
                output::print_json(&json!({ "Deleted": alias }));
            } else {
                output::note(&format!("deleted alias {alias} of {name}"));
            }
        }
    }
    Ok(Done::Ok)
}

const HEADER: [&str; 4] = ["ALIAS", "VERSION", "ALSO", "DESCRIPTION"];

fn row(alias: &Value) -> Vec<String> {
    let weights = alias
        .pointer("/RoutingConfig/AdditionalVersionWeights")
        .and_then(Value::as_object);
    let also = weights
        .into_iter()
        .flatten()
        .map(|(version, share)| format!("{version}={share}"))
        .collect::<Vec<_>>();
    let also = if also.is_empty() {
        "-".to_owned()
    } else {
        also.join(" ")
    };
    vec![
        output::member(alias, "Name"),
        output::member(alias, "FunctionVersion"),
        also,
        output::member(alias, "Description"),
    ]
}
