//! `hearth rule test`.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::{Bus, Named, call, rule};
use crate::cli::{Done, output, read_data};
use crate::client::{CallError, Client, Connection};

#[derive(Args, Debug)]
pub(super) struct TestArgs {
    /// Name of the rule
    #[arg(required_unless_present = "pattern")]
    name: Option<String>,
    /// A pattern, rather than that of a rule
    #[arg(long, value_name = "JSON|@FILE", conflicts_with = "name")]
    pattern: Option<String>,
    /// The event, as targets are given it
    #[arg(long, value_name = "JSON|@FILE|-")]
    event: String,
    #[command(flatten)]
    bus: Bus,
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: TestArgs,
) -> Result<Done, CallError> {
    let read = |data: &str, what: &'static str| {
        String::from_utf8(read_data(data)?).with_context(|| format!("read {what}"))
    };
    let event = read(&args.event, "the event")?;
    let pattern = match (args.pattern, args.name) {
        (Some(pattern), _) => read(&pattern, "the pattern")?.into(),
        (None, name) => {
            let named = Named {
                name: name.unwrap_or_default(),
                bus: args.bus,
            };
            let mut found = call(client, "DescribeRule", &rule(&named)).await?;
            found["EventPattern"].take()
        }
    };
    let request = json!({ "EventPattern": pattern, "Event": event });
    let answer = call(client, "TestEventPattern", &request).await?;
    let meant = answer["Result"] == true;
    if connection.json {
        output::print_json(&answer);
    } else {
        output::print(if meant {
            "it is meant"
        } else {
            "it is not meant"
        });
    }
    Ok(if meant { Done::Ok } else { Done::No })
}
