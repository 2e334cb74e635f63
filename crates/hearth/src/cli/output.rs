//! What commands print: results on stdout, everything else on stderr.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use crate::client::CallError;

/// Prints to stdout. A reader that went away (`| head`) is not an error.
pub(crate) fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    if write!(stdout, "{text}{newline}")
        .and_then(|()| stdout.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

/// Prints bytes to stdout as they are, with a line's end if they lack one and a person reads.
pub(crate) fn print_bytes(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let newline: &[u8] = if stdout.is_terminal() && !bytes.ends_with(b"\n") {
        b"\n"
    } else {
        b""
    };
    let written = stdout
        .write_all(bytes)
        .and_then(|()| stdout.write_all(newline))
        .and_then(|()| stdout.flush());
    if written.is_err() {
        std::process::exit(0);
    }
}

/// Prints a piece of what goes on, at once.
pub(crate) fn print_piece(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    if stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

/// Prints JSON for scripts.
pub(crate) fn print_json(value: &Value) {
    print(&format!("{value:#}"));
}

/// Prints a remark to stderr.
pub(crate) fn note(text: &str) {
    // Nobody reads stderr any more: nothing is left to say it to.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says what became of `name`: as JSON, a `member` with it, for scripts.
pub(crate) fn said(json: bool, what: &str, member: &str, name: &str) {
    if json {
        print_json(&serde_json::json!({ member: name }));
    } else {
        note(&format!("{what} {name}"));
    }
}

/// Prints an error, with a hint where there is something to try.
pub(crate) fn error(error: &CallError) {
    match error {
        CallError::Other(error) => note(&format!("error: {error:#}")),
        error => note(&format!("error: {error}")),
    }
    let hint = match error {
        CallError::Unreachable { .. } => {
            Some("start a node with `hearth up`, or name one with --endpoint")
        }
        CallError::Api { code, .. } if code.starts_with("UnrecognizedClient") => {
            Some("the credentials are of another node: check --data and HEARTH_ACCESS_KEY_ID")
        }
        CallError::Api {
            status: 404, code, ..
        } if code.starts_with("ResourceNotFound") => {
            Some("`hearth list` shows what is there; functions of other regions need --region")
        }
        CallError::Api { status: 429, .. } => Some("try again in a moment"),
        _ => None,
    };
    if let Some(hint) = hint {
        note(&format!("hint: {hint}"));
    }
}

/// A table without lines, as wide as the terminal allows.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    // Columns are padded on both sides: spaces at the ends of lines help nobody who copies them.
    table
        .to_string()
        .lines()
        .map(|line| line.trim_end().strip_prefix(' ').unwrap_or(line).to_owned() + "\n")
        .collect()
}

/// A member of a JSON object as text; `-` where it is missing.
pub(crate) fn member(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
