//! The suite that every store must pass: each sentence of [`crate::contract`] has a case here.
//!
//! An implementation plugs in by saying where its state lives ([`Home`]); see this crate's tests for the one of
//! [`crate::sqlite`]. A case that fails panics with its reason, as a test does.

mod conflicts;
mod durability;
mod event_invokes;
pub mod events;
mod functions;
pub mod key_value;
mod layers;
mod mappings;
pub mod model;
pub mod random;
mod routes;
pub mod samples;
mod together;
mod topics;
mod urls;

use std::future::Future;

use crate::contract::{Change, Contents, Store, StoreError};

/// A place that keeps the state of one store while it is closed.
pub trait Home: Send + Sync + 'static {
    /// The implementation.
    type Store: Store;

    /// Opens the store: the first time it is empty, later it has what was kept.
    fn open(&self) -> impl Future<Output = Result<Self::Store, StoreError>> + Send;

    /// Closes the store; once this is done it can be opened again.
    fn close(&self, store: Self::Store) -> impl Future<Output = ()> + Send;
}

/// Runs every case, each in a home that `fresh` makes empty for it.
///
/// # Panics
/// If the store breaks the contract.
pub async fn check<H: Home>(fresh: impl Fn() -> H) {
    macro_rules! cases {
        ($($theme:ident: $($case:ident)+;)+) => {
            $($(
                eprintln!("store conformance: {}::{}", stringify!($theme), stringify!($case));
                $theme::$case(&fresh()).await;
            )+)+
        };
    }
    cases! {
        functions: an_empty_store_has_nothing create_and_update_read_back versions_and_aliases_read_back
            keys_are_apart deleting_a_function_takes_all_that_is_its_own unicode_and_every_kind_of_text
            large_records shares_keep_every_bit lists_are_in_order;
        conflicts: each_change_that_does_not_fit records_that_can_not_be_kept nothing_is_half_applied
            changes_see_those_before_them a_published_configuration_never_changes;
        layers: numbers_count_from_one numbers_are_never_used_again layers_are_apart;
        routes: routes_and_keys_read_back what_was_not_seen_is_a_conflict routes_outlive_functions;
        event_invokes: configurations_read_back what_was_not_seen_is_a_conflict a_function_takes_them_along;
        topics: topics_read_back what_was_not_seen_is_a_conflict;
        mappings: mappings_read_back what_was_not_seen_is_a_conflict;
        urls: urls_and_policies_read_back what_does_not_fit_is_a_conflict a_function_takes_them_along;
        together: one_of_many_updates_wins commits_of_many_callers_all_hold a_conflict_spoils_only_its_own
            an_answer_is_seen_by_the_next_load dropped_commits_are_whole_or_not_there;
        durability: what_was_answered_is_there_after_reopening random_changes_equal_the_model;
    }
}

/// Opens the home, which must work.
async fn open<H: Home>(home: &H) -> H::Store {
    home.open().await.expect("the store opens")
}

/// Commits what must fit.
async fn commit(store: &impl Store, changes: Vec<Change>) {
    store.commit(changes).await.expect("the commit fits");
}

/// Loads what must be readable.
async fn load(store: &impl Store) -> Contents {
    store.load().await.expect("the store loads")
}

/// Commits what must be a conflict, and makes sure that it changed nothing.
async fn refused(store: &impl Store, changes: Vec<Change>, why: &str) {
    let before = load(store).await;
    match store.commit(changes).await {
        Err(StoreError::Conflict(_)) => {}
        other => panic!("{why}: expected a conflict, got {other:?}"),
    }
    assert_eq!(
        load(store).await,
        before,
        "{why}: a conflict changes nothing"
    );
}
