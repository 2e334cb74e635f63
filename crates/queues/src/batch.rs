//! What all batches have in common.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::error::{Kind, QueueError};
use crate::wire::Failed;

/// Most entries of a batch (service model).
const MOST_ENTRIES: usize = 10;
/// Most characters of an entry's id (service model).
const ID_CHARACTERS: usize = 80;

/// Checks what a batch is refused for as a whole, and gives the entries' ids.
pub(crate) fn check<'a>(
    ids: impl ExactSizeIterator<Item = Option<&'a str>>,
) -> Result<Vec<String>, QueueError> {
    if ids.len() == 0 {
        return Err(QueueError::new(
            Kind::EmptyBatchRequest,
            "There should be at least one entry in the request.",
        ));
    }
    if ids.len() > MOST_ENTRIES {
        return Err(QueueError::new(
            Kind::TooManyEntriesInBatchRequest,
            format!(
                "Maximum number of entries per request are {MOST_ENTRIES}. You have sent {}.",
                ids.len()
            ),
        ));
    }
    let mut seen = HashSet::new();
    let mut checked = Vec::new();
    for id in ids {
        let id = id.ok_or_else(|| QueueError::missing_parameter("Id"))?;
        let is_good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if !(1..=ID_CHARACTERS).contains(&id.len()) || !id.bytes().all(is_good) {
            return Err(QueueError::new(
                Kind::InvalidBatchEntryId,
                "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.",
            ));
        }
        if !seen.insert(id) {
            return Err(QueueError::new(
                Kind::BatchEntryIdsNotDistinct,
                format!("Id {id} repeated."),
            ));
        }
        checked.push(id.to_owned());
    }
    Ok(checked)
}

pub(crate) fn failed(id: String, error: &QueueError) -> Failed {
    Failed {
        id,
        sender_fault: error.kind.is_callers(),
        code: error.kind.code(),
        message: error.message.clone().into_owned(),
    }
}

/// A batch's answer; a list that is empty is left out.
pub(crate) fn answer(successful: Vec<Value>, failed: &[Failed]) -> Value {
    let mut answer = json!({});
    if !successful.is_empty() {
        answer["Successful"] = successful.into();
    }
    if !failed.is_empty() {
        answer["Failed"] = json!(failed);
    }
    answer
}
