//! Keys and values, and configuration: what the platform keeps for a function between its requests.
//! `/get?bucket=&key=`, `/set?bucket=&key=&value=`, `/delete…`, `/exists…`, `/list?bucket=`, `/increment…&value=`,
//! `/fill?bucket=&key=&bytes=`, `/config?key=`, `/configs`.

use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

use bindings::wasi::config::store as config;
use bindings::wasi::keyvalue::{atomics, store};

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "guest", generate_all });
}

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (status, text) = match answer(&target) {
            Ok(text) => (200, text),
            Err(text) => (500, text),
        };
        let response = OutgoingResponse::new(Fields::new());
        let _ = response.set_status_code(status);
        let Ok(body) = response.body() else { return };
        ResponseOutparam::set(out, Ok(response));
        if let Ok(stream) = body.write() {
            for part in text.as_bytes().chunks(4096) {
                let _ = stream.blocking_write_and_flush(part);
            }
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

fn answer(target: &str) -> Result<String, String> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let get = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    };
    let text = |error: store::Error| format!("{error:?}");
    let bucket = || store::open(get("bucket")).map_err(text);
    let key = get("key");
    match path {
        "/get" => bucket()?.get(key).map_err(text).map(|value| match value {
            Some(value) => format!("some {}", String::from_utf8_lossy(&value)),
            None => "none".to_owned(),
        }),
        "/set" => bucket()?
            .set(key, get("value").as_bytes())
            .map_err(text)
            .map(|()| "ok".to_owned()),
        "/fill" => {
            let bytes = get("bytes").parse().map_err(|_| "bytes".to_owned())?;
            bucket()?
                .set(key, &vec![b'x'; bytes])
                .map_err(text)
                .map(|()| "ok".to_owned())
        }
        "/delete" => bucket()?
            .delete(key)
            .map_err(text)
            .map(|()| "ok".to_owned()),
        "/exists" => bucket()?
            .exists(key)
            .map_err(text)
            .map(|there| there.to_string()),
        "/list" => {
            let (bucket, mut keys, mut cursor) = (bucket()?, Vec::new(), None);
            loop {
                let page = bucket.list_keys(cursor).map_err(text)?;
                keys.extend(page.keys);
                cursor = page.cursor;
                if cursor.is_none() {
                    break Ok(keys.join(" "));
                }
            }
        }
        "/increment" => {
            let delta = get("value").parse().map_err(|_| "value".to_owned())?;
            atomics::increment(&bucket()?, key, delta)
                .map_err(text)
                .map(|sum| sum.to_string())
        }
        "/config" => Ok(format!("{:?}", config::get(key))),
        "/configs" => Ok(format!("{:?}", config::get_all())),
        _ => Err("no such path".to_owned()),
    }
}
