//! What a request says about its own signature, whichever of the two ways it says it in: the `Authorization` header,
//! or the query of a pre-signed URL ([`super::presigned`]).

use std::borrow::Cow;
use std::time::Duration;

use hearth_types::name::Region;
use hearth_types::{ApiError, ErrorKind};
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::instant::SignedAt;
use super::presigned;
use super::signing_key::Scope;

/// The only algorithm that is taken.
pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The longest access key id that is looked at (IAM's model: 16 to 128 characters).
const LONGEST_ACCESS_KEY_ID: usize = 128;
/// Bytes of all names of signed headers together; the clients sign about 100.
const LONGEST_SIGNED_HEADERS: usize = 4_096;

/// A service of AWS's that is spoken here, by its signing name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// EventBridge.
    Events,
    /// The Lambda API.
    Lambda,
    /// CloudWatch Logs.
    Logs,
    /// EventBridge Scheduler.
    Scheduler,
    /// SQS.
    Sqs,
    /// STS.
    Sts,
}

impl Service {
    /// The name in the credential scope.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Lambda => "lambda",
            Self::Logs => "logs",
            Self::Scheduler => "scheduler",
            Self::Sqs => "sqs",
            Self::Sts => "sts",
        }
    }
}

/// Where the signature was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In the `Authorization` header.
    Header,
    /// In the query; good for this long.
    Query {
        /// `X-Amz-Expires`.
        expires: Duration,
    },
}

/// A signature and what it says that it covers. Nothing of it is true until it has been verified.
#[derive(Debug)]
pub(crate) struct Claim<'r> {
    pub(crate) form: Form,
    pub(crate) access_key_id: Cow<'r, str>,
    pub(crate) region: Region,
    pub(crate) service: Service,
    pub(crate) signed_headers: Cow<'r, str>,
    pub(crate) signature: [u8; 32],
    pub(crate) date: SignedAt,
    pub(crate) session_token: Option<Cow<'r, str>>,
}

impl<'r> Claim<'r> {
    /// Reads the claim of a request.
    ///
    /// # Errors
    /// MissingAuthenticationToken if there is none; IncompleteSignature if it can't be read, or covers less than it
    /// must; InvalidSignature if its scope is not one of this node's.
    pub(crate) fn read(parts: &'r Parts) -> Result<Self, ApiError> {
        let mut authorizations = parts.headers.get_all(AUTHORIZATION).iter();
        let query = parts.uri.query().unwrap_or_default();
        let claim = match (authorizations.next(), presigned::is_presigned(query)) {
            (None, false) => {
                return Err(ApiError::new(
                    ErrorKind::MissingAuthenticationToken,
                    "Missing Authentication Token",
                ));
            }
            (Some(_), true) => {
                return Err(incomplete(
                    "Only one auth mechanism allowed; only the X-Amz-Signature query parameter or the \
                     Authorization header should be specified.",
                ));
            }
            (None, true) => presigned::read(query)?,
            (Some(value), false) => {
                if authorizations.next().is_some() {
                    return Err(incomplete("More than one Authorization header was sent."));
                }
                let text = value
                    .to_str()
                    .map_err(|_| incomplete("The Authorization header is not text."))?;
                Self::from_authorization(text, parts)?
            }
        };
        claim.check_coverage(parts)?;
        Ok(claim)
    }

    fn from_authorization(text: &'r str, parts: &'r Parts) -> Result<Self, ApiError> {
        let rest = text
            .strip_prefix(ALGORITHM)
            .filter(|rest| rest.starts_with(' '))
            .ok_or_else(|| {
                incomplete("The Authorization header must use the algorithm AWS4-HMAC-SHA256.")
            })?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let slot = match part.trim().split_once('=') {
                Some(("Credential", value)) => (&mut credential, value),
                Some(("SignedHeaders", value)) => (&mut signed_headers, value),
                Some(("Signature", value)) => (&mut signature, value),
                _ => {
                    return Err(incomplete(
                        "The Authorization header has a part that is not known.",
                    ));
                }
            };
            if slot.0.replace(slot.1).is_some() {
                return Err(incomplete("The Authorization header names a part twice."));
            }
        }
        let requires =
            |name: &str| incomplete(format!("Authorization header requires '{name}' parameter."));
        let session_token = match parts.headers.get("x-amz-security-token") {
            None => None,
            Some(value) => {
                Some(Cow::Borrowed(value.to_str().map_err(|_| {
                    incomplete("The X-Amz-Security-Token header is not text.")
                })?))
            }
        };
        let date = SignedAt::from_headers(&parts.headers).ok_or_else(|| {
            incomplete(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header in a valid format.",
            )
        })?;
        Self::assemble(Pieces {
            form: Form::Header,
            credential: credential.ok_or_else(|| requires("Credential"))?.into(),
            signed_headers: signed_headers
                .ok_or_else(|| requires("SignedHeaders"))?
                .into(),
            signature: signature.ok_or_else(|| requires("Signature"))?,
            date,
            session_token,
        })
    }

    /// Puts a claim together from the pieces that both forms have.
    ///
    /// # Errors
    /// As [`Claim::read`].
    pub(crate) fn assemble(pieces: Pieces<'r>) -> Result<Self, ApiError> {
        let Pieces {
            form,
            credential,
            signed_headers,
            signature,
            date,
            session_token,
        } = pieces;
        let scope = || {
            incomplete(
                "The credential must have the form <access key id>/<YYYYMMDD>/<region>/<service>/aws4_request.",
            )
        };
        let mut fields = credential.split('/');
        let (
            Some(access_key_id),
            Some(day),
            Some(region),
            Some(service),
            Some("aws4_request"),
            None,
        ) = (
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
            fields.next(),
        )
        else {
            return Err(scope());
        };
        let well_formed = (1..=LONGEST_ACCESS_KEY_ID).contains(&access_key_id.len())
            && access_key_id.bytes().all(|b| b.is_ascii_alphanumeric());
        if !well_formed {
            return Err(scope());
        }
        if day != date.day() {
            return Err(invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}' != '{}', from '{}'.",
                shown(day),
                date.day(),
                date.as_str()
            )));
        }
        let region: Region = region
            .parse()
            .map_err(|_| invalid("Credential should be scoped to a valid region."))?;
        let service = match service {
            "events" => Service::Events,
            "lambda" => Service::Lambda,
            "logs" => Service::Logs,
            "scheduler" => Service::Scheduler,
            "sqs" => Service::Sqs,
            "sts" => Service::Sts,
            _ => {
                return Err(invalid(
                    "Credential should be scoped to correct service: 'lambda'.",
                ));
            }
        };
        let access_key_id = match &credential {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..access_key_id.len()]),
            Cow::Owned(_) => Cow::Owned(access_key_id.to_owned()),
        };
        let mut bytes = [0; 32];
        // Lower case as every signer writes it: another spelling of the same signature is another request.
        let lower = !signature.bytes().any(|b| b.is_ascii_uppercase());
        if !lower || hex::decode_to_slice(signature, &mut bytes).is_err() {
            return Err(incomplete(
                "The signature must be 64 lower-case hexadecimal characters.",
            ));
        }
        Ok(Self {
            form,
            access_key_id,
            region,
            service,
            signed_headers,
            signature: bytes,
            date,
            session_token,
        })
    }

    /// The scope that the signing key is derived for.
    pub(crate) fn scope(&self) -> Scope<'_> {
        Scope {
            day: self.date.day(),
            region: self.region.as_str(),
            service: self.service.as_str(),
        }
    }

    /// A signature must cover `host` and every `x-amz-` header that came, and those with a CloudEvent's attributes: what
    /// it leaves out, anyone on the way may have put there.
    fn check_coverage(&self, parts: &Parts) -> Result<(), ApiError> {
        let names = &*self.signed_headers;
        if names.len() > LONGEST_SIGNED_HEADERS {
            return Err(incomplete("SignedHeaders is too long."));
        }
        let ascending = names
            .split(';')
            .zip(names.split(';').skip(1))
            .all(|(one, next)| one < next);
        let words = names.split(';').all(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase())
        });
        if !ascending || !words {
            return Err(incomplete(
                "SignedHeaders must be lower-case names in ascending order, joined by ';'.",
            ));
        }
        let signed = |name: &str| names.split(';').any(|signed| signed == name);
        if !signed("host") {
            return Err(invalid(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        let must_be_signed = |name: &str| {
            name.starts_with("x-amz-") || self.service == Service::Events && name.starts_with("ce-")
        };
        for name in parts.headers.keys() {
            if must_be_signed(name.as_str()) && !signed(name.as_str()) {
                return Err(invalid(format!(
                    "'{name}' must be a 'SignedHeader' in the AWS Authorization."
                )));
            }
        }
        let dated_by_header =
            self.form == Form::Header && !parts.headers.contains_key("x-amz-date");
        if dated_by_header && !signed("date") {
            return Err(invalid(
                "'date' must be a 'SignedHeader' in the AWS Authorization.",
            ));
        }
        Ok(())
    }
}

/// What both forms have, not yet read further.
#[derive(Debug)]
pub(crate) struct Pieces<'r> {
    pub(crate) form: Form,
    pub(crate) credential: Cow<'r, str>,
    pub(crate) signed_headers: Cow<'r, str>,
    pub(crate) signature: &'r str,
    pub(crate) date: SignedAt,
    pub(crate) session_token: Option<Cow<'r, str>>,
}

/// A signature that can't be read.
pub(crate) fn incomplete(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorKind::IncompleteSignature, message)
}

/// A signature that does not hold.
pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorKind::InvalidSignature, message)
}

/// Text of a client's, short enough to be told back.
fn shown(text: &str) -> String {
    text.chars().take(32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    const SIGNATURE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

    fn authorization(credential: &str, signed: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed}, Signature={SIGNATURE}"
        )
    }

    const CREDENTIAL: &str = "AKIDEXAMPLE/20150830/us-east-1/lambda/aws4_request";

    fn kind_of(headers: &[(&str, &str)]) -> ErrorKind {
        Claim::read(&parts(headers)).unwrap_err().kind
    }

    #[test]
    fn a_header_is_read() {
        let text = authorization(CREDENTIAL, "host;x-amz-date");
        let parts = parts(&[("authorization", &text), ("x-amz-date", "20150830T123600Z")]);
        let claim = Claim::read(&parts).unwrap();
        assert_eq!(claim.access_key_id, "AKIDEXAMPLE");
        assert_eq!(claim.region.as_str(), "us-east-1");
        assert_eq!(claim.service, Service::Lambda);
    }

    #[test]
    fn headers_that_can_not_be_read_are_incomplete() {
        let date = ("x-amz-date", "20150830T123600Z");
        for text in [
            "",
            "Basic QQ==",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a",
            "AWS4-HMAC-SHA512 Credential=a, SignedHeaders=host, Signature=0",
            &authorization("AKID/20150830/us-east-1/lambda", "host;x-amz-date"),
            &authorization(
                "AK ID/20150830/us-east-1/lambda/aws4_request",
                "host;x-amz-date",
            ),
            &authorization("/20150830/us-east-1/lambda/aws4_request", "host;x-amz-date"),
            &authorization(CREDENTIAL, "x-amz-date;host"),
            &authorization(CREDENTIAL, "host;host;x-amz-date"),
            &authorization(CREDENTIAL, "Host;x-amz-date"),
            &authorization(CREDENTIAL, ""),
            &authorization(CREDENTIAL, "host;x-amz-date").replace("0000", "000g"),
            &authorization(CREDENTIAL, "host;x-amz-date").replace("0000", "000A"),
            &format!(
                "{}, Signature={SIGNATURE}",
                authorization(CREDENTIAL, "host;x-amz-date")
            ),
        ] {
            let kind = kind_of(&[("authorization", text), date]);
            assert_eq!(kind, ErrorKind::IncompleteSignature, "{text}");
        }
    }

    #[test]
    fn what_must_be_covered_and_is_not_is_refused() {
        let text = authorization(CREDENTIAL, "host;x-amz-date");
        let date = ("x-amz-date", "20150830T123600Z");
        let extra = ("x-amz-invocation-type", "Event");
        assert_eq!(
            kind_of(&[("authorization", &text), date, extra]),
            ErrorKind::InvalidSignature
        );
        let text = authorization(CREDENTIAL, "x-amz-date");
        assert_eq!(
            kind_of(&[("authorization", &text), date]),
            ErrorKind::InvalidSignature
        );
        let text = authorization(CREDENTIAL, "host");
        let date = ("date", "Sun, 30 Aug 2015 12:36:00 GMT");
        assert_eq!(
            kind_of(&[("authorization", &text), date]),
            ErrorKind::InvalidSignature
        );
    }

    #[test]
    fn a_scope_of_another_day_service_or_region_is_refused() {
        let date = ("x-amz-date", "20150830T123600Z");
        for credential in [
            "AKID/20150829/us-east-1/lambda/aws4_request",
            "AKID/20150830/us-east-1/s3/aws4_request",
            "AKID/20150830/US EAST/lambda/aws4_request",
        ] {
            let text = authorization(credential, "host;x-amz-date");
            assert_eq!(
                kind_of(&[("authorization", &text), date]),
                ErrorKind::InvalidSignature,
                "{credential}"
            );
        }
    }

    #[test]
    fn no_signature_and_two_signatures_are_refused() {
        assert_eq!(kind_of(&[]), ErrorKind::MissingAuthenticationToken);
        let text = authorization(CREDENTIAL, "host");
        assert_eq!(
            kind_of(&[("authorization", &text), ("authorization", &text)]),
            ErrorKind::IncompleteSignature
        );
    }
}
