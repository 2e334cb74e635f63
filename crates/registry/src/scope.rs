//! Who asks, and what they asked for by name.

use hearth_types::ApiError;
use hearth_types::arn::{FunctionArn, FunctionRef};
use hearth_types::error::ErrorKind;
use hearth_types::name::{AccountId, FunctionKey, Qualifier, Region};

/// The account and the region of a request: nothing outside of them is seen or changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The caller's account.
    pub account: AccountId,
    /// The region of the request's signature.
    pub region: Region,
}

/// The pattern of a function's name in the service model.
const FUNCTION_PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";
/// The pattern of a qualifier in the service model.
const QUALIFIER_PATTERN: &str = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+";

/// Reads a function's name or ARN as the path of a request holds it.
///
/// # Errors
/// [`ErrorKind::Validation`], in the service's words.
pub fn parse_function(text: &str) -> Result<FunctionRef, ApiError> {
    text.parse()
        .map_err(|_| pattern_error("functionName", text, FUNCTION_PATTERN))
}

/// Reads the parameter `Qualifier`.
///
/// # Errors
/// [`ErrorKind::Validation`], in the service's words.
pub fn parse_qualifier(text: &str) -> Result<Qualifier, ApiError> {
    text.parse()
        .map_err(|_| pattern_error("qualifier", text, QUALIFIER_PATTERN))
}

fn pattern_error(member: &str, value: &str, pattern: &str) -> ApiError {
    // A hostile value must not be echoed whole.
    let shown: String = value.chars().take(200).collect();
    ApiError::new(
        ErrorKind::Validation,
        format!(
            "1 validation error detected: Value '{shown}' at '{member}' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: {pattern}"
        ),
    )
}

impl Scope {
    /// The key of a function that is called `function` here.
    ///
    /// # Errors
    /// [`ErrorKind::AccessDenied`] if the reference names another account, [`ErrorKind::ResourceNotFound`] if it
    /// names another region.
    pub fn key(&self, function: &FunctionRef) -> Result<FunctionKey, ApiError> {
        if let Some(region) = &function.region
            && *region != self.region
        {
            return Err(ApiError::not_found(format!(
                "Functions from '{region}' are not reachable in this region ('{}')",
                self.region
            )));
        }
        if let Some(account) = &function.account
            && *account != self.account
        {
            let key = FunctionKey {
                account: account.clone(),
                region: self.region.clone(),
                name: function.name.clone(),
            };
            let qualifier = function.qualifier.clone();
            return Err(ApiError::new(
                ErrorKind::AccessDenied,
                format!(
                    "User: arn:aws:iam::{}:root is not authorized to access resource: {} because no resource-based \
                     policy allows it",
                    self.account,
                    FunctionArn {
                        key: &key,
                        qualifier
                    }
                ),
            ));
        }
        Ok(FunctionKey {
            account: self.account.clone(),
            region: self.region.clone(),
            name: function.name.clone(),
        })
    }
}

/// The qualifier of a request that can name one both in the function's ARN and as a parameter.
///
/// # Errors
/// [`ErrorKind::InvalidParameterValue`] if both are there and differ.
pub(crate) fn one_qualifier<'a>(
    function: &'a FunctionRef,
    qualifier: Option<&'a Qualifier>,
) -> Result<Option<&'a Qualifier>, ApiError> {
    match (function.qualifier.as_ref(), qualifier) {
        (Some(derived), Some(given)) if derived != given => Err(ApiError::invalid(
            "The derived qualifier from the function name does not match the specified qualifier.",
        )),
        (derived, given) => Ok(given.or(derived)),
    }
}

/// The key of a function that must be named without a version or alias.
///
/// # Errors
/// Those of [`Scope::key`]; [`ErrorKind::InvalidParameterValue`] if there is a qualifier.
pub(crate) fn unqualified(scope: &Scope, function: &FunctionRef) -> Result<FunctionKey, ApiError> {
    let key = scope.key(function)?;
    if function.qualifier.is_some() {
        return Err(ApiError::invalid(
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this \
             operation. Please specify either a function name or an unqualified function ARN.",
        ));
    }
    Ok(key)
}
