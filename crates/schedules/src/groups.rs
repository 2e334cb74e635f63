//! The operations on groups of schedules, and on their tags.

use std::collections::BTreeMap;

use hearth_store::schedules::{Group, Place, ScheduleStoreError};
use serde_json::{Value, json};

use crate::error::{Kind, ScheduleError};
use crate::name::{self, DEFAULT};
use crate::schedules::{Call, Schedules, date, next_token, to_value};
use crate::wire::{self, Tag, TagsRequest};

/// Most tags of a group (EventBridge Scheduler user guide, "Quotas"), and most characters of their names and values
/// (service model, `Tag`).
const MOST_TAGS: usize = 50;
const TAG_KEY_CHARACTERS: usize = 128;
const TAG_VALUE_CHARACTERS: usize = 256;

impl Schedules {
    pub(crate) async fn ensure_default(&self, place: &Place) -> Result<(), ScheduleError> {
        if self.store.group(place, DEFAULT).await?.is_some() {
            return Ok(());
        }
        let made = self
            .store
            .create_group(place, DEFAULT.to_owned(), BTreeMap::new(), None, self.now())
            .await;
        match made {
            Ok(()) | Err(ScheduleStoreError::Exists) => Ok(()),
            Err(error) => Err(of(error, DEFAULT)),
        }
    }

    pub(crate) async fn find_group(
        &self,
        place: &Place,
        name: &str,
    ) -> Result<Group, ScheduleError> {
        let found = self.store.group(place, name).await?;
        found.ok_or_else(|| of(ScheduleStoreError::MissingGroup, name))
    }

    pub(crate) async fn create_group(
        &self,
        place: &Place,
        call: Call<'_>,
    ) -> Result<Value, ScheduleError> {
        let name = self.group_name(place, Some(call.name)).await?;
        let request: TagsRequest = call.read()?;
        let token = call.token(request.client_token.as_deref())?;
        let tags = tags(request.tags)?;
        check_tags(&tags)?;
        self.store
            .create_group(place, name.clone(), tags, token, self.now())
            .await
            .map_err(|error| of(error, &name))?;
        Ok(json!({ "ScheduleGroupArn": name::group_arn(place, &name) }))
    }

    pub(crate) async fn get_group(
        &self,
        place: &Place,
        call: Call<'_>,
    ) -> Result<Value, ScheduleError> {
        let name = self.group_name(place, Some(call.name)).await?;
        to_value(&shown(self.find_group(place, &name).await?))
    }

    pub(crate) async fn list_groups(
        &self,
        place: &Place,
        call: Call<'_>,
    ) -> Result<Value, ScheduleError> {
        self.ensure_default(place).await?;
        let limit = call.limit()?;
        let prefix = name::check_prefix(call.query("NamePrefix"))?;
        let after: String = call.after()?.unwrap_or_default();
        let mut found = self.store.groups(place, prefix, after, limit + 1).await?;
        let more = found.len() > limit;
        found.truncate(limit);
        let mut answer = json!({});
        if let Some(last) = found.last().filter(|_| more) {
            answer["NextToken"] = next_token(&last.name)?.into();
        }
        let listed: Vec<_> = found.into_iter().map(shown).collect();
        answer["ScheduleGroups"] = to_value(&listed)?;
        Ok(answer)
    }

    pub(crate) async fn delete_group(
        &self,
        place: &Place,
        call: Call<'_>,
    ) -> Result<Value, ScheduleError> {
        let name = name::check(call.name, "Name")?.to_owned();
        if name == DEFAULT {
            return Err(ScheduleError::invalid(
                "The schedule group default can't be deleted. Delete its schedules.",
            ));
        }
        let token = call.token(call.query("clientToken"))?;
        self.store
            .delete_group(place, name.clone(), token, self.now())
            .await
            .map_err(|error| of(error, &name))?;
        // It has been answered for: what is left at a stop is removed at the next start.
        let schedules = self.clone();
        tokio::spawn(async move { schedules.clear_groups().await });
        Ok(json!({}))
    }

    /// Removes what groups that are being removed have, a part at a time: others go on meanwhile.
    pub(crate) async fn clear_groups(&self) {
        loop {
            match self.store.clear().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "remove a schedule group; what is left goes at the next start");
                    return;
                }
            }
        }
    }

    pub(crate) async fn tag(&self, place: &Place, call: Call<'_>) -> Result<Value, ScheduleError> {
        let group = self.tagged_group(place, call.name).await?;
        let request: TagsRequest = call.read()?;
        let new = tags(request.tags)?;
        let mut all = group.tags;
        all.extend(new.clone());
        check_tags(&all)?;
        self.change_tags(place, group.name, move |tags| tags.extend(new.clone()))
            .await
    }

    pub(crate) async fn untag(
        &self,
        place: &Place,
        call: Call<'_>,
    ) -> Result<Value, ScheduleError> {
        let group = self.tagged_group(place, call.name).await?;
        let gone: Vec<String> = call
            .query
            .iter()
            .filter(|(key, _)| key == "TagKeys")
            .map(|(_, value)| value.clone())
            .collect();
        self.change_tags(place, group.name, move |tags| {
            tags.retain(|key, _| !gone.contains(key));
        })
        .await
    }

    pub(crate) async fn list_tags(
        &self,
        place: &Place,
        call: Call<'_>,
    ) -> Result<Value, ScheduleError> {
        let group = self.tagged_group(place, call.name).await?;
        let tags = group.tags.into_iter();
        let tags: Vec<_> = tags.map(|(key, value)| Tag { key, value }).collect();
        Ok(json!({ "Tags": to_value(&tags)? }))
    }

    async fn tagged_group(&self, place: &Place, arn: &str) -> Result<Group, ScheduleError> {
        let name = self
            .group_name(place, Some(name::group_of_arn(place, arn)?))
            .await?;
        self.find_group(place, &name).await
    }

    async fn change_tags(
        &self,
        place: &Place,
        group: String,
        change: impl Fn(&mut BTreeMap<String, String>) + Send + 'static,
    ) -> Result<Value, ScheduleError> {
        let changed = self
            .store
            .tag_group(place, group.clone(), change, self.now());
        changed.await.map_err(|error| of(error, &group))?;
        Ok(json!({}))
    }
}

fn of(error: ScheduleStoreError, group: &str) -> ScheduleError {
    ScheduleError::of(error, group, &format!("Schedule group {group}"))
}

fn shown(group: Group) -> wire::Group {
    wire::Group {
        arn: name::group_arn(&group.place, &group.name),
        name: group.name,
        state: if group.deleting { "DELETING" } else { "ACTIVE" },
        creation_date: date(group.created),
        last_modification_date: date(group.modified),
    }
}

fn tags(tags: Option<Vec<Tag>>) -> Result<BTreeMap<String, String>, ScheduleError> {
    let mut map = BTreeMap::new();
    for Tag { key, value } in tags.unwrap_or_default() {
        if map.insert(key, value).is_some() {
            return Err(ScheduleError::invalid("Tags names a key twice."));
        }
    }
    Ok(map)
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), ScheduleError> {
    if tags.len() > MOST_TAGS {
        return Err(ScheduleError::new(
            Kind::ServiceQuotaExceeded,
            format!("A schedule group has at most {MOST_TAGS} tags."),
        ));
    }
    let fits = |(key, value): (&String, &String)| {
        (1..=TAG_KEY_CHARACTERS).contains(&key.chars().count())
            && (1..=TAG_VALUE_CHARACTERS).contains(&value.chars().count())
            && !key.to_ascii_lowercase().starts_with("aws:")
    };
    if tags.iter().all(fits) {
        return Ok(());
    }
    Err(ScheduleError::invalid(
        "Tags have keys of 1 to 128 characters that don't begin with aws:, and values of 1 to 256.",
    ))
}
