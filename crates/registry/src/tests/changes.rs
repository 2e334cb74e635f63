//! Changes that meet.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hearth_types::wire::lambda::{
    PutFunctionConcurrencyRequest, UpdateFunctionConfigurationRequest,
};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_updates_that_saw_the_same_revision_exactly_one_wins() {
    let world = World::new().await;
    let revision = world.function("f").await.revision_id;
    let racers: Vec<_> = (1..=16)
        .map(|timeout| {
            let (registry, scope, revision) = (
                world.registry.clone(),
                world.scope.clone(),
                revision.clone(),
            );
            tokio::spawn(async move {
                let request = UpdateFunctionConfigurationRequest {
                    timeout: Some(timeout),
                    revision_id: Some(revision),
                    ..Default::default()
                };
                registry
                    .update_function_configuration(&scope, &function("f"), request)
                    .await
            })
        })
        .collect();
    let mut won = Vec::new();
    for racer in racers {
        match racer.await.unwrap() {
            Ok(configuration) => won.push(configuration.timeout),
            Err(error) => assert!(
                matches!(
                    error.kind,
                    ErrorKind::PreconditionFailed | ErrorKind::ResourceConflict
                ),
                "{error}"
            ),
        }
    }
    assert_eq!(won.len(), 1);
    assert_eq!(world.settled("f").await.timeout, won[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_creations_of_the_same_name_exactly_one_wins_and_others_are_all_kept() {
    let world = World::new().await;
    let racers: Vec<_> = (0..24)
        .map(|n| {
            let (registry, scope) = (world.registry.clone(), world.scope.clone());
            // Three of each name.
            tokio::spawn(async move {
                registry
                    .create_function(&scope, create(&format!("f{}", n / 3)))
                    .await
            })
        })
        .collect();
    let mut created = 0;
    for racer in racers {
        match racer.await.unwrap() {
            Ok(_) => created += 1,
            Err(error) => assert_eq!(error.kind, ErrorKind::ResourceConflict),
        }
    }
    assert_eq!(created, 8);
    for n in 0..8 {
        world.settled(&format!("f{n}")).await;
    }
    assert_eq!(world.store.contents().functions.len(), 8);
    let usage = world
        .registry
        .get_account_settings(&world.scope)
        .account_usage;
    assert_eq!(usage.function_count, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_reservations_do_not_pass_the_limit_together() {
    let world = World::new().await;
    for n in 0..6 {
        world.function(&format!("f{n}")).await;
    }
    let racers: Vec<_> = (0..6)
        .map(|n| {
            let (registry, scope) = (world.registry.clone(), world.scope.clone());
            tokio::spawn(async move {
                let request = PutFunctionConcurrencyRequest {
                    reserved_concurrent_executions: Some(300),
                };
                registry
                    .put_function_concurrency(&scope, &function(&format!("f{n}")), request)
                    .await
            })
        })
        .collect();
    let mut granted = 0;
    for racer in racers {
        granted += usize::from(racer.await.unwrap().is_ok());
    }
    assert_eq!(granted, 3);
}

#[tokio::test]
async fn a_caller_that_stops_waiting_leaves_nothing_half_done() {
    let world = World::new().await;
    world.function("f").await;
    {
        let request = UpdateFunctionConfigurationRequest {
            timeout: Some(77),
            ..Default::default()
        };
        let f = function("f");
        let mut update = pin!(world.registry.update_function_configuration(
            &world.scope,
            &f,
            request
        ));
        // The commit is under way when the caller goes.
        let polled = update
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending));
    }
    let wait = async {
        while world.get("f").timeout != 77 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait)
        .await
        .unwrap();
    let settled = world.settled("f").await;
    assert_eq!(
        settled.last_update_status,
        Some(LastUpdateStatus::Successful)
    );
    assert_eq!(
        world.store.contents().functions[0]
            .function
            .latest
            .configuration
            .timeout_s,
        77
    );
    assert!(world.update_code("f", "two").await.is_ok());
}
