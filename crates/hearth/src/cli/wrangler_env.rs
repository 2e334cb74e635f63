//! `hearth wrangler-env`: what Wrangler must find in its environment to deploy to this node.

use clap::Args;
use hearth_cloudflare::PREFIX;
use hearth_gateway::auth::api_token;
use serde_json::json;

use super::{Done, output};
use crate::client::{CallError, Client, Connection};

#[derive(Args, Debug)]
pub(super) struct WranglerEnvArgs {}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    WranglerEnvArgs {}: WranglerEnvArgs,
) -> Result<Done, CallError> {
    let account = client.account().await?;
    let url = format!("{}{PREFIX}", client.endpoint());
    let (id, secret) = client.key();
    let token = api_token(id, secret, &connection.region);
    let variables = [
        ("CLOUDFLARE_API_BASE_URL", url),
        ("CLOUDFLARE_ACCOUNT_ID", account),
        ("CLOUDFLARE_API_TOKEN", token),
    ];
    if connection.json {
        let all: serde_json::Map<_, _> = variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        output::print_json(&all.into());
    } else {
        for (name, value) in variables {
            // None of them has a character that a shell would read.
            output::print(&format!("export {name}={value}"));
        }
    }
    Ok(Done::Ok)
}
