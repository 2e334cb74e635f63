//! `hearth rule send`: a CloudEvent, as anybody sends one.

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{Bus, DEFAULT_BUS};
use crate::cli::{Done, output, read_data};
use crate::client::{Call, CallError, Client, Connection, encode};

#[derive(Args, Debug)]
pub(super) struct SendArgs {
    /// Of what kind the event is
    #[arg(long = "type", value_name = "TYPE")]
    kind: String,
    /// Where it came from, a URI reference
    #[arg(long, default_value = "hearth")]
    source: String,
    /// What tells it from others of its source [default: a random one]
    #[arg(long)]
    id: Option<String>,
    /// What it is about
    #[arg(long)]
    subject: Option<String>,
    /// What else is known of it
    #[arg(long, short, value_name = "JSON|@FILE|-")]
    data: Option<String>,
    /// Another attribute; may be given several times
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    #[command(flatten)]
    bus: Bus,
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: SendArgs,
) -> Result<Done, CallError> {
    let id = match args.id {
        Some(id) => id,
        None => random()?,
    };
    let mut event = Map::from_iter([
        ("specversion".to_owned(), "1.0".into()),
        ("id".to_owned(), id.as_str().into()),
        ("source".to_owned(), args.source.into()),
        ("type".to_owned(), args.kind.into()),
    ]);
    if let Some(subject) = args.subject {
        event.insert("subject".to_owned(), subject.into());
    }
    for pair in &args.attributes {
        let pair = pair
            .split_once('=')
            .with_context(|| format!("read '{pair}': write NAME=VALUE"));
        let (name, value) = pair?;
        event.insert(name.to_owned(), value.into());
    }
    if let Some(data) = args.data {
        let data: Value = serde_json::from_slice(&read_data(&data)?)
            .context("read the data as JSON; quote a text")?;
        event.insert("data".to_owned(), data);
    }
    let target = match args.bus.bus.as_str() {
        DEFAULT_BUS => "/events".to_owned(),
        bus => format!("/events/{}", encode(bus)),
    };
    let call = Call {
        service: "events",
        method: "POST",
        target,
        headers: vec![("content-type", "application/cloudevents+json".to_owned())],
        body: Value::from(event).to_string().into_bytes(),
        progress: None,
    };
    client.call(call).await?;
    if connection.json {
        output::print_json(&json!({ "Id": id }));
    } else {
        output::note(&format!("sent event {id}"));
    }
    Ok(Done::Ok)
}

/// A random identifier.
fn random() -> anyhow::Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("read random bytes from the operating system")?;
    let id = hearth_types::invoke::RequestId::from_random(random);
    Ok(id.as_str().to_owned())
}
