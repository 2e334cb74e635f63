//! How Wasmtime's errors become [`Failure`]s. Their text may come from the guest: it is bounded and printable.

use std::fmt::{Display, Write as _};

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::call::Failure;
use crate::limits::{Limits, Refused};
use crate::stdio::Overflow;

/// Most characters of an error's text: it goes into a response and a log line.
const TEXT: usize = 500;

/// An instance could not be made.
pub(crate) fn of_instantiation(error: &wasmtime::Error, limits: &Limits) -> Failure {
    if error.is::<PoolConcurrencyLimitError>() || limits.refused() == Some(Refused::Budget) {
        return Failure::NoRoom;
    }
    if limits.refused() == Some(Refused::Grant) {
        return Failure::OutOfMemory;
    }
    if error.is::<Trap>() {
        return Failure::Trap(trap(error));
    }
    Failure::Internal(printable(&format_args!("making an instance: {error:#}")))
}

/// A guest's call did not come back.
pub(crate) fn of_call(error: &wasmtime::Error, limits: &Limits) -> Failure {
    match limits.refused() {
        Some(Refused::Grant) => return Failure::OutOfMemory,
        Some(Refused::Budget) => {
            return Failure::Internal(
                "the node's memory for WebAssembly functions is used up".to_owned(),
            );
        }
        None => {}
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return Failure::Trap(format!("the function exited with status {code}"));
    }
    if error.chain().any(|cause| cause.is::<Overflow>()) {
        return Failure::OutputTooLarge;
    }
    Failure::Trap(trap(error))
}

/// A trap's name, and in which function.
fn trap(error: &wasmtime::Error) -> String {
    let mut text = match error.downcast_ref::<Trap>() {
        Some(trap) => printable(trap),
        None => printable(&error.root_cause()),
    };
    let frame = error
        .downcast_ref::<WasmBacktrace>()
        .and_then(|trace| trace.frames().iter().find_map(|frame| frame.func_name()));
    if let Some(name) = frame {
        text.push_str(" in ");
        text.push_str(&printable(&name));
    }
    text
}

/// `text` without what could end a line or a header, and not longer than [`TEXT`] characters.
pub(crate) fn printable(text: &dyn Display) -> String {
    struct Bounded {
        text: String,
        left: usize,
    }
    impl std::fmt::Write for Bounded {
        fn write_str(&mut self, part: &str) -> std::fmt::Result {
            for character in part.chars() {
                if self.left == 0 {
                    return Err(std::fmt::Error);
                }
                self.left -= 1;
                self.text.push(if character.is_control() {
                    ' '
                } else {
                    character
                });
            }
            Ok(())
        }
    }
    let mut bounded = Bounded {
        text: String::new(),
        left: TEXT,
    };
    if write!(bounded, "{text}").is_err() {
        bounded.text.push('…');
    }
    bounded.text
}

/// The name of a `wasi:http` error code as its interface spells it, in lower case, with what it carries.
pub(crate) fn code_name(code: &dyn std::fmt::Debug) -> String {
    let text = printable(&format_args!("{code:?}"));
    let text = text.strip_prefix("ErrorCode::").unwrap_or(&text);
    let name_ends = text
        .find(|character: char| !character.is_alphanumeric())
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(name_ends);
    let mut kebab = String::with_capacity(text.len() + 4);
    for character in name.chars() {
        if character.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(character.to_lowercase());
    }
    kebab.push_str(rest);
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_guest_is_bounded_and_holds_no_control_characters() {
        assert_eq!(printable(&"one\r\ntwo\u{1b}[31m"), "one  two [31m");
        let long = printable(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), TEXT + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn error_codes_are_spelt_as_in_the_interface() {
        use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;

        assert_eq!(code_name(&ErrorCode::DnsTimeout), "dns-timeout");
        assert_eq!(
            code_name(&ErrorCode::InternalError(Some("disk".to_owned()))),
            "internal-error(Some(\"disk\"))"
        );
    }
}
