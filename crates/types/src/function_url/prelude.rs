//! The head of a response that a function streams: JSON with status, headers and cookies, 8 NUL bytes, and then the
//! body, if the runtime names the media type [`MEDIA_TYPE`]; without it all of the response is the body of a 200. The
//! prelude is hostile input (INV-8), as a result is.

use bytes::{Bytes, BytesMut};
use http::Response;
use http::header::HeaderValue;

use super::result::{Malformed, head};
use crate::wire::function_url;

/// The media type of a response that begins with a prelude (developer guide, response streaming).
pub const MEDIA_TYPE: &str = "application/vnd.awslambda.http-integration-response";
/// What a response is of when nobody says so: the official clients' default.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// Ends a prelude. JSON has no NUL.
const END: [u8; 8] = [0; 8];
/// Bytes of a prelude: twice what its header fields may have together, for their names, quotes and escapes.
pub(super) const PRELUDE_BYTES: usize = 128 * 1024;

/// Whether a response of this media type begins with a prelude.
pub fn is_announced(content_type: Option<&HeaderValue>) -> bool {
    content_type.is_some_and(|content_type| {
        let essence = content_type.as_bytes().split(|byte| *byte == b';').next();
        essence.is_some_and(|essence| {
            essence
                .trim_ascii()
                .eq_ignore_ascii_case(MEDIA_TYPE.as_bytes())
        })
    })
}

/// The head of a response without a prelude, of the media type that the runtime names.
pub fn without(content_type: Option<HeaderValue>) -> Response<()> {
    let mut response = Response::new(());
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, content_type.unwrap_or(BYTES));
    response
}

/// Reads a prelude as it comes. Holds at most [`PRELUDE_BYTES`] and one piece.
#[derive(Debug, Default)]
pub struct PreludeReader {
    seen: BytesMut,
}

impl PreludeReader {
    /// Takes the next piece of the response. Gives the head, and what of the body came with it, once the prelude is
    /// whole.
    ///
    /// # Errors
    /// [`Malformed`]: the function's fault.
    pub fn push(&mut self, piece: &[u8]) -> Result<Option<(Response<()>, Bytes)>, Malformed> {
        let from = self.seen.len().saturating_sub(END.len() - 1);
        self.seen.extend_from_slice(piece);
        let end = self.seen[from..]
            .windows(END.len())
            .position(|window| window == END);
        let Some(end) = end.map(|end| from + end) else {
            if self.seen.len() >= PRELUDE_BYTES + END.len() {
                return Err(Malformed::Prelude);
            }
            return Ok(None);
        };
        if end > PRELUDE_BYTES {
            return Err(Malformed::Prelude);
        }
        let prelude = self.seen.split_to(end + END.len());
        let response = read(&prelude[..end])?;
        Ok(Some((response, self.seen.split().freeze())))
    }

    /// The response has ended before its prelude has.
    pub fn cut_off(self) -> Malformed {
        Malformed::Prelude
    }
}

fn read(prelude: &[u8]) -> Result<Response<()>, Malformed> {
    // A list would be read member by member.
    if prelude.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed::Prelude);
    }
    let said: function_url::Response =
        serde_json::from_slice(prelude).map_err(|error| Malformed::Shape(error.to_string()))?;
    head(said.status_code.unwrap_or(200), &said, BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(prelude: &str) -> Result<(Response<()>, Bytes), Malformed> {
        let bytes = [prelude.as_bytes(), &END, b"body"].concat();
        Ok(PreludeReader::default().push(&bytes)?.unwrap())
    }

    #[test]
    fn a_prelude_says_status_headers_and_cookies() {
        let (head, rest) = of(
            r#"{"statusCode": 201, "headers": {"X-A": "1", "Content-Type": "text/event-stream"},
                "multiValueHeaders": {"X-B": ["2", "3"]}, "cookies": ["a=1", "b=2"], "body": "not this"}"#,
        )
        .unwrap();
        assert_eq!(head.status(), 201);
        assert_eq!(head.headers()["x-a"], "1");
        assert_eq!(head.headers()["content-type"], "text/event-stream");
        assert_eq!(head.headers().get_all("x-b").iter().count(), 2);
        assert_eq!(head.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(rest, "body");
        let (head, _) = of("{}").unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(head.headers()["content-type"], "application/octet-stream");
    }

    #[test]
    fn a_prelude_may_come_in_any_pieces() {
        let whole = [&b"{\"statusCode\": 202}"[..], &END, b"\0body"].concat();
        for at in 0..whole.len() {
            let mut reader = PreludeReader::default();
            let (first, second) = whole.split_at(at);
            let (head, mut body) = match reader.push(first).unwrap() {
                Some((head, body)) => (head, BytesMut::from(&body[..])),
                None => {
                    let (head, body) = reader.push(second).unwrap().unwrap();
                    assert_eq!((head.status().as_u16(), &body[..]), (202, &b"\0body"[..]));
                    continue;
                }
            };
            body.extend_from_slice(second);
            assert_eq!((head.status().as_u16(), &body[..]), (202, &b"\0body"[..]));
        }
        let mut reader = PreludeReader::default();
        let last = whole.len() - 6;
        for byte in &whole[..last] {
            assert!(reader.push(&[*byte]).unwrap().is_none());
        }
        assert!(reader.push(&whole[last..=last]).unwrap().is_some());
    }

    #[test]
    fn hostile_preludes_are_refused() {
        for bad in [
            "",
            "null",
            "[201]",
            "{\"statusCode\": 200",
            "{\"statusCode\": 99}",
            "{\"statusCode\": 101}",
            "{\"statusCode\": 600}",
            "{\"headers\": {\"a\": \"b\\r\\nc: d\"}}",
            "{\"headers\": {\"a\\r\\nb\": \"c\"}}",
            "{\"cookies\": [\"a=b\\n\"]}",
            "{\"headers\": []}",
            "{}{}",
            "{\"a\": \"\0\"}",
        ] {
            assert!(of(bad).is_err(), "{bad:?}");
        }
        let mut reader = PreludeReader::default();
        let endless = vec![b' '; 32 * 1024];
        let refused = (0..8).any(|_| reader.push(&endless).is_err());
        assert!(refused && reader.seen.len() <= PRELUDE_BYTES + 2 * endless.len());
        let late = [vec![b' '; PRELUDE_BYTES + 1], END.to_vec()].concat();
        assert_eq!(
            PreludeReader::default().push(&late).unwrap_err(),
            Malformed::Prelude
        );
    }

    #[test]
    fn framing_and_the_platforms_fields_are_not_the_functions() {
        let (head, _) = of(
            r#"{"headers": {"Content-Length": "9", "Transfer-Encoding": "x", "Connection": "close", "Trailer": "a",
                "x-hearth-account": "1", "X-Amzn-RequestId": "forged", "x-b": "2"}}"#,
        )
        .unwrap();
        let names: Vec<_> = head
            .headers()
            .keys()
            .map(http::HeaderName::as_str)
            .collect();
        assert_eq!(names, ["x-b", "content-type"]);
    }

    #[test]
    fn a_prelude_is_announced_by_its_media_type() {
        let announced = |text: &'static str| is_announced(Some(&HeaderValue::from_static(text)));
        assert!(announced(MEDIA_TYPE));
        assert!(announced(
            "Application/vnd.awslambda.http-integration-response; charset=utf-8"
        ));
        assert!(!announced("application/json") && !is_announced(None));
        let plain = without(Some(HeaderValue::from_static("text/event-stream")));
        assert_eq!(plain.headers()["content-type"], "text/event-stream");
        assert_eq!(
            without(None).headers()["content-type"],
            "application/octet-stream"
        );
    }
}
