//! The query form of a signature: a URL that carries its own authentication.

use std::borrow::Cow;
use std::time::Duration;

use hearth_types::ApiError;
use percent_encoding::percent_decode_str;

use super::claim::{ALGORITHM, Claim, Form, Pieces, incomplete};
use super::instant::SignedAt;

/// The parameter that holds the signature, and is not covered by it.
pub(crate) const SIGNATURE: &str = "X-Amz-Signature";
/// The longest life of a pre-signed URL (AWS's bound: seven days).
const LONGEST_LIFE_S: u64 = 604_800;

/// Whether a query carries a signature, or means to.
pub(crate) fn is_presigned(query: &str) -> bool {
    parameters(query)
        .any(|(name, _)| matches!(name, SIGNATURE | "X-Amz-Algorithm" | "X-Amz-Credential"))
}

/// Reads the claim of a pre-signed query.
///
/// # Errors
/// IncompleteSignature if a parameter is missing, comes twice or can't be read; as [`Claim::assemble`].
pub(crate) fn read(query: &str) -> Result<Claim<'_>, ApiError> {
    if raw(query, "X-Amz-Algorithm")? != ALGORITHM {
        return Err(incomplete("X-Amz-Algorithm must be AWS4-HMAC-SHA256."));
    }
    let expires: u64 = raw(query, "X-Amz-Expires")?
        .parse()
        .ok()
        .filter(|seconds| (1..=LONGEST_LIFE_S).contains(seconds))
        .ok_or_else(|| incomplete("X-Amz-Expires must be 1 to 604800 seconds."))?;
    let date = SignedAt::from_basic(raw(query, "X-Amz-Date")?)
        .ok_or_else(|| incomplete("X-Amz-Date must be in the form 20150830T123600Z."))?;
    let has_token = parameters(query).any(|(name, _)| name == "X-Amz-Security-Token");
    Claim::assemble(Pieces {
        form: Form::Query {
            expires: Duration::from_secs(expires),
        },
        credential: text(query, "X-Amz-Credential")?,
        signed_headers: text(query, "X-Amz-SignedHeaders")?,
        signature: raw(query, SIGNATURE)?,
        date,
        session_token: if has_token {
            Some(text(query, "X-Amz-Security-Token")?)
        } else {
            None
        },
    })
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// A parameter as it came.
fn raw<'q>(query: &'q str, name: &str) -> Result<&'q str, ApiError> {
    let mut found = parameters(query).filter(|(n, _)| *n == name);
    match (found.next(), found.next()) {
        (Some((_, value)), None) => Ok(value),
        (None, _) => Err(incomplete(format!(
            "The query requires the parameter '{name}'."
        ))),
        (Some(_), Some(_)) => Err(incomplete(format!(
            "The query has the parameter '{name}' twice."
        ))),
    }
}

/// A parameter, unescaped.
fn text<'q>(query: &'q str, name: &str) -> Result<Cow<'q, str>, ApiError> {
    percent_decode_str(raw(query, name)?)
        .decode_utf8()
        .map_err(|_| incomplete(format!("The parameter '{name}' is not text.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
        &X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Flambda%2Faws4_request\
        &X-Amz-Date=20150830T123600Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host\
        &X-Amz-Signature=0000000000000000000000000000000000000000000000000000000000000000";

    #[test]
    fn a_query_is_read() {
        assert!(is_presigned(GOOD));
        let claim = read(GOOD).unwrap();
        assert_eq!(claim.access_key_id, "AKIDEXAMPLE");
        assert_eq!(
            claim.form,
            Form::Query {
                expires: Duration::from_secs(3600)
            }
        );
        assert!(!is_presigned("Qualifier=1"));
    }

    #[test]
    fn queries_that_can_not_be_read_are_refused() {
        for (from, to) in [
            (
                "X-Amz-Algorithm=AWS4-HMAC-SHA256",
                "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256",
            ),
            ("Expires=3600", "Expires=0"),
            ("Expires=3600", "Expires=604801"),
            ("Expires=3600", "Expires=-1"),
            ("Expires=3600", "Expires=1&X-Amz-Expires=2"),
            ("&X-Amz-Date=20150830T123600Z", ""),
            ("20150830T123600Z", "yesterday"),
            ("%2Faws4_request", "%FFaws4_request"),
        ] {
            assert!(read(&GOOD.replace(from, to)).is_err(), "{to}");
        }
    }
}
