//! What the dispatcher does and when, to the second, by a clock that passes when nothing is left to do.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth_events::destinations::{Destinations, Form, Told};
use hearth_store::EventOptions;
use hearth_store::conformance::events::memory::MemoryEvents;
use hearth_store::events::{Counts, EventStore as _, State};
use hearth_types::event_invoke::{Condition, EventInvokeConfig};
use hearth_types::invoke::BoxFuture;
use support::{Does, Running, Scripted, Time, function, function_of, id, node, pass};

const SHORT: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(900);

async fn counts(running: &Running, name: &str) -> Counts {
    let all = running.store.counts().await.unwrap();
    all.into_iter()
        .find(|(key, _)| key.name.as_str() == name)
        .map(|(_, counts)| counts)
        .unwrap_or_default()
}

/// Whole seconds: what attempts take is less.
fn whole(seconds: &[f64]) -> Vec<u64> {
    seconds.iter().map(|second| *second as u64).collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_that_succeeds_runs_once_and_leaves_nothing() {
    let time = Time::start();
    let functions = Arc::new(Scripted::new(time, |_, _| Does::Succeed(SHORT)));
    let (_, node) = node(time, &functions);
    node.accept(time, &function("f"), 1).await;
    pass(3_600).await;
    assert_eq!(functions.seconds_of(1), [0.0]);
    assert_eq!(counts(&node, "f").await, Counts::default());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_function_is_tried_after_one_and_two_minutes_and_then_dead() {
    let time = Time::start();
    let functions = Arc::new(Scripted::new(time, |_, _| Does::Fail(Duration::ZERO)));
    let (_, node) = node(time, &functions);
    node.accept(time, &function("f"), 1).await;
    pass(10_000).await;
    assert_eq!(functions.seconds_of(1), [0.0, 60.0, 180.0]);
    let dead = node.store.dead(id(1)).await.unwrap().unwrap();
    assert_eq!(dead.end.condition, Condition::RetriesExhausted);
    assert_eq!(dead.end.attempts, 3);
    assert_eq!(dead.end.message, "E: no");
    assert_eq!(
        dead.end.at.as_millis(),
        dead.event.accepted.as_millis() + 180_000
    );
    assert_eq!(
        dead.end.response.as_deref(),
        Some(&br#"{"errorType":"E","errorMessage":"no"}"#[..])
    );
    assert_eq!(counts(&node, "f").await.dead, 1);
    // Dead events go when they have been kept for fourteen days.
    pass(14 * 24 * 3_600 + 7_200).await;
    assert_eq!(counts(&node, "f").await.dead, 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn attempts_and_age_are_the_functions() {
    let time = Time::start();
    let mut functions = Scripted::new(time, |_, _| Does::Fail(Duration::ZERO));
    functions.settings.invoke = EventInvokeConfig {
        maximum_retry_attempts: Some(0),
        ..EventInvokeConfig::default()
    };
    let (_, once) = node(time, &Arc::new(functions));
    once.accept(time, &function("f"), 1).await;
    pass(1).await;
    assert_eq!(counts(&once, "f").await.dead, 1);

    let time = Time::start();
    let mut functions = Scripted::new(time, |_, _| Does::Throttle);
    functions.settings.invoke.maximum_event_age_s = Some(60);
    let functions = Arc::new(functions);
    let (_, aged) = node(time, &functions);
    aged.accept(time, &function("f"), 1).await;
    pass(59).await;
    assert_eq!(counts(&aged, "f").await.dead, 0);
    pass(1).await;
    tokio::time::sleep(SHORT).await;
    let dead = aged.store.dead(id(1)).await.unwrap().unwrap();
    assert_eq!(dead.end.condition, Condition::EventAgeExceeded);
    assert_eq!(whole(&functions.seconds_of(1)), [0, 1, 3, 7, 15, 31]);
    assert_eq!(dead.end.attempts, 6);
    assert!(
        dead.end.message.contains("Rate Exceeded"),
        "{}",
        dead.end.message
    );
    assert_eq!(
        dead.end.at.as_millis(),
        dead.event.accepted.as_millis() + 60_000
    );
}

#[tokio::test(start_paused = true)]
async fn throttles_back_off_up_to_five_minutes_and_cost_no_attempt() {
    let time = Time::start();
    // Throttled eleven times, then it fails, then it is throttled again, then it succeeds.
    let functions = Arc::new(Scripted::new(time, |_, attempt| match attempt {
        1..=11 | 13 => Does::Throttle,
        12 => Does::Fail(Duration::ZERO),
        _ => Does::Succeed(Duration::ZERO),
    }));
    let (_, node) = node(time, &functions);
    node.accept(time, &function("f"), 1).await;
    pass(6 * 3_600).await;
    assert_eq!(
        functions.seconds_of(1),
        [
            0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 127.0, 255.0, 511.0, 811.0, 1_111.0, 1_171.0,
            1_172.0
        ]
    );
    assert_eq!(counts(&node, "f").await, Counts::default());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_function_and_a_faulty_platform_have_ends_too() {
    let time = Time::start();
    let functions = Arc::new(Scripted::new(time, |event, _| {
        match event.function.name.as_str() {
            "stopped" => Does::Blocked,
            _ => Does::Panic,
        }
    }));
    let (_, node) = node(time, &functions);
    node.accept(time, &function("stopped"), 1).await;
    node.accept(time, &function("faulty"), 2).await;
    pass(1).await;
    let dead = node.store.dead(id(1)).await.unwrap().unwrap();
    assert_eq!(dead.end.condition, Condition::ZeroReservedConcurrency);
    assert_eq!(dead.end.attempts, 0);
    pass(6 * 3_600).await;
    let dead = node.store.dead(id(2)).await.unwrap().unwrap();
    assert_eq!(dead.end.condition, Condition::EventAgeExceeded);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_function_does_not_delay_anothers_events() {
    let time = Time::start();
    let functions = Arc::new(Scripted::new(time, |event, _| {
        match event.function.name.as_str() {
            "flood" => Does::Succeed(LONG),
            _ => Does::Succeed(SHORT),
        }
    }));
    let (_, node) = node(time, &functions);
    for n in 0..1_000 {
        node.accept(time, &function("flood"), n).await;
    }
    // Another five of the same account have as much, and so take all that an account may have.
    for other in 0..5 {
        for n in 0..100 {
            let name = format!("flood{other}");
            node.accept(time, &function(&name), 2_000 + other * 100 + n)
                .await;
        }
    }
    pass(10).await;
    node.accept(time, &function("quick"), 10_000).await;
    node.accept(time, &function_of("000000000001", "flood"), 10_001)
        .await;
    for n in 0..100 {
        node.accept(time, &function_of("000000000002", "quick"), 20_000 + n)
            .await;
    }
    pass(5).await;
    assert_eq!(whole(&functions.seconds_of(10_000)), [10]);
    assert_eq!(whole(&functions.seconds_of(10_001)), [10]);
    let quick: Vec<_> = (0..100)
        .flat_map(|n| functions.seconds_of(20_000 + n))
        .collect();
    assert_eq!(quick.len(), 100);
    assert!(quick.iter().all(|second| *second < 12.0), "{quick:?}");
    // What all the floods have together is what an account may have.
    let most = functions.most_running.lock().unwrap().clone();
    let floods = most
        .iter()
        .filter(|(function, _)| function.name.as_str().starts_with("flood"))
        .filter(|(function, _)| function.account.as_str() == "000000000000");
    assert_eq!(floods.map(|(_, most)| most).sum::<usize>(), 192);
    assert!(most.values().all(|most| *most <= 64), "{most:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reservation_is_never_pressed_against() {
    let time = Time::start();
    let mut functions = Scripted::new(time, |_, _| Does::Succeed(Duration::from_secs(1)));
    functions.reserved.insert(function("f"), 3);
    let functions = Arc::new(functions);
    let (_, node) = node(time, &functions);
    for n in 0..30 {
        node.accept(time, &function("f"), n).await;
    }
    pass(60).await;
    assert_eq!(functions.tried.lock().unwrap().len(), 30);
    assert_eq!(functions.most_running.lock().unwrap()[&function("f")], 3);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_ran_when_the_node_ended_is_due_at_once() {
    let time = Time::start();
    let functions = Arc::new(Scripted::new(time, |_, _| {
        Does::Succeed(Duration::from_secs(10))
    }));
    let (kept, first) = node(time, &functions);
    first.accept(time, &function("f"), 1).await;
    pass(1).await;
    first.kill().await;
    let second = Running::start(
        &kept,
        time,
        &functions,
        Arc::new(hearth_events::destinations::Nobody),
    );
    pass(1).await;
    let listed = second
        .store
        .list(&function("f"), State::Running, None, 10)
        .await
        .unwrap()
        .events
        .remove(0);
    assert_eq!((listed.tries.begun, listed.tries.lost), (2, 1));
    pass(20).await;
    assert_eq!(functions.seconds_of(1), [0.0, 1.0]);
    assert_eq!(counts(&second, "f").await, Counts::default());
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_stopped_lets_what_runs_end() {
    let time = Time::start();
    let functions = Arc::new(Scripted::new(time, |_, _| {
        Does::Succeed(Duration::from_secs(10))
    }));
    let (kept, node) = node(time, &functions);
    for n in 0..100 {
        node.accept(time, &function("f"), n).await;
    }
    pass(1).await;
    node.stop().await;
    assert_eq!(time.seconds(), 10.0);
    let left = kept.open().counts().await.unwrap();
    assert_eq!((left[0].1.queued, left[0].1.running), (36, 0));
}

/// Destinations that can't be told at first.
#[derive(Default)]
struct Telling {
    away: usize,
    told: Mutex<Vec<(String, Form, Condition)>>,
}

impl Destinations for Telling {
    fn tell<'a>(&'a self, told: Told<'a>) -> BoxFuture<'a, Result<(), String>> {
        let mut all = self.told.lock().unwrap();
        all.push((told.destination.to_string(), told.form, told.end.condition));
        let result = if all.len() <= self.away {
            Err("it is away".to_owned())
        } else {
            Ok(())
        };
        Box::pin(async move { result })
    }
}

fn arn(name: &str) -> hearth_types::event_invoke::DestinationArn {
    format!("arn:aws:sqs:us-east-1:000000000000:{name}")
        .parse()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn ends_are_told_until_they_are_heard_and_the_function_runs_no_more() {
    let time = Time::start();
    let mut functions = Scripted::new(time, |event, _| match &event.payload[..] {
        b"1" => Does::Succeed(SHORT),
        _ => Does::Fail(SHORT),
    });
    functions.settings.invoke = EventInvokeConfig {
        maximum_retry_attempts: Some(0),
        on_success: Some(arn("good")),
        on_failure: Some(arn("bad")),
        ..EventInvokeConfig::default()
    };
    functions.settings.dead_letter = Some(arn("letters"));
    let functions = Arc::new(functions);
    let destinations = Arc::new(Telling {
        away: 3,
        ..Telling::default()
    });
    let kept = MemoryEvents::new(EventOptions::default());
    let node = Running::start(&kept, time, &functions, Arc::clone(&destinations) as _);
    node.accept(time, &function("f"), 1).await;
    pass(100).await;
    node.accept(time, &function("f"), 2).await;
    pass(100).await;
    assert_eq!(functions.tried.lock().unwrap().len(), 2);
    let success = (
        "arn:aws:sqs:us-east-1:000000000000:good".to_owned(),
        Form::Record,
        Condition::Success,
    );
    let told = destinations.told.lock().unwrap().clone();
    assert_eq!(told[..4], vec![success; 4]);
    let failure = |name: &str, form| (arn(name).to_string(), form, Condition::RetriesExhausted);
    assert_eq!(
        told[4..],
        [
            failure("bad", Form::Record),
            failure("letters", Form::DeadLetter)
        ]
    );
    // What succeeded leaves; what failed is kept to be looked at.
    assert_eq!(counts(&node, "f").await.dead, 1);
    assert!(node.store.dead(id(2)).await.unwrap().is_some());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_nobody_hears_is_kept() {
    let time = Time::start();
    let mut functions = Scripted::new(time, |_, _| Does::Succeed(SHORT));
    functions.settings.invoke.on_success = Some(arn("nobody"));
    let (_, node) = node(time, &Arc::new(functions));
    node.accept(time, &function("f"), 1).await;
    pass(7 * 3_600).await;
    let dead = node.store.dead(id(1)).await.unwrap().unwrap();
    assert_eq!(dead.end.condition, Condition::Success);
    assert!(
        dead.end.message.contains("could not be told"),
        "{}",
        dead.end.message
    );
    node.stop().await;
}
