//! Reading `multipart/form-data`: what uploads come in. Hostile: parts are counted, and no part is larger than the whole,
//! which was bounded when it was read.

use std::fmt;

use bytes::{Bytes, BytesMut};
use multer::{Constraints, Field, Multipart, SizeLimit};

use crate::answer::Failure;

/// Most parts of a form: the modules that a worker may have, and some. A form of assets has fewer.
const MOST_PARTS: usize = 5_100;

/// A part of a form.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    /// Its media type, without parameters.
    pub(crate) kind: String,
    pub(crate) bytes: Bytes,
}

impl fmt::Debug for Part {
    /// Without what is in it, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Part");
        shown.field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is in a part. Of a form that is in memory it comes at once, and is not copied.
async fn content(mut field: Field<'_>) -> multer::Result<Bytes> {
    let first = field.chunk().await?.unwrap_or_default();
    let Some(second) = field.chunk().await? else {
        return Ok(first);
    };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second);
    while let Some(more) = field.chunk().await? {
        whole.extend_from_slice(&more);
    }
    Ok(whole.freeze())
}

/// The parts of a form, in order.
///
/// # Errors
/// If it is none.
pub(crate) async fn read(content_type: Option<&str>, body: Bytes) -> Result<Vec<Part>, Failure> {
    let boundary = content_type
        .and_then(|kind| multer::parse_boundary(kind).ok())
        .ok_or_else(|| {
            Failure::invalid("The upload must be multipart/form-data with a boundary.")
        })?;
    let whole = u64::try_from(body.len()).unwrap_or(u64::MAX);
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(body)]);
    let constraints = Constraints::new().size_limit(SizeLimit::new().whole_stream(whole));
    let mut form = Multipart::with_constraints(stream, boundary, constraints);
    let broken = |error: multer::Error| {
        Failure::invalid(format!("The upload is no multipart/form-data: {error}."))
    };
    let mut parts = Vec::new();
    while let Some(field) = form.next_field().await.map_err(broken)? {
        if parts.len() >= MOST_PARTS {
            return Err(Failure::invalid(format!(
                "The upload has more than {MOST_PARTS} parts."
            )));
        }
        let name = field
            .name()
            .map(str::to_owned)
            .ok_or_else(|| Failure::invalid("A part of the upload has no name."))?;
        let kind = field
            .headers()
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        let bytes = content(field).await.map_err(broken)?;
        parts.push(Part { name, kind, bytes });
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn of(content_type: &str, body: &'static str) -> Result<Vec<Part>, Failure> {
        read(Some(content_type), Bytes::from_static(body.as_bytes())).await
    }

    #[tokio::test]
    async fn parts_are_read_with_their_types() {
        let body = "--x\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{}\r\n\
                    --x\r\nContent-Disposition: form-data; name=\"a.js\"; filename=\"a.js\"\r\n\
                    Content-Type: application/javascript+module; charset=utf-8\r\n\r\nlet a;\r\n--x--\r\n";
        let parts = of("multipart/form-data; boundary=x", body).await.unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (parts[0].name.as_str(), parts[0].kind.as_str()),
            ("metadata", "")
        );
        assert_eq!(parts[1].kind, "application/javascript+module");
        assert_eq!(parts[1].bytes, "let a;");
    }

    #[tokio::test]
    async fn what_is_no_form_is_refused() {
        for (content_type, body) in [
            ("application/json", "{}"),
            ("multipart/form-data", "--x--"),
            (
                "multipart/form-data; boundary=x",
                "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nno end",
            ),
            (
                "multipart/form-data; boundary=x",
                "--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n",
            ),
            ("multipart/form-data; boundary=x", "nothing of it"),
        ] {
            let failure = of(content_type, body).await.unwrap_err();
            assert_eq!(failure.status, 400, "{content_type} {body}");
        }
        assert!(read(None, Bytes::new()).await.is_err());
    }
}
