//! Warm requests: Hearth and its peers in turn, on the same components.

use std::time::Duration;

use super::Suite;
use super::floor::Floor;
use super::functions::{self, Package, Settings, Url};
use super::peers::{self, Setting};
use crate::load::{self, Target};
use crate::report::Lines;

/// How many callers ask at the same time.
pub(crate) const CALLERS: [usize; 3] = [1, 16, 64];

/// The groups of lines.
pub(crate) const RUST: &str = "Rust";
pub(crate) const JAVASCRIPT: &str = "JavaScript";

/// How Hearth's lines begin.
pub(crate) const HEARTH: &str = "Hearth";
pub(crate) const FLOOR: &str = "floor: hyper, no platform";
pub(crate) const URL_FRESH: &str = "Hearth, URL, fresh";
pub(crate) const URL_REUSED: &str = "Hearth, URL, reused 128";
const INVOKE_FRESH: &str = "Hearth, Invoke, fresh";
const INVOKE_REUSED: &str = "Hearth, Invoke, reused 128";
pub(crate) const SERVE_DEFAULT: &str = "wasmtime serve, default";
pub(crate) const SERVE_TUNED: &str = "wasmtime serve, tuned, fresh";
pub(crate) const SERVE_REUSED: &str = "wasmtime serve, tuned, reused 128";
pub(crate) const WORKERD: &str = "workerd";

/// Which peer a line of Hearth's is held against.
pub(crate) const AGAINST: [(&str, &str, &str); 8] = [
    (RUST, URL_FRESH, SERVE_DEFAULT),
    (RUST, URL_FRESH, SERVE_TUNED),
    (RUST, INVOKE_FRESH, SERVE_TUNED),
    (RUST, URL_REUSED, SERVE_REUSED),
    (RUST, INVOKE_REUSED, SERVE_REUSED),
    (JAVASCRIPT, URL_FRESH, SERVE_TUNED),
    (JAVASCRIPT, URL_REUSED, SERVE_REUSED),
    (JAVASCRIPT, URL_REUSED, WORKERD),
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
}

/// Deploys, starts the peers and measures all of them in turn.
pub(crate) async fn measure(suite: &Suite<'_>) -> anyhow::Result<Lines> {
    let node = &suite.node;
    let folder = tempfile::tempdir()?;
    let floor = Floor::start().await?;
    let mut asked = Vec::new();
    let mut running = Vec::new();
    let mut components = vec![(RUST, suite.component("hello.wasm"), ["rust", "rust-reused"])];
    if let Some(javascript) = &suite.options.javascript {
        components.push((JAVASCRIPT, javascript.clone(), ["js", "js-reused"]));
    }
    for (group, component, [fresh, reused]) in components {
        let package = Package::read(&component)?;
        let reuse = Settings {
            reuse: Some(128),
            ..Settings::default()
        };
        functions::deploy(node, fresh, &package, &Settings::default()).await?;
        functions::deploy(node, reused, &package, &reuse).await?;
        let url = async |name| functions::url(&node.access, name).await;
        let always = |name, url: Url| Asked {
            group,
            name,
            how: How::Always(url.target(node, "/")),
        };
        let (fresh_url, reused_url) = (url(fresh).await?, url(reused).await?);
        // Compiled before, as Hearth has done on deployment: for JavaScript that takes long.
        let compiled = folder.path().join(format!("{fresh}.cwasm"));
        suite.wasmtime.compile(&component, &compiled).await?;
        let mut serve = async |name, setting| {
            let peer = suite.wasmtime.serve(&compiled, setting).await?;
            let target = peer.target.clone();
            running.push(peer);
            anyhow::Ok(Asked {
                group,
                name,
                how: How::Always(target),
            })
        };
        // What is held against each other is asked one right after the other.
        if group == RUST {
            asked.push(serve(SERVE_DEFAULT, Setting::Default).await?);
        }
        asked.push(always(URL_FRESH, fresh_url));
        asked.push(serve(SERVE_TUNED, Setting::Tuned).await?);
        let invoke = |name, function| Asked {
            group,
            name,
            how: How::Invoke(function),
        };
        if group == RUST {
            asked.push(invoke(INVOKE_FRESH, fresh));
            asked.push(invoke(INVOKE_REUSED, reused));
        }
        asked.push(serve(SERVE_REUSED, Setting::Reused).await?);
        asked.push(always(URL_REUSED, reused_url));
        if let (JAVASCRIPT, Some(npm)) = (group, &suite.options.places.npm) {
            let source = suite.root().join("bench/functions/javascript/hello.js");
            let peer = peers::workerd(npm, &source, folder.path()).await?;
            asked.push(Asked {
                group,
                name: WORKERD,
                how: How::Always(peer.target.clone()),
            });
            running.push(peer);
        }
    }
    let lines = rounds(suite, &floor, &asked).await?;
    for peer in running {
        peer.stop().await?;
    }
    Ok(lines)
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
                    How::Invoke(name) => suite.node.invocation(name, "{}", super::EXPECTED)?,
                };
                if !asked.name.starts_with(HEARTH) {
                    let sample = load::run(&floor.target, callers, duration / 2).await?;
                    lines.add(asked.group, FLOOR, callers, sample);
                }
                load::run(&target, callers, duration / 4).await?;
                let sample = load::run(&target, callers, duration).await?;
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
