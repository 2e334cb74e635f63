//! Greets whoever a request names: POST {"name": "Ada"}, or GET /Ada.

use serde_json::{Value, json};
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Greeter;

wasip2::http::proxy::export!(Greeter);

impl wasip2::exports::http::incoming_handler::Guest for Greeter {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let name = name(&request).unwrap_or_else(|| "World".to_owned());
        println!("greeting {name}");
        let answer = json!({ "message": format!("Hello, {name}!"), "from": "Rust" }).to_string();
        let headers = Fields::new();
        let _ = headers.append("content-type", b"application/json");
        let response = OutgoingResponse::new(headers);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            for part in answer.as_bytes().chunks(4096) {
                let _ = stream.blocking_write_and_flush(part);
            }
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

/// Who is to be greeted.
fn name(request: &IncomingRequest) -> Option<String> {
    let named = if matches!(request.method(), Method::Post) {
        let event: Value = serde_json::from_slice(&body(request)).ok()?;
        event["name"].as_str()?.to_owned()
    } else {
        let target = request.path_with_query()?;
        let path = target.split('?').next()?;
        path.strip_prefix('/')?.to_owned()
    };
    (!named.is_empty()).then_some(named)
}

/// The whole body of a request.
fn body(request: &IncomingRequest) -> Vec<u8> {
    let mut content = Vec::new();
    if let Ok(body) = request.consume()
        && let Ok(stream) = body.stream()
    {
        while let Ok(part) = stream.blocking_read(1 << 16) {
            content.extend(part);
        }
    }
    content
}
