//! `hearth url`: functions under a URL of their own.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::functions::all_pages;
use super::{Done, output};
use crate::client::{CallError, Client, Connection, encode};

/// The statements that let everyone in: name and action.
const PUBLIC: [(&str, &str); 2] = [
    ("hearth-url-public", "lambda:InvokeFunctionUrl"),
    ("hearth-url-public-invoke", "lambda:InvokeFunction"),
];

#[derive(Args, Debug)]
pub(super) struct UrlArgs {
    #[command(subcommand)]
    command: UrlCommand,
}

#[derive(Subcommand, Debug)]
enum UrlCommand {
    /// Give a function a URL, or change who may use it
    Create {
        /// Name of the function
        name: String,
        /// Give the URL to this alias
        #[arg(long, value_name = "ALIAS")]
        alias: Option<String>,
        /// Let everyone use it, without a signature
        #[arg(long)]
        public: bool,
        /// Let pages of this origin use it from a browser; * for all; may be given several times
        #[arg(long, value_name = "ORIGIN")]
        cors: Vec<String>,
        /// Stream responses (web servers and WebAssembly components do so anyway)
        #[arg(long)]
        stream: bool,
    },
    /// Show the URLs of a function and of its aliases
    Show {
        /// Name of the function
        name: String,
    },
    /// Take a function's URL away
    Rm {
        /// Name of the function
        name: String,
        /// Take it from this alias
        #[arg(long, value_name = "ALIAS")]
        alias: Option<String>,
    },
}

/// Gives a function a URL that everyone may use, and describes it.
pub(super) async fn public(client: &Client, name: &str) -> Result<Value, CallError> {
    make(client, name, None, true, &[], false).await
}

/// Gives a function a URL, or changes the one that it has.
async fn make(
    client: &Client,
    name: &str,
    alias: Option<&str>,
    public: bool,
    cors: &[String],
    stream: bool,
) -> Result<Value, CallError> {
    let mut body = json!({
        "AuthType": if public { "NONE" } else { "AWS_IAM" },
        "InvokeMode": if stream { "RESPONSE_STREAM" } else { "BUFFERED" },
    });
    if !cors.is_empty() {
        body["Cors"] = json!({
            "AllowOrigins": cors,
            "AllowMethods": ["*"],
            "AllowHeaders": ["*"],
        });
    }
    let target = config(name, alias);
    let made = match client.lambda("POST", target.clone(), Some(&body)).await {
        Err(CallError::Api { status: 409, .. }) => {
            client.lambda("PUT", target, Some(&body)).await?
        }
        other => other?,
    };
    if public {
        let_everyone_in(client, name, alias).await?;
    } else {
        shut_everyone_out(client, name, alias).await?;
    }
    Ok(made)
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: UrlArgs,
) -> Result<Done, CallError> {
    match args.command {
        UrlCommand::Create {
            name,
            alias,
            public,
            cors,
            stream,
        } => {
            let made = make(client, &name, alias.as_deref(), public, &cors, stream).await?;
            if connection.json {
                output::print_json(&made);
            } else {
                output::print(&output::member(&made, "FunctionUrl"));
                if !public {
                    output::note("requests must be signed (AWS_IAM); --public lets everyone in");
                }
            }
        }
        UrlCommand::Show { name } => {
            let target = format!("/2021-10-31/functions/{}/urls?", encode(&name));
            let urls = all_pages(client, &target, "FunctionUrlConfigs").await?;
            if connection.json {
                output::print_json(&Value::Array(urls));
            } else if urls.is_empty() {
                output::note(&format!(
                    "{name} has no URL; `hearth url create {name} --public` makes one"
                ));
            } else {
                output::print(&output::table(&HEADER, urls.iter().map(row).collect()));
            }
        }
        UrlCommand::Rm { name, alias } => {
            client
                .lambda("DELETE", config(&name, alias.as_deref()), None)
                .await?;
            shut_everyone_out(client, &name, alias.as_deref()).await?;
            if connection.json {
                output::print_json(&json!({ "Deleted": name, "Alias": alias }));
            } else {
                output::note(&format!("took the URL of {name} away"));
            }
        }
    }
    Ok(Done::Ok)
}

fn config(name: &str, alias: Option<&str>) -> String {
    format!(
        "/2021-10-31/functions/{}/url{}",
        encode(name),
        qualified(alias)
    )
}

fn qualified(alias: Option<&str>) -> String {
    alias.map_or_else(String::new, |alias| format!("?Qualifier={}", encode(alias)))
}

async fn let_everyone_in(
    client: &Client,
    name: &str,
    alias: Option<&str>,
) -> Result<(), CallError> {
    let target = format!(
        "/2015-03-31/functions/{}/policy{}",
        encode(name),
        qualified(alias)
    );
    for (statement, action) in PUBLIC {
        let mut body = json!({ "StatementId": statement, "Action": action, "Principal": "*" });
        // What is allowed at the URL is allowed nowhere else.
        if action == "lambda:InvokeFunctionUrl" {
            body["FunctionUrlAuthType"] = json!("NONE");
        } else {
            body["InvokedViaFunctionUrl"] = json!(true);
        }
        match client.lambda("POST", target.clone(), Some(&body)).await {
            // It is there already.
            Err(CallError::Api { status: 409, .. }) => {}
            other => drop(other?),
        }
    }
    Ok(())
}

/// Takes back what [`let_everyone_in`] has given.
async fn shut_everyone_out(
    client: &Client,
    name: &str,
    alias: Option<&str>,
) -> Result<(), CallError> {
    for (statement, _) in PUBLIC {
        let target = format!(
            "/2015-03-31/functions/{}/policy/{statement}{}",
            encode(name),
            qualified(alias)
        );
        match client.lambda("DELETE", target, None).await {
            Err(error) if error.is_not_found() => {}
            other => drop(other?),
        }
    }
    Ok(())
}

const HEADER: [&str; 4] = ["ALIAS", "AUTH", "MODE", "URL"];

fn row(url: &Value) -> Vec<String> {
    // arn:aws:lambda:region:account:function:name:alias
    let arn = output::member(url, "FunctionArn");
    let alias = arn.split(':').nth(7).unwrap_or("-").to_owned();
    let mut row = vec![alias];
    row.extend(["AuthType", "InvokeMode", "FunctionUrl"].map(|member| output::member(url, member)));
    row
}
