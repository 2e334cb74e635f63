//! What operations read out of a request.

use hearth_registry::{LayerFilter, PageRequest, Resolved, parse_function, parse_qualifier};
use hearth_types::arn::FunctionRef;
use hearth_types::name::Qualifier;
use hearth_types::{ApiError, ErrorKind};
use serde::de::DeserializeOwned;

use crate::gateway::Call;
use crate::random;

/// Bodies above this are parsed on a thread that may block (bytes): base64 of tens of megabytes takes a tenth of a
/// second.
const PARSE_APART_BYTES: usize = 256 * 1024;

impl Call<'_> {
    /// The function that the path names.
    pub(super) fn function(&self) -> Result<FunctionRef, ApiError> {
        parse_function(&self.target.path("FunctionName")?)
    }

    /// What an invocation of that function runs.
    pub(super) fn resolve(&self) -> Result<Resolved, ApiError> {
        let (function, qualifier) = (self.function()?, self.qualifier()?);
        self.gateway.registry.resolve(
            &self.scope,
            &function,
            qualifier.as_ref(),
            random::fraction(),
        )
    }

    /// The parameter `Qualifier`.
    pub(super) fn qualifier(&self) -> Result<Option<Qualifier>, ApiError> {
        match self.target.query("Qualifier")? {
            // Clients that have none to say may say nothing.
            None => Ok(None),
            Some(text) if text.is_empty() => Ok(None),
            Some(text) => parse_qualifier(&text).map(Some),
        }
    }

    /// A number of the query.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        match self.target.query(name)? {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(ApiError::new(
                    ErrorKind::Serialization,
                    format!("The parameter {name} must be a whole number."),
                )),
            },
        }
    }

    /// `Marker` and `MaxItems`.
    pub(super) fn page(&self) -> Result<PageRequest, ApiError> {
        Ok(PageRequest {
            marker: self.text("Marker")?,
            max_items: self.number("MaxItems")?,
        })
    }

    /// `CompatibleRuntime` and `CompatibleArchitecture`.
    pub(super) fn layer_filter(&self) -> Result<LayerFilter, ApiError> {
        Ok(LayerFilter {
            runtime: self.text("CompatibleRuntime")?,
            architecture: self.text("CompatibleArchitecture")?,
        })
    }

    /// A text of the query.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, ApiError> {
        Ok(self.target.query(name)?.map(|text| text.into_owned()))
    }

    /// The body. No body is an object without members: several operations have none that is required.
    ///
    /// # Errors
    /// Serialization if it is not JSON, not an object, or a member has another type than the model gives it.
    pub(super) async fn body<T: DeserializeOwned + Send + 'static>(
        &mut self,
    ) -> Result<T, ApiError> {
        let body = std::mem::take(&mut self.body);
        if body.len() < PARSE_APART_BYTES {
            return parse(&body);
        }
        tokio::task::spawn_blocking(move || parse(&body))
            .await
            .unwrap_or_else(|error| {
                tracing::error!(%error, "parse a request");
                Err(ApiError::service("The request can't be read. Try again."))
            })
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let bad = |message: String| ApiError::new(ErrorKind::Serialization, message);
    let text = match body.trim_ascii() {
        b"" => b"{}",
        text => text,
    };
    // Serde would take a list for an object too, member by member.
    if text.first() != Some(&b'{') {
        return Err(bad(
            "The body of the request must be a JSON object.".to_owned()
        ));
    }
    serde_json::from_slice(text).map_err(|error| {
        if error.is_data() {
            bad(error.to_string())
        } else {
            bad(format!("Could not parse request body into json: {error}"))
        }
    })
}

#[cfg(test)]
mod tests {
    use hearth_types::wire::lambda::{CreateFunctionRequest, PublishVersionRequest};

    use super::*;

    #[test]
    fn bodies_are_objects_of_the_right_types() {
        let parsed: PublishVersionRequest = parse(b"").unwrap();
        assert_eq!(parsed, PublishVersionRequest::default());
        let parsed: PublishVersionRequest =
            parse(b" {\"Description\": \"x\", \"New\": 1}\n").unwrap();
        assert_eq!(parsed.description.as_deref(), Some("x"));
        for bad in [
            &b"[]"[..],
            b"[\"a\"]",
            b"null",
            b"{",
            b"{\"Description\": 1}",
            b"{} {}",
            b"{\"Description\": \"\xff\"}",
            b"\xff",
        ] {
            let error = parse::<PublishVersionRequest>(bad).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Serialization, "{bad:?}");
        }
        let deep = [b"{\"Tags\":".to_vec(), vec![b'['; 100_000]].concat();
        assert!(parse::<CreateFunctionRequest>(&deep).is_err());
    }
}
