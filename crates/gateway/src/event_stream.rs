//! Messages of `application/vnd.amazon.eventstream`, as streaming operations answer with them.

use aws_smithy_eventstream::error::Error;
use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::{Bytes, BytesMut};

/// The media type of a stream of messages.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.amazon.eventstream";

/// Bytes of a message besides its payload: prelude, checksums, and three headers with short values.
const AROUND_BYTES: usize = 160;

/// One event.
///
/// # Errors
/// If the payload is longer than 32 bits can say.
pub(crate) fn message(
    event: &'static str,
    content_type: &'static str,
    payload: Bytes,
) -> Result<Bytes, Error> {
    let text = |value: &'static str| HeaderValue::String(value.into());
    let mut bytes = BytesMut::with_capacity(payload.len() + AROUND_BYTES);
    let message = Message::new(payload)
        .add_header(Header::new(":message-type", text("event")))
        .add_header(Header::new(":event-type", text(event)))
        .add_header(Header::new(":content-type", text(content_type)));
    write_message_to(&message, &mut bytes)?;
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;

    use super::*;

    #[test]
    fn a_message_reads_back() {
        let bytes = message(
            "PayloadChunk",
            "application/octet-stream",
            Bytes::from_static(b"abc"),
        )
        .unwrap();
        assert!(bytes.len() <= 3 + AROUND_BYTES);
        let read = read_message_from(&mut &bytes[..]).unwrap();
        assert_eq!(&read.payload()[..], b"abc");
        let headers: Vec<_> = read
            .headers()
            .iter()
            .map(|header| {
                (
                    header.name().as_str(),
                    header.value().as_string().unwrap().as_str(),
                )
            })
            .collect();
        assert_eq!(
            headers,
            [
                (":message-type", "event"),
                (":event-type", "PayloadChunk"),
                (":content-type", "application/octet-stream")
            ]
        );
    }
}
