//! What is started: the file of the package that the handler names.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use hearth_types::function::{Deployment, Runtime};

use crate::runtimes::{Language, Program};

/// Where the package is inside.
const TASK: &str = "/var/task";

/// Runs scripts that are no programs of their own.
const SHELL: &str = "/bin/sh";

/// The program of a web server: `base` with the command line of the script that the handler names. One with its own
/// `bootstrap` is started as ever. `code` is the unpacked package.
///
/// # Errors
/// A sentence for the function's owner: there is no such script.
pub(crate) fn program(
    deployment: &Deployment,
    base: Program,
    language: Option<Language>,
    code: &Path,
) -> Result<Program, String> {
    let configuration = &deployment.configuration;
    if matches!(configuration.runtime, Runtime::Provided(_)) {
        return Ok(base);
    }
    let handler = &configuration.handler;
    let is_inside = Path::new(handler)
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    // Without following links: one may lead to a place that exists only inside.
    let found = is_inside
        .then(|| std::fs::symlink_metadata(code.join(handler)).ok())
        .flatten()
        .filter(|found| !found.is_dir());
    let Some(found) = found else {
        return Err(format!(
            "The function is a web server, and its handler names no file of the package that could start it: '{handler}'. \
             Name the start script, for example run.sh, app.py or server.js"
        ));
    };
    let path = format!("{TASK}/{handler}");
    let ending = Path::new(handler)
        .extension()
        .and_then(|ending| ending.to_str());
    let interpreted = match language {
        Some(Language::Python) => ending == Some("py"),
        Some(Language::NodeJs) => matches!(ending, Some("js" | "mjs" | "cjs")),
        None => false,
    };
    let mut argv = if interpreted {
        base.argv
    } else if found.file_type().is_symlink() || found.permissions().mode() & 0o001 != 0 {
        Vec::new()
    } else {
        vec![SHELL.to_owned()]
    };
    argv.push(path);
    Ok(Program { argv, ..base })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn started(runtime: Runtime, language: Language, handler: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [
            ("run.sh", 0o755),
            ("plain.sh", 0o644),
            ("app.py", 0o644),
            ("server.mjs", 0o644),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let mut deployment = testing::deployment(runtime);
        deployment.configuration.handler = handler.to_owned();
        let base = Program {
            argv: vec!["/interpreter".to_owned()],
            mounts: Vec::new(),
            banner: String::new(),
        };
        program(&deployment, base, Some(language), folder.path()).map(|program| program.argv)
    }

    #[test]
    fn a_script_is_run_by_its_interpreter_by_itself_or_by_the_shell() {
        let python = |handler| started(Runtime::Python { minor: 12 }, Language::Python, handler);
        let node = |handler| started(Runtime::NodeJs { major: 22 }, Language::NodeJs, handler);
        assert_eq!(
            python("app.py").unwrap(),
            ["/interpreter", "/var/task/app.py"]
        );
        assert_eq!(
            node("server.mjs").unwrap(),
            ["/interpreter", "/var/task/server.mjs"]
        );
        assert_eq!(node("run.sh").unwrap(), ["/var/task/run.sh"]);
        assert_eq!(
            python("plain.sh").unwrap(),
            ["/bin/sh", "/var/task/plain.sh"]
        );
        for bad in ["app.handler", "../app.py", "/etc/passwd", "", "."] {
            let error = python(bad).unwrap_err();
            assert!(error.contains("start script"), "{error}");
        }
    }
}
