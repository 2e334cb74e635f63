//! `hearth doctor`: what this host can offer, and what to do about the rest.

use clap::Args;
use hearth_worker::Interpreter;
use serde_json::json;

use super::{Done, output};
use crate::config::{Config, NodeArgs};

#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON for scripts
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: DoctorArgs) -> anyhow::Result<Done> {
    let config = Config::resolve(&args.node)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (host, interpreters) = runtime.block_on(crate::node::examine(&config))?;
    if args.json {
        let runtimes = interpreters.iter().map(|interpreter| {
            json!({
                "runtime": interpreter.runtime().to_string(),
                "version": version(interpreter),
                "interpreter": interpreter.executable,
            })
        });
        output::print_json(&json!({ "walls": host, "runtimes": runtimes.collect::<Vec<_>>() }));
        return Ok(Done::Ok);
    }
    let mark = |available: bool| if available { "yes" } else { "no" }.to_owned();
    let rows = host
        .parts
        .iter()
        .map(|part| vec![part.name.clone(), mark(part.available), part.detail.clone()]);
    output::print(&output::table(
        &["PART OF THE WALL", "HERE", "DETAIL"],
        rows.collect(),
    ));
    for part in host
        .parts
        .iter()
        .filter(|part| !part.available && !part.advice.is_empty())
    {
        output::print(&format!("{}: {}", part.name, part.advice));
    }
    let rows = interpreters.iter().map(|interpreter| {
        vec![
            interpreter.runtime().to_string(),
            version(interpreter),
            interpreter.executable.display().to_string(),
        ]
    });
    output::print("");
    output::print(&output::table(
        &["RUNTIME", "VERSION", "INTERPRETER"],
        rows.collect(),
    ));
    output::print("Other versions of these languages run on the nearest one that is installed.");
    Ok(Done::Ok)
}

fn version(interpreter: &Interpreter) -> String {
    interpreter.version.map(|part| part.to_string()).join(".")
}
