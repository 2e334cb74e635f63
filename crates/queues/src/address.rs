//! How queues are named: by URL, by ARN, by name; and their receipts.

use hearth_store::queues::{QueueKey, Receipt};
use hearth_types::name::{AccountId, Region};

use crate::error::{Kind, QueueError};

/// Most characters of a queue's name, `.fifo` included (service model, `CreateQueue`).
const NAME_CHARACTERS: usize = 80;
/// How names of FIFO queues end.
pub(crate) const FIFO: &str = ".fifo";

/// Who asks, and how it reached the node.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whose queues.
    pub account: AccountId,
    /// Where.
    pub region: Region,
    /// How URLs of queues begin: `http://host:port`.
    pub base: String,
    /// `X-Amzn-Trace-Id` of the request: messages have it that have no other.
    pub trace: Option<String>,
}

impl Caller {
    pub(crate) fn key(&self, name: &str) -> QueueKey {
        QueueKey {
            account: self.account.clone(),
            region: self.region.clone(),
            name: name.to_owned(),
        }
    }

    /// The URL of one of the caller's queues.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.base, self.account)
    }

    /// The queue that a URL names: the host may be any, by which the caller has reached the node before.
    pub(crate) fn at(&self, url: Option<&str>) -> Result<QueueKey, QueueError> {
        let url = url.ok_or_else(|| QueueError::missing_parameter("QueueUrl"))?;
        let bad = || {
            let shown: String = url.chars().take(200).collect();
            QueueError::new(
                Kind::InvalidAddress,
                format!("The address {shown} is not valid for this endpoint."),
            )
        };
        let rest = match url.split_once("://") {
            Some((_, rest)) => rest.split_once('/').ok_or_else(bad)?.1,
            None => url.strip_prefix('/').unwrap_or(url),
        };
        let (account, name) = rest.split_once('/').ok_or_else(bad)?;
        if account != self.account.as_str() {
            // Whether another account has such a queue is not the caller's business.
            return Err(QueueError::missing_queue());
        }
        if !is_name(name) {
            return Err(bad());
        }
        Ok(self.key(name))
    }
}

/// Whether a queue may have this name, as far as characters go.
pub(crate) fn is_name(name: &str) -> bool {
    let stem = name.strip_suffix(FIFO).unwrap_or(name);
    let is_good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    !stem.is_empty() && name.len() <= NAME_CHARACTERS && stem.bytes().all(is_good)
}

/// A queue's ARN.
pub(crate) fn arn(key: &QueueKey) -> String {
    format!("arn:aws:sqs:{}:{}:{}", key.region, key.account, key.name)
}

/// The name of a queue beside `key` that an ARN names.
pub(crate) fn name_of_arn<'a>(key: &QueueKey, arn: &'a str) -> Option<&'a str> {
    let prefix = format!("arn:aws:sqs:{}:{}:", key.region, key.account);
    arn.strip_prefix(prefix.as_str())
        .filter(|name| is_name(name))
}

/// A receipt as its holder sees it.
pub(crate) fn handle(receipt: Receipt) -> String {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&receipt.queue.to_be_bytes());
    bytes[8..16].copy_from_slice(&receipt.message.to_be_bytes());
    bytes[16..].copy_from_slice(&receipt.delivery.to_be_bytes());
    hex::encode(bytes)
}

/// The receipt of a handle.
pub(crate) fn receipt(handle: Option<&str>) -> Result<Receipt, QueueError> {
    let handle = handle.ok_or_else(|| QueueError::missing_parameter("ReceiptHandle"))?;
    let mut bytes = [[0; 8]; 3];
    if hex::decode_to_slice(handle, bytes.as_flattened_mut()).is_err() {
        return Err(bad_receipt(handle));
    }
    let [queue, message, delivery] = bytes.map(i64::from_be_bytes);
    Ok(Receipt {
        queue,
        message,
        delivery,
    })
}

pub(crate) fn bad_receipt(handle: &str) -> QueueError {
    let shown: String = handle.chars().take(100).collect();
    QueueError::new(
        Kind::ReceiptHandleIsInvalid,
        format!("The input receipt handle \"{shown}\" is not a valid receipt handle."),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
    use super::*;

    #[test]
    fn handles_are_read_back_and_others_refused() {
        let one = Receipt {
            queue: 7,
            message: 1 << 40,
            delivery: 3,
        };
        assert_eq!(receipt(Some(&handle(one))).unwrap(), one);
        for bad in ["", "00", "zz", &"0".repeat(49), &"ü".repeat(24)] {
            let error = receipt(Some(bad)).unwrap_err();
            assert_eq!(error.kind, Kind::ReceiptHandleIsInvalid);
        }
    }

    #[test]
    fn names_have_their_characters() {
        for good in ["a", "A-_9", "a.fifo", &"a".repeat(80)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".fifo", "a.b", "a/b", "ü", "a\n", &"a".repeat(81)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
