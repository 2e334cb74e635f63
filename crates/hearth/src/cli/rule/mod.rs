//! `hearth rule`: which events are given to which functions and queues.

mod add;
mod send;
mod test;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::functions::all_pages;
use super::{Done, output};
use crate::client::{CallError, Client, Connection};

/// The event bus that is always there.
const DEFAULT_BUS: &str = "default";

#[derive(Args, Debug)]
pub(super) struct RuleArgs {
    #[command(subcommand)]
    command: RuleCommand,
}

#[derive(Subcommand, Debug)]
enum RuleCommand {
    /// Give the events that a pattern means to functions and queues; a rule with the same name is replaced
    Add(add::AddArgs),
    /// List rules
    List {
        #[command(flatten)]
        bus: Bus,
    },
    /// Show a rule with its targets, as JSON
    Show(Named),
    /// Remove a rule and its targets
    Rm(Named),
    /// Match events with a rule again
    Enable(Named),
    /// Match no events with a rule, and keep it
    Disable(Named),
    /// Say whether a rule, or a pattern, means an event: exit code 0 if so, else 1
    Test(test::TestArgs),
    /// Say how many events are on their way to each target, and how many were given up
    Waiting,
    /// Send a CloudEvent
    Send(send::SendArgs),
}

#[derive(Args, Debug)]
struct Named {
    /// Name of the rule
    name: String,
    #[command(flatten)]
    bus: Bus,
}

#[derive(Args, Debug)]
struct Bus {
    /// Event bus
    #[arg(long, default_value = DEFAULT_BUS)]
    bus: String,
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: RuleArgs,
) -> Result<Done, CallError> {
    match args.command {
        RuleCommand::Add(args) => add::run(client, connection, args).await,
        RuleCommand::List { bus } => list(client, connection, &bus.bus).await,
        RuleCommand::Show(named) => show(client, &named).await,
        RuleCommand::Rm(named) => remove(client, connection, &named).await,
        RuleCommand::Enable(named) => {
            call(client, "EnableRule", &rule(&named)).await?;
            output::said(connection.json, "enabled rule", "Enabled", &named.name);
            Ok(Done::Ok)
        }
        RuleCommand::Disable(named) => {
            call(client, "DisableRule", &rule(&named)).await?;
            output::said(connection.json, "disabled rule", "Disabled", &named.name);
            Ok(Done::Ok)
        }
        RuleCommand::Test(args) => test::run(client, connection, args).await,
        RuleCommand::Waiting => waiting(client, connection).await,
        RuleCommand::Send(args) => send::run(client, connection, args).await,
    }
}

/// An operation of the EventBridge API.
async fn call(client: &Client, operation: &str, body: &Value) -> Result<Value, CallError> {
    let target = format!("AWSEvents.{operation}");
    client.json11("events", &target, body).await
}

/// All entries of a list.
async fn all(
    client: &Client,
    operation: &str,
    request: &Value,
    member: &str,
) -> Result<Vec<Value>, CallError> {
    let (mut all, mut request) = (Vec::new(), request.clone());
    loop {
        let mut page = call(client, operation, &request).await?;
        if let Some(Value::Array(entries)) = page.get_mut(member).map(Value::take) {
            all.extend(entries);
        }
        match page["NextToken"].take() {
            Value::Null => return Ok(all),
            next => request["NextToken"] = next,
        }
    }
}

fn rule(named: &Named) -> Value {
    json!({ "Name": named.name, "EventBusName": named.bus.bus })
}

async fn targets(client: &Client, name: &str, bus: &str) -> Result<Vec<Value>, CallError> {
    let request = json!({ "Rule": name, "EventBusName": bus });
    all(client, "ListTargetsByRule", &request, "Targets").await
}

async fn list(client: &Client, connection: &Connection, bus: &str) -> Result<Done, CallError> {
    let rules = all(
        client,
        "ListRules",
        &json!({ "EventBusName": bus }),
        "Rules",
    )
    .await?;
    if connection.json {
        output::print_json(&Value::Array(rules));
    } else if rules.is_empty() {
        output::note("no rules; `hearth rule add` makes one");
    } else {
        let mut rows = Vec::new();
        for rule in &rules {
            let name = output::member(rule, "Name");
            let targets = targets(client, &name, bus).await?;
            let targets: Vec<_> = targets
                .iter()
                .map(|target| output::member(target, "Arn"))
                .collect();
            rows.push(vec![
                name,
                output::member(rule, "State"),
                output::member(rule, "EventPattern"),
                targets.join(", "),
            ]);
        }
        let header = ["RULE", "STATE", "PATTERN", "TARGETS"];
        output::print(&output::table(&header, rows));
    }
    Ok(Done::Ok)
}

async fn show(client: &Client, named: &Named) -> Result<Done, CallError> {
    let mut shown = call(client, "DescribeRule", &rule(named)).await?;
    shown["Targets"] = targets(client, &named.name, &named.bus.bus).await?.into();
    output::print_json(&shown);
    Ok(Done::Ok)
}

async fn remove(
    client: &Client,
    connection: &Connection,
    named: &Named,
) -> Result<Done, CallError> {
    let found = targets(client, &named.name, &named.bus.bus).await?;
    drop_targets(client, &named.name, &named.bus.bus, found.iter()).await?;
    call(client, "DeleteRule", &rule(named)).await?;
    output::said(connection.json, "removed rule", "Deleted", &named.name);
    Ok(Done::Ok)
}

async fn drop_targets(
    client: &Client,
    name: &str,
    bus: &str,
    targets: impl Iterator<Item = &Value>,
) -> Result<(), CallError> {
    let ids: Vec<_> = targets.map(|target| target["Id"].clone()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let request = json!({ "Rule": name, "EventBusName": bus, "Ids": ids });
    call(client, "RemoveTargets", &request).await.map(drop)
}

async fn waiting(client: &Client, connection: &Connection) -> Result<Done, CallError> {
    let targets = all_pages(client, "/hearth/2026-11-01/rule-deliveries?", "Targets").await?;
    if connection.json {
        output::print_json(&Value::Array(targets));
    } else if targets.is_empty() {
        output::note("nothing is on its way, and nothing was given up");
    } else {
        let row = |target: &Value| {
            let members = ["TargetArn", "Waiting", "GivenUp"];
            members.map(|member| output::member(target, member)).into()
        };
        let header = ["TARGET", "WAITING", "GIVEN UP"];
        output::print(&output::table(&header, targets.iter().map(row).collect()));
    }
    Ok(Done::Ok)
}
