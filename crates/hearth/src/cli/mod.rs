//! The command line: what it takes, and what its exit codes mean.

mod alias;
mod deploy;
mod dlq;
mod doctor;
mod events;
mod functions;
mod invoke;
mod local;
mod logs;
mod mappings;
mod notification;
pub(crate) mod output;
mod replay;
mod route;
mod rule;
mod runtime;
mod schedules;
mod topic;
mod url;
mod wrangler_env;

pub(crate) use deploy::wait_until_ready;
pub(crate) use runtime::installed_workerd;

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::client::{CallError, Client, Connection};
use crate::config::{Config, NodeArgs};

/// Functions on your own machines: what MinIO is to S3, Hearth is to AWS Lambda.
#[derive(Parser, Debug)]
#[command(name = "hearth", version, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 success, 1 failure, 2 wrong usage, 3 the function failed, \
                        4 not found, 5 the node can't be reached."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start a node
    Up(UpArgs),
    /// Create or update a function from a file or a folder
    Deploy(OnNode<deploy::DeployArgs>),
    /// Invoke a function and print its answer
    Invoke(OnNode<invoke::InvokeArgs>),
    /// Count or list events of asynchronous invocations
    Events(OnNode<events::EventsArgs>),
    /// List, show, redrive or purge events that were given up
    Dlq(OnNode<dlq::DlqArgs>),
    /// Run an event that was given up once more, with its log on the terminal
    Replay(OnNode<replay::ReplayArgs>),
    /// List functions
    List(OnNode<functions::ListArgs>),
    /// Print a function's log
    Logs(OnNode<logs::LogsArgs>),
    /// Delete a function, or one version of it
    Rm(OnNode<functions::RmArgs>),
    /// List versions of a function, or publish one
    Versions(OnNode<functions::VersionsArgs>),
    /// List, set or remove aliases of a function
    Alias(OnNode<alias::AliasArgs>),
    /// Give a function a URL, show it, or take it away
    Url(OnNode<url::UrlArgs>),
    /// Lead requests at hosts and paths to functions
    Route(OnNode<route::RouteArgs>),
    /// List schedules: when each is due next, and what became of earlier times
    Schedules(OnNode<schedules::SchedulesArgs>),
    /// Give events to functions and queues, by rules; send an event
    Rule(OnNode<rule::RuleArgs>),
    /// List event source mappings: what calls which function, how much waits, and how the last batch ended
    Mappings(OnNode<mappings::MappingsArgs>),
    /// Tell functions and queues what changes in buckets
    Notification(OnNode<notification::NotificationArgs>),
    /// Lists of webhooks that are told of the ends of events
    Topic(OnNode<topic::TopicArgs>),
    /// Print what Wrangler needs in its environment to deploy to a node
    WranglerEnv(OnNode<wrangler_env::WranglerEnvArgs>),
    /// Say what walls, networks and runtimes this host can offer
    Doctor(doctor::DoctorArgs),
    /// Engines that Hearth does not bring along
    #[command(subcommand)]
    Runtime(runtime::RuntimeCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// A command with the options that find the node.
#[derive(Args, Debug)]
struct OnNode<A: Args> {
    #[command(flatten)]
    connection: Connection,
    /// Data folder of the node, for its address and credentials [default: the user's data directory]
    #[arg(long, global = true, env = "HEARTH_DATA", value_name = "DIR")]
    data_folder: Option<PathBuf>,
    #[command(flatten)]
    args: A,
}

#[derive(Args, Debug)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// Deploy the samples, invoke each, print the table and exit; 0 only if all worked
    #[arg(long)]
    pub(crate) once: bool,
    /// Don't deploy the samples on an empty data folder
    #[arg(long)]
    pub(crate) no_samples: bool,
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Print the effective configuration, as a configuration file
    Show(NodeArgs),
}

/// What a command ends with when nothing failed on the way.
pub(crate) enum Done {
    /// All is well.
    Ok,
    /// The function was run, and failed.
    FunctionFailed,
    /// What was asked is not so.
    No,
}

/// Runs the command and turns its end into an exit code.
pub(crate) fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Up(args) => crate::up::run(args).map_err(CallError::Other),
        Command::Deploy(c) => with_client(c, deploy::run),
        Command::Invoke(c) => with_client(c, invoke::run),
        Command::Events(c) => with_client(c, events::run),
        Command::Dlq(c) => with_client(c, dlq::run),
        Command::Replay(c) => with_config(c, replay::run),
        Command::List(c) => with_client(c, functions::list),
        Command::Logs(c) => with_client(c, logs::run),
        Command::Rm(c) => with_client(c, functions::rm),
        Command::Versions(c) => with_client(c, functions::versions),
        Command::Alias(c) => with_client(c, alias::run),
        Command::Url(c) => with_client(c, url::run),
        Command::Route(c) => with_client(c, route::run),
        Command::Schedules(c) => with_client(c, schedules::run),
        Command::Rule(c) => with_client(c, rule::run),
        Command::Mappings(c) => with_client(c, mappings::run),
        Command::Notification(c) => with_client(c, notification::run),
        Command::Topic(c) => with_client(c, topic::run),
        Command::WranglerEnv(c) => with_client(c, wrangler_env::run),
        Command::Doctor(args) => doctor::run(args).map_err(CallError::Other),
        Command::Runtime(command) => runtime::run(command).map_err(CallError::Other),
        Command::Config(ConfigCommand::Show(args)) => show_config(&args).map_err(CallError::Other),
    };
    match result {
        Ok(Done::Ok) => ExitCode::SUCCESS,
        Ok(Done::FunctionFailed) => ExitCode::from(3),
        Ok(Done::No) => ExitCode::FAILURE,
        Err(error) => {
            output::error(&error);
            ExitCode::from(match error {
                error if error.is_not_found() => 4,
                CallError::Unreachable { .. } => 5,
                _ => 1,
            })
        }
    }
}

fn with_client<A: Args>(
    command: OnNode<A>,
    run: impl AsyncFnOnce(&Client, &Connection, A) -> Result<Done, CallError>,
) -> Result<Done, CallError> {
    with_config(command, async |client, connection, args, _| {
        run(client, connection, args).await
    })
}

/// The same for a command that wants to know how the node on the data folder is set up.
fn with_config<A: Args>(
    command: OnNode<A>,
    run: impl AsyncFnOnce(&Client, &Connection, A, &Config) -> Result<Done, CallError>,
) -> Result<Done, CallError> {
    let node = NodeArgs {
        data: command.data_folder,
        ..NodeArgs::default()
    };
    let config = Config::resolve(&node)?;
    let client = Client::open(&command.connection, &config.data)?;
    // Of several threads, as a node's: `hearth replay --local` runs one.
    let runtime = tokio::runtime::Runtime::new();
    let runtime =
        runtime.map_err(|error| anyhow::Error::new(error).context("start the command"))?;
    runtime.block_on(run(&client, &command.connection, command.args, &config))
}

/// What an option gives: itself, what is in a file, or standard input.
fn read_data(data: &str) -> anyhow::Result<Vec<u8>> {
    if data == "-" {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("read standard input")?;
        return Ok(bytes);
    }
    match data.strip_prefix('@') {
        Some(path) => std::fs::read(path).with_context(|| format!("read {path}")),
        None => Ok(data.as_bytes().to_vec()),
    }
}

fn show_config(args: &NodeArgs) -> anyhow::Result<Done> {
    let config = Config::resolve(args)?;
    let text = toml::to_string(&config)?;
    output::print(&format!("# data folder: {}\n{text}", config.data.display()));
    Ok(Done::Ok)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn no_two_options_of_a_command_have_one_name() {
        Cli::command().debug_assert();
    }
}
