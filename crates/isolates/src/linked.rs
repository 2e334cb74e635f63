//! Workers that are parts of an engine's configuration, each with a port of its own: what is sent there reaches the
//! isolate without the dispatcher's, which costs more than the worker itself. The way for those that are asked much, as
//! an engine takes them in at its start alone.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hearth_sandbox::make_folder;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{Parts, put, socket};
use crate::grants::Known;

/// A worker to be linked.
#[derive(Clone, Debug)]
pub(crate) struct Linked {
    pub(crate) id: String,
    pub(crate) worker: Arc<Known>,
}

/// A worker as the dispatcher reads it, too.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Worker {
    compatibility_date: String,
    compatibility_flags: Vec<String>,
    main_module: String,
    modules: Map<String, Value>,
    env: Map<String, Value>,
    bindings: Vec<Binding>,
}

#[derive(Deserialize)]
struct Binding {
    name: String,
    kind: String,
}

impl Linked {
    /// Writes the worker's files below `folder`, and what of the configuration is its own; see [`linked_ports`] for `port`.
    ///
    /// [`linked_ports`]: crate::config::linked_ports
    ///
    /// # Errors
    /// If they can't be written.
    pub(crate) fn write(&self, folder: &Path, port: u16, parts: &mut Parts) -> io::Result<()> {
        let service = format!("w{port}");
        let own = folder.join(&service);
        make_folder(&own, 0o755)?;
        let worker: Worker = serde_json::from_slice(&self.worker.json)?;
        let mut modules = String::new();
        // The main one comes first.
        let (main, others): (Vec<_>, Vec<_>) = worker
            .modules
            .iter()
            .partition(|(name, _)| **name == worker.main_module);
        for (at, (name, module)) in main.into_iter().chain(others).enumerate() {
            let (kind, content) = content(module)?;
            put(&own.join(at.to_string()), &content)?;
            let name = quoted(name);
            let _ = writeln!(
                modules,
                "(name = {name}, {kind} = embed \"{service}/{at}\"),"
            );
        }
        let mut bindings = String::new();
        for (name, value) in &worker.env {
            let (kind, text) = match value {
                Value::String(text) => ("text", quoted(text)),
                other => ("json", quoted(&other.to_string())),
            };
            let _ = writeln!(bindings, "(name = {}, {kind} = {text}),", quoted(name));
        }
        for Binding { name, kind } in &worker.bindings {
            let designator = self.entrypoint(kind, Some(name));
            let _ = writeln!(
                bindings,
                "(name = {}, service = {designator}),",
                quoted(name)
            );
        }
        let flags: Vec<_> = worker
            .compatibility_flags
            .iter()
            .map(|flag| quoted(flag))
            .collect();
        let _ = write!(
            parts.services,
            "(name = \"{service}\", worker = (
      modules = [{modules}],
      compatibilityDate = {},
      compatibilityFlags = [{}],
      bindings = [{bindings}],
      globalOutbound = {},
    )),
    ",
            quoted(&worker.compatibility_date),
            flags.join(", "),
            self.entrypoint("Outside", None),
        );
        parts.sockets += &socket(&format!(r#""{service}""#), port);
        let orders = format!(r#"(name = "{service}", entrypoint = "hearthOrders")"#);
        parts.sockets += &socket(&orders, port + 1);
        Ok(())
    }

    /// One of the dispatcher's entrypoints, which says for whom it asks.
    fn entrypoint(&self, kind: &str, binding: Option<&str>) -> String {
        let mut props = serde_json::json!({ "id": self.id });
        if let Some(binding) = binding {
            props["binding"] = Value::from(binding);
        }
        let props = quoted(&props.to_string());
        format!(
            r#"(name = "dispatcher", entrypoint = {}, props = (json = {props}))"#,
            quoted(kind)
        )
    }
}

/// A module's kind in the configuration's words, and its content.
fn content(module: &Value) -> io::Result<(&'static str, Vec<u8>)> {
    let field = |name: &str| module.get(name).and_then(Value::as_str);
    let bytes = |text: &str| BASE64_STANDARD.decode(text).map_err(io::Error::other);
    Ok(if let Some(code) = field("js") {
        ("esModule", code.into())
    } else if let Some(code) = field("cjs") {
        ("commonJsModule", code.into())
    } else if let Some(text) = field("text") {
        ("text", text.into())
    } else if let Some(text) = field("wasm") {
        ("wasm", bytes(text)?)
    } else if let Some(text) = field("data") {
        ("data", bytes(text)?)
    } else if let Some(json) = module.get("json") {
        ("json", json.to_string().into())
    } else {
        return Err(io::Error::other("a module of a kind that is not known"));
    })
}

/// A text in the configuration's syntax, which is Cap'n Proto's.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\0'..' ' | '\x7f' => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(character));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_for_the_configuration() {
        assert_eq!(quoted("a \"b\" \\ \n\u{0} ü"), r#""a \"b\" \\ \x0a\x00 ü""#);
    }
}
