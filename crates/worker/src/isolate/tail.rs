//! What who watches a worker is told of a request. Only made while somebody watches.

use hearth_isolates::{Entry, Line, Thrown};
use hearth_telemetry::tails::{TailException, TailItem, TailLine};
use hearth_types::name::FunctionKey;
use http::Request;
use http::header::HOST;
use serde_json::{Map, Value, json};

use super::fault::{self, Fault};
use crate::failure::Failure;

/// Parts of names of header fields whose values nobody is shown (Cloudflare hides the same).
const HIDDEN: [&str; 6] = ["auth", "key", "secret", "token", "jwt", "cookie"];
/// Stands for them.
const REDACTED: &str = "REDACTED";

/// A request as it is told of.
pub(super) fn of_request<B>(request: &Request<B>) -> Value {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let scheme = headers
        .get("x-forwarded-proto")
        .and_then(|scheme| scheme.to_str().ok());
    let path = request.uri().path_and_query();
    let url = format!(
        "{}://{}{}",
        scheme.unwrap_or("http"),
        host.unwrap_or("localhost"),
        path.map_or("/", http::uri::PathAndQuery::as_str)
    );
    let mut shown = Map::new();
    for (name, value) in headers {
        let name = name.as_str();
        let value = if HIDDEN.iter().any(|part| name.contains(part)) {
            REDACTED.into()
        } else {
            String::from_utf8_lossy(value.as_bytes())
        };
        shown.insert(name.to_owned(), json!(value));
    }
    json!({ "request": { "url": url, "method": request.method().as_str(), "headers": shown } })
}

/// An event as it is told of, if a handler of its own takes it; everything else is a request.
pub(super) fn of_event<B>(entry: Entry, payload: &[u8], request: &Request<B>) -> Value {
    let event: Value = match entry {
        Entry::Event => serde_json::from_slice(payload).unwrap_or_default(),
        Entry::Fetch => return of_request(request),
    };
    match event["Records"].as_array() {
        Some(records) => {
            let arn = records.first().map(|record| &record["eventSourceARN"]);
            let arn = arn.and_then(Value::as_str).unwrap_or_default();
            let queue = arn.rsplit(':').next();
            json!({ "queue": queue, "batchSize": records.len() })
        }
        None => {
            let cron = event["detail"]["cron"].as_str();
            let cron = cron.or(event["resources"][0].as_str());
            json!({ "cron": cron.unwrap_or_default(), "scheduledTime": event["time"] })
        }
    }
}

fn exception(thrown: &Thrown, timestamp: i64) -> TailException {
    TailException {
        name: fault::name(thrown).to_owned(),
        message: thrown.message.clone(),
        stack: thrown.stack.clone(),
        timestamp,
    }
}

/// What is told. `began`: milliseconds since 1970.
pub(super) fn item(
    function: &FunctionKey,
    began: i64,
    event: Value,
    lines: &[Line],
    fault: Option<&Fault>,
) -> TailItem {
    let outcome = match fault {
        Some(Fault::Function(Failure::Timeout(_))) => "exceededCpu",
        Some(Fault::Function(Failure::Abandoned)) => "canceled",
        Some(Fault::Thrown(_)) => "exception",
        Some(Fault::Function(_) | Fault::Platform(_)) => "unknown",
        None => "ok",
    };
    let exceptions = match fault {
        Some(Fault::Thrown(thrown)) => vec![exception(thrown, began)],
        _ => Vec::new(),
    };
    let line = |line: &Line| TailLine {
        message: [line.text.clone()],
        level: line.level.clone(),
        timestamp: line.timestamp,
    };
    TailItem {
        script_name: function.name.to_string(),
        outcome,
        event_timestamp: began,
        event,
        logs: lines.iter().map(line).collect(),
        exceptions,
        diagnostics_channel_events: [],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_headers_are_hidden() {
        let request = Request::builder()
            .uri("/a?b=1")
            .header("host", "h:1")
            .header("authorization", "Bearer x")
            .header("x-api-key", "x")
            .header("accept", "text/html")
            .body(())
            .unwrap();
        let told = &of_request(&request)["request"];
        assert_eq!(told["url"], "http://h:1/a?b=1");
        assert_eq!(told["headers"]["authorization"], REDACTED);
        assert_eq!(told["headers"]["x-api-key"], REDACTED);
        assert_eq!(told["headers"]["accept"], "text/html");
    }

    #[test]
    fn events_are_told_of_by_what_they_are() {
        let request = Request::new(());
        let cron = br#"{"detail": {"cron": "* * * * *"}, "time": "t", "resources": ["arn"]}"#;
        let told = of_event(Entry::Event, cron, &request);
        assert_eq!(told["cron"], "* * * * *");
        let queue = br#"{"Records": [{"eventSourceARN": "arn:aws:sqs:r:a:jobs"}]}"#;
        let told = of_event(Entry::Event, queue, &request);
        assert_eq!(
            (&told["queue"], &told["batchSize"]),
            (&json!("jobs"), &json!(1))
        );
        assert!(of_event(Entry::Fetch, cron, &request)["request"].is_object());
    }
}
