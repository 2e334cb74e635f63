//! The process itself: the same program, started again behind the process wall.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hearth_egress::Outside;
use hearth_types::network::Hosts;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use wasmtime::component::Component;

use super::ARTEFACTS;
use super::message::FunctionOrder;
use super::serve::{Make, serve};
use super::way_out::Line;
use crate::engines::{Engines, Model};
use crate::function::LocalFunction;
use crate::grants::Grants;
use crate::machine::Machine;
use crate::options::WallOptions;
use crate::program::{Program, Refusal};

/// The argument that makes a program an account's process.
const MARKER: &str = "--hearth-wasm-process";

/// What an account's process is told when it is started.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Settings {
    /// Where the node listens, as the process sees it.
    pub node: SocketAddr,
    /// Instances that there can be at the same time.
    pub instances: u32,
    /// Bound on the linear memory and tables of all instances together, bytes: less than the process may have, so that
    /// a guest is refused memory before the kernel ends the process.
    pub memory_bytes: u64,
    /// Longest that a call waits for an instance, milliseconds.
    pub wait_ms: u64,
}

impl Settings {
    /// The command line that makes `program` such a process.
    #[must_use]
    pub fn command_line(&self, program: &str) -> Vec<String> {
        // Numbers and an address always have a JSON form.
        let settings = serde_json::to_string(self).unwrap_or_default();
        vec![program.to_owned(), MARKER.to_owned(), settings]
    }
}

/// Must be called early in the `main` of every program that starts such processes, before threads are started: in the
/// process this call never returns.
pub fn run_if_asked() {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(MARKER) {
        return;
    }
    let settings = arguments.next().unwrap_or_default();
    let code = match run(&settings) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("hearth wasm process: {error}");
            1
        }
    };
    std::process::exit(code)
}

fn run(settings: &str) -> std::io::Result<()> {
    let settings: Settings = serde_json::from_str(settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let dial = || async {
            let line = TcpStream::connect(settings.node).await?;
            line.set_nodelay(true)?;
            std::io::Result::Ok(line)
        };
        // The node knows them by their order.
        let (line, way_out) = (dial().await?, dial().await?);
        work(line, way_out, PathBuf::from(ARTEFACTS), &settings).await
    })?;
    // Guests that still run have nobody left who waits for them.
    runtime.shutdown_background();
    Ok(())
}

/// Does what the process does, in this one: for tests, which want the lines and not the wall. `line` and `way_out` are the
/// other ends and `artefacts` the folder of what [`Process::connect`](super::Process::connect) was given. Must be called
/// inside a tokio runtime.
///
/// # Errors
/// If the host can't give the address space of the pool, or threads; if the line breaks.
pub async fn work(
    line: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    way_out: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    artefacts: PathBuf,
    settings: &Settings,
) -> std::io::Result<()> {
    let way_out = Line::open(way_out).await.map_err(std::io::Error::other)?;
    let make = maker(artefacts, way_out, settings)?;
    serve(line, make).await.map_err(std::io::Error::other)
}

/// Makes functions of the artefacts in `folder`, all on one machine. Must be called inside a tokio runtime.
///
/// # Errors
/// If the host can't give the address space of the pool, or threads.
fn maker(folder: PathBuf, way_out: Line, settings: &Settings) -> std::io::Result<Make> {
    let machine = Machine::new(&WallOptions {
        // Nothing is compiled here.
        cache_dir: PathBuf::new(),
        cache_bytes: 0,
        secret: [0; 32],
        parallel_compilations: 1,
        loaded_programs: 0,
        loaded_bytes: 0,
        instances: settings.instances,
        memory_bytes: settings.memory_bytes,
        wait: Duration::from_millis(settings.wait_ms),
        outside: Outside::default(),
    })?;
    Ok(Box::new(move |number, order: FunctionOrder| {
        let way_out = way_out.of_function(number);
        let program = load(&machine.engines, order.model, &folder.join(&order.artefact))?;
        let grants = Grants {
            memory_bytes: order.memory_bytes,
            environment: order.environment,
            reuse: order.reuse,
            output_bytes: order.output_bytes,
            // Nobody here may make file systems.
            tmp_bytes: None,
            // The node knows, and decides.
            hosts: Hosts::default(),
            keyvalue: Some(way_out.buckets(order.buckets)),
            way_out: Some(way_out),
        };
        Ok(LocalFunction::new(
            Arc::clone(&machine),
            Arc::new(program),
            grants,
        ))
    }))
}

/// Maps a compiled component.
#[expect(
    unsafe_code,
    reason = "compiled components are native code: who loads them vouches for them"
)]
fn load(engines: &Engines, model: Model, file: &Path) -> Result<Program, Refusal> {
    let failed = |error: wasmtime::Error| Refusal::Internal(format!("{error:#}"));
    let base = engines.of(model);
    let bytes = std::fs::metadata(file)
        .map_err(|error| Refusal::Internal(error.to_string()))?
        .len();
    // SAFETY: only the node writes in this folder, which is read-only here, and it writes what its own compiler made. It
    // removes a file that is mapped, but never changes one.
    let component = unsafe { Component::deserialize_file(&base.engine, file) };
    Program::link((model, base), &component.map_err(failed)?, bytes)
}
