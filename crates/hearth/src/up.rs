//! `hearth up`: starts a node, and shows a newcomer that it works.

use std::io::IsTerminal as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::cli::{Done, UpArgs, output};
use crate::client::{Call, CallError, Client, encode};
use crate::config::Config;
use crate::keys;
use crate::node::Node;
use crate::package;
use crate::samples::{Asked, SAMPLES, Sample};

/// The region of the samples: the default of every AWS tool.
const REGION: &str = "us-east-1";

/// Runs until it is told to stop, or until the table is printed (`--once`).
pub(crate) fn run(args: UpArgs) -> anyhow::Result<Done> {
    let config = Config::resolve(&args.node)?;
    let filter = EnvFilter::builder()
        .with_env_var("HEARTH_LOG")
        .with_default_directive(tracing::level_filters::LevelFilter::WARN.into())
        .from_env()
        .context("read HEARTH_LOG")?;
    let filter = without_clients(filter)?;
    tracing_subscriber::fmt()
        // A line that can't be written is lost: standard error may be a file on a full disk. To say that there as well, as
        // this would, panics, and ends whatever had something to say.
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(serve(&config, &args))
}

/// Libraries that speak with brokers log each lost connection, in words of their own: the node says it once.
fn without_clients(mut filter: EnvFilter) -> anyhow::Result<EnvFilter> {
    if std::env::var_os("HEARTH_LOG").is_none() {
        for quiet in ["lapin=off", "async_nats=off", "krafka=off"] {
            filter = filter.add_directive(quiet.parse()?);
        }
    }
    Ok(filter)
}

/// As many descriptors as this process may have: an environment takes about ten, a connection one. Functions have a
/// limit of their own.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // It can't fail: a soft limit may always be raised to the hard one.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}

async fn serve(config: &Config, args: &UpArgs) -> anyhow::Result<Done> {
    // Before anything else: a signal during start-up must find its handler.
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(stop);

    let node = tokio::select! {
        node = Node::start(config) => node?,
        () = &mut stop => return Ok(Done::Ok),
    };
    let endpoint = format!("http://{}", node.address());
    let client = Client::new(&endpoint, REGION, node.root_key())?;
    let wants_samples = !args.no_samples && (args.once || node.is_empty());
    let mut worked = true;
    if wants_samples {
        tokio::select! {
            result = show_samples(&client, config, &node) => worked = result?,
            () = &mut stop => {
                node.stop(config.shutdown).await;
                return Ok(Done::Ok);
            }
        }
    }
    print_addresses(&endpoint, config, wants_samples)?;
    if !args.once {
        stop.await;
        output::note("stopping; running invocations may finish (Ctrl-C again to end them)");
    }
    tokio::select! {
        () = node.stop(config.shutdown) => {}
        _ = interrupt_again(args.once) => {}
    }
    if !worked {
        anyhow::bail!("not every sample worked: see the table above");
    }
    Ok(Done::Ok)
}

/// A second Ctrl-C. What is left then is ended by the kernel: the launcher and every sandbox die with this process.
async fn interrupt_again(once: bool) -> std::io::Result<()> {
    if once {
        return std::future::pending().await;
    }
    signal(SignalKind::interrupt())?.recv().await;
    Ok(())
}

/// Deploys and invokes the samples and prints the table. `false` if one of them did not work.
/// One whose engine is not there is left out.
async fn show_samples(client: &Client, config: &Config, node: &Node) -> anyhow::Result<bool> {
    output::note("deploying the samples");
    let (mut rows, mut worked) = (Vec::new(), true);
    for sample in &SAMPLES {
        if sample.runtime == package::WORKER
            && let Some(why) = node.no_workers()
        {
            output::note(&format!("{} is left out: {why}", sample.name));
            continue;
        }
        let row = match try_sample(client, config, sample).await {
            Ok((cold, warm)) => [millis(cold), millis(warm), "ok".to_owned()],
            Err(error) => {
                worked = false;
                ["-".to_owned(), "-".to_owned(), format!("{error:#}")]
            }
        };
        rows.push(
            [
                sample.name.to_owned(),
                sample.runtime.to_owned(),
                sample.wall(node.wall()).to_owned(),
            ]
            .into_iter()
            .chain(row)
            .collect(),
        );
    }
    output::print("");
    output::print(&output::table(
        &[
            "FUNCTION", "RUNTIME", "WALL", "COLD MS", "WARM MS", "RESULT",
        ],
        rows,
    ));
    Ok(worked)
}

fn millis(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1_000.0)
}

/// Deploys one sample if it is not there, invokes it, and gives the time of the first invocation and the median of
/// some more.
async fn try_sample(
    client: &Client,
    config: &Config,
    sample: &Sample,
) -> anyhow::Result<(Duration, Duration)> {
    /// Enough for a median that one hiccup does not move.
    const WARM: usize = 9;
    deploy(client, config, sample).await?;
    let way = match sample.asked {
        Asked::Invoke => Way::Invoke,
        Asked::StreamingUrl => Way::Url(streaming_url(client, sample).await?),
    };
    let cold = ask(client, sample, &way).await?;
    let mut warm = Vec::with_capacity(WARM);
    for _ in 0..WARM {
        warm.push(ask(client, sample, &way).await?);
    }
    warm.sort();
    Ok((cold, warm[WARM / 2]))
}

async fn deploy(client: &Client, config: &Config, sample: &Sample) -> anyhow::Result<()> {
    let path = format!("/2015-03-31/functions/{}", encode(sample.name));
    match client.lambda("GET", path.clone(), None).await {
        Ok(_) => return Ok(()),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    let tags: serde_json::Map<String, serde_json::Value> = sample
        .tags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    let mut body = json!({
        "FunctionName": sample.name,
        "Runtime": sample.runtime,
        "Tags": tags,
        "Role": format!("arn:aws:iam::{}:role/hearth-samples", config.account),
        "Description": "A sample that came with Hearth",
        "Code": { "ZipFile": base64::engine::general_purpose::STANDARD.encode(sample.zip()?) },
    });
    if let Some(handler) = sample.handler {
        body["Handler"] = json!(handler);
    }
    client
        .lambda("POST", "/2015-03-31/functions".to_owned(), Some(&body))
        .await?;
    crate::cli::wait_until_ready(client, &path).await?;
    Ok(())
}

/// How a sample is reached.
enum Way {
    Invoke,
    /// At this path.
    Url(String),
}

/// The path of a sample's function URL, which streams and which only the account may use; made if there is none.
async fn streaming_url(client: &Client, sample: &Sample) -> anyhow::Result<String> {
    let target = format!("/2021-10-31/functions/{}/url", encode(sample.name));
    let url = match client.lambda("GET", target.clone(), None).await {
        Err(error) if error.is_not_found() => {
            let body = json!({ "AuthType": "AWS_IAM", "InvokeMode": "RESPONSE_STREAM" });
            client.lambda("POST", target, Some(&body)).await?
        }
        other => other?,
    };
    let url = output::member(&url, "FunctionUrl");
    let host = url.split_once("://").map_or("", |(_, host)| host);
    let id = host.split('.').next().unwrap_or_default();
    Ok(format!("/_url/{id}/?name=Hearth"))
}

async fn ask(client: &Client, sample: &Sample, way: &Way) -> anyhow::Result<Duration> {
    let (method, target, body) = match way {
        Way::Invoke => {
            let target = format!("/2015-03-31/functions/{}/invocations", encode(sample.name));
            let event = json!({ "name": "Hearth" });
            ("POST", target, event.to_string().into_bytes())
        }
        Way::Url(path) => ("GET", path.clone(), Vec::new()),
    };
    let call = Call {
        service: "lambda",
        method,
        target,
        headers: Vec::new(),
        body,
        progress: None,
    };
    let start = Instant::now();
    let answer = client.call(call).await.map_err(|error| match error {
        CallError::Other(error) => error,
        error => error.into(),
    })?;
    let elapsed = start.elapsed();
    let said = String::from_utf8_lossy(&answer.body);
    if answer.header("x-amz-function-error").is_some() {
        anyhow::bail!("{said}");
    }
    anyhow::ensure!(said.contains("Hearth"), "unexpected answer: {said}");
    Ok(elapsed)
}

fn print_addresses(endpoint: &str, config: &Config, with_samples: bool) -> anyhow::Result<()> {
    let credentials = keys::credentials_path(&config.data);
    let from_environment = keys::RootKey::from_environment()?.is_some();
    let credentials_shown = if from_environment {
        "HEARTH_ACCESS_KEY_ID and HEARTH_SECRET_ACCESS_KEY of the environment".to_owned()
    } else {
        credentials.display().to_string()
    };
    output::print(&format!(
        "\nendpoint     {endpoint}\ncredentials  {credentials_shown}"
    ));
    if with_samples {
        let hearth = program();
        let aws_credentials = if from_environment {
            String::new()
        } else {
            format!("AWS_SHARED_CREDENTIALS_FILE={} ", credentials.display())
        };
        output::print(&format!(
            "\ntry:\n  {hearth} invoke python-hello --data '{{\"name\":\"Ada\"}}' --tail\n  \
             {hearth} logs node-hello\n  \
             {aws_credentials}aws lambda list-functions --region {REGION} --endpoint-url {endpoint}"
        ));
    }
    Ok(())
}

/// How this program can be called from where the user stands.
fn program() -> String {
    let Ok(program) = std::env::current_exe() else {
        return "hearth".to_owned();
    };
    let on_path = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| {
            program
                .parent()
                .is_some_and(|parent| parent == Path::new(&folder))
        })
    });
    if on_path {
        return "hearth".to_owned();
    }
    let relative = std::env::current_dir()
        .ok()
        .and_then(|here| program.strip_prefix(here).ok().map(Path::to_owned));
    relative.unwrap_or(program).display().to_string()
}
