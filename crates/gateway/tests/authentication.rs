//! Signatures over real connections. Every single bit is tried in the unit tests of `auth`.

mod node;

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::SignatureLocation;
use hearth_types::time::Timestamp;
use node::{Answer, INVOKE, Node, Request, Signer};

async fn send(node: &Node, request: &Request) -> Answer {
    let mut wire = node.connect().await;
    wire.send(&request.to_bytes()).await;
    wire.answer().await
}

fn request() -> Request {
    Request::new("POST", INVOKE, &[("x-amz-log-type", "None")], b"{}")
}

#[tokio::test]
async fn what_is_not_signed_runs_nothing() {
    let node = Node::start().await;
    let bare = Request::new("POST", INVOKE, &[("host", "a")], b"{}");
    let answer = send(&node, &bare)
        .await
        .expect(403, "MissingAuthenticationTokenException");
    assert_eq!(answer.json()["message"], "Missing Authentication Token");

    let signed = request().signed(node.address);
    let mut swapped = signed.clone();
    swapped.body = b"[]".to_vec();
    send(&node, &swapped)
        .await
        .expect(403, "InvalidSignatureException");
    let mut replayed = signed.clone();
    replayed.target = INVOKE.replace("/f/", "/g/");
    send(&node, &replayed)
        .await
        .expect(403, "InvalidSignatureException");
    let mut extra = signed.clone();
    extra
        .headers
        .push(("x-amz-client-context".to_owned(), "e30=".to_owned()));
    send(&node, &extra)
        .await
        .expect(403, "InvalidSignatureException");
    let mut changed = signed.clone();
    for (name, value) in &mut changed.headers {
        if name == "x-amz-log-type" {
            *value = "Tail".to_owned();
        }
    }
    send(&node, &changed)
        .await
        .expect(403, "InvalidSignatureException");
    assert_eq!(node.player.begun.load(Ordering::SeqCst), 0);
    assert_eq!(send(&node, &signed).await.status, 200);
}

#[tokio::test]
async fn keys_and_dates_are_checked_before_the_body_is_awaited() {
    let node = Node::start().await;
    let stranger = Signer {
        id: "AKIDSTRANGER".to_owned(),
        ..Signer::default()
    };
    let old = Signer {
        at: SystemTime::now() - Duration::from_secs(360),
        ..Signer::default()
    };
    let early = Signer {
        at: SystemTime::now() + Duration::from_secs(360),
        ..Signer::default()
    };
    for (signer, code) in [
        (stranger, "UnrecognizedClientException"),
        (old, "InvalidSignatureException"),
        (early, "InvalidSignatureException"),
    ] {
        let mut wire = node.connect().await;
        let head = request()
            .signed_by(node.address, &signer)
            .head("content-length: 1000\r\n");
        wire.send(&head).await;
        wire.answer().await.expect(403, code);
    }
    let near = Signer {
        at: SystemTime::now() - Duration::from_secs(240),
        ..Signer::default()
    };
    let answer = send(&node, &request().signed_by(node.address, &near)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_pre_signed_request_needs_nothing_else() {
    let node = Node::start().await;
    let signer = Signer {
        location: SignatureLocation::QueryParams,
        ..Signer::default()
    };
    let target = "/2015-03-31/functions/f/configuration?Qualifier=%24LATEST";
    let signed = Request::new("GET", target, &[], b"").signed_by(node.address, &signer);
    assert!(signed.headers.iter().all(|(name, _)| name == "host"));
    let answer = send(&node, &signed).await;
    assert_eq!(answer.json()["FunctionName"], "f");
    let mut longer = signed.clone();
    longer.target = longer
        .target
        .replace("X-Amz-Expires=900", "X-Amz-Expires=901");
    send(&node, &longer)
        .await
        .expect(403, "InvalidSignatureException");
    let mut other = signed;
    other.method = "DELETE".to_owned();
    other.target = other.target.replace("/configuration", "");
    send(&node, &other)
        .await
        .expect(403, "InvalidSignatureException");
}

#[tokio::test]
async fn a_function_acts_for_its_own_account() {
    let node = Node::start().await;
    let expires = Timestamp::from_millis(Timestamp::from(SystemTime::now()).as_millis() + 60_000);
    let function = |account: &str| hearth_types::name::FunctionKey {
        account: account.parse().unwrap(),
        region: node::REGION.parse().unwrap(),
        name: "f".parse().unwrap(),
    };
    let signer = |account: &str, expires| {
        let minted = node.sessions().mint(&function(account), expires);
        Signer {
            id: minted.access_key_id,
            secret: minted.secret_access_key,
            token: Some(minted.session_token),
            ..Signer::default()
        }
    };
    let own = signer(node::ACCOUNT, expires);
    assert_eq!(
        send(&node, &request().signed_by(node.address, &own))
            .await
            .status,
        200
    );
    let other = signer("111111111111", expires);
    send(&node, &request().signed_by(node.address, &other))
        .await
        .expect(404, "ResourceNotFoundException");
    let arn = INVOKE.replace("/f/", "/arn:aws:lambda:us-east-1:000000000000:function:f/");
    let across = Request::new("POST", &arn, &[], b"{}").signed_by(node.address, &other);
    send(&node, &across)
        .await
        .expect(403, "AccessDeniedException");
    let gone = signer(
        node::ACCOUNT,
        Timestamp::from_millis(expires.as_millis() - 61_000),
    );
    send(&node, &request().signed_by(node.address, &gone))
        .await
        .expect(403, "ExpiredTokenException");
}

#[tokio::test]
async fn a_signature_for_one_service_is_none_for_another() {
    let node = Node::start().await;
    let logs = Signer {
        service: "logs",
        ..Signer::default()
    };
    send(&node, &request().signed_by(node.address, &logs))
        .await
        .expect(403, "InvalidSignatureException");
    let target = [("x-amz-target", "Logs_20140328.DescribeLogGroups")];
    let for_lambda = Request::new("POST", "/", &target, b"{}").signed(node.address);
    // Every fault of the caller is a 400 in that protocol.
    send(&node, &for_lambda)
        .await
        .expect(400, "InvalidSignatureException");
    let for_logs = Request::new("POST", "/", &target, b"{}").signed_by(node.address, &logs);
    assert_eq!(send(&node, &for_logs).await.status, 200);
}
