//! What all batches have in common.

use std::collections::HashSet;

use hearth_store::queues::{Fate, Receipt};
use serde_json::{Value, json};

use crate::address;
use crate::error::{Kind, QueueError};
use crate::wire::{Failed, ReceiptEntry};

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

/// The entries of a batch that names messages by their receipts: those that can be asked for, and those that can't.
pub(crate) struct ByReceipt {
    /// Ids and handles, in the order of what is asked.
    good: Vec<(String, String)>,
    failed: Vec<Failed>,
}

impl ByReceipt {
    /// Reads the entries; `ask` makes of each what the store is asked for.
    pub(crate) fn read<T>(
        entries: Vec<ReceiptEntry>,
        ask: impl Fn(&ReceiptEntry, Receipt) -> Result<T, QueueError>,
    ) -> Result<(Self, Vec<T>), QueueError> {
        let ids = check(entries.iter().map(|entry| entry.id.as_deref()))?;
        let (mut good, mut asked, mut failed_ones) = (Vec::new(), Vec::new(), Vec::new());
        for (id, entry) in ids.into_iter().zip(entries) {
            let receipt = address::receipt(entry.receipt_handle.as_deref());
            match receipt.and_then(|receipt| ask(&entry, receipt)) {
                Ok(one) => {
                    good.push((id, entry.receipt_handle.unwrap_or_default()));
                    asked.push(one);
                }
                Err(error) => failed_ones.push(failed(id, &error)),
            }
        }
        let read = Self {
            good,
            failed: failed_ones,
        };
        Ok((read, asked))
    }

    /// The batch's answer; `said` is what a fate means for who asked.
    pub(crate) fn answer(
        mut self,
        fates: Vec<Fate>,
        said: fn(Fate, &str) -> Result<(), QueueError>,
    ) -> Value {
        let mut successful = Vec::new();
        for ((id, handle), fate) in self.good.into_iter().zip(fates) {
            match said(fate, &handle) {
                Ok(()) => successful.push(json!({ "Id": id })),
                Err(error) => self.failed.push(failed(id, &error)),
            }
        }
        answer(successful, &self.failed)
    }
}
