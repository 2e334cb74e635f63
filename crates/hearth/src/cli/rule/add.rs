//! `hearth rule add`.

use anyhow::Context as _;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{Bus, call, drop_targets, targets};
use crate::cli::{Done, output, read_data};
use crate::client::{CallError, Client, Connection};

#[derive(Args, Debug)]
pub(super) struct AddArgs {
    /// Name of the rule
    name: String,
    /// Which events: an event pattern of EventBridge
    #[arg(long, value_name = "JSON|@FILE|-")]
    pattern: String,
    /// ARN of a function (with an optional version or alias) or queue; may be given several times
    #[arg(long = "target", value_name = "ARN", required = true)]
    targets: Vec<String>,
    /// What the rule is for
    #[arg(long)]
    description: Option<String>,
    /// Don't match events with it yet
    #[arg(long)]
    disabled: bool,
    /// What the targets are given, whatever the event says
    #[arg(long, value_name = "JSON", conflicts_with_all = ["input_path", "input_template"])]
    input: Option<String>,
    /// What of the event the targets are given: $.detail
    #[arg(long, value_name = "PATH", conflicts_with = "input_template")]
    input_path: Option<String>,
    /// What the targets are given, with <NAME> where a value of the event is to be
    #[arg(long, value_name = "TEXT")]
    input_template: Option<String>,
    /// A value for the template: order=$.detail.id; may be given several times
    #[arg(
        long = "input-variable",
        value_name = "NAME=PATH",
        requires = "input_template"
    )]
    input_variables: Vec<String>,
    /// Message group, for queues that keep order
    #[arg(long)]
    message_group: Option<String>,
    /// ARN of the queue for events that the targets don't take
    #[arg(long, value_name = "ARN")]
    dead_letters: Option<String>,
    /// How often an event is tried again that a target does not take [default: 185]
    #[arg(long)]
    retries: Option<u32>,
    /// How old an event may become that a target does not take, seconds [default: 86400]
    #[arg(long, value_name = "SECONDS")]
    most_age: Option<u32>,
    #[command(flatten)]
    bus: Bus,
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: AddArgs,
) -> Result<Done, CallError> {
    let pattern = String::from_utf8(read_data(&args.pattern)?).context("read the pattern")?;
    let numbered = args.targets.iter().enumerate();
    let new = numbered
        .map(|(at, arn)| target(&args, at + 1, arn))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let (name, bus) = (&args.name, &args.bus.bus);
    let request = json!({
        "Name": name,
        "EventBusName": bus,
        "EventPattern": pattern,
        "Description": args.description,
        "State": if args.disabled { "DISABLED" } else { "ENABLED" },
    });
    let made = call(client, "PutRule", &request).await?;
    let request = json!({ "Rule": name, "EventBusName": bus, "Targets": new });
    call(client, "PutTargets", &request).await?;
    let found = targets(client, name, bus).await?;
    let is_new = |target: &&Value| new.iter().any(|new| new["Id"] == target["Id"]);
    let earlier = found.iter().filter(|target| !is_new(target));
    drop_targets(client, name, bus, earlier).await?;
    if connection.json {
        output::print_json(&made);
    } else {
        let state = if args.disabled {
            " once it is enabled"
        } else {
            ""
        };
        output::note(&format!(
            "{} is given the events that {name} means{state}",
            args.targets.join(", ")
        ));
    }
    Ok(Done::Ok)
}

fn target(args: &AddArgs, id: usize, arn: &str) -> anyhow::Result<Value> {
    let mut target = Map::new();
    target.insert("Id".to_owned(), id.to_string().into());
    target.insert("Arn".to_owned(), arn.into());
    let mut set = |member: &str, value: Option<Value>| {
        if let Some(value) = value {
            target.insert(member.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::from);
    set("Input", text(&args.input));
    set("InputPath", text(&args.input_path));
    if let Some(template) = &args.input_template {
        let pairs = args.input_variables.iter().map(|pair| {
            let (name, path) = pair
                .split_once('=')
                .with_context(|| format!("read '{pair}': write NAME=PATH"))?;
            Ok((name.to_owned(), Value::from(path)))
        });
        let paths = pairs.collect::<anyhow::Result<Map<_, _>>>()?;
        let transformer = json!({ "InputPathsMap": paths, "InputTemplate": template });
        set("InputTransformer", Some(transformer));
    }
    // One that is none of queues that keep order is refused by the node for functions, which have none.
    let group = text(&args.message_group).filter(|_| arn.contains(":sqs:"));
    set(
        "SqsParameters",
        group.map(|group| json!({ "MessageGroupId": group })),
    );
    let dead_letters = text(&args.dead_letters);
    set(
        "DeadLetterConfig",
        dead_letters.map(|arn| json!({ "Arn": arn })),
    );
    if args.retries.is_some() || args.most_age.is_some() {
        let policy = json!({
            "MaximumRetryAttempts": args.retries,
            "MaximumEventAgeInSeconds": args.most_age,
        });
        set("RetryPolicy", Some(policy));
    }
    Ok(target.into())
}
