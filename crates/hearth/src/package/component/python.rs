//! Python, by `componentize-py`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::super::Entry;
use super::super::detect::{Language, handler_in};
use super::{COMMAND, HTTP, Workshop, is_identifier, tool};
use crate::cli::output;

const TOOL: &str = "componentize-py";

/// The module that the tool starts from, where it is not the user's own.
const ENTRY: &str = "hearth_entry";
const LAMBDA: &str = include_str!("../../../../../runtimes/wasm/lambda.py");

/// Where a virtual environment beside the project keeps its programs.
const ENVIRONMENTS: [&str; 2] = [".venv/bin", "venv/bin"];

pub(super) fn build(
    folder: &Path,
    entries: &[Entry],
    main: &str,
    text: &str,
    function: Option<&str>,
) -> anyhow::Result<Vec<u8>> {
    let module = main.trim_end_matches(".py");
    if !is_identifier(module) {
        bail!("{main} can't be imported by this name: rename it, such as to app.py");
    }
    let (world, entry) = way_in(module, text, function)?;
    let active = std::env::var_os("VIRTUAL_ENV").map(|folder| Path::new(&folder).join("bin"));
    let program = active
        .and_then(|bin| tool::find(TOOL, &bin, &["."]))
        .or_else(|| tool::find(TOOL, folder, &ENVIRONMENTS));
    let Some(program) = program else {
        bail!(
            "{TOOL} is not installed, which makes components of Python: run `pip install {TOOL}`, in a virtual \
             environment named .venv in {} or in one that is active",
            folder.display()
        );
    };
    let workshop = Workshop::of(entries)?;
    let start = match &entry {
        None => module,
        Some(entry) => {
            let path = workshop.source(&format!("{ENTRY}.py"));
            std::fs::write(path, entry).context("write the entry module")?;
            ENTRY
        }
    };
    output::note(&format!(
        "building {main} with {TOOL} (about half a minute)"
    ));
    let mut command = Command::new(program);
    command
        .arg("--wit-path")
        .arg(workshop.wit())
        .args(["--world", world, "componentize", "--python-path", "."])
        .arg("--output")
        .arg(workshop.output())
        .arg(start)
        .current_dir(workshop.sources());
    tool::run(TOOL, &mut command)?;
    std::fs::read(workshop.output()).context("read the component")
}

/// The world of a module, and the entry module that leads into it, if it needs one.
fn way_in(
    module: &str,
    text: &str,
    function: Option<&str>,
) -> anyhow::Result<(&'static str, Option<String>)> {
    let defines = |class: &str| {
        text.lines().any(|line| {
            line.strip_prefix("class ")
                .and_then(|rest| rest.strip_prefix(class))
                .is_some_and(|rest| rest.starts_with(['(', ':']))
        })
    };
    if function.is_none() && defines("IncomingHandler") {
        return Ok((HTTP, None));
    }
    if function.is_none() && defines("Run") {
        return Ok((COMMAND, None));
    }
    let Some(function) = function.or_else(|| handler_in(Language::Python, text)) else {
        bail!(
            "can't tell how {module}.py is called: expected `def handler(event, context)`, a class IncomingHandler of \
             wasi:http, or a class Run of wasi:cli; or name the function with --handler {module}.function"
        );
    };
    if !is_identifier(function) {
        bail!("{function} can't be the name of a function");
    }
    let entry = LAMBDA
        .replace("handler_module", module)
        .replace("handler_function", function);
    Ok((COMMAND, Some(entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_has_its_way_in() {
        let way = |text, function| way_in("app", text, function).unwrap();
        let http = "from wit_world import exports\nclass IncomingHandler(exports.IncomingHandler):\n    pass\n";
        assert_eq!(way(http, None), (HTTP, None));
        assert_eq!(
            way("class Run(exports.Run):\n    pass\n", None),
            (COMMAND, None)
        );
        let (world, entry) = way("def lambda_handler(event, context):\n    pass\n", None);
        assert_eq!(world, COMMAND);
        let line = "from app import lambda_handler as handler";
        assert!(entry.unwrap().contains(line));
        let (_, entry) = way("def work(event, context):\n    pass\n", Some("work"));
        assert!(entry.unwrap().contains("from app import work as handler"));
    }

    #[test]
    fn what_could_not_work_is_refused_before_the_tool_runs() {
        assert!(way_in("app", "x = 1\n", None).is_err());
        assert!(way_in("app", "", Some("a\nimport os")).is_err());
    }
}
