//! Hearth's own operations on notifications: put, get, list, delete.

use std::sync::{Arc, PoisonError};

use hearth_queues::QueueError;
use hearth_registry::Scope;
use hearth_store::StoreError;
use hearth_store::storage::{
    Notification, NotificationId, NotificationSettings, StorageStoreError,
};
use hearth_types::destination::Destination;
use hearth_types::name::BucketName;
use hearth_types::wire::notification::{
    Filter, FilterRule, KeyFilter, ListNotificationsResponse, Notification as Shape,
};
use hearth_types::{ApiError, ErrorKind};

use crate::{Storage, rule};

/// Most characters of a name (S3 API reference, `ID` has 255; this is also a part of paths).
const NAME_CHARACTERS: usize = 64;
/// Most bytes of a filter's value: as much as a key has (S3 API reference, `FilterRule`).
const VALUE_BYTES: usize = 1024;

impl Storage {
    /// Makes a notification, or puts it in the place of the one with its name.
    ///
    /// # Errors
    /// [`InvalidParameterValue`](ErrorKind::InvalidParameterValue); those of the store. Nothing was changed then.
    pub async fn put(&self, scope: &Scope, name: &str, request: Shape) -> Result<Shape, ApiError> {
        let id = id(scope, name)?;
        if request.name.is_some_and(|other| other != name) {
            return Err(ApiError::invalid(
                "Name is not the one in the path. Leave it out, or use the same.",
            ));
        }
        let bucket = self.bucket(&request.bucket.unwrap_or_default())?;
        let events = request.events.unwrap_or_default();
        rule::check_events(&events)?;
        let (prefix, suffix) = read_filter(request.filter.unwrap_or_default())?;
        let target = self
            .target(scope, &request.target_arn.unwrap_or_default())
            .await?;
        let now = self.now();
        let _changing = self.0.changing.lock().await;
        let known = self.known(&id);
        let notification = Notification {
            created: known.map_or(now, |known| known.created),
            modified: now,
            settings: NotificationSettings {
                bucket,
                events,
                prefix,
                suffix,
                target,
            },
            id,
        };
        let stored = self.0.store.put_notification(notification.clone()).await;
        stored.map_err(refusal)?;
        let answer = shown(&notification);
        let mut notifications = self
            .0
            .notifications
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        notifications.insert(notification.id.clone(), Arc::new(notification));
        Ok(answer)
    }

    /// One notification.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound).
    pub fn get(&self, scope: &Scope, name: &str) -> Result<Shape, ApiError> {
        let found = self.known(&id(scope, name)?);
        found
            .map(|known| shown(&known))
            .ok_or_else(|| no_notification(name))
    }

    /// All notifications, by name: there are not many.
    pub fn list(&self, scope: &Scope) -> ListNotificationsResponse {
        let notifications = &self.0.notifications;
        let notifications = notifications.read().unwrap_or_else(PoisonError::into_inner);
        let own = notifications
            .values()
            .filter(|one| one.id.account == scope.account && one.id.region == scope.region);
        ListNotificationsResponse {
            notifications: own.map(|one| shown(one)).collect(),
        }
    }

    /// Removes a notification. What is on its way still comes.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound); those of the store.
    pub async fn delete(&self, scope: &Scope, name: &str) -> Result<(), ApiError> {
        let id = id(scope, name)?;
        let _changing = self.0.changing.lock().await;
        match self.0.store.delete_notification(id.clone()).await {
            Ok(()) => {}
            Err(StorageStoreError::Missing) => return Err(no_notification(name)),
            Err(error) => return Err(refusal(error)),
        }
        let mut notifications = self
            .0
            .notifications
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        notifications.remove(&id);
        Ok(())
    }

    fn known(&self, id: &NotificationId) -> Option<Arc<Notification>> {
        let notifications = &self.0.notifications;
        let notifications = notifications.read().unwrap_or_else(PoisonError::into_inner);
        notifications.get(id).cloned()
    }

    fn bucket(&self, name: &str) -> Result<BucketName, ApiError> {
        if name.is_empty() {
            return Err(ApiError::invalid("Bucket is missing: name one."));
        }
        let bucket: BucketName = name.parse()?;
        if self.0.options.buckets.contains_key(&bucket) {
            return Ok(bucket);
        }
        Err(ApiError::invalid(format!(
            "The node has no bucket '{bucket}' that notifies. Name it in its configuration, as storage.buckets.{bucket}."
        )))
    }

    /// Makes sure that the target is there, and gives its ARN.
    async fn target(&self, scope: &Scope, arn: &str) -> Result<String, ApiError> {
        let invalid =
            |why: &str| ApiError::invalid(format!("TargetArn '{arn}' can't be told: {why}"));
        let target: Destination = arn.parse().map_err(|_| {
            invalid("use the ARN of a function (arn:aws:lambda:…) or of a queue (arn:aws:sqs:…).")
        })?;
        const FAR: &str = "it must be of the notification's account and region.";
        match &target {
            Destination::Function { key, qualifier } => {
                if (&key.account, &key.region) != (&scope.account, &scope.region) {
                    return Err(invalid(FAR));
                }
                // Whichever of an alias's versions: it is drawn anew when the event is run.
                let registry = &self.0.options.registry;
                let found = registry.resolve_key(key, qualifier.as_ref(), 0.0);
                found.map_err(|error| invalid(&error.message))?;
            }
            Destination::Queue(id) => {
                if (&id.account, &id.region) != (&scope.account, &scope.region) {
                    return Err(invalid(FAR));
                }
                if id.name.as_str().ends_with(".fifo") {
                    return Err(invalid(
                        "queues that keep order take no storage events. Use a standard queue.",
                    ));
                }
                let found = self.0.options.queues.outlook(&id.into()).await;
                found.map_err(|error: QueueError| invalid(&error.message))?;
            }
            Destination::Topic(_) | Destination::Bucket(_) => {
                return Err(invalid("use the ARN of a function or of a queue."));
            }
        }
        Ok(target.to_string())
    }
}

fn id(scope: &Scope, name: &str) -> Result<NotificationId, ApiError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if !(1..=NAME_CHARACTERS).contains(&name.len()) || !name.bytes().all(good) {
        return Err(ApiError::invalid(format!(
            "The name of a notification must be 1 to {NAME_CHARACTERS} letters, digits, hyphens and underscores."
        )));
    }
    Ok(NotificationId {
        account: scope.account.clone(),
        region: scope.region.clone(),
        name: name.to_owned(),
    })
}

/// Prefix and suffix.
fn read_filter(filter: Filter) -> Result<(String, String), ApiError> {
    let (mut prefix, mut suffix) = (None, None);
    for FilterRule { name, value } in filter.key.filter_rules {
        // S3 takes them in any case.
        let place = match name.to_ascii_lowercase().as_str() {
            "prefix" => &mut prefix,
            "suffix" => &mut suffix,
            _ => {
                return Err(ApiError::invalid(
                    "A filter rule's Name must be prefix or suffix.",
                ));
            }
        };
        if value.len() > VALUE_BYTES {
            return Err(ApiError::invalid(format!(
                "A filter rule's Value may have {VALUE_BYTES} bytes."
            )));
        }
        if place.replace(value).is_some() {
            return Err(ApiError::invalid(
                "A filter may have one prefix and one suffix. Make another notification for others.",
            ));
        }
    }
    Ok((prefix.unwrap_or_default(), suffix.unwrap_or_default()))
}

fn shown(notification: &Notification) -> Shape {
    let Notification {
        id,
        settings,
        created,
        modified,
    } = notification;
    let rules = [("prefix", &settings.prefix), ("suffix", &settings.suffix)];
    let rules: Vec<_> = rules
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| FilterRule {
            name: name.to_owned(),
            value: value.clone(),
        })
        .collect();
    Shape {
        name: Some(id.name.clone()),
        bucket: Some(settings.bucket.to_string()),
        events: Some(settings.events.clone()),
        filter: (!rules.is_empty()).then_some(Filter {
            key: KeyFilter {
                filter_rules: rules,
            },
        }),
        target_arn: Some(settings.target.clone()),
        creation_time: Some(created.to_iso_string()),
        last_modified_time: Some(modified.to_iso_string()),
    }
}

fn no_notification(name: &str) -> ApiError {
    ApiError::not_found(format!("There is no notification '{name}' in this region."))
}

/// What a caller is told of the store's refusal.
pub(crate) fn refusal(error: StorageStoreError) -> ApiError {
    match error {
        StorageStoreError::Full => {
            ApiError::invalid("There are as many notifications as there may be. Remove one first.")
        }
        StorageStoreError::Missing => ApiError::not_found("There is no such notification."),
        StorageStoreError::Store(error) => unavailable(error),
    }
}

fn unavailable(error: StoreError) -> ApiError {
    tracing::error!(%error, "the store of storage events refused");
    let message = match error {
        StoreError::Full(_) => "The node has no space left to store it. Free some and try again.",
        StoreError::Corrupt(_) => {
            return ApiError::service(
                "The store of storage events is damaged; the node's log says where.",
            );
        }
        _ => "The store of storage events can't be used now. Try again.",
    };
    ApiError::new(ErrorKind::ServiceUnavailable, message)
}
