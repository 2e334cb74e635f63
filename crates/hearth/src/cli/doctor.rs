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
    let crate::node::Examined {
        host,
        interpreters,
        workerd,
    } = runtime.block_on(crate::node::examine(&config))?;
    if args.json {
        let runtimes = interpreters.iter().map(|interpreter| {
            json!({
                "runtime": interpreter.runtime().to_string(),
                "version": version(interpreter),
                "interpreter": interpreter.executable,
            })
        });
        let worker = workerd.iter().map(|program| {
            json!({
                "runtime": "worker",
                "version": program.version,
                "interpreter": program.executable,
            })
        });
        let runtimes: Vec<_> = runtimes.chain(worker).collect();
        output::print_json(&json!({ "walls": host, "runtimes": runtimes }));
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
    let worker = workerd.iter().map(|program| {
        vec![
            "worker".to_owned(),
            program.version.clone(),
            program.executable.display().to_string(),
        ]
    });
    let rows = rows.chain(worker);
    output::print("");
    output::print(&output::table(
        &["RUNTIME", "VERSION", "INTERPRETER"],
        rows.collect(),
    ));
    if let Err(why) = &workerd {
        output::print(&format!("worker: {why}."));
    }
    output::print("Other versions of these languages run on the nearest one that is installed.");
    Ok(Done::Ok)
}

fn version(interpreter: &Interpreter) -> String {
    interpreter.version.map(|part| part.to_string()).join(".")
}
