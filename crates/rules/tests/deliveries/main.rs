//! Events reach the targets of rules: once, through kills, in the form that is wanted, or the dead-letter queue.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod rig;

use hearth_rules::error::Kind;
use hearth_store::RuleBounds;
use rig::{FUNCTION, Rig, queue_arn};
use serde_json::{Value, json};

#[tokio::test]
async fn each_target_of_each_rule_that_means_an_event_is_given_it() {
    let rig = Rig::new().await;
    rig.make_queue("q").await;
    rig.make_queue("q.fifo").await;
    let fifo = json!({ "Arn": queue_arn("q.fifo"), "SqsParameters": { "MessageGroupId": "g" } });
    let queue = json!({ "Arn": queue_arn("q") });
    rig.rule("one", &[queue.clone(), json!({ "Arn": FUNCTION })])
        .await;
    rig.rule("two", &[fifo, queue]).await;
    rig.put("elsewhere", 0).await.unwrap();
    assert_eq!(rig.turn().await, None);
    let answer = rig.put("shop", 1).await.unwrap();
    rig.put("shop", 1).await.unwrap();
    rig.turn().await;
    assert_eq!(rig.turn().await, None);
    let bodies = rig.bodies("q").await;
    assert_eq!(bodies.len(), 4);
    let id = &answer["Entries"][0]["EventId"];
    assert_eq!(bodies.iter().filter(|body| body["id"] == *id).count(), 2);
    let expected = json!({
        "version": "0", "id": bodies[0]["id"], "detail-type": "order", "source": "shop", "account": "000000000000",
        "time": "2026-01-02T03:04:05Z", "region": "us-east-1", "resources": [], "detail": { "n": 1 },
    });
    assert_eq!(bodies[0], expected);
    // Equal but for their identifiers, and both there.
    let messages = rig.messages("q.fifo").await;
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0]["Attributes"]["MessageGroupId"], "g");
    // The chain of invocations goes on.
    let trace = messages[0]["Attributes"]["AWSTraceHeader"]
        .as_str()
        .unwrap();
    assert!(trace.contains("Lineage=00000001:3"));
    let events = rig.events().await;
    assert_eq!(events.len(), 2);
    assert_ne!(events[0].id, events[1].id);
    assert!(events[0].trace_id.contains("Lineage=00000001:3"));
}

#[tokio::test]
async fn a_kill_neither_loses_nor_repeats_an_event() {
    let mut rig = Rig::new().await;
    rig.make_queue("q").await;
    let targets = [json!({ "Arn": queue_arn("q") }), json!({ "Arn": FUNCTION })];
    rig.rule("r", &targets).await;
    for n in 0..20 {
        rig.put("shop", n).await.unwrap();
    }
    rig.restart().await;
    rig.turn_and_forget().await;
    // The function went in between: what it has taken in is not given up.
    rig.functions.lock().unwrap().clear();
    rig.turn_and_forget().await;
    rig.turn().await;
    assert_eq!(rig.turn().await, None);
    let mut seen: Vec<_> = rig.bodies("q").await;
    seen.sort_by_key(|body| body["detail"]["n"].as_i64());
    let numbers: Vec<_> = seen
        .iter()
        .map(|body| body["detail"]["n"].as_i64().unwrap())
        .collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    assert_eq!(rig.events().await.len(), 20);
}

#[tokio::test]
async fn what_a_target_does_not_take_is_tried_again() {
    let mut rig = Rig::new().await;
    rig.rule("r", &[json!({ "Arn": queue_arn("later") })]).await;
    rig.put("shop", 1).await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let wait = rig.turn().await.unwrap();
        waits.push(wait);
        rig.pass(wait);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16]);
    rig.restart().await;
    rig.make_queue("later").await;
    assert_eq!(rig.turn().await, None);
    assert_eq!(rig.bodies("later").await.len(), 1);
}

#[tokio::test]
async fn what_is_given_up_goes_to_the_dead_letter_queue() {
    let rig = Rig::new().await;
    rig.make_queue("dead").await;
    let dead = json!({ "Arn": queue_arn("dead") });
    let target = |retries| {
        json!({
            "Arn": format!("{FUNCTION}-gone"),
            "InputPath": "$.detail",
            "RetryPolicy": { "MaximumRetryAttempts": retries, "MaximumEventAgeInSeconds": 60 },
            "DeadLetterConfig": dead,
        })
    };
    rig.rule("r", &[target(0), target(185)]).await;
    rig.put("shop", 1).await.unwrap();
    rig.turn().await;
    let [message] = rig.messages("dead").await.try_into().unwrap();
    let body: Value = serde_json::from_str(message["Body"].as_str().unwrap()).unwrap();
    // The event, not what the target would have been given.
    assert_eq!(body["detail"], json!({ "n": 1 }));
    let attribute =
        |message: &Value, name: &str| message["MessageAttributes"][name]["StringValue"].clone();
    for (name, value) in [
        ("RULE_ARN", "arn:aws:events:us-east-1:000000000000:rule/r"),
        (
            "TARGET_ARN",
            "arn:aws:lambda:us-east-1:000000000000:function:f-gone",
        ),
        ("ERROR_CODE", "ResourceNotFoundException"),
        ("ERROR_MESSAGE", "Function not found."),
        ("EXHAUSTED_RETRY_CONDITION", "MaximumRetryAttempts"),
        ("RETRY_ATTEMPTS", "0"),
    ] {
        assert_eq!(attribute(&message, name), value, "{name}");
    }
    while let Some(wait) = rig.turn().await {
        rig.pass(wait);
    }
    let [message] = rig.messages("dead").await.try_into().unwrap();
    let condition = attribute(&message, "EXHAUSTED_RETRY_CONDITION");
    assert_eq!(condition, "MaximumEventAgeInSeconds");
    assert_eq!(attribute(&message, "RETRY_ATTEMPTS"), "6");
}

#[tokio::test]
async fn one_target_that_takes_nothing_holds_no_other_up() {
    let rig = Rig::with(RuleBounds {
        to_one_target: 2,
        deliveries: 10,
        ..RuleBounds::default()
    })
    .await;
    rig.make_queue("q").await;
    rig.rule("r", &[json!({ "Arn": queue_arn("gone") })]).await;
    for n in 0..2 {
        rig.put("shop", n).await.unwrap();
    }
    let error = rig.put("shop", 2).await.unwrap_err();
    assert_eq!(error.kind, Kind::Throttling);
    assert!(error.message.contains(&queue_arn("gone")));
    let put = json!({ "Rule": "r", "Targets": [{ "Id": "0", "Arn": queue_arn("q") }] });
    rig.call("PutTargets", put).await;
    rig.put("shop", 3).await.unwrap();
    rig.turn().await;
    assert_eq!(rig.bodies("q").await.len(), 1);
    // All together have a bound as well.
    let put = json!({ "Rule": "r", "Targets": [{ "Id": "1", "Arn": FUNCTION }] });
    rig.call("PutTargets", put).await;
    rig.put("shop", 4).await.unwrap();
    rig.put("shop", 5).await.unwrap();
    assert_eq!(rig.put("shop", 6).await.unwrap_err().kind, Kind::Throttling);
    rig.turn().await;
    rig.put("shop", 6).await.unwrap();
}

#[tokio::test]
async fn a_rule_may_be_disabled_changed_and_deleted_and_what_is_on_its_way_comes() {
    let mut rig = Rig::new().await;
    rig.make_queue("q").await;
    rig.rule(
        "r",
        &[json!({ "Arn": queue_arn("q"), "Input": "\"before\"" })],
    )
    .await;
    rig.put("shop", 1).await.unwrap();
    rig.call("DisableRule", json!({ "Name": "r" })).await;
    rig.put("shop", 2).await.unwrap();
    rig.restart().await;
    rig.put("shop", 3).await.unwrap();
    rig.call("EnableRule", json!({ "Name": "r" })).await;
    let input = json!([{ "Id": "0", "Arn": queue_arn("q"), "Input": "\"after\"" }]);
    rig.call("PutTargets", json!({ "Rule": "r", "Targets": input }))
        .await;
    rig.put("shop", 4).await.unwrap();
    let other = json!({ "source": ["other"] }).to_string();
    rig.call("PutRule", json!({ "Name": "r", "EventPattern": other }))
        .await;
    rig.put("shop", 5).await.unwrap();
    rig.put("other", 6).await.unwrap();
    let refused = rig.try_call("DeleteRule", json!({ "Name": "r" })).await;
    assert!(refused.unwrap_err().message.contains("targets"));
    rig.call("RemoveTargets", json!({ "Rule": "r", "Ids": ["0"] }))
        .await;
    rig.put("other", 7).await.unwrap();
    rig.call("DeleteRule", json!({ "Name": "r" })).await;
    rig.turn().await;
    let mut bodies = rig.bodies("q").await;
    bodies.sort_by_key(|body| body.to_string());
    assert_eq!(bodies, ["after", "after", "before"]);
}

#[tokio::test]
async fn a_damaged_delivery_holds_no_other_up() {
    let mut rig = Rig::new().await;
    rig.make_queue("q").await;
    rig.rule("r", &[json!({ "Arn": queue_arn("q") })]).await;
    rig.put("shop", 1).await.unwrap();
    rig.put("shop", 2).await.unwrap();
    rig.restart_after("UPDATE events SET body = '{}' WHERE number = 1")
        .await;
    assert_eq!(rig.turn().await, None);
    let bodies = rig.bodies("q").await;
    assert_eq!(bodies.len(), 1);
    assert_eq!(bodies[0]["detail"]["n"], 2);
}
