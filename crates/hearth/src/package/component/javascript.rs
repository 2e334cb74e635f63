//! JavaScript: ES modules, by `componentize-js`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::super::Entry;
use super::super::detect::{Language, handler_in};
use super::{COMMAND, HTTP, Workshop, is_identifier, tool};
use crate::cli::output;

const TOOL: &str = "componentize-js";

/// The module that the tool starts from, where it is not the user's own.
const ENTRY: &str = "hearth_entry.js";
const LAMBDA: &str = include_str!("../../../../../runtimes/wasm/lambda.js");
const WORKER: &str = include_str!("../../../../../runtimes/wasm/worker.js");

pub(super) fn build(
    folder: &Path,
    entries: &[Entry],
    main: &str,
    text: &str,
    function: Option<&str>,
) -> anyhow::Result<Vec<u8>> {
    let (world, entry) = way_in(main, text, function)?;
    let Some(program) = tool::find(TOOL, folder, &["node_modules/.bin"]) else {
        bail!(
            "{TOOL} is not installed, which makes components of JavaScript: run \
             `npm install @bytecodealliance/componentize-js @bytecodealliance/preview2-shim@0.17` in {}",
            folder.display()
        );
    };
    let Some(node) = tool::find("node", folder, &[]) else {
        bail!("{TOOL} needs Node.js, and there is no `node` on PATH: install it");
    };
    let workshop = Workshop::of(entries)?;
    let start = match &entry {
        None => main,
        Some(entry) => {
            std::fs::write(workshop.source(ENTRY), entry).context("write the entry module")?;
            ENTRY
        }
    };
    output::note(&format!(
        "building {main} with {TOOL} (about half a minute)"
    ));
    let mut command = Command::new(node);
    command
        .arg(program)
        .arg(workshop.source(start))
        .arg("--wit")
        .arg(workshop.wit())
        .args(["--world-name", world, "--out"])
        .arg(workshop.output())
        .current_dir(workshop.sources());
    tool::run(TOOL, &mut command)?;
    std::fs::read(workshop.output()).context("read the component")
}

/// The world of a module, and the entry module that leads into it, if it needs one.
fn way_in(
    main: &str,
    text: &str,
    function: Option<&str>,
) -> anyhow::Result<(&'static str, Option<String>)> {
    let with = |entry: &str, name: &str| {
        entry
            .replace("handler_module", main)
            .replace("handler_function", name)
    };
    let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if let Some(function) = function {
        if !is_identifier(function) {
            bail!("{function} can't be the name of an exported function");
        }
        return Ok((COMMAND, Some(with(LAMBDA, function))));
    }
    let own_fetch = ["addEventListener(\"fetch\"", "addEventListener('fetch'"];
    if has(&own_fetch) || has(&["export const incomingHandler", "wasi:http/incoming-handler"]) {
        return Ok((HTTP, None));
    }
    if has(&["export default"]) {
        return Ok((HTTP, Some(with(WORKER, ""))));
    }
    match handler_in(Language::JavaScript, text) {
        Some(function) if !has(&["exports."]) => Ok((COMMAND, Some(with(LAMBDA, function)))),
        _ => bail!(
            "can't tell how {main} is called: a component of JavaScript is an ES module with \
             `addEventListener(\"fetch\", …)`, with `export default {{ fetch }}`, or with `export const handler = …`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_has_its_way_in() {
        let way = |text, function| way_in("app.js", text, function).unwrap();
        let (world, entry) = way(
            "addEventListener('fetch', (e) => e.respondWith(f(e)));",
            None,
        );
        assert_eq!((world, entry), (HTTP, None));
        let (world, entry) = way("export const incomingHandler = { handle() {} };", None);
        assert_eq!((world, entry), (HTTP, None));
        let (world, entry) = way(
            "export default { fetch() { return new Response('x') } };",
            None,
        );
        assert_eq!(world, HTTP);
        assert!(entry.unwrap().contains("import worker from \"./app.js\";"));
        let (world, entry) = way("export const handler = async (event) => event;", None);
        assert_eq!(world, COMMAND);
        let line = "import { handler as handler } from \"./app.js\";";
        assert!(entry.unwrap().contains(line));
        let (_, entry) = way("export function work(event) {}", Some("work"));
        assert!(entry.unwrap().contains("import { work as handler }"));
    }

    #[test]
    fn what_could_not_work_is_refused_before_the_tool_runs() {
        assert!(way_in("app.js", "exports.handler = async (event) => event;", None).is_err());
        assert!(way_in("app.js", "console.log('only this')", None).is_err());
        assert!(way_in("app.js", "", Some("a; import 'x'")).is_err());
    }
}
