//! A process that is killed loses nothing that was answered, and leaves nothing half applied.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::time::Duration;

use hearth_store::conformance::random::Random;
use hearth_store::{SqliteStore, Store};
use support::{Sequence, be_the_child, child_of, database, kill_after};
use tempfile::TempDir;

const ROUNDS: u64 = 30;

#[test]
fn child() {
    be_the_child();
}

#[tokio::test]
async fn killed_at_any_moment_all_that_was_answered_is_there() {
    let mut unanswered = 0;
    for seed in 0..ROUNDS {
        let mut random = Random::new(seed);
        let folder = TempDir::new().unwrap();
        let path = database(folder.path());
        let child = child_of(&[], &path, seed, u64::MAX);
        // An fsync is some 4 ms: within that, any microsecond.
        let answered = kill_after(
            child,
            1 + random.below(40),
            Duration::from_micros(random.below(8000)),
        );

        let store = SqliteStore::open(&path).unwrap();
        let found = store.load().await.unwrap();
        let mut sequence = Sequence::new(seed);
        for _ in 0..answered {
            sequence.next_commit();
        }
        if found != sequence.model.contents() {
            // One more may have been on its way, and then it is whole.
            sequence.next_commit();
            assert_eq!(
                found,
                sequence.model.contents(),
                "seed {seed}, {answered} answers"
            );
            unanswered += 1;
        }
        // It goes on from there, and is itself after a clean end.
        store.commit(sequence.next_commit()).await.unwrap();
        drop(store);
        let found = SqliteStore::open(&path).unwrap().load().await.unwrap();
        assert_eq!(found, sequence.model.contents(), "seed {seed}, reopened");
    }
    println!("{ROUNDS} kills, {unanswered} of them between a COMMIT and its answer");
}
