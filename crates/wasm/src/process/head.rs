//! Heads of requests and responses as text, in HTTP/1.1's form: what both sides have a strict parser for.

use bytes::{BufMut as _, Bytes, BytesMut};
use hearth_egress::is_forbidden;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

/// Header fields of one head. Most that the host takes of a guest is 64 KiB, and each counts with 32 bytes at least.
const MAX_FIELDS: usize = 2048;

/// Why bytes are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a head that HTTP can't carry")]
pub(crate) struct NoHead;

/// Writes the head of a request, and what precedes it: its length, 4 bytes.
pub(crate) fn request_with_length(head: &http::request::Parts) -> Bytes {
    let mut text = BytesMut::with_capacity(256);
    text.put_u32(0);
    text.put_slice(head.method.as_str().as_bytes());
    text.put_u8(b' ');
    put_display(&mut text, &head.uri);
    text.put_slice(b" HTTP/1.1\r\n");
    put_fields(&mut text, &head.headers);
    let length = u32::try_from(text.len() - LENGTH_BYTES).unwrap_or(u32::MAX);
    text[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    text.freeze()
}

/// Bytes of the length before a request's head.
pub(crate) const LENGTH_BYTES: usize = 4;

/// Reads the head of a request.
pub(crate) fn read_request(text: &[u8]) -> Result<Request<()>, NoHead> {
    let mut fields = room(text);
    let mut parsed = httparse::Request::new(&mut fields);
    if !matches!(parsed.parse(text), Ok(httparse::Status::Complete(end)) if end == text.len()) {
        return Err(NoHead);
    }
    let mut head = Request::new(());
    *head.method_mut() =
        Method::from_bytes(parsed.method.unwrap_or_default().as_bytes()).map_err(|_| NoHead)?;
    *head.uri_mut() = Uri::try_from(parsed.path.unwrap_or_default()).map_err(|_| NoHead)?;
    *head.headers_mut() = read_fields(parsed.headers)?;
    Ok(head)
}

/// Writes the head of a response.
pub(crate) fn response(head: &http::response::Parts) -> Bytes {
    let mut text = BytesMut::with_capacity(256);
    text.put_slice(b"HTTP/1.1 ");
    text.put_slice(head.status.as_str().as_bytes());
    text.put_slice(b"\r\n");
    put_fields(&mut text, &head.headers);
    text.freeze()
}

/// Writes the head of a response, and what precedes it: its length, 4 bytes.
pub(crate) fn response_with_length(head: &http::response::Parts) -> Bytes {
    let text = response(head);
    let mut with_length = BytesMut::with_capacity(LENGTH_BYTES + text.len());
    with_length.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    with_length.put_slice(&text);
    with_length.freeze()
}

/// Reads the head of a response.
pub(crate) fn read_response(text: &[u8]) -> Result<Response<()>, NoHead> {
    let mut fields = room(text);
    let mut parsed = httparse::Response::new(&mut fields);
    if !matches!(parsed.parse(text), Ok(httparse::Status::Complete(end)) if end == text.len()) {
        return Err(NoHead);
    }
    let mut head = Response::new(());
    *head.status_mut() =
        StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_| NoHead)?;
    *head.headers_mut() = read_fields(parsed.headers)?;
    Ok(head)
}

/// Reads the head of a guest's response, which must be a final one, without fields that are not a guest's to set.
pub(crate) fn read_guest_response(text: &[u8]) -> Result<Response<()>, NoHead> {
    let head = read_response(text)?;
    // What is not final is between a server and its client: nobody waits for a second head.
    if head.status().is_informational() || head.headers().keys().any(is_forbidden) {
        return Err(NoHead);
    }
    let mut lengths = head.headers().get_all(CONTENT_LENGTH).iter();
    let (length, more) = (lengths.next(), lengths.next());
    let is_number =
        |value: &HeaderValue| value.to_str().is_ok_and(|text| text.parse::<u64>().is_ok());
    if more.is_some() || !length.is_none_or(is_number) {
        return Err(NoHead);
    }
    Ok(head)
}

fn put_fields(text: &mut BytesMut, fields: &HeaderMap) {
    for (name, value) in fields {
        text.put_slice(name.as_str().as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
        text.put_slice(b"\r\n");
    }
    text.put_slice(b"\r\n");
}

fn put_display(text: &mut BytesMut, value: &impl std::fmt::Display) {
    // Writing to memory does not fail.
    let _ = std::fmt::Write::write_fmt(text, format_args!("{value}"));
}

/// Room for as many fields as there are lines.
fn room(text: &[u8]) -> Vec<httparse::Header<'_>> {
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    vec![httparse::EMPTY_HEADER; lines.min(MAX_FIELDS)]
}

fn read_fields(parsed: &[httparse::Header<'_>]) -> Result<HeaderMap, NoHead> {
    let mut fields = HeaderMap::with_capacity(parsed.len());
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| NoHead)?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| NoHead)?;
        fields.try_append(name, value).map_err(|_| NoHead)?;
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_as_it_was() {
        let request = Request::builder()
            .method("BREW")
            .uri("http://example.com:8080/pot?a=%20&b=c")
            .header("x-twice", "one")
            .header("x-twice", "two")
            .header("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap())
            .header("x-empty", "")
            .body(())
            .unwrap();
        let (head, ()) = request.into_parts();
        let text = request_with_length(&head);
        let read = read_request(&text[LENGTH_BYTES..]).unwrap();
        assert_eq!(text[..LENGTH_BYTES], (text.len() as u32 - 4).to_be_bytes());
        assert_eq!(read.method(), head.method);
        assert_eq!(read.uri(), &head.uri);
        assert_eq!(read.headers(), &head.headers);
    }

    #[test]
    fn a_response_reads_back_as_it_was() {
        let response_with = Response::builder()
            .status(418)
            .header("set-cookie", "a=b")
            .header("set-cookie", "c=d")
            .header("content-length", "7")
            .body(())
            .unwrap();
        let (head, ()) = response_with.into_parts();
        let read = read_guest_response(&response(&head)).unwrap();
        assert_eq!(read.status(), head.status);
        assert_eq!(read.headers(), &head.headers);
    }

    #[test]
    fn what_would_confuse_a_connection_is_no_head() {
        for text in [
            "HTTP/1.1 200\r\nconnection: close\r\n\r\n",
            "HTTP/1.1 200\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 101\r\nupgrade: x\r\n\r\n",
            "HTTP/1.1 200\r\nx-hearth-request: x\r\n\r\n",
            "HTTP/1.1 101\r\n\r\n",
            "HTTP/1.1 99\r\n\r\n",
            "HTTP/1.1 200\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "HTTP/1.1 200\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200\r\nx: a\x00b\r\n\r\n",
            "HTTP/1.1 200\r\nx y: a\r\n\r\n",
            "HTTP/1.1 200\r\n\r\nHTTP/1.1 200\r\n\r\n",
            "HTTP/1.1 200\r\n",
            "",
        ] {
            assert!(read_guest_response(text.as_bytes()).is_err(), "{text:?}");
        }
        let many = "x: y\r\n".repeat(MAX_FIELDS + 1);
        assert!(read_response(format!("HTTP/1.1 200\r\n{many}\r\n").as_bytes()).is_err());
    }
}
