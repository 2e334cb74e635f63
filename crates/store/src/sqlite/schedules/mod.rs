//! Schedules on one node: a SQLite database of its own beside the control plane's.
//!
//! One thread ([`group`](super::group)) writes: what is due at the same moment shares transactions and fsyncs. What
//! only asks goes beside it. Nothing is held in memory: the next due time is the first entry of an index, and
//! [`SqliteScheduleStore::changed`] tells when to look again.

mod rows;

use std::path::Path;

use hearth_types::time::Timestamp;
use tokio::sync::futures::Notified;

use super::due::{DueFile, Work};
use super::file::{self, Kind};
use crate::contract::StoreError;
use crate::schedules::{
    After, Due, Fate, Firing, Group, MOST_CLEARED, NewSchedule, Place, Schedule,
    ScheduleStoreError, Settings, TOKEN_MS, Token,
};

/// The file.
const KIND: Kind = Kind {
    // `HrSc`
    application_id: 0x4872_5363,
    migrations: &[include_str!("schema.sql")],
    of: "schedules",
    // As for events.
    checkpoint_pages: 4096,
};

/// Tokens that are forgotten with each that is kept: more than come, so that they go.
const FORGOTTEN: usize = 4;

/// Bounds of a [`SqliteScheduleStore`].
#[derive(Clone, Copy, Debug)]
pub struct ScheduleBounds {
    /// Most schedules of the node.
    pub schedules: u64,
    /// Most groups of the node.
    pub groups: u64,
    /// Most groups of an account in a region.
    pub groups_of_place: u64,
}

impl Default for ScheduleBounds {
    fn default() -> Self {
        Self {
            schedules: 1_000_000,
            groups: 100_000,
            // As many as the service (EventBridge Scheduler user guide, "Quotas").
            groups_of_place: 500,
        }
    }
}

/// Schedules in one SQLite database file.
///
/// Each call is atomic, and what is answered is on disk (after the covering fsync) and seen by every later call. A
/// dropped future leaves it open whether it was done; it is never half done.
///
/// One process at a time: that is seen to by [`crate::SqliteStore`] in the same folder, which is opened first.
#[derive(Debug)]
pub struct SqliteScheduleStore {
    file: DueFile,
    bounds: ScheduleBounds,
}

/// What a change answers: a refusal has changed nothing, and lets the transaction go on.
type Answer<T> = Result<Result<T, ScheduleStoreError>, StoreError>;

/// What is due: with a schedule's number, it, unless that can't be fired.
pub type DueSchedule = (i64, Result<Schedule, Unfit>);

/// A firing that is due; only its schedule's number and its time, if it is not what was written.
pub type DueFiring = Result<Firing, (i64, Timestamp)>;

/// Why a schedule whose time has come can't be fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It is not what was written.
    Damaged,
    /// Its group is being removed.
    Removed,
}

impl SqliteScheduleStore {
    /// Opens the database at `path`, or makes it (its folder must be there; readable by its owner alone).
    ///
    /// # Errors
    /// As [`crate::SqliteStore::open`], also when transactions that were answered are missing; damage inside is found
    /// when it is met.
    pub fn open(path: impl AsRef<Path>, bounds: ScheduleBounds) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let connection = file::open(path, &KIND)?;
        Ok(Self {
            file: DueFile::start(path, connection, "hearth-schedules")?,
            bounds,
        })
    }

    /// A change that a client asks for, under its token: one that was made already is answered as the first was.
    async fn change<T: Default + Send + 'static>(
        &self,
        place: &Place,
        token: Option<Token>,
        now: Timestamp,
        mut act: impl FnMut(&mut Work<'_>) -> Answer<T> + Send + 'static,
    ) -> Result<T, ScheduleStoreError> {
        let place = place.clone();
        self.file
            .write(0, move |work| {
                if let Some(token) = &token {
                    match rows::token(work.connection, &place, &token.token, now)? {
                        Some(request) if request == token.request => return Ok(Ok(T::default())),
                        Some(_) => return Ok(Err(ScheduleStoreError::OtherRequest)),
                        None => {}
                    }
                }
                let done = act(work)?;
                if let (Some(token), Ok(_)) = (&token, &done) {
                    let until = now.as_millis().saturating_add(TOKEN_MS);
                    rows::keep_token(work.connection, &place, token, until)?;
                    rows::forget_tokens(work.connection, now, FORGOTTEN)?;
                }
                Ok(done)
            })
            .await?
    }

    /// Makes a group.
    ///
    /// # Errors
    /// [`ScheduleStoreError`]: `Exists`, `Full`, `OtherRequest`, or the store's.
    pub async fn create_group(
        &self,
        place: &Place,
        name: String,
        tags: std::collections::BTreeMap<String, String>,
        token: Option<Token>,
        now: Timestamp,
    ) -> Result<(), ScheduleStoreError> {
        let (bounds, owner) = (self.bounds, place.clone());
        self.change(place, token, now, move |work| {
            if rows::group(work.connection, &owner, &name)?.is_some() {
                return Ok(Err(ScheduleStoreError::Exists));
            }
            let (all, own) = rows::count_groups(work.connection, &owner)?;
            if all >= bounds.groups || own >= bounds.groups_of_place {
                return Ok(Err(ScheduleStoreError::Full));
            }
            rows::insert_group(work.connection, &owner, &name, &tags, now)?;
            Ok(Ok(()))
        })
        .await
    }

    /// A group, if it is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn group(&self, place: &Place, name: &str) -> Result<Option<Group>, StoreError> {
        let (place, name) = (place.clone(), name.to_owned());
        self.file
            .read(move |connection| rows::group(connection, &place, &name))
            .await
    }

    /// Groups whose names begin with `prefix`, after `after`, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn groups(
        &self,
        place: &Place,
        prefix: String,
        after: String,
        limit: usize,
    ) -> Result<Vec<Group>, StoreError> {
        let place = place.clone();
        self.file
            .read(move |connection| rows::groups(connection, &place, &prefix, &after, limit))
            .await
    }

    /// Changes a group's tags. `change` may be called more than once, each time with the tags as they are.
    ///
    /// # Errors
    /// [`ScheduleStoreError`]: `MissingGroup`, or the store's.
    pub async fn tag_group(
        &self,
        place: &Place,
        name: String,
        change: impl Fn(&mut std::collections::BTreeMap<String, String>) + Send + 'static,
        now: Timestamp,
    ) -> Result<(), ScheduleStoreError> {
        let owner = place.clone();
        self.change(place, None, now, move |work| {
            let Some(mut group) = rows::group(work.connection, &owner, &name)? else {
                return Ok(Err(ScheduleStoreError::MissingGroup));
            };
            change(&mut group.tags);
            rows::tag_group(work.connection, &group, now)?;
            Ok(Ok(()))
        })
        .await
    }

    /// Marks a group as one that is being removed: nothing of it fires any more. [`SqliteScheduleStore::clear`] does
    /// the rest.
    ///
    /// # Errors
    /// [`ScheduleStoreError`]: `MissingGroup`, `OtherRequest`, or the store's.
    pub async fn delete_group(
        &self,
        place: &Place,
        name: String,
        token: Option<Token>,
        now: Timestamp,
    ) -> Result<(), ScheduleStoreError> {
        let owner = place.clone();
        self.change(place, token, now, move |work| {
            let Some(group) = rows::group(work.connection, &owner, &name)? else {
                return Ok(Err(ScheduleStoreError::MissingGroup));
            };
            rows::mark_group(work.connection, group.number, now)?;
            Ok(Ok(()))
        })
        .await
    }

    /// Removes a part of what groups that are being removed have; whether there is more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clear(&self) -> Result<bool, StoreError> {
        self.file
            .write(0, |work| rows::clear(work.connection, MOST_CLEARED))
            .await
    }

    /// Makes a schedule.
    ///
    /// # Errors
    /// [`ScheduleStoreError`]: `MissingGroup`, `Exists`, `Full`, `OtherRequest`, or the store's.
    pub async fn create(
        &self,
        (place, group, name): (&Place, String, String),
        new: impl Fn(i64) -> NewSchedule + Send + 'static,
        token: Option<Token>,
        now: Timestamp,
    ) -> Result<(), ScheduleStoreError> {
        let (most, owner) = (self.bounds.schedules, place.clone());
        self.change(place, token, now, move |work| {
            let group = rows::group(work.connection, &owner, &group)?;
            let Some(group) = group.filter(|group| !group.deleting) else {
                return Ok(Err(ScheduleStoreError::MissingGroup));
            };
            if rows::schedule(work.connection, &group, &name)?.is_some() {
                return Ok(Err(ScheduleStoreError::Exists));
            }
            let number = rows::next_number(work.connection)?;
            if rows::count(work.connection)? >= most {
                return Ok(Err(ScheduleStoreError::Full));
            }
            let NewSchedule { settings, next } = new(number);
            let schedule = Schedule {
                place: owner.clone(),
                group: group.name.clone(),
                name: name.clone(),
                settings,
                created: now,
                modified: now,
                next,
                last: None,
                missed: 0,
                failed: 0,
                number,
                revision: 0,
            };
            rows::insert(work.connection, group.number, &schedule)?;
            work.due_changed();
            Ok(Ok(()))
        })
        .await
    }

    /// A schedule, if it is there.
    ///
    /// # Errors
    /// [`ScheduleStoreError`]: `MissingGroup`, or the store's.
    pub async fn schedule(
        &self,
        place: &Place,
        group: &str,
        name: &str,
    ) -> Result<Option<Schedule>, ScheduleStoreError> {
        let (place, group, name) = (place.clone(), group.to_owned(), name.to_owned());
        self.file
            .read(move |connection| {
                let Some(group) = rows::group(connection, &place, &group)? else {
                    return Err(ScheduleStoreError::MissingGroup);
                };
                Ok(rows::schedule(connection, &group, &name)?)
            })
            .await
    }

    /// Schedules of one group, or of all, whose names begin with `prefix`, after that of a group and a name, in the
    /// order of both.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        place: &Place,
        wanted: Wanted,
        limit: usize,
    ) -> Result<Vec<Schedule>, StoreError> {
        let place = place.clone();
        self.file
            .read(move |connection| rows::list(connection, &place, &wanted, limit))
            .await
    }

    /// Changes a schedule's settings, and with them when it is due. `change` may be called more than once, each time
    /// with the schedule as it is.
    ///
    /// # Errors
    /// [`ScheduleStoreError`]: `MissingGroup`, `Missing`, `OtherRequest`, or the store's.
    pub async fn update(
        &self,
        (place, group, name): (&Place, String, String),
        change: impl Fn(&Schedule) -> (Settings, Option<Due>) + Send + 'static,
        token: Option<Token>,
        now: Timestamp,
    ) -> Result<(), ScheduleStoreError> {
        let owner = place.clone();
        self.change(place, token, now, move |work| {
            let Some(group) = rows::group(work.connection, &owner, &group)? else {
                return Ok(Err(ScheduleStoreError::MissingGroup));
            };
            let Some(mut schedule) = rows::schedule(work.connection, &group, &name)? else {
                return Ok(Err(ScheduleStoreError::Missing));
            };
            (schedule.settings, schedule.next) = change(&schedule);
            schedule.modified = now;
            rows::update(work.connection, &schedule)?;
            work.due_changed();
            Ok(Ok(()))
        })
        .await
    }

    /// Removes a schedule, with its firings that would be tried again.
    ///
    /// # Errors
    /// [`ScheduleStoreError`]: `MissingGroup`, `Missing`, `OtherRequest`, or the store's.
    pub async fn delete(
        &self,
        (place, group, name): (&Place, String, String),
        token: Option<Token>,
        now: Timestamp,
    ) -> Result<(), ScheduleStoreError> {
        let owner = place.clone();
        self.change(place, token, now, move |work| {
            let Some(group) = rows::group(work.connection, &owner, &group)? else {
                return Ok(Err(ScheduleStoreError::MissingGroup));
            };
            // Also of one that is damaged.
            let Some(number) = rows::number(work.connection, &group, &name)? else {
                return Ok(Err(ScheduleStoreError::Missing));
            };
            rows::remove(work.connection, number)?;
            rows::remove_firings(work.connection, number)?;
            Ok(Ok(()))
        })
        .await
    }

    /// Waits until something may be due earlier than before. Make it before looking.
    pub fn changed(&self) -> Notified<'_> {
        self.file.changed()
    }

    /// When the first of all schedules and firings is due.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.file
            .read(|connection| rows::next_due(connection))
            .await
    }

    /// Schedules that are due at `now`, those that were due first before the others.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(&self, now: Timestamp, most: usize) -> Result<Vec<DueSchedule>, StoreError> {
        self.file
            .read(move |connection| rows::due(connection, now, most))
            .await
    }

    /// Firings that are tried again at `now`, those that were due first before the others.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due_firings(
        &self,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<DueFiring>, StoreError> {
        self.file
            .read(move |connection| rows::due_firings(connection, now, most))
            .await
    }

    /// Notes what became of a schedule's time: what follows, that `missed` times were passed over, and a firing that is
    /// tried again or was given up. Of a schedule that has changed since it was read, what follows is left as it is: if
    /// that time is still due, it is for the next that reads it. Of one that is gone, nothing is noted.
    ///
    /// Of several that note the same time the first is believed; but a firing that another has made is not tried again.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed.
    pub async fn advance(
        &self,
        schedule: &Schedule,
        due: Due,
        after: After,
        missed: u64,
        left: Option<Left>,
    ) -> Result<(), StoreError> {
        let (number, revision) = (schedule.number, schedule.revision);
        self.file
            .write(0, move |work| {
                let Some(mut current) = rows::by_number(work.connection, number)? else {
                    return Ok(());
                };
                let is_first = current.last < Some(due.scheduled);
                match &left {
                    Some(Left::Again(firing)) if is_first => {
                        rows::put_firing(work.connection, firing)?
                    }
                    Some(Left::GivenUp) if is_first => current.failed += 1,
                    None if !is_first => {
                        rows::remove_firing(work.connection, number, due.scheduled)?
                    }
                    _ => {}
                }
                if is_first {
                    current.last = Some(due.scheduled);
                    current.missed += missed;
                }
                let is_as_read = current.revision == revision;
                if is_as_read {
                    match after {
                        After::Due(due) => current.next = Some(due),
                        After::Over => current.next = None,
                        After::Removed => return rows::remove(work.connection, number),
                    }
                }
                if is_first || is_as_read {
                    rows::update(work.connection, &current)?;
                }
                Ok(())
            })
            .await
    }

    /// Lets a schedule that can't be fired be due no more.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed.
    pub async fn halt(&self, number: i64) -> Result<(), StoreError> {
        self.file
            .write(0, move |work| rows::halt(work.connection, number))
            .await
    }

    /// Notes what became of a firing that was tried again.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed.
    pub async fn settle(&self, firing: &Firing, fate: Fate) -> Result<(), StoreError> {
        let firing = firing.clone();
        match fate {
            // One whose schedule was deleted meanwhile is gone, and stays so.
            Fate::Again(due) => {
                self.file
                    .write(0, move |work| {
                        rows::delay_firing(work.connection, &firing, due)
                    })
                    .await
            }
            Fate::Done => {
                self.file
                    .write(0, move |work| {
                        rows::remove_firing(work.connection, firing.schedule, firing.scheduled)
                    })
                    .await
            }
            Fate::GivenUp => self.give_up(firing.schedule, firing.scheduled).await,
        }
    }

    /// Removes a firing that is given up, and counts it.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed.
    pub async fn give_up(&self, schedule: i64, scheduled: Timestamp) -> Result<(), StoreError> {
        self.file
            .write(0, move |work| {
                rows::count_failure(work.connection, schedule)?;
                rows::remove_firing(work.connection, schedule, scheduled)
            })
            .await
    }
}

/// A firing that an advance leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// It is tried again.
    Again(Box<Firing>),
    /// It was given up.
    GivenUp,
}

/// Which schedules a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of one group alone.
    pub group: Option<String>,
    /// Whose names begin so.
    pub prefix: String,
    /// Only those that fire, or only those that don't.
    pub enabled: Option<bool>,
    /// After this group and name.
    pub after: Option<(String, String)>,
}
