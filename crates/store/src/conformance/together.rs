//! Many callers at once.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use super::samples::{alias, function, key};
use super::{Home, commit, load, open};
use crate::contract::{Change, Store, StoreError};

/// Callers at once: more than one transaction's worth of any sensible group commit.
const CALLERS: u64 = 300;

/// Runs all at once and gives what each answered, in order.
async fn all<T: Send + 'static>(futures: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("a commit does not panic"));
    }
    answers
}

pub(super) async fn one_of_many_updates_wins<H: Home>(home: &H) {
    let store = Arc::new(open(home).await);
    let key = key("f");
    commit(&*store, vec![Change::CreateFunction(function(&key, 1, 0))]).await;
    for generation in 2..5 {
        let updates = (0..CALLERS).map(|tag| {
            let (store, record) = (store.clone(), function(&key, generation, tag));
            async move { store.commit(vec![Change::UpdateFunction(record)]).await }
        });
        let answers = all(updates.collect()).await;
        let winners: Vec<u64> = (0..)
            .zip(&answers)
            .filter(|(_, a)| a.is_ok())
            .map(|(tag, _)| tag)
            .collect();
        assert_eq!(winners.len(), 1, "exactly one may win");
        assert!(
            answers
                .iter()
                .all(|a| matches!(a, Ok(()) | Err(StoreError::Conflict(_))))
        );
        let stored = load(&*store).await.functions.remove(0).function;
        assert_eq!(
            stored,
            function(&key, generation, winners[0]),
            "the winner's record is stored"
        );
    }
}

pub(super) async fn commits_of_many_callers_all_hold<H: Home>(home: &H) {
    let store = Arc::new(open(home).await);
    let commits = (0..CALLERS).map(|n| {
        let (store, key) = (store.clone(), key(&format!("f{n}")));
        async move {
            let changes = vec![
                Change::CreateFunction(function(&key, 1, n)),
                Change::CreateAlias(key, alias("live", n)),
            ];
            store.commit(changes).await
        }
    });
    for answer in all(commits.collect()).await {
        answer.expect("each fits");
    }
    let functions = load(&*store).await.functions;
    assert_eq!(functions.len() as u64, CALLERS);
    assert!(functions.iter().all(|f| f.aliases.len() == 1));
}

pub(super) async fn a_conflict_spoils_only_its_own<H: Home>(home: &H) {
    let store = Arc::new(open(home).await);
    let commits = (0..CALLERS).map(|n| {
        let (store, key) = (store.clone(), key(&format!("f{n}")));
        async move {
            let mut changes = vec![Change::CreateFunction(function(&key, 1, n))];
            if n % 3 == 0 {
                changes.push(Change::DeleteAlias(key, alias("none", 0).name));
            }
            store.commit(changes).await
        }
    });
    for (n, answer) in (0..).zip(all(commits.collect()).await) {
        match answer {
            Ok(()) => assert_ne!(n % 3, 0, "{n} does not fit"),
            Err(StoreError::Conflict(_)) => assert_eq!(n % 3, 0, "{n} fits"),
            Err(other) => panic!("{n}: {other}"),
        }
    }
    assert_eq!(
        load(&*store).await.functions.len() as u64,
        CALLERS - CALLERS / 3
    );
}

pub(super) async fn an_answer_is_seen_by_the_next_load<H: Home>(home: &H) {
    let store = Arc::new(open(home).await);
    let callers = (0..32).map(|n| {
        let (store, key) = (store.clone(), key(&format!("f{n}")));
        async move {
            commit(&*store, vec![Change::CreateFunction(function(&key, 1, n))]).await;
            load(&*store)
                .await
                .functions
                .iter()
                .any(|f| f.function.key == key)
        }
    });
    assert!(all(callers.collect()).await.into_iter().all(|seen| seen));
}

pub(super) async fn dropped_commits_are_whole_or_not_there<H: Home>(home: &H) {
    let store = open(home).await;
    for n in 0..64 {
        let key = key(&format!("f{n}"));
        let changes = vec![
            Change::CreateFunction(function(&key, 1, n)),
            Change::CreateAlias(key, alias("live", n)),
        ];
        // Polled as often as `n` says, then dropped wherever it is.
        let mut pending = store.commit(changes);
        for _ in 0..n % 4 {
            if pending
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready()
            {
                break;
            }
        }
        drop(pending);
    }
    // A later commit is in order behind them, and the store goes on.
    commit(
        &store,
        vec![Change::CreateFunction(function(&key("last"), 1, 0))],
    )
    .await;
    let functions = load(&store).await.functions;
    assert!(functions.iter().any(|f| f.function.key == key("last")));
    for found in functions.iter().filter(|f| f.function.key != key("last")) {
        assert_eq!(
            found.aliases.len(),
            1,
            "{} is half applied",
            found.function.key
        );
    }
    home.close(store).await;
    assert_eq!(
        load(&open(home).await).await.functions,
        functions,
        "and it is kept so"
    );
}
