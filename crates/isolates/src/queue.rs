//! Workers' queues for workers that send: what the dispatcher's `Queue` asks of the node.

use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;

use crate::door::{Reply, said};
use crate::grants::{Enqueue, Message, SendTo};

/// Bytes of a call: a hundred messages, of 256 KiB together as Workers' queues have it, and what JSON and base64 add.
const CALL_BYTES: usize = 2 << 20;
/// Messages of a call, as Workers' queues have it.
const MOST_MESSAGES: usize = 100;

/// Answers one call.
pub(crate) async fn answer(enqueue: &Enqueue, to: &SendTo, request: Request<Incoming>) -> Reply {
    let body = Limited::new(request.into_body(), CALL_BYTES)
        .collect()
        .await;
    let Ok(body) = body else {
        let why = "the messages of one call are too large together";
        return said(StatusCode::PAYLOAD_TOO_LARGE, why.to_owned());
    };
    let Ok(messages) = serde_json::from_slice::<Vec<Message>>(&body.to_bytes()) else {
        return said(StatusCode::BAD_REQUEST, "these are no messages".to_owned());
    };
    if messages.len() > MOST_MESSAGES {
        let why = format!("a call has up to {MOST_MESSAGES} messages");
        return said(StatusCode::BAD_REQUEST, why);
    }
    match enqueue(to, messages).await {
        Ok(()) => said(StatusCode::OK, String::new()),
        Err(why) => said(StatusCode::BAD_REQUEST, why),
    }
}
