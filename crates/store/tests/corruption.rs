//! Bytes that changed or went missing are found: what is read is what was written, or an error.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::fs;
use std::path::Path;

use hearth_store::conformance::random::Random;
use hearth_store::{Contents, SqliteStore, Store, StoreError};
use support::{Sequence, be_the_child, child_of, database, wait_for_end};
use tempfile::TempDir;

/// Damages tried by default; the whole target is 1000.
const SEEDS: u64 = 200;

fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("HEARTH_STORE_CORRUPTION_SEEDS");
    0..asked.map_or(SEEDS, |n| n.parse().expect("a number of seeds"))
}

#[test]
fn child() {
    be_the_child();
}

/// Flips one to eight bits of a file, or cuts it, or overwrites a stretch with zeros.
fn damage(file: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(file).unwrap();
    let length = bytes.len() as u64;
    let what = match random.below(4) {
        0 => {
            let end = if random.below(4) == 0 {
                0
            } else {
                random.below(length)
            };
            bytes.truncate(end as usize);
            format!("cut at {end}")
        }
        1 => {
            let from = random.below(length) as usize;
            let to = (from + 1 + random.below(5000) as usize).min(bytes.len());
            bytes[from..to].fill(0);
            format!("zeros at {from}..{to}")
        }
        _ => {
            let places: Vec<u64> = (0..=random.below(8))
                .map(|_| random.below(length))
                .collect();
            for place in &places {
                bytes[*place as usize] ^= 1 << random.below(8);
            }
            format!("bits flipped at {places:?}")
        }
    };
    fs::write(file, bytes).unwrap();
    format!("{}: {what}", file.display())
}

/// Damages copies of the data folder `from`, whose store holds `expected`; how many damages were found.
async fn damage_all(from: &Path, files: &[&str], expected: &Contents) -> u64 {
    let mut found = 0;
    for seed in seeds() {
        let folder = TempDir::new().unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let mut random = Random::new(seed);
        let file = files[random.below(files.len() as u64) as usize];
        let what = damage(&folder.path().join(file), &mut random);
        let loaded = match SqliteStore::open(database(folder.path())) {
            Ok(store) => store.load().await,
            Err(error) => Err(error),
        };
        match loaded {
            Ok(contents) => assert!(
                contents == *expected,
                "seed {seed}, {what}: silently different"
            ),
            Err(error) => {
                found += 1;
                let text = error.to_string();
                assert!(
                    !text.contains("its writer has stopped"),
                    "seed {seed}, {what}: a panic"
                );
                if let StoreError::Corrupt(_) = error {
                    assert!(
                        text.contains("backup"),
                        "seed {seed}, {what}: {text}: says not what to do"
                    );
                }
            }
        }
    }
    found
}

#[tokio::test]
async fn damage_of_a_closed_store_is_never_silent() {
    let folder = TempDir::new().unwrap();
    let mut sequence = Sequence::new(3);
    let store = SqliteStore::open(database(folder.path())).unwrap();
    for _ in 0..60 {
        store.commit(sequence.next_commit()).await.unwrap();
    }
    drop(store);
    let files = ["hearth.db", "hearth.db", "hearth.db", "hearth.db-watermark"];
    let found = damage_all(folder.path(), &files, &sequence.model.contents()).await;
    println!(
        "{found} of {} damages found, the others harmless",
        seeds().end
    );
    assert!(
        found > seeds().end / 3,
        "the damages do no harm: the test shows nothing"
    );
}

#[tokio::test]
async fn damage_of_the_log_of_a_store_that_was_not_closed_is_never_silent() {
    let folder = TempDir::new().unwrap();
    wait_for_end(child_of(&[], &database(folder.path()), 3, 40), 40);
    let mut sequence = Sequence::new(3);
    (0..40).for_each(|_| drop(sequence.next_commit()));
    let found = damage_all(
        folder.path(),
        &["hearth.db-wal"],
        &sequence.model.contents(),
    )
    .await;
    println!(
        "{found} of {} damages of the log found, the others harmless",
        seeds().end
    );
    assert!(
        found > seeds().end / 3,
        "the damages do no harm: the test shows nothing"
    );
}
