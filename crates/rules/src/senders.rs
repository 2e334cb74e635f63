//! Who may send CloudEvents with a token.

use std::fmt;

use hearth_types::name::{AccountId, Region};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Rules;

/// Somebody who knows no signatures, and has a token instead: it lets them send events to one bus, and do nothing else.
#[derive(Clone)]
pub struct Sender {
    /// The token.
    pub token: String,
    /// Whose the events are.
    pub account: AccountId,
    /// Where.
    pub region: Region,
    /// The event bus to which they come.
    pub bus: String,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account,
            region,
            bus,
            ..
        } = self;
        write!(f, "Sender({account}/{region}/{bus})")
    }
}

impl Rules {
    /// Whose token it is.
    pub fn sender(&self, token: &str) -> Option<&Sender> {
        // Of equal length, so that time tells nothing of where they differ.
        let given = Sha256::digest(token);
        let mut senders = self.0.options.senders.iter();
        senders.find(|sender| bool::from(given.ct_eq(&Sha256::digest(&sender.token))))
    }
}
