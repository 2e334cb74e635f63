//! Tags of event buses and rules.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::error::RuleError;
use crate::name::Named;
use crate::rules::{Caller, Rules};
use crate::wire::{Tag, TagResource};

/// Most tags of a resource (EventBridge user guide, "Quotas"), most characters of a key and of a value (service model,
/// `TagKey` and `TagValue`).
const TAGS: usize = 50;
const KEY_CHARACTERS: usize = 128;
const VALUE_CHARACTERS: usize = 256;

type Tags = BTreeMap<String, String>;

impl Rules {
    pub(crate) async fn tag(
        &self,
        caller: &Caller,
        request: TagResource,
    ) -> Result<Value, RuleError> {
        let tags = read(request.tags)?;
        self.change_tags(caller, &request.resource_arn, |kept| {
            kept.extend(tags);
            check_count(kept)
        })
        .await
    }

    pub(crate) async fn untag(
        &self,
        caller: &Caller,
        request: TagResource,
    ) -> Result<Value, RuleError> {
        self.change_tags(caller, &request.resource_arn, |kept| {
            kept.retain(|key, _| !request.tag_keys.contains(key));
            Ok(())
        })
        .await
    }

    pub(crate) fn list_tags(
        &self,
        caller: &Caller,
        request: &TagResource,
    ) -> Result<Value, RuleError> {
        let tags = match named(caller, &request.resource_arn)? {
            Named::Rule(id) => self.found(&id)?.rule.settings.tags.clone(),
            Named::Bus(id) => {
                self.check_bus(&id)?;
                let bus = self.known().bus(&id);
                bus.map(|bus| bus.settings.tags.clone()).unwrap_or_default()
            }
        };
        let tags: Vec<_> = tags
            .into_iter()
            .map(|(key, value)| Tag { key, value })
            .collect();
        Ok(json!({ "Tags": tags }))
    }

    async fn change_tags(
        &self,
        caller: &Caller,
        arn: &str,
        change: impl FnOnce(&mut Tags) -> Result<(), RuleError>,
    ) -> Result<Value, RuleError> {
        match named(caller, arn)? {
            Named::Rule(id) => {
                self.try_change_rule(&id, |settings| change(&mut settings.tags))
                    .await?;
            }
            Named::Bus(id) => {
                self.change_bus(&id, |settings| change(&mut settings.tags))
                    .await?;
            }
        }
        Ok(json!({}))
    }
}

fn named(caller: &Caller, arn: &str) -> Result<Named, RuleError> {
    caller.named(arn).ok_or_else(|| {
        RuleError::invalid(
            "ResourceARN must be that of a rule or of an event bus of this account and region.",
        )
    })
}

/// Tags of a request.
pub(crate) fn read(tags: Vec<Tag>) -> Result<Tags, RuleError> {
    let mut read = Tags::new();
    for Tag { key, value } in tags {
        if !(1..=KEY_CHARACTERS).contains(&key.chars().count())
            || value.chars().count() > VALUE_CHARACTERS
        {
            return Err(RuleError::invalid(format!(
                "A tag's key must have 1 to {KEY_CHARACTERS} characters, and its value may have {VALUE_CHARACTERS}."
            )));
        }
        if read.insert(key, value).is_some() {
            return Err(RuleError::invalid("A tag's key may come once."));
        }
    }
    check_count(&read)?;
    Ok(read)
}

fn check_count(tags: &Tags) -> Result<(), RuleError> {
    if tags.len() <= TAGS {
        return Ok(());
    }
    Err(RuleError::invalid(format!(
        "A rule or an event bus may have {TAGS} tags."
    )))
}
