//! Which bodies are text.

/// Whether a body of this media type goes into an event as it is, if it is UTF-8; others go as base64. A body
/// without a media type is taken for text, as `application/x-www-form-urlencoded` and the like are.
///
/// The service does not publish its list. This one has the types whose definition is text (RFC 6838 and RFC 6839:
/// the `text` tree, and the suffixes of structured syntaxes that are text).
pub fn is_text(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else {
        return true;
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    if essence.is_empty() {
        return true;
    }
    let Some((kind, subtype)) = essence.split_once('/') else {
        return false;
    };
    if kind == "text" {
        return true;
    }
    let suffix = subtype.rsplit_once('+').map(|(_, suffix)| suffix);
    if matches!(suffix, Some("json" | "xml" | "yaml" | "json-seq")) {
        return true;
    }
    kind == "application"
        && matches!(
            subtype,
            "json"
                | "xml"
                | "javascript"
                | "ecmascript"
                | "x-javascript"
                | "x-www-form-urlencoded"
                | "graphql"
                | "graphql-response"
                | "jose"
                | "jwt"
                | "ld-json"
                | "ndjson"
                | "x-ndjson"
                | "json-seq"
                | "sql"
                | "toml"
                | "yaml"
                | "x-yaml"
                | "xml-dtd"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_by_its_type() {
        for text in [
            "text/plain",
            "Text/HTML; charset=utf-8",
            "application/json",
            "application/json;charset=utf-8",
            "application/vnd.api+json",
            "image/svg+xml",
            "application/x-www-form-urlencoded",
            "",
        ] {
            assert!(is_text(Some(text)), "{text}");
        }
        for binary in [
            "application/octet-stream",
            "image/png",
            "multipart/form-data; boundary=x",
            "application/zip",
            "json",
            "application/json-but-not",
        ] {
            assert!(!is_text(Some(binary)), "{binary}");
        }
        assert!(is_text(None));
    }
}
