//! Topics and their webhooks, as Hearth's own API shows them.
//!
//! Unknown members are errors: a misspelt `Secret` must not leave a webhook with another one than its receiver has.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A topic: the body of `PUT`, and every answer about one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Topic {
    /// Its name; in a request it may be left to the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What destinations and dead-letter queues call it; passed over in requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_arn: Option<String>,
    /// Changes with every change. In a request: the one that is expected, or [`NEW`](super::route::NEW).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_id: Option<String>,
    /// When it was made; passed over in requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<String>,
    /// When it was changed; passed over in requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_time: Option<String>,
    /// Who is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhooks: Option<Vec<Webhook>>,
}

/// A webhook of a topic. `Debug` does not show the secret.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
pub struct Webhook {
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What it is signed with. In a request: absent, the one that this URL has in the topic stays, or one is made. In an
    /// answer: only where it was made for this very request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("url", &self.url)
            .field("secret", &self.secret.as_ref().map(|_| "…"))
            .finish()
    }
}

/// Answer of `GET` without a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListTopicsResponse {
    /// The page.
    pub topics: Vec<Topic>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_marker: Option<String>,
}
