//! What goes to a dead-letter queue.

use hearth_queues::wire::{MessageAttribute, SendMessage};
use hearth_store::once::Once;
use hearth_types::invoke::RequestId;

use crate::is_allowed;

/// Most bytes of an attribute's text: as in dead letters of functions.
const ATTRIBUTE_BYTES: usize = 1024;

/// What was given up, and why.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The number of what was given up.
    pub id: RequestId,
    /// What its target would have been given.
    pub body: String,
    /// What is said of it, by name. An attribute can't be empty: one that is says nothing, and is left out.
    pub attributes: Vec<(&'static str, String)>,
    /// What makes it come once.
    pub once: Once,
}

impl Letter {
    pub(crate) fn message(self) -> SendMessage {
        let attributes = self.attributes.into_iter();
        let attributes = attributes
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), attribute(shown(&value))));
        SendMessage {
            message_body: Some(self.body),
            message_attributes: Some(attributes.collect()),
            ..SendMessage::default()
        }
    }
}

pub(crate) fn attribute(value: String) -> MessageAttribute {
    MessageAttribute {
        data_type: "String".to_owned(),
        string_value: Some(value),
        binary_value: None,
    }
}

/// The beginning of a text, with the characters that an attribute may have: it may quote what somebody sent.
fn shown(text: &str) -> String {
    let end = text.floor_char_boundary(ATTRIBUTE_BYTES);
    let clean = |c| if is_allowed(c) { c } else { ' ' };
    text[..end].chars().map(clean).collect()
}
