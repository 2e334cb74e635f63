//! An interpreter as a command: `python3` and `node` for the start scripts of web servers, whichever version the runtime
//! asked for and wherever it is installed.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Interpreter, Language};

/// The folder of an interpreter's commands, to be mounted as `/var/runtime`.
pub(super) fn folder(dir: &Path, interpreter: &Interpreter) -> PathBuf {
    let name = match interpreter.language {
        Language::Python => "python",
        Language::NodeJs => "node",
    };
    // Two of the same version are told apart by where they are.
    let place = interpreter.executable.to_string_lossy().replace('/', "-");
    dir.join("commands")
        .join(format!("{name}-{}{place}", interpreter.version_text()))
}

/// What an interpreter is told before the script.
pub(super) fn options(interpreter: &Interpreter) -> &'static [&'static str] {
    match interpreter.language {
        // Without `site`: a function must not see the packages that the host happens to have.
        Language::Python => &["-S"],
        Language::NodeJs => &[],
    }
}

/// Writes the commands of all interpreters, readable and executable by everybody.
///
/// # Errors
/// If a file can't be written.
pub(super) fn write(dir: &Path, interpreters: &[Interpreter]) -> io::Result<()> {
    for interpreter in interpreters {
        let folder = folder(dir, interpreter);
        let bin = folder.join("bin");
        std::fs::create_dir_all(&bin)?;
        for folder in [&dir.join("commands"), &folder, &bin] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        }
        let names: &[&str] = match interpreter.language {
            Language::Python => &["python", "python3"],
            Language::NodeJs => &["node"],
        };
        let mut line = quoted(&interpreter.inside().to_string_lossy());
        for option in options(interpreter) {
            line.push(' ');
            line.push_str(option);
        }
        for name in names {
            let path = bin.join(name);
            std::fs::write(&path, format!("#!/bin/sh\nexec {line} \"$@\"\n"))?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// A word of a shell's command line.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_runs_its_interpreter_with_all_arguments() {
        let dir = tempfile::tempdir().unwrap();
        let interpreter = Interpreter {
            language: Language::Python,
            version: [3, 11, 2],
            executable: "/usr/bin/it's".into(),
            prefix: "/usr".into(),
        };
        write(dir.path(), std::slice::from_ref(&interpreter)).unwrap();
        write(dir.path(), std::slice::from_ref(&interpreter)).unwrap();
        let command = folder(dir.path(), &interpreter).join("bin/python3");
        let text = std::fs::read_to_string(&command).unwrap();
        assert_eq!(text, "#!/bin/sh\nexec '/usr/bin/it'\\''s' -S \"$@\"\n");
        let mode = std::fs::metadata(&command).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
