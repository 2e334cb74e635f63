//! From a package's folder to what the engine's loader takes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hearth_types::arn::FunctionRef;
use hearth_types::walls::{WorkerGrants, is_date};
use serde::Serialize;
use serde_json::Value;

use crate::assets::Assets;
use crate::equipment::TURN;
use crate::wrangler::{self, ModuleKind};

/// The main module that Hearth puts before a worker's own.
pub(crate) const ENTRY: &str = "hearth-entry.js";

const ENTRY_TEXT: &str = include_str!("../../../runtimes/workerd/entry.js");

/// What in that text stands for the worker's own main module.
const MAIN: &str = "HEARTH_MAIN";

/// The main module of a worker in the syntax of service workers, what is evaluated before it, and the worker's own
/// script. Names that no package can have.
const SCRIPT: [(&str, &str); 2] = [
    (
        "hearth-script.js",
        include_str!("../../../runtimes/workerd/script.js"),
    ),
    (
        "hearth-listeners.js",
        include_str!("../../../runtimes/workerd/listeners.js"),
    ),
];

/// What in the text of the first stands for the script.
const OWN_SCRIPT: &str = "HEARTH_SCRIPT";

/// All modules of a worker together, bytes: ten times what Workers allow after compression, and small beside the
/// memory of an engine.
const MOST_BYTES: u64 = 64 << 20;

/// Modules of a worker.
const MOST_MODULES: usize = 5_000;

/// Main modules that are looked for, if nothing names one.
const USUAL: [&str; 8] = [
    "worker.js",
    "worker.mjs",
    "index.js",
    "index.mjs",
    "src/worker.js",
    "src/worker.mjs",
    "src/index.js",
    "src/index.mjs",
];

/// A worker as the engine's loader takes it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    compatibility_date: String,
    compatibility_flags: Vec<String>,
    main_module: &'static str,
    modules: BTreeMap<String, Module>,
    env: BTreeMap<String, Value>,
    bindings: Vec<Binding>,
    /// Key-value stores that `wrangler.toml` names: what the worker calls each, and what the account does.
    #[serde(skip)]
    pub keyvalue: Vec<(String, String)>,
    /// Other functions that `wrangler.toml` names: what the worker calls each, and who it is.
    #[serde(skip)]
    pub services: Vec<(String, FunctionRef)>,
    /// Queues that `wrangler.toml` names: what the worker calls each, and what the account does.
    #[serde(skip)]
    pub queues: Vec<(String, String)>,
    /// Files that are answers, and the binding to them if there is one.
    #[serde(skip)]
    pub assets: Option<(Arc<Assets>, Option<String>)>,
}

/// What a worker finds in its environment besides variables: the dispatcher makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Binding {
    name: String,
    kind: Kind,
}

/// What a binding is, by the name of the dispatcher's entrypoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// A key-value store.
    KeyValue,
    /// Something that takes requests: another function, or files.
    Fetcher,
    /// A queue that is sent to.
    Queue,
}

/// Flags that bindings need, and the dates from which on they are on by themselves (Workers' list of compatibility
/// flags): bindings are called by name, and names of an older interface would hide theirs.
const FLAGS_OF_BINDINGS: [(&str, &str); 2] = [
    ("fetcher_no_get_put_delete", "2024-03-26"),
    ("rpc", "2024-04-03"),
];

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Module {
    Js(String),
    Cjs(String),
    Text(String),
    Json(Value),
    /// Base64.
    Wasm(String),
    /// Base64.
    Data(String),
}

/// Why a package is no worker.
#[derive(Debug)]
pub enum SourceError {
    /// Its author must change something; a sentence.
    Refused(String),
    /// It can't be read.
    Io(io::Error),
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Source {
    /// Reads a package. `handler` may name the main module; `environment` adds to, and replaces, the variables of
    /// `wrangler.toml`; `newest` is the compatibility date of a package that names none.
    ///
    /// # Errors
    /// If it is no worker.
    pub fn read(
        folder: &Path,
        handler: &str,
        environment: impl IntoIterator<Item = (String, String)>,
        newest: &str,
    ) -> Result<Self, SourceError> {
        let found = wrangler::read(folder)?;
        let mut modules = BTreeMap::new();
        let mut left = MOST_BYTES;
        let answers = found.assets.as_ref();
        let answers = answers.map(|assets| assets.folder(folder)).transpose()?;
        let answers_at = answers.as_deref();
        let kinds = &found.module_kinds;
        collect(folder, folder, (answers_at, kinds), &mut modules, &mut left)?;
        let own = SCRIPT.map(|(name, _)| name);
        if let Some(name) = own
            .into_iter()
            .chain([ENTRY, TURN])
            .find(|name| modules.contains_key(*name))
        {
            return Err(refused(format!(
                "The package has a module {name}, which is the name of Hearth's own: give it another."
            )));
        }
        let mut main = main_module(&modules, found.main.as_deref(), handler)?;
        if is_script(&modules, &main, kinds) {
            main = make_script(&mut modules, &main);
        }
        let entry = with_import(ENTRY_TEXT, MAIN, &main);
        modules.insert(ENTRY.to_owned(), Module::Js(entry));
        let keyvalue = found.kv_namespaces.into_iter().map(wrangler::namespace);
        let keyvalue = keyvalue.collect::<Result<Vec<_>, _>>()?;
        let services = found.services.into_iter().map(wrangler::service);
        let services = services.collect::<Result<Vec<_>, _>>()?;
        let producers = found.queues.producers.into_iter().map(wrangler::producer);
        let queues = producers.collect::<Result<Vec<_>, _>>()?;
        let assets = match (found.assets, answers) {
            (Some(assets), Some(folder)) => Some(assets.read(folder)?),
            _ => None,
        };
        let mut env = found.vars;
        for (name, value) in environment {
            env.insert(name, Value::from(value));
        }
        Ok(Self {
            compatibility_date: date(found.compatibility_date, newest)?,
            compatibility_flags: found.compatibility_flags,
            main_module: ENTRY,
            modules,
            env,
            bindings: Vec::new(),
            keyvalue,
            services,
            queues,
            assets,
        })
    }

    /// Puts what tags say in the place of what `wrangler.toml` does.
    pub fn tell(&mut self, told: &WorkerGrants) {
        if let Some(date) = &told.compatibility_date {
            self.compatibility_date.clone_from(date);
        }
        if let Some(flags) = &told.compatibility_flags {
            self.compatibility_flags.clone_from(flags);
        }
    }

    /// Puts a binding into the worker's environment.
    ///
    /// # Errors
    /// If it can't have this name.
    pub fn bind(&mut self, name: &str, kind: Kind) -> Result<(), SourceError> {
        let shown: String = name.chars().take(64).collect();
        if !is_name(name) {
            return Err(refused(format!(
                "A binding can't be called '{shown}': use letters, digits and '_', a letter first."
            )));
        }
        if self.env.contains_key(name) || self.bindings.iter().any(|known| known.name == name) {
            return Err(refused(format!(
                "Two bindings or variables are called '{shown}': give one of them another name."
            )));
        }
        for (flag, since) in FLAGS_OF_BINDINGS {
            // Dates are written so that they compare as text.
            if self.compatibility_date.as_str() < since
                && !self.compatibility_flags.iter().any(|known| known == flag)
            {
                self.compatibility_flags.push(flag.to_owned());
            }
        }
        self.bindings.push(Binding {
            name: name.to_owned(),
            kind,
        });
        Ok(())
    }
}

/// A text of Hearth's own that imports a module of the worker's in the place of `stand_in`.
fn with_import(text: &str, stand_in: &str, module: &str) -> String {
    // As a string of JavaScript, whatever characters its name has.
    let quoted = Value::from(format!("./{module}")).to_string();
    text.replace(&format!("\"./{stand_in}\""), &quoted)
}

/// Whether the main module is a worker in the syntax of service workers: its upload says so; or it exports nothing, and
/// listens to something.
fn is_script(
    modules: &BTreeMap<String, Module>,
    main: &str,
    kinds: &BTreeMap<String, ModuleKind>,
) -> bool {
    if let Some(kind) = kinds.get(main) {
        return *kind == ModuleKind::Script;
    }
    match modules.get(main) {
        // A module that is none of these may still have the word in a text: then it is what it was without this.
        Some(Module::Js(text)) => !text.contains("export") && text.contains("addEventListener("),
        _ => false,
    }
}

/// Puts before a script what makes a worker of it: the name of the main module from then on. A script is evaluated as a
/// module of the older kind, which scripts are most like: without strict mode.
fn make_script(modules: &mut BTreeMap<String, Module>, main: &str) -> String {
    if let Some(module) = modules.get_mut(main)
        && let Module::Js(text) | Module::Cjs(text) = module
    {
        *module = Module::Cjs(std::mem::take(text));
    }
    for (name, text) in SCRIPT {
        let text = with_import(text, OWN_SCRIPT, main);
        modules.insert(name.to_owned(), Module::Js(text));
    }
    SCRIPT[0].0.to_owned()
}

/// Whether a binding can have this name. Bound, because it is part of what the dispatcher asks the node for.
fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A compatibility date; the engine says whether it is too new for it.
fn date(asked: Option<String>, newest: &str) -> Result<String, SourceError> {
    let Some(asked) = asked else {
        return Ok(newest.to_owned());
    };
    if is_date(&asked) {
        Ok(asked)
    } else {
        Err(refused(format!(
            "The compatibility_date '{}' in wrangler.toml is no date: write it as 2026-01-31.",
            asked.chars().take(40).collect::<String>()
        )))
    }
}

/// Which module is the worker's own main one.
fn main_module(
    modules: &BTreeMap<String, Module>,
    named: Option<&str>,
    handler: &str,
) -> Result<String, SourceError> {
    let is_code = |name: &str| matches!(modules.get(name), Some(Module::Js(_) | Module::Cjs(_)));
    if let Some(named) = named {
        let name = named.trim_start_matches("./");
        return if is_code(name) {
            Ok(name.to_owned())
        } else {
            Err(refused(format!(
                "The main module that wrangler.toml names, '{}', is no JavaScript file of the package. TypeScript must be \
                 built first.",
                named.chars().take(200).collect::<String>()
            )))
        };
    }
    if is_code(handler) {
        return Ok(handler.to_owned());
    }
    if let Some(usual) = USUAL.iter().find(|name| is_code(name)) {
        return Ok((*usual).to_owned());
    }
    let mut at_root = modules
        .iter()
        .filter(|(name, module)| !name.contains('/') && matches!(module, Module::Js(_)));
    match (at_root.next(), at_root.next()) {
        (Some((only, _)), None) => Ok(only.clone()),
        (None, _) => Err(refused(
            "The package has no JavaScript module (.js or .mjs) at its root, and no wrangler.toml whose main names one."
                .to_owned(),
        )),
        (Some(_), Some(_)) => Err(refused(format!(
            "The package has several JavaScript modules at its root: name the main one as Handler or as main in \
             wrangler.toml, or call it {}.",
            USUAL[0]
        ))),
    }
}

/// Reads the modules of `folder` and what is below it; files that are none are left out, and those in `answers`.
fn collect(
    root: &Path,
    folder: &Path,
    (answers, kinds): (Option<&Path>, &BTreeMap<String, ModuleKind>),
    modules: &mut BTreeMap<String, Module>,
    left: &mut u64,
) -> Result<(), SourceError> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (kind, path) = (entry.file_type()?, entry.path());
        if answers == Some(path.as_path()) {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, (answers, kinds), modules, left)?;
        } else if kind.is_file()
            && let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str)
            && let Some(read) = reader(name, kinds)
        {
            *left = left.checked_sub(entry.metadata()?.len()).ok_or_else(|| {
                refused(format!(
                    "The modules of the package are larger than {} MiB together.",
                    MOST_BYTES >> 20
                ))
            })?;
            if modules.len() >= MOST_MODULES {
                return Err(refused(format!(
                    "The package has more than {MOST_MODULES} modules."
                )));
            }
            modules.insert(name.to_owned(), read(&path, name)?);
        }
    }
    Ok(())
}

type Reader = fn(&Path, &str) -> Result<Module, SourceError>;

/// How a file is read: as its upload says, else by its name's end as Wrangler's rules are by default.
fn reader(name: &str, kinds: &BTreeMap<String, ModuleKind>) -> Option<Reader> {
    let kind = match kinds.get(name) {
        Some(kind) => *kind,
        // An upload names all of its modules.
        None if !kinds.is_empty() || name == "wrangler.json" => return None,
        None => match name.rsplit_once('.')?.1 {
            "js" | "mjs" => ModuleKind::Js,
            "txt" | "html" | "sql" => ModuleKind::Text,
            "json" => ModuleKind::Json,
            "wasm" => ModuleKind::Wasm,
            "bin" => ModuleKind::Data,
            _ => return None,
        },
    };
    Some(match kind {
        ModuleKind::Js => |path, name| text(path, name).map(Module::Js),
        ModuleKind::Cjs | ModuleKind::Script => |path, name| text(path, name).map(Module::Cjs),
        ModuleKind::Text => |path, name| text(path, name).map(Module::Text),
        ModuleKind::Json => |path, name| {
            serde_json::from_str(&text(path, name)?)
                .map(Module::Json)
                .map_err(|error| refused(format!("{name} is no JSON: {error}.")))
        },
        ModuleKind::Wasm => |path, _| Ok(Module::Wasm(STANDARD.encode(fs::read(path)?))),
        ModuleKind::Data => |path, _| Ok(Module::Data(STANDARD.encode(fs::read(path)?))),
    })
}

fn text(path: &Path, name: &str) -> Result<String, SourceError> {
    String::from_utf8(fs::read(path)?).map_err(|_| refused(format!("{name} is not UTF-8.")))
}

pub(crate) fn refused(why: String) -> SourceError {
    SourceError::Refused(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &[u8])], handler: &str) -> Result<Source, String> {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        let environment = [("A".to_owned(), "function".to_owned())];
        Source::read(dir.path(), handler, environment, "2026-11-17").map_err(|error| match error {
            SourceError::Refused(why) => why,
            SourceError::Io(error) => panic!("{error}"),
        })
    }

    fn main_of(files: &[(&str, &[u8])], handler: &str) -> Result<String, String> {
        let source = read(files, handler)?;
        let Module::Js(entry) = &source.modules[ENTRY] else {
            panic!("the entry is code");
        };
        let from = entry.rsplit_once("export * from \"./").unwrap().1;
        Ok(from.split('"').next().unwrap().to_owned())
    }

    #[test]
    fn the_main_module_is_named_or_usual_or_the_only_one() {
        let one: (&str, &[u8]) = ("hello.mjs", b"");
        assert_eq!(main_of(&[one], "").unwrap(), "hello.mjs");
        assert_eq!(
            main_of(&[one, ("worker.js", b"")], "").unwrap(),
            "worker.js"
        );
        assert_eq!(
            main_of(&[one, ("worker.js", b"")], "hello.mjs").unwrap(),
            "hello.mjs"
        );
        assert_eq!(
            main_of(&[("src/index.js", b"")], "").unwrap(),
            "src/index.js"
        );
        let toml: (&str, &[u8]) = ("wrangler.toml", b"main = './lib/a.js'");
        assert_eq!(
            main_of(&[one, toml, ("lib/a.js", b"")], "hello.mjs").unwrap(),
            "lib/a.js"
        );
        assert!(main_of(&[one, toml], "").unwrap_err().contains("lib/a.js"));
        assert!(
            main_of(&[("a.ts", b"")], "")
                .unwrap_err()
                .contains("no JavaScript")
        );
        assert!(
            main_of(&[one, ("b.js", b"")], "")
                .unwrap_err()
                .contains("several")
        );
        assert!(main_of(&[(ENTRY, b"")], "").unwrap_err().contains(ENTRY));
    }

    #[test]
    fn wrangler_toml_names_dates_flags_and_variables() {
        let toml = b"name = 'x'\ncompatibility_date = '2026-01-31'\ncompatibility_flags = ['nodejs_compat']\n[vars]\nA = 'toml'\nB = 5";
        let source = read(&[("worker.js", b""), ("wrangler.toml", toml)], "").unwrap();
        assert_eq!(source.compatibility_date, "2026-01-31");
        assert_eq!(source.compatibility_flags, ["nodejs_compat"]);
        assert_eq!(source.env["A"], "function");
        assert_eq!(source.env["B"], 5);
        assert_eq!(
            read(&[("worker.js", b"")], "").unwrap().compatibility_date,
            "2026-11-17"
        );
        for bad in [
            "compatibility_date = '31.1.2026'",
            "compatibility_date = '2026-13-01'",
            "name = 'x'\nmain =",
        ] {
            let files = [("worker.js", &b""[..]), ("wrangler.toml", bad.as_bytes())];
            assert!(
                read(&files, "").unwrap_err().contains("wrangler.toml"),
                "{bad}"
            );
        }
    }

    #[test]
    fn bindings_have_names_and_what_they_need() {
        let toml = "compatibility_date = '2023-05-01'\ncompatibility_flags = ['rpc']\nvars = { A = 1 }\n\
                    kv_namespaces = [{ binding = 'KV', id = 'sessions' }]";
        let files = [("worker.js", &b""[..]), ("wrangler.toml", toml.as_bytes())];
        let mut source = read(&files, "").unwrap();
        assert_eq!(source.keyvalue, [("KV".to_owned(), "sessions".to_owned())]);
        source.bind("KV", Kind::KeyValue).unwrap();
        assert_eq!(
            source.compatibility_flags,
            ["rpc", "fetcher_no_get_put_delete"]
        );
        let json = serde_json::to_value(&source).unwrap();
        assert_eq!(
            json["bindings"],
            serde_json::json!([{ "name": "KV", "kind": "KeyValue" }])
        );
        for bad in ["KV", "A", "", "a-b", "1a", "__proto__", "a/b"] {
            assert!(source.bind(bad, Kind::KeyValue).is_err(), "{bad}");
        }
        let mut new = read(&[("worker.js", b"")], "").unwrap();
        new.bind("KV", Kind::KeyValue).unwrap();
        assert!(new.compatibility_flags.is_empty());
        let toml = b"kv_namespaces = [{ binding = 'KV' }]";
        let without = [("worker.js", &b""[..]), ("wrangler.toml", &toml[..])];
        assert!(read(&without, "").unwrap_err().contains("id"));
    }

    #[test]
    fn a_script_gets_a_main_module_of_hearths() {
        let script: (&str, &[u8]) = ("worker.js", b"addEventListener('fetch', () => {})");
        let source = read(&[script], "").unwrap();
        assert!(matches!(source.modules["worker.js"], Module::Cjs(_)));
        assert_eq!(main_of(&[script], "").unwrap(), SCRIPT[0].0);
        let module: (&str, &[u8]) = ("worker.js", b"addEventListener('x', y); export default z");
        assert_eq!(main_of(&[module], "").unwrap(), "worker.js");
    }

    #[test]
    fn an_upload_names_its_modules_and_tags_come_first() {
        let json = br#"{ // as it may be written
            "main": "a.js", "compatibility_date": "2026-01-01", "module_kinds": { "a.js": "js", "b.odd": "text" },
            "queues": { "producers": [{ "binding": "Q", "queue": "jobs" }] }, }"#;
        let files: [(&str, &[u8]); 4] = [
            ("wrangler.jsonc", json),
            ("a.js", b""),
            ("b.odd", b"odd"),
            ("c.js", b""),
        ];
        let mut source = read(&files, "").unwrap();
        assert!(matches!(source.modules["b.odd"], Module::Text(_)));
        assert!(!source.modules.contains_key("c.js"));
        assert_eq!(source.queues, [("Q".to_owned(), "jobs".to_owned())]);
        source.tell(&WorkerGrants {
            compatibility_date: Some("2026-02-02".to_owned()),
            compatibility_flags: None,
        });
        assert_eq!(source.compatibility_date, "2026-02-02");
        let bad = ("wrangler.json", &b"{ no"[..]);
        assert!(
            read(&[bad, ("a.js", b"")], "")
                .unwrap_err()
                .contains("wrangler.json")
        );
    }

    #[test]
    fn services_and_files_are_read() {
        let toml = "services = [{ binding = 'AUTH', service = 'auth:live' }]\n\
                    [assets]\ndirectory = './public'\nbinding = 'ASSETS'\nrun_worker_first = true";
        let page: (&str, &[u8]) = ("public/bad.js", b"\xff");
        let files = [
            ("worker.js", &b""[..]),
            page,
            ("wrangler.toml", toml.as_bytes()),
        ];
        let source = read(&files, "").unwrap();
        assert_eq!(source.services[0].0, "AUTH");
        assert_eq!(source.services[0].1.name.as_str(), "auth");
        let (assets, binding) = source.assets.unwrap();
        assert!(assets.worker_first);
        assert_eq!(binding.as_deref(), Some("ASSETS"));
        assert!(!source.modules.contains_key("public/bad.js"));
        for (bad, word) in [
            ("assets = { directory = '..' }", "assets"),
            ("assets = { directory = '.' }", "assets"),
            ("assets = { directory = '/etc' }", "assets"),
            ("assets = { directory = 'none' }", "assets"),
            (
                "assets = { directory = 'public', html_handling = 'odd' }",
                "line 1",
            ),
            ("services = [{ binding = 'A', service = 'a b' }]", "'A'"),
            (
                "services = [{ binding = 'A', service = 'a', entrypoint = 'E' }]",
                "entrypoint",
            ),
        ] {
            let files = [
                ("worker.js", &b""[..]),
                ("public/x.txt", &b"x"[..]),
                ("wrangler.toml", bad.as_bytes()),
            ];
            let why = read(&files, "").unwrap_err();
            assert!(why.contains(word), "{bad}: {why}");
        }
    }

    #[test]
    fn files_are_modules_by_the_ends_of_their_names() {
        let files: [(&str, &[u8]); 5] = [
            ("worker.js", b"x"),
            ("a.txt", b"t"),
            ("b.json", b"[1]"),
            ("c.bin", b"\xff"),
            ("README.md", b""),
        ];
        let source = serde_json::to_value(read(&files, "").unwrap()).unwrap();
        assert_eq!(source["modules"]["a.txt"]["text"], "t");
        assert_eq!(source["modules"]["b.json"]["json"][0], 1);
        assert_eq!(source["modules"]["c.bin"]["data"], "/w==");
        assert_eq!(source["mainModule"], ENTRY);
        assert!(source["modules"].get("README.md").is_none());
        assert!(
            read(&[("worker.js", b"\xff")], "")
                .unwrap_err()
                .contains("UTF-8")
        );
        assert!(
            read(&[("a.json", b"{")], "")
                .unwrap_err()
                .contains("a.json")
        );
    }
}
