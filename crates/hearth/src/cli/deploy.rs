//! `hearth deploy`: from a file or a folder to a function that is ready.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use clap::Args;
use hearth_isolates::Deployed;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use super::{Done, output, url};
use crate::client::{self, Call, CallError, Client, Connection, encode};
use crate::package;

#[derive(Args, Debug)]
pub(super) struct DeployArgs {
    /// A source file, an executable, a WebAssembly component, a zip or a folder
    path: PathBuf,
    /// Name of the function [default: from the path]
    #[arg(long)]
    name: Option<String>,
    /// Runtime, such as python3.13, nodejs22.x, provided.al2023 [default: found from the content]. With wasm, source
    /// files (JavaScript, Python, a Rust crate) are built into a component
    #[arg(long)]
    runtime: Option<String>,
    /// Handler, such as module.function [default: found from the content]
    #[arg(long)]
    handler: Option<String>,
    /// Memory, MB (128 to 10240)
    #[arg(long, value_name = "MB")]
    memory: Option<u32>,
    /// Time for one invocation, seconds (1 to 900)
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// Free text
    #[arg(long)]
    description: Option<String>,
    /// Environment variable; may be given again. The ones given replace all that were set before
    #[arg(long, short, value_name = "KEY=VALUE", value_parser = key_value)]
    env: Vec<(String, String)>,
    /// ARN of a layer version; may be given again, lowest first
    #[arg(long, value_name = "ARN")]
    layer: Vec<String>,
    /// Folder of the node's configuration, and where the function finds it; may be given again
    #[arg(long, value_name = "NAME=/mnt/PATH", value_parser = key_value)]
    folder: Vec<(String, String)>,
    /// Tag; may be given again (hearth:network=none turns the outgoing network off)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    tag: Vec<(String, String)>,
    /// ARN of the role [default: a role of the node's account]
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// The package is a web server: it is served as it is (tag hearth:web=on). How it starts is found from the content:
    /// run.sh, the start script of package.json, server.js, app.py
    #[arg(long)]
    web: bool,
    /// Give the function a URL that everyone may use
    #[arg(long)]
    public: bool,
    /// Publish a version
    #[arg(long)]
    publish: bool,
}

/// The tag of a function that is a web server.
const WEB_TAG: &str = "hearth:web";

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("'{text}' is not KEY=VALUE"))?;
    if key.is_empty() {
        Err(format!("'{text}' has no key"))
    } else {
        Ok((key.to_owned(), value.to_owned()))
    }
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    mut args: DeployArgs,
) -> Result<Done, CallError> {
    if args.web && !args.tag.iter().any(|(key, _)| key == WEB_TAG) {
        args.tag.push((WEB_TAG.to_owned(), "on".to_owned()));
    }
    let wanted = package::Wanted {
        runtime: args.runtime.as_deref(),
        handler: args.handler.as_deref(),
        web: args.web,
    };
    let package = package::build(&args.path, wanted)?;
    let is_worker = package.runtime.as_deref() == Some(package::WORKER);
    let worker = if is_worker && args.path.is_dir() {
        Deployed::read(&args.path).map_err(anyhow::Error::msg)?
    } else {
        Deployed::default()
    };
    let name = args.name.clone().or_else(|| worker.name.clone());
    let name = name.unwrap_or_else(|| package.name.clone());
    let path = format!("/2015-03-31/functions/{}", encode(&name));
    let existing = match client.lambda("GET", path.clone(), None).await {
        Ok(answer) => Some(answer),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let progress = Progress::new(connection.json);
    let size = package.zip.len();
    let zip = base64::engine::general_purpose::STANDARD.encode(&package.zip);
    let created = existing.is_none();
    match existing {
        None => {
            let body = creation(client, &args, &package, &name, zip).await?;
            progress
                .upload(client, "POST", "/2015-03-31/functions".to_owned(), &body)
                .await?;
        }
        Some(existing) => {
            let tags: Map<String, Value> = args
                .tag
                .iter()
                .map(|(key, value)| (key.clone(), json!(value)))
                .collect();
            let arn = output::member(&existing["Configuration"], "FunctionArn");
            if !tags.is_empty() {
                client
                    .lambda(
                        "POST",
                        format!("/2017-03-31/tags/{}", encode(&arn)),
                        Some(&json!({ "Tags": tags })),
                    )
                    .await?;
            }
            let mut changes = changes(&args, &package, &existing["Configuration"]);
            changes.extend(folders(client, &args).await?);
            if !changes.is_empty() {
                client
                    .lambda(
                        "PUT",
                        format!("{path}/configuration"),
                        Some(&Value::Object(changes)),
                    )
                    .await?;
                wait(client, &path, &progress).await?;
            }
            let body = json!({ "ZipFile": zip });
            progress
                .upload(client, "PUT", format!("{path}/code"), &body)
                .await?;
        }
    }
    let mut configuration = wait(client, &path, &progress).await?;
    if args.publish {
        configuration = client
            .lambda("POST", format!("{path}/versions"), Some(&json!({})))
            .await?;
    }
    if !worker.crons.is_empty() {
        let crons: Vec<Value> = worker
            .crons
            .iter()
            .map(|cron| json!({ "cron": cron }))
            .collect();
        let path = format!("workers/scripts/{}/schedules", encode(&name));
        client
            .cloudflare(reqwest::Method::PUT, &path, &json!(crons))
            .await?;
    }
    progress.finish();
    let url = if args.public {
        let made = url::public(client, &name).await?;
        Some(output::member(&made, "FunctionUrl"))
    } else {
        None
    };
    if connection.json {
        if let (Some(url), Some(object)) = (url, configuration.as_object_mut()) {
            object.insert("FunctionUrl".to_owned(), json!(url));
        }
        output::print_json(&configuration);
        return Ok(Done::Ok);
    }
    let verb = if created { "created" } else { "updated" };
    let about = [
        output::member(&configuration, "Runtime"),
        output::member(&configuration, "Handler"),
        indicatif::HumanBytes(size as u64).to_string(),
    ];
    let about: Vec<String> = about.into_iter().filter(|part| !part.is_empty()).collect();
    output::print(&format!("{verb} {name} ({})", about.join(", ")));
    match url {
        Some(url) => output::print(&url),
        None if args.web => {
            output::note(&format!("try: hearth url create {name} --public"));
        }
        None => output::note(&format!("try: hearth invoke {name} --data '{{}}'")),
    }
    Ok(Done::Ok)
}

async fn creation(
    client: &Client,
    args: &DeployArgs,
    package: &package::Package,
    name: &str,
    zip: String,
) -> Result<Value, CallError> {
    let need = |given: &Option<String>, found: &Option<String>, what: &str, example: &str| {
        given.clone().or_else(|| found.clone()).ok_or_else(|| {
            anyhow::anyhow!(
                "can't tell the {what} of {}: give it, such as --{what} {example}",
                args.path.display()
            )
        })
    };
    let runtime = need(
        &args.runtime,
        &package.runtime,
        "runtime",
        package::DEFAULT_PYTHON,
    )?;
    // A component or a worker has one way in, and needs no name for it.
    let handler = if [package::WASM, package::WORKER].contains(&runtime.as_str()) {
        args.handler.clone()
    } else {
        Some(need(
            &args.handler,
            &package.handler,
            "handler",
            "app.handler",
        )?)
    };
    let role = match &args.role {
        Some(role) => role.clone(),
        None => format!("arn:aws:iam::{}:role/hearth", client.account().await?),
    };
    let mut body = json!({
        "FunctionName": name,
        "Runtime": runtime,
        "Role": role,
        "Code": { "ZipFile": zip },
    });
    let settings = settings(args);
    let folders = folders(client, args).await?;
    if let Some(body) = body.as_object_mut() {
        body.extend(settings);
        body.extend(folders);
        if let Some(handler) = handler {
            body.insert("Handler".to_owned(), json!(handler));
        }
        if !args.tag.is_empty() {
            body.insert(
                "Tags".to_owned(),
                args.tag
                    .iter()
                    .map(|(k, v)| (k.clone(), json!(v)))
                    .collect(),
            );
        }
    }
    Ok(body)
}

/// The member for the folders that were given, if there are any.
async fn folders(client: &Client, args: &DeployArgs) -> Result<Option<(String, Value)>, CallError> {
    if args.folder.is_empty() {
        return Ok(None);
    }
    let (region, account) = (client.region(), client.account().await?);
    let config = |(name, path): &(String, String)| {
        json!({
            "Arn": format!("arn:aws:elasticfilesystem:{region}:{account}:access-point/{name}"),
            "LocalMountPath": path,
        })
    };
    let configs = args.folder.iter().map(config).collect();
    Ok(Some(("FileSystemConfigs".to_owned(), configs)))
}

/// Members of a creation or an update that were given as options.
fn settings(args: &DeployArgs) -> Map<String, Value> {
    let mut settings = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            settings.insert(name.to_owned(), value);
        }
    };
    set("MemorySize", args.memory.map(Value::from));
    set("Timeout", args.timeout.map(Value::from));
    set("Description", args.description.clone().map(Value::from));
    set(
        "Layers",
        (!args.layer.is_empty()).then(|| json!(args.layer)),
    );
    let variables: Map<String, Value> = args
        .env
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    set(
        "Environment",
        (!variables.is_empty()).then(|| json!({ "Variables": variables })),
    );
    settings
}

/// What an update of the configuration must say: options that were given and differ from what is there. What was
/// found from the content counts only where the function was found from the content before: never against a choice
/// that somebody made.
fn changes(args: &DeployArgs, package: &package::Package, current: &Value) -> Map<String, Value> {
    let mut changes = settings(args);
    let given = [
        ("Runtime", &args.runtime),
        ("Handler", &args.handler),
        ("Role", &args.role),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            changes.insert(name.to_owned(), json!(value));
        }
    }
    // Another language under the same name: keeping the runtime could not work.
    let family = |runtime: &str| {
        runtime
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == 'x')
            .to_owned()
    };
    if let (None, Some(runtime), Some(now)) =
        (&args.runtime, &package.runtime, current["Runtime"].as_str())
        && family(runtime) != family(now)
    {
        changes.insert("Runtime".to_owned(), json!(runtime));
        if let (None, Some(handler)) = (&args.handler, &package.handler) {
            changes.insert("Handler".to_owned(), json!(handler));
        }
    }
    changes.retain(|name, value| current.get(name) != Some(value));
    changes
}

/// Waits until the function is ready, as the waiters of the AWS SDKs do, and gives its configuration.
pub(crate) async fn wait_until_ready(client: &Client, path: &str) -> Result<Value, CallError> {
    let mut pause = Duration::from_millis(10);
    loop {
        let configuration = client
            .lambda("GET", format!("{path}/configuration"), None)
            .await?;
        let (state, update) = (
            output::member(&configuration, "State"),
            output::member(&configuration, "LastUpdateStatus"),
        );
        if state == "Failed" || update == "Failed" {
            let reason = if state == "Failed" {
                "StateReason"
            } else {
                "LastUpdateStatusReason"
            };
            let reason = output::member(&configuration, reason);
            return Err(anyhow::anyhow!("the function can't be made ready: {reason}").into());
        }
        if state == "Active" && update == "Successful" {
            return Ok(configuration);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

async fn wait(client: &Client, path: &str, progress: &Progress) -> Result<Value, CallError> {
    progress.waiting();
    wait_until_ready(client, path).await
}

/// A bar on stderr, for people.
struct Progress(ProgressBar);

impl Progress {
    fn new(quiet: bool) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(0)
        };
        if let Ok(style) = ProgressStyle::with_template("{msg:10} {bar:30} {bytes}/{total_bytes}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    async fn upload(
        &self,
        client: &Client,
        method: &'static str,
        target: String,
        body: &Value,
    ) -> Result<(), CallError> {
        let body = body.to_string().into_bytes();
        self.0.set_length(body.len() as u64);
        self.0.set_message("uploading");
        let headers = vec![("content-type", "application/json".to_owned())];
        let bar = self.0.clone();
        let progress: Option<client::Progress> = Some(Arc::new(move |sent| bar.inc(sent)));
        let call = Call {
            service: "lambda",
            method,
            target,
            headers,
            body,
            progress,
        };
        client.call(call).await.map(|_| ())
    }

    fn waiting(&self) {
        self.0.set_message("preparing");
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}
