//! A response's body as a whole, for those who take events.

use bytes::{Bytes, BytesMut};
use hearth_types::limits::RESPONSE_PAYLOAD_BYTES;
use http_body::Body;
use http_body_util::BodyExt as _;

/// Why there is no whole body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uncollected {
    /// It broke off.
    Broken,
    /// It passes the bound of a synchronous invocation.
    TooLarge,
}

/// All of a body. One that passes the bound is dropped, which ends what makes it.
pub(crate) async fn collect<B>(mut body: B) -> Result<Bytes, Uncollected>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(Uncollected::Broken);
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > RESPONSE_PAYLOAD_BYTES {
            return Err(Uncollected::TooLarge);
        }
        // Most bodies come in one piece, which need not be copied.
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}
