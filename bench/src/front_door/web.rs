//! Web servers: the same server behind the front door, bare on a port, and behind of-watchdog; and the same hello in
//! functions-framework.

use std::path::Path;

use super::servers::{self, Bare, deploy};
use super::{Asked, Plan, Suite, rounds};
use crate::floor::HELLO;
use crate::function_url::Mode;
use crate::load::{Target, Until};
use crate::peers::{self, FUNCTIONS_FRAMEWORK, Running};
use crate::report::Lines;
use crate::{process, route};

/// How many callers ask at the same time.
pub(super) const CALLERS: [usize; 3] = [1, 16, 64];

/// The groups of lines.
pub(super) const FASTAPI: &str = "FastAPI";
pub(super) const EXPRESS: &str = "Express";

/// How Hearth's lines begin.
pub(super) const HEARTH: &str = "Hearth";
pub(super) const URL: &str = "Hearth, URL";
const ROUTE: &str = "Hearth, route";
pub(super) const BARE: &str = "bare server";
const OF_WATCHDOG: &str = "of-watchdog";

/// Which line of Hearth's is held against which.
pub(super) const AGAINST: [(&str, &str); 4] = [
    (URL, BARE),
    (ROUTE, BARE),
    (URL, FUNCTIONS_FRAMEWORK),
    (URL, OF_WATCHDOG),
];

/// What was measured, and what could not be.
#[derive(Default)]
pub(super) struct Web {
    pub(super) lines: Lines,
    pub(super) missing: Vec<String>,
}

pub(super) async fn measure(suite: &Suite<'_>) -> anyhow::Result<Web> {
    let (root, python) = (&suite.options.places.root, &suite.options.python);
    let functions = root.join("bench/functions");
    let mut web = Web::default();

    let needed = ["fastapi", "uvicorn[standard]"];
    match servers::with_distributions(root, "fastapi", python, &needed).await {
        Ok(folder) => {
            // Distributions are compiled for one version of the interpreter.
            let runtime = servers::runtime(python).await?;
            let server = Server {
                group: FASTAPI,
                start: "sh run.sh",
                folder: folder.path(),
                options: &["--web", "--runtime", &runtime],
            };
            let source = functions.join("python/lambda_function.py");
            let peer = peers::functions_framework_python(python, &source, "hello").await;
            compare(suite, &server, peer, &mut web).await?;
        }
        Err(error) => web.missing.push(format!("{FASTAPI}: {error:#}")),
    }
    let Some(npm) = &suite.options.places.npm else {
        web.missing.push(format!("{EXPRESS}: npm is not installed"));
        return Ok(web);
    };
    match servers::with_modules(root, "express", npm, "express").await {
        Ok(folder) => {
            let server = Server {
                group: EXPRESS,
                start: "node index.js",
                folder: folder.path(),
                options: &["--web"],
            };
            let source = functions.join("node");
            let peer = peers::functions_framework_node(npm, &source, "hello").await;
            compare(suite, &server, peer, &mut web).await?;
        }
        Err(error) => web.missing.push(format!("{EXPRESS}: {error:#}")),
    }
    Ok(web)
}

/// A web server that is measured.
struct Server<'a> {
    group: &'static str,
    /// What starts it in its folder: words that are divided by spaces.
    start: &'a str,
    folder: &'a Path,
    /// How it is deployed.
    options: &'a [&'a str],
}

/// Measures one server in all its places, and functions-framework.
async fn compare(
    suite: &Suite<'_>,
    server: &Server<'_>,
    framework: anyhow::Result<Running>,
    web: &mut Web,
) -> anyhow::Result<()> {
    let node = &suite.node;
    let Server {
        group,
        start,
        folder,
        options,
    } = *server;
    let name = group.to_lowercase();
    let bare = Bare::start(start, folder).await?;
    let url = deploy(node, &name, folder, options, Mode::Buffered).await?;
    let path = format!("/{name}");
    route::to_function(&node.access, &name, &path, &name).await?;
    let at_root = |running: &Running| Target::get(running.address, "/", HELLO);
    let mut asked = vec![
        Asked::new(BARE, bare.target(HELLO)),
        Asked::new(URL, url.target(node, "/", HELLO)).of_process(node.id()?),
        Asked::new(ROUTE, route::target(&node.access, &path, HELLO)).of_process(node.id()?),
    ];
    match &framework {
        Ok(running) => asked.push(Asked::new(FUNCTIONS_FRAMEWORK, at_root(running))),
        Err(error) => web
            .missing
            .push(format!("{FUNCTIONS_FRAMEWORK} beside {group}: {error:#}")),
    }
    let watchdog = match process::find("of-watchdog") {
        Some(program) => Some(peers::of_watchdog(&program, start, folder).await?),
        None => None,
    };
    match &watchdog {
        Some(running) => asked.push(Asked::new(OF_WATCHDOG, at_root(running))),
        None => web
            .missing
            .push(format!("{OF_WATCHDOG} beside {group}: not on the PATH")),
    }
    let plan = Plan {
        group,
        callers: &CALLERS,
        rounds: suite.options.rounds,
        duration: suite.options.duration(),
        until: Until::Whole,
    };
    rounds(&plan, asked, &mut web.lines).await
}
