//! What every worker has besides its own code: the module that tells requests apart and brings what `console` writes to
//! the node.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::source::Source;

/// The module's name among a worker's own.
pub(crate) const TURN: &str = "hearth-turn.js";

const TURN_TEXT: &str = include_str!("../../../runtimes/workerd/turn.js");

/// What in that text stands for the name of the worker's code.
const CODE: &str = "HEARTH_CODE";

/// What the module needs of the engine, whatever the worker's compatibility date is. A worker with `nodejs_compat` has it,
/// and may name both.
const FLAG: &str = "nodejs_als";

/// A worker as the dispatcher reads it. `id` is the name of its code.
pub(crate) fn equip(source: &Source, id: &str) -> Bytes {
    // Strings, lists and maps with strings for keys always have a JSON form.
    let mut worker = serde_json::to_value(source).unwrap_or_default();
    worker["modules"][TURN] = json!({ "js": TURN_TEXT.replace(CODE, id) });
    if let Some(flags) = worker["compatibilityFlags"].as_array_mut()
        && !flags.iter().any(|flag| flag == FLAG)
    {
        flags.push(Value::from(FLAG));
    }
    Bytes::from(worker.to_string())
}
