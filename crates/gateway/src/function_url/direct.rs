//! The answer of a function that takes HTTP itself: its head is looked at, its body streams.

use hearth_types::function_url::fields;
use hearth_types::invoke::{Body, RequestId};
use hearth_types::name::FunctionKey;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Response, StatusCode, Version};
use http_body::Body as _;

use super::refusal::Refusal;
use crate::error_response;
use crate::response_body::{Held, ResponseBody, Streaming};

/// What goes to the client. Dropping it ends the function.
///
/// # Errors
/// [`Refusal`] if the head is none that a server may send.
pub(super) fn answer(
    response: Response<Body>,
    is_head: bool,
    held: Held,
    function: &FunctionKey,
    request_id: RequestId,
) -> Result<Response<ResponseBody>, Refusal> {
    let (mut head, body) = response.into_parts();
    if head.status.is_informational() {
        tracing::info!(%function, %request_id, status = %head.status, "a function's response has no final status");
        return Err(Refusal::function_failed());
    }
    head.version = Version::HTTP_11;
    fields::strip_response(&mut head.headers);
    error_response::set_request_id(&mut head.headers, request_id);
    let no_body = matches!(
        head.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    // The server believes what it is told of a body whose length it knows; a function that says something else would
    // decide where the next response begins (INV-8).
    if no_body || (!is_head && body.size_hint().exact().is_some()) {
        head.headers.remove(CONTENT_LENGTH);
    } else {
        keep_one_length(&mut head.headers);
    }
    let body = if no_body || is_head {
        ResponseBody::from(bytes::Bytes::new())
    } else {
        ResponseBody::Streaming(Streaming::new(body, held))
    };
    Ok(Response::from_parts(head, body))
}

/// Takes lengths out that are none, or several.
fn keep_one_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return;
    };
    let is_number = length.to_str().is_ok_and(|text| {
        text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u64>().is_ok()
    });
    if lengths.next().is_some() || !is_number {
        headers.remove(CONTENT_LENGTH);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_length_is_one_number() {
        let kept = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            keep_one_length(&mut headers);
            headers.contains_key(CONTENT_LENGTH)
        };
        assert!(kept(&["0"]) && kept(&["18446744073709551615"]));
        for bad in [
            &["", "1"][..],
            &["1", "1"],
            &["1, 1"],
            &["+1"],
            &["0x1"],
            &["18446744073709551616"],
            &[""],
        ] {
            assert!(!kept(bad), "{bad:?}");
        }
    }
}
