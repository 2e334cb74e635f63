//! Warm requests: Hearth and its peers in turn, on the same components.

use std::time::Duration;

use super::functions::{self, Package, Settings};
use super::peers::{self, Setting};
use super::{EXPECTED, Suite};
use crate::floor::{FLOOR, Floor};
use crate::function_url::{self, Mode};
use crate::hearth::Hearth;
use crate::load::{self, Target, Until};
use crate::report::Lines;
use crate::route;

/// How many callers ask at the same time.
pub(crate) const CALLERS: [usize; 3] = [1, 16, 64];

/// The groups of lines.
pub(crate) const RUST: &str = "Rust";
pub(crate) const JAVASCRIPT: &str = "JavaScript";

/// How Hearth's lines begin.
pub(crate) const HEARTH: &str = "Hearth";
pub(crate) const URL_FRESH: &str = "Hearth, URL, fresh";
pub(crate) const URL_REUSED: &str = "Hearth, URL, reused 128";
const ROUTE_FRESH: &str = "Hearth, route, fresh";
const ROUTE_REUSED: &str = "Hearth, route, reused 128";
const INVOKE_FRESH: &str = "Hearth, Invoke, fresh";
const INVOKE_REUSED: &str = "Hearth, Invoke, reused 128";
pub(crate) const SERVE_DEFAULT: &str = "wasmtime serve, default";
pub(crate) const SERVE_TUNED: &str = "wasmtime serve, tuned, fresh";
pub(crate) const SERVE_REUSED: &str = "wasmtime serve, tuned, reused 128";
pub(crate) const WORKERD: &str = "workerd";

/// The function whose instances are reused.
const REUSED: &str = "rust-reused";

/// Which peer a line of Hearth's is held against.
pub(crate) const AGAINST: [(&str, &str, &str); 9] = [
    (RUST, URL_FRESH, SERVE_DEFAULT),
    (RUST, URL_FRESH, SERVE_TUNED),
    (RUST, ROUTE_FRESH, SERVE_TUNED),
    (RUST, INVOKE_FRESH, SERVE_TUNED),
    (RUST, URL_REUSED, SERVE_REUSED),
    (RUST, ROUTE_REUSED, SERVE_REUSED),
    (RUST, INVOKE_REUSED, SERVE_REUSED),
    (JAVASCRIPT, URL_FRESH, SERVE_TUNED),
    (JAVASCRIPT, URL_FRESH, WORKERD),
];

/// How a line's request comes to be: an invocation is signed anew for each round, as a signature ages.
enum How {
    Always(Target),
    Invoke(&'static str),
}

struct Asked {
    group: &'static str,
    name: &'static str,
    how: How,
    /// The process that answers.
    server: u32,
}

/// Deploys, starts the peers and measures all of them in turn.
pub(crate) async fn measure(suite: &Suite<'_>) -> anyhow::Result<Lines> {
    let node = &suite.node;
    let id = node.id()?;
    let folder = tempfile::tempdir()?;
    let floor = Floor::start().await?;
    let mut asked = Vec::new();
    let mut running = Vec::new();
    let mut components = vec![(RUST, suite.component("hello.wasm"), "rust")];
    if let Some(javascript) = &suite.options.javascript {
        components.push((JAVASCRIPT, javascript.clone(), "javascript"));
    }
    // What is held against each other is asked one right after the other.
    for (group, component, function) in components {
        // Compiled before, as Hearth has done on deployment: for JavaScript that takes long.
        let compiled = folder.path().join(format!("{function}.cwasm"));
        suite.wasmtime.compile(&component, &compiled).await?;
        let mut add = |name, (how, server)| {
            asked.push(Asked {
                group,
                name,
                how,
                server,
            });
        };
        let mut serve = async |setting| {
            let peer = suite.wasmtime.serve(&compiled, setting).await?;
            let how = (How::Always(peer.target.clone()), peer.id()?);
            running.push(peer);
            anyhow::Ok(how)
        };
        let package = Package::read(&component)?;
        functions::deploy(node, function, &package, &Settings::default()).await?;
        let url = function_url::make(&node.access, function, Mode::Buffered).await?;
        if group == RUST {
            add(SERVE_DEFAULT, serve(Setting::Default).await?);
        }
        add(
            URL_FRESH,
            (How::Always(url.target(node, "/", EXPECTED)), id),
        );
        add(SERVE_TUNED, serve(Setting::Tuned).await?);
        if group == JAVASCRIPT {
            // An instance of componentize-js takes one fetch event in its life: there is nothing to reuse.
            if let Some(npm) = &suite.options.places.npm {
                let source = suite.root().join("bench/functions/javascript/hello.js");
                let peer = peers::workerd(npm, &source, folder.path()).await?;
                add(WORKERD, (How::Always(peer.target.clone()), peer.id()?));
                running.push(peer);
            }
            continue;
        }
        let fresh = at_route(node, "/fresh", function).await?;
        add(ROUTE_FRESH, (How::Always(fresh), id));
        add(INVOKE_FRESH, (How::Invoke(function), id));
        let reuse = Settings {
            reuse: Some(128),
            ..Settings::default()
        };
        functions::deploy(node, REUSED, &package, &reuse).await?;
        let url = function_url::make(&node.access, REUSED, Mode::Buffered).await?;
        add(INVOKE_REUSED, (How::Invoke(REUSED), id));
        add(SERVE_REUSED, serve(Setting::Reused).await?);
        add(
            URL_REUSED,
            (How::Always(url.target(node, "/", EXPECTED)), id),
        );
        let reused = at_route(node, "/reused", REUSED).await?;
        add(ROUTE_REUSED, (How::Always(reused), id));
    }
    let lines = rounds(suite, &floor, &asked).await?;
    for peer in running {
        peer.stop().await?;
    }
    Ok(lines)
}

/// A route of its own that leads to a function.
async fn at_route(node: &Hearth, path: &str, function: &str) -> anyhow::Result<Target> {
    route::to_function(&node.access, function, path, function).await?;
    Ok(route::target(&node.access, path, EXPECTED))
}

async fn rounds(suite: &Suite<'_>, floor: &Floor, asked: &[Asked]) -> anyhow::Result<Lines> {
    let duration = Duration::from_secs_f64(suite.options.seconds);
    let mut lines = Lines::default();
    for round in 0..suite.options.rounds {
        eprintln!("warm: round {} of {}", round + 1, suite.options.rounds);
        for callers in CALLERS {
            for asked in asked {
                let target = match &asked.how {
                    How::Always(target) => target.clone(),
                    How::Invoke(name) => suite.node.invocation(name, "{}", EXPECTED)?,
                };
                if !asked.name.starts_with(HEARTH) {
                    let sample = load::run(&floor.target, callers, duration / 2).await?;
                    lines.add(asked.group, FLOOR, callers, sample);
                }
                load::run(&target, callers, duration / 4).await?;
                let sample = load::run_on(
                    asked.server,
                    Until::Whole,
                    std::slice::from_ref(&target),
                    callers,
                    duration,
                )
                .await?;
                lines.add(asked.group, asked.name, callers, sample);
            }
        }
    }
    // Every group together, in the order of callers; within, in the order in which they were asked.
    lines
        .0
        .sort_by_key(|line| (std::cmp::Reverse(line.group), line.callers));
    Ok(lines)
}
