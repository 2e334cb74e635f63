//! Firing, to the millisecond of a clock that is passed in, on the real stores.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod rig;

use std::collections::BTreeSet;

use rig::{FUNCTION, Rig, arn_of, at};
use serde_json::{Value, json};

#[tokio::test]
async fn a_schedule_fires_when_it_is_due_and_not_before() {
    let rig = Rig::new("2026-01-01T11:30:00Z");
    rig.make("s", "cron(0 12-13 * * ? *)", json!({})).await;
    rig.set("2026-01-01T11:59:59.999Z");
    assert_eq!(rig.turn().await, Some(at("2026-01-01T12:00:00Z")));
    assert_eq!(rig.fired().await, [""; 0]);
    rig.set("2026-01-01T12:00:00Z");
    assert_eq!(rig.turn().await, Some(at("2026-01-01T13:00:00Z")));
    assert_eq!(rig.fired().await, ["2026-01-01T12:00:00Z"]);
    assert_eq!(rig.turn().await, Some(at("2026-01-01T13:00:00Z")));
    rig.run_until("2026-01-02T12:30:00Z").await;
    assert_eq!(
        rig.fired().await,
        ["2026-01-01T13:00:00Z", "2026-01-02T12:00:00Z"]
    );
}

#[tokio::test]
async fn clocks_that_change_pass_over_and_do_not_repeat() {
    let rig = Rig::new("2026-03-28T12:00:00Z");
    let berlin = json!({"ScheduleExpressionTimezone": "Europe/Berlin"});
    rig.make("s", "cron(30 2 * * ? *)", berlin).await;
    rig.run_until("2026-03-30T12:00:00Z").await;
    assert_eq!(rig.fired().await, ["2026-03-30T00:30:00Z"]);
    rig.run_until("2026-10-23T12:00:00Z").await;
    rig.fired().await;
    rig.run_until("2026-10-26T12:00:00Z").await;
    assert_eq!(
        rig.fired().await,
        [
            "2026-10-24T00:30:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-26T01:30:00Z"
        ]
    );
}

#[tokio::test]
async fn what_was_due_while_the_node_was_down_is_fired_at_its_start_each_time_once() {
    let mut rig = Rig::new("2026-01-01T00:30:00Z");
    rig.make("s", "cron(0 * * * ? *)", json!({})).await;
    rig.make("once", "at(2026-01-01T01:30:00)", json!({})).await;
    rig.set("2026-01-01T03:15:00Z");
    rig.restart();
    assert_eq!(rig.turn().await, Some(at("2026-01-01T04:00:00Z")));
    let fired: BTreeSet<String> = rig.fired().await.into_iter().collect();
    let times = ["01:00", "01:30", "02:00", "03:00"].map(|time| format!("2026-01-01T{time}:00Z"));
    assert_eq!(fired, BTreeSet::from(times));
    rig.restart();
    rig.turn().await;
    assert_eq!(rig.fired().await, [""; 0]);
    assert_eq!(rig.times("s").await.missed, 0);
    assert_eq!(rig.times("once").await.next, None);
}

#[tokio::test]
async fn an_end_between_taking_in_and_writing_down_repeats_nothing() {
    let mut rig = Rig::new("2026-01-01T00:30:00Z");
    rig.make("function", "cron(0 * * * ? *)", json!({})).await;
    for queue in ["q", "q.fifo"] {
        rig.make_queue(queue).await;
        let group = queue.ends_with(".fifo").then_some("g");
        let sqs = json!({"MessageGroupId": group});
        let target = json!({"Arn": arn_of(queue), "Input": "same", "SqsParameters": sqs});
        rig.make(queue, "cron(0 * * * ? *)", json!({"Target": target}))
            .await;
    }
    for hour in ["01", "02"] {
        rig.set(&format!("2026-01-01T{hour}:00:00Z"));
        for _ in 0..3 {
            rig.turn_and_forget().await;
        }
        rig.turn().await;
        assert_eq!(rig.fired().await, [format!("2026-01-01T{hour}:00:00Z")]);
        assert_eq!(rig.messages("q").await.len(), 1);
        assert_eq!(rig.messages("q.fifo").await.len(), 1);
    }
    assert_eq!(
        rig.times("function").await.next.unwrap(),
        "2026-01-01T03:00:00.000Z"
    );
}

#[tokio::test]
async fn an_end_while_a_retry_or_a_dead_letter_is_taken_in_repeats_nothing() {
    let mut rig = Rig::new("2026-01-01T00:30:00Z");
    rig.make_queue("dead").await;
    let dead = json!({"DeadLetterConfig": {"Arn": arn_of("dead")}, "RetryPolicy": {"MaximumRetryAttempts": 1}});
    rig.make("s", "at(2026-01-01T01:00:00)", json!({"Target": dead}))
        .await;
    rig.functions.lock().unwrap().clear();
    rig.set("2026-01-01T01:00:00Z");
    assert_eq!(rig.turn().await, Some(at("2026-01-01T01:00:01Z")));
    rig.set("2026-01-01T01:00:01Z");
    rig.turn_and_forget().await;
    assert_eq!(rig.turn().await, None);
    assert_eq!(rig.messages("dead").await.len(), 1);
    assert_eq!(rig.times("s").await.failed, 1);

    rig.make("t", "at(2026-01-01T02:00:00)", json!({})).await;
    rig.set("2026-01-01T02:00:00Z");
    rig.turn().await;
    rig.functions.lock().unwrap().insert("f".to_owned());
    rig.set("2026-01-01T02:00:01Z");
    rig.turn_and_forget().await;
    // Its function goes after it was taken in: that is no failure of the firing.
    rig.functions.lock().unwrap().clear();
    assert_eq!(rig.turn().await, None);
    assert_eq!(rig.fired().await, ["2026-01-01T02:00:00Z"]);
    assert_eq!(rig.times("t").await.failed, 0);
}

#[tokio::test]
async fn two_nodes_fire_each_time_once() {
    let rig = Rig::new("2026-01-01T00:30:00Z");
    for n in 0..40 {
        rig.make(&format!("s{n}"), "cron(0 * * * ? *)", json!({}))
            .await;
    }
    for hour in 1..4 {
        rig.set(&format!("2026-01-01T0{hour}:00:00Z"));
        let (one, other) = (&rig.node().dispatcher, &rig.node().other);
        let (one, other) = tokio::join!(one.turn(rig.now()), other.turn(rig.now()));
        assert_eq!(one.unwrap(), other.unwrap());
        let events = rig.events().await;
        let ids: BTreeSet<_> = events.iter().map(|given| given.id.clone()).collect();
        assert_eq!((events.len(), ids.len()), (40, 40));
    }
}

#[tokio::test]
async fn what_is_too_old_is_missed_and_counted() {
    let mut rig = Rig::new("2026-01-01T00:30:00Z");
    let short = json!({"Target": {"RetryPolicy": {"MaximumEventAgeInSeconds": 3600}}});
    rig.make("s", "cron(0 * * * ? *)", short.clone()).await;
    rig.make("once", "at(2026-01-01T01:00:00)", short).await;
    rig.set("2026-01-01T06:30:00Z");
    rig.restart();
    assert_eq!(rig.turn().await, Some(at("2026-01-01T07:00:00Z")));
    assert_eq!(rig.fired().await, ["2026-01-01T06:00:00Z"]);
    let times = rig.times("s").await;
    assert_eq!(
        (times.missed, times.last.as_deref()),
        (5, Some("2026-01-01T06:00:00.000Z"))
    );
    let once = rig.times("once").await;
    assert_eq!((once.missed, once.next), (1, None));
}

#[tokio::test]
async fn what_was_taken_in_before_a_long_time_down_is_not_missed() {
    let mut rig = Rig::new("2026-01-01T00:30:00Z");
    let short = json!({"Target": {"RetryPolicy": {"MaximumEventAgeInSeconds": 60}}});
    rig.make("s", "cron(0 * * * ? *)", short).await;
    rig.set("2026-01-01T01:00:00Z");
    rig.turn_and_forget().await;
    rig.set("2026-01-01T02:30:00Z");
    rig.turn().await;
    assert_eq!(rig.fired().await, ["2026-01-01T01:00:00Z"]);
    // That of 02:00 alone.
    assert_eq!(rig.times("s").await.missed, 1);
}

#[tokio::test]
async fn a_clock_that_is_set_repeats_and_loses_nothing() {
    let rig = Rig::new("2026-01-01T00:30:00Z");
    rig.make("s", "cron(0 * * * ? *)", json!({})).await;
    rig.set("2026-01-01T01:00:00Z");
    rig.turn().await;
    // Back: nothing again.
    rig.set("2026-01-01T00:10:00Z");
    assert_eq!(rig.turn().await, Some(at("2026-01-01T02:00:00Z")));
    rig.run_until("2026-01-01T01:30:00Z").await;
    assert_eq!(rig.fired().await, ["2026-01-01T01:00:00Z"]);
    // Also not by a change of the schedule while the clock is back.
    rig.set("2026-01-01T00:10:00Z");
    rig.update("s", "cron(0,30 * * * ? *)", json!({})).await;
    rig.run_until("2026-01-01T01:45:00Z").await;
    assert_eq!(rig.fired().await, ["2026-01-01T01:30:00Z"]);
    // Forward: what was passed over is fired.
    rig.set("2026-01-01T03:10:00Z");
    rig.turn().await;
    let times = ["02:00", "02:30", "03:00"].map(|time| format!("2026-01-01T{time}:00Z"));
    assert_eq!(rig.fired().await, times);
}

#[tokio::test]
async fn windows_hold_through_a_restart() {
    let mut rig = Rig::new("2026-01-01T00:30:00Z");
    let flexible =
        json!({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30}});
    rig.make("s", "cron(0 * * * ? *)", flexible).await;
    let due = rig.turn().await.unwrap();
    assert!((at("2026-01-01T01:00:00Z")..at("2026-01-01T01:30:00Z")).contains(&due));
    rig.restart();
    assert_eq!(rig.turn().await, Some(due));
    rig.set(&due.to_iso_string());
    rig.turn_and_forget().await;
    rig.turn().await;
    assert_eq!(rig.fired().await, ["2026-01-01T01:00:00Z"]);
    rig.run_until("2026-01-01T03:30:00Z").await;
    assert_eq!(
        rig.fired().await,
        ["2026-01-01T02:00:00Z", "2026-01-01T03:00:00Z"]
    );
}

#[tokio::test]
async fn schedules_end_and_go_if_they_shall() {
    let rig = Rig::new("2026-01-01T00:00:00Z");
    let bounds = json!({"StartDate": 1_767_229_200, "EndDate": 1_767_232_800, "ActionAfterCompletion": "DELETE"});
    // From 01:00 to 02:00.
    rig.make("s", "cron(0/30 * * * ? *)", bounds).await;
    rig.make("kept", "at(2026-01-01T00:15:00)", json!({})).await;
    rig.make(
        "gone",
        "at(2026-01-01T00:20:00)",
        json!({"ActionAfterCompletion": "DELETE"}),
    )
    .await;
    rig.run_until("2026-01-01T01:45:00Z").await;
    assert!(rig.is_there("kept").await && !rig.is_there("gone").await && rig.is_there("s").await);
    rig.run_until("2026-01-01T12:00:00Z").await;
    assert!(!rig.is_there("s").await);
    let times = ["00:15", "00:20", "01:00", "01:30", "02:00"];
    assert_eq!(
        rig.fired().await,
        times.map(|time| format!("2026-01-01T{time}:00Z"))
    );
    assert_eq!(rig.turn().await, None);
}

#[tokio::test]
async fn times_that_are_past_are_refused_at_first_and_taken_by_updates() {
    let rig = Rig::new("2026-01-01T00:00:00Z");
    let body = |expression: &str| {
        json!({
            "ScheduleExpression": expression,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": FUNCTION, "RoleArn": rig::ROLE},
        })
    };
    let refused = rig
        .call("CreateSchedule", "s", body("at(2025-12-31T23:59:59)"))
        .await;
    assert!(refused.unwrap_err().message.contains("still to come"));
    rig.make("s", "at(2026-01-01T00:00:00)", json!({})).await;
    rig.turn().await;
    assert_eq!(rig.fired().await, ["2026-01-01T00:00:00Z"]);
    rig.update("s", "at(2025-06-01T00:00:00)", json!({})).await;
    rig.update("s", "at(2026-01-01T00:00:00)", json!({})).await;
    assert_eq!(rig.turn().await, None);
    assert_eq!(rig.fired().await, [""; 0]);
}

#[tokio::test]
async fn changes_neither_fire_nor_lose() {
    let rig = Rig::new("2026-01-01T00:30:00Z");
    rig.make("s", "cron(0 * * * ? *)", json!({})).await;
    // What is due at this very moment is not lost by a change of something else.
    rig.set("2026-01-01T01:00:00.010Z");
    rig.update("s", "cron(0 * * * ? *)", json!({"Description": "new"}))
        .await;
    rig.turn().await;
    assert_eq!(rig.fired().await, ["2026-01-01T01:00:00Z"]);
    // What is disabled does not fire, and does not catch up.
    rig.update("s", "cron(0 * * * ? *)", json!({"State": "DISABLED"}))
        .await;
    assert_eq!(rig.turn().await, None);
    rig.run_until("2026-01-01T03:30:00Z").await;
    rig.update("s", "cron(0 * * * ? *)", json!({})).await;
    assert_eq!(rig.turn().await, Some(at("2026-01-01T04:00:00Z")));
    // A rate begins at once, goes on counting from there, and an update alone does not fire it.
    rig.make("r", "rate(10 minutes)", json!({"Target": {"Input": "1"}}))
        .await;
    assert_eq!(rig.turn().await, Some(at("2026-01-01T03:40:00Z")));
    assert_eq!(rig.fired().await, ["1"]);
    rig.set("2026-01-01T03:34:00Z");
    rig.update("r", "rate(3 minutes)", json!({"Target": {"Input": "2"}}))
        .await;
    assert_eq!(rig.turn().await, Some(at("2026-01-01T03:36:00Z")));
    assert_eq!(rig.fired().await, [""; 0]);
    // What was deleted is gone, its number too.
    rig.call("DeleteSchedule", "r", json!({})).await.unwrap();
    rig.make("r", "rate(10 minutes)", json!({"Target": {"Input": "3"}}))
        .await;
    rig.turn().await;
    assert_eq!(rig.fired().await, ["3"]);
}

#[tokio::test]
async fn a_firing_that_fails_is_tried_again_beside_the_others_and_given_up() {
    let rig = Rig::new("2026-01-01T00:59:30Z");
    rig.make_queue("dead").await;
    let target = json!({
        "Input": "\"attempt <aws.scheduler.attempt-number> for <aws.scheduler.scheduled-time>\"",
        "RetryPolicy": {"MaximumEventAgeInSeconds": 90},
        "DeadLetterConfig": {"Arn": arn_of("dead")},
    });
    rig.make("s", "cron(* * * * ? *)", json!({"Target": target}))
        .await;
    rig.functions.lock().unwrap().clear();
    // 01:00:00, then after 1, 3, 7, 15, 31, 63 and at last 90 s.
    rig.run_until("2026-01-01T01:01:29Z").await;
    assert_eq!(rig.messages("dead").await, [Value::Null; 0]);
    rig.run_until("2026-01-01T01:01:30Z").await;
    let [letter] = rig.messages("dead").await.try_into().unwrap();
    assert_eq!(letter["Body"], "\"attempt 8 for 2026-01-01T01:00:00Z\"");
    let attribute = |name: &str| letter["MessageAttributes"][name]["StringValue"].clone();
    assert_eq!(
        attribute("EXHAUSTED_RETRY_CONDITION"),
        "MaximumEventAgeInSeconds"
    );
    assert_eq!(attribute("RETRY_ATTEMPTS"), "7");
    assert_eq!(attribute("ERROR_CODE"), "ResourceNotFoundException");
    // That of 01:01 has failed as well so far: at :00, :01, :03, :07 and :15.
    rig.functions.lock().unwrap().insert("f".to_owned());
    rig.run_until("2026-01-01T01:02:30Z").await;
    let fired: BTreeSet<String> = rig.fired().await.into_iter().collect();
    assert_eq!(
        fired,
        BTreeSet::from([
            "attempt 6 for 2026-01-01T01:01:00Z".to_owned(),
            "attempt 1 for 2026-01-01T01:02:00Z".to_owned()
        ])
    );
    assert_eq!(rig.times("s").await.failed, 1);
}

#[tokio::test]
async fn a_group_that_is_removed_fires_nothing_more() {
    let rig = Rig::new("2026-01-01T00:30:00Z");
    rig.call("CreateScheduleGroup", "g", json!({}))
        .await
        .unwrap();
    for n in 0..20 {
        let group = json!({"GroupName": "g"});
        rig.make(&format!("s{n}"), "cron(0 * * * ? *)", group).await;
    }
    rig.make("other", "cron(0 * * * ? *)", json!({})).await;
    rig.call("DeleteScheduleGroup", "g", json!({}))
        .await
        .unwrap();
    rig.set("2026-01-01T01:00:00Z");
    rig.turn().await;
    assert_eq!(rig.events().await.len(), 1);
}

#[tokio::test]
async fn many_that_are_due_at_once_fire_once_each() {
    let rig = Rig::new("2026-01-01T00:30:00Z");
    for n in 0..700 {
        let expression = "at(2026-01-01T01:00:00)";
        rig.make(
            &format!("s{n}"),
            expression,
            json!({"ActionAfterCompletion": "DELETE"}),
        )
        .await;
    }
    rig.set("2026-01-01T01:00:00Z");
    assert_eq!(rig.turn().await, None);
    let events = rig.events().await;
    let ids: BTreeSet<_> = events.iter().map(|given| given.id.clone()).collect();
    assert_eq!((events.len(), ids.len()), (700, 700));
}

#[tokio::test]
async fn a_damaged_schedule_is_found_and_the_others_fire() {
    let mut rig = Rig::new("2026-01-01T00:30:00Z");
    rig.make("bad", "cron(0 * * * ? *)", json!({})).await;
    rig.make("good", "cron(0 * * * ? *)", json!({})).await;
    // Another time, which it was not given.
    rig.restart_after(
        "UPDATE schedules SET settings = replace(settings, 'cron(0', 'cron(1') WHERE name = 'bad'",
    );
    rig.set("2026-01-01T01:05:00Z");
    assert_eq!(rig.turn().await, Some(at("2026-01-01T02:00:00Z")));
    assert_eq!(rig.fired().await, ["2026-01-01T01:00:00Z"]);
    assert!(rig.is_there("good").await && !rig.is_there("bad").await);
    rig.call("DeleteSchedule", "bad", json!({})).await.unwrap();
    rig.make("bad", "cron(0 * * * ? *)", json!({})).await;
}
