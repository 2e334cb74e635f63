//! What runs a function: the interpreters of this host and Hearth's bootstraps for them, or the function's own
//! `bootstrap`.

mod bootstraps;
mod choose;
mod commands;
mod discover;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use hearth_sandbox::Mount;
use hearth_types::function::{Reason, Runtime};

/// Where an interpreter from outside of `/usr` is seen inside.
const LANG: &str = "/var/lang";
/// Where the bootstrap is seen inside.
const RUNTIME: &str = "/var/runtime";

/// Where to look for interpreters, and what to do without the right one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// Folders with executables, as in `PATH`; relative ones are not looked into. The usual system folders always are.
    pub search_path: Vec<PathBuf>,
    /// The home folder, below which version managers (pyenv, nvm, asdf, mise, fnm) keep interpreters.
    pub home: Option<PathBuf>,
    /// Refuse a function whose version of the language is not installed, rather than run it on the nearest.
    pub forbid_nearest: bool,
    /// A folder of Hearth's own for the bootstraps; made if absent, its contents replaced.
    pub runtime_dir: PathBuf,
}

/// A language with an interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// Python.
    Python,
    /// Node.js.
    NodeJs,
}

/// An interpreter on this host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interpreter {
    /// What it runs.
    pub language: Language,
    /// Its version, `[3, 11, 7]`.
    pub version: [u16; 3],
    /// The real file.
    pub executable: PathBuf,
    /// The folder of its installation.
    pub prefix: PathBuf,
}

impl Interpreter {
    /// What a runtime's name chooses: Python's minor version, Node.js's major version.
    fn release(&self) -> u16 {
        match self.language {
            Language::Python => self.version[1],
            Language::NodeJs => self.version[0],
        }
    }

    /// `python3.11` or `nodejs22.x`: the runtime that it is the exact one for.
    pub fn runtime(&self) -> Runtime {
        match self.language {
            Language::Python => Runtime::Python {
                minor: self.release(),
            },
            Language::NodeJs => Runtime::NodeJs {
                major: self.release(),
            },
        }
    }

    /// Where it is inside: one from outside of `/usr` is mounted.
    fn inside(&self) -> PathBuf {
        match self.executable.strip_prefix(&self.prefix) {
            Ok(relative) if !self.prefix.starts_with("/usr") => Path::new(LANG).join(relative),
            _ => self.executable.clone(),
        }
    }

    fn version_text(&self) -> String {
        self.version.map(|part| part.to_string()).join(".")
    }
}

/// How a function is started, apart from its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// The program and its arguments, as paths inside. Empty: the function's own bootstrap.
    pub(crate) argv: Vec<String>,
    /// The interpreter, if it is outside of `/usr`, and the bootstrap.
    pub(crate) mounts: Vec<Mount>,
    /// What the log says about it.
    pub(crate) banner: String,
}

/// The runtimes of this host. See [`RuntimeOptions`].
#[derive(Debug)]
pub struct Runtimes {
    options: RuntimeOptions,
    installed: Vec<Interpreter>,
    /// Interpreters that the bootstrap was compiled for.
    compiled: tokio::sync::Mutex<HashSet<PathBuf>>,
}

impl Runtimes {
    /// Writes the bootstraps and looks for interpreters; each is run once.
    ///
    /// # Errors
    /// If [`RuntimeOptions::runtime_dir`] can't be written.
    pub async fn find(options: RuntimeOptions) -> io::Result<Self> {
        let dir = options.runtime_dir.clone();
        tokio::task::spawn_blocking(move || bootstraps::write(&dir))
            .await
            .map_err(io::Error::other)??;
        let installed = discover::discover(&options).await;
        let (dir, programs) = (options.runtime_dir.clone(), installed.clone());
        tokio::task::spawn_blocking(move || commands::write(&dir, &programs))
            .await
            .map_err(io::Error::other)??;
        Ok(Self {
            options,
            installed,
            compiled: tokio::sync::Mutex::default(),
        })
    }

    /// All interpreters found, in a fixed order.
    pub fn installed(&self) -> &[Interpreter] {
        &self.installed
    }

    /// Which interpreter runs `runtime`, and whether it is exactly the one that was asked for; `None` for
    /// [`Runtime::Provided`], [`Runtime::Wasm`] and [`Runtime::Worker`], which need none.
    ///
    /// # Errors
    /// [`Reason`] with the code `InvalidRuntime` if there is none, or only another version and that is forbidden.
    pub fn interpreter(&self, runtime: &Runtime) -> Result<Option<(&Interpreter, bool)>, Reason> {
        let (language, wanted) = match runtime {
            Runtime::Python { minor } => (Language::Python, *minor),
            Runtime::NodeJs { major } => (Language::NodeJs, *major),
            Runtime::Provided(_) | Runtime::Wasm | Runtime::Worker => return Ok(None),
        };
        let invalid = |message: String| Reason {
            code: "InvalidRuntime".to_owned(),
            message,
        };
        let choice = choose::choose(&self.installed, language, wanted).ok_or_else(|| {
            let name = match language {
                Language::Python => "Python 3",
                Language::NodeJs => "Node.js",
            };
            invalid(format!(
                "The runtime {runtime} is not available on this node: install {name} and restart Hearth."
            ))
        })?;
        if !choice.exact && self.options.forbid_nearest {
            return Err(invalid(format!(
                "The runtime {runtime} is not available on this node, and running it on the nearest installed version \
                 ({}) is forbidden by its configuration.",
                choice.interpreter.version_text()
            )));
        }
        Ok(Some((choice.interpreter, choice.exact)))
    }

    /// Does once, and off the request's way, what would make every start of `runtime` slower.
    ///
    /// # Errors
    /// As [`interpreter`](Self::interpreter).
    pub(crate) async fn prepare(&self, runtime: &Runtime) -> Result<(), Reason> {
        let Some((interpreter, _)) = self.interpreter(runtime)? else {
            return Ok(());
        };
        let mut compiled = self.compiled.lock().await;
        if interpreter.language == Language::Python && !compiled.contains(&interpreter.executable) {
            let done = bootstraps::compile(&self.options.runtime_dir, &interpreter.executable);
            // Starts are slower without, and not worth refusing a function for.
            if let Err(error) = done.await {
                tracing::info!(%error, interpreter = %interpreter.executable.display(), "compile the bootstrap");
            }
            compiled.insert(interpreter.executable.clone());
        }
        Ok(())
    }

    /// The language whose interpreter runs `runtime`.
    pub(crate) fn language(&self, runtime: &Runtime) -> Option<Language> {
        match self.interpreter(runtime) {
            Ok(Some((interpreter, _))) => Some(interpreter.language),
            Ok(None) | Err(_) => None,
        }
    }

    /// A function's program as that of a web server: the interpreter alone, and its commands in the bootstrap's place.
    pub(crate) fn for_web(&self, runtime: &Runtime, program: Program) -> Program {
        let Ok(Some((interpreter, _))) = self.interpreter(runtime) else {
            return program;
        };
        let commands = commands::folder(&self.options.runtime_dir, interpreter);
        let mounts = program.mounts.into_iter().map(|mount| {
            if mount.target == Path::new(RUNTIME) {
                Mount {
                    source: commands.clone(),
                    ..mount
                }
            } else {
                mount
            }
        });
        let mut argv = vec![interpreter.inside().to_string_lossy().into_owned()];
        argv.extend(
            commands::options(interpreter)
                .iter()
                .map(|&option| option.to_owned()),
        );
        Program {
            argv,
            mounts: mounts.collect(),
            ..program
        }
    }

    /// How to start a function of `runtime`.
    ///
    /// # Errors
    /// As [`interpreter`](Self::interpreter).
    pub(crate) fn program(&self, runtime: &Runtime) -> Result<Program, Reason> {
        let Some((interpreter, exact)) = self.interpreter(runtime)? else {
            return Ok(Program {
                argv: Vec::new(),
                mounts: Vec::new(),
                banner: runtime.to_string(),
            });
        };
        let (folder, arguments): (&str, &[&str]) = match interpreter.language {
            // Without `site`: a function must not see the packages that the host happens to have.
            Language::Python => ("python", &["-S", "/var/runtime/bootstrap.py"]),
            Language::NodeJs => ("node", &["/var/runtime/bootstrap.cjs"]),
        };
        let mut mounts = vec![Mount {
            source: self.options.runtime_dir.join(folder),
            target: RUNTIME.into(),
        }];
        let executable = interpreter.inside();
        if executable != interpreter.executable {
            mounts.push(Mount {
                source: interpreter.prefix.clone(),
                target: LANG.into(),
            });
        }
        let mut argv = vec![executable.to_string_lossy().into_owned()];
        argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let name = match interpreter.language {
            Language::Python => "python",
            Language::NodeJs => "nodejs",
        };
        let mut banner = format!("{name}:{}", interpreter.version_text());
        if !exact {
            banner.push_str(&format!(
                "\tRequested: {runtime} (not installed on this node; the nearest version runs instead)"
            ));
        }
        Ok(Program {
            argv,
            mounts,
            banner,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtimes(forbid_nearest: bool) -> Runtimes {
        Runtimes {
            options: RuntimeOptions {
                forbid_nearest,
                runtime_dir: "/run/hearth".into(),
                ..RuntimeOptions::default()
            },
            compiled: tokio::sync::Mutex::default(),
            installed: vec![
                Interpreter {
                    language: Language::Python,
                    version: [3, 11, 2],
                    executable: "/usr/bin/python3.11".into(),
                    prefix: "/usr".into(),
                },
                Interpreter {
                    language: Language::Python,
                    version: [3, 13, 0],
                    executable: "/home/me/.pyenv/versions/3.13.0/bin/python3.13".into(),
                    prefix: "/home/me/.pyenv/versions/3.13.0".into(),
                },
            ],
        }
    }

    fn python(minor: u16) -> Runtime {
        Runtime::Python { minor }
    }

    #[test]
    fn an_interpreter_of_the_system_is_started_where_it_is() {
        let program = runtimes(false).program(&python(11)).unwrap();
        assert_eq!(
            program.argv,
            ["/usr/bin/python3.11", "-S", "/var/runtime/bootstrap.py"]
        );
        assert_eq!(program.mounts.len(), 1);
        assert_eq!(program.banner, "python:3.11.2");
    }

    #[test]
    fn another_one_is_mounted() {
        let program = runtimes(false).program(&python(13)).unwrap();
        assert_eq!(program.argv[0], "/var/lang/bin/python3.13");
        assert_eq!(
            program.mounts[1].source.to_str(),
            Some("/home/me/.pyenv/versions/3.13.0")
        );
    }

    #[test]
    fn the_nearest_is_named_or_forbidden() {
        let program = runtimes(false).program(&python(12)).unwrap();
        assert!(
            program
                .banner
                .starts_with("python:3.13.0\tRequested: python3.12")
        );
        let reason = runtimes(true).program(&python(12)).unwrap_err();
        assert_eq!(reason.code, "InvalidRuntime");
        assert!(runtimes(true).program(&python(11)).is_ok());
        assert!(
            runtimes(false)
                .program(&Runtime::NodeJs { major: 22 })
                .is_err()
        );
    }
}
