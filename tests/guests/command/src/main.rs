//! A command: the event comes on standard input, the result goes to standard output, and the event's words choose how
//! it ends. `{"exit": 3}` is looked for as text: a parser would be most of the component.

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut event = String::new();
    if let Err(error) = std::io::stdin().read_to_string(&mut event) {
        eprintln!("standard input: {error}");
        return ExitCode::from(70);
    }
    if let Some(line) = text(&event, "log") {
        eprintln!("{line}");
    }
    if event.contains("\"panic\"") {
        panic!("asked to");
    }
    if event.contains("\"loop\"") {
        loop {
            std::hint::spin_loop();
        }
    }
    if let Some(mib) = number(&event, "write_mib") {
        let block = vec![b'x'; 1 << 20];
        for _ in 0..mib {
            if std::io::stdout().write_all(&block).is_err() {
                return ExitCode::from(71);
            }
        }
    }
    if !event.contains("\"silent\"") {
        let names: Vec<String> = std::env::vars()
            .map(|(name, _)| format!("{name:?}"))
            .collect();
        println!(
            "{{\"event\": {event}, \"arguments\": {}, \"environment\": [{}]}}",
            std::env::args().count(),
            names.join(", ")
        );
    }
    ExitCode::from(number(&event, "exit").unwrap_or(0) as u8)
}

/// What follows `"name":`.
fn after<'e>(event: &'e str, name: &str) -> Option<&'e str> {
    let (_, rest) = event.split_once(&format!("\"{name}\""))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

fn number(event: &str, name: &str) -> Option<u32> {
    let rest = after(event, name)?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

fn text<'e>(event: &'e str, name: &str) -> Option<&'e str> {
    after(event, name)?.strip_prefix('"')?.split('"').next()
}
