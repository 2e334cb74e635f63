//! Resource policies: `AddPermission`, `RemovePermission`, `GetPolicy`.

use hearth_store::contract::Change;
use hearth_store::record::{PolicyRecord, StatementRecord};
use hearth_types::arn::FunctionRef;
use hearth_types::function_url::UrlAuth;
use hearth_types::limits::POLICY_BYTES;
use hearth_types::name::{AccountId, FunctionKey, Qualifier, Version};
use hearth_types::wire::lambda::{AddPermissionRequest, AddPermissionResponse, GetPolicyResponse};
use hearth_types::{ApiError, ErrorKind};
use serde::Serialize;

use crate::constraints::Constraints;
use crate::registry::{Subject, new_revision};
use crate::scope::one_qualifier;
use crate::snapshot::{FunctionEntry, Snapshot};
use crate::{Registry, Scope, policy, present};

const STATEMENT_PATTERN: &str = "([a-zA-Z0-9-_]+)";
const ACTION_PATTERN: &str = "(lambda:[*]|lambda:[a-zA-Z]+|[*])";
const PRINCIPAL_PATTERN: &str = r"[^\s]+";
const ACCOUNT_PATTERN: &str = r"\d{12}";
const TOKEN_PATTERN: &str = r"[a-zA-Z0-9._\-]+";
const ARN_PATTERN: &str = r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)";
const ORGANISATION_PATTERN: &str = "o-[a-z0-9]{10,32}";
/// The action that `FunctionUrlAuthType` belongs to.
const INVOKE_URL: &str = "lambda:InvokeFunctionUrl";
/// The action that `InvokedViaFunctionUrl` belongs to.
const INVOKE: &str = "lambda:InvokeFunction";

impl Registry {
    /// `AddPermission`: adds a statement to the policy of a function, a version or an alias.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound), [`ResourceConflict`](ErrorKind::ResourceConflict) if there
    /// is a statement of that name, [`PreconditionFailed`](ErrorKind::PreconditionFailed) if `RevisionId` is not the
    /// current one, [`PolicyLengthExceeded`](ErrorKind::PolicyLengthExceeded); those of bad parameters and of the
    /// store. Nothing was changed then.
    pub async fn add_permission(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
        request: AddPermissionRequest,
    ) -> Result<AddPermissionResponse, ApiError> {
        let statement = read(&request)?;
        let key = scope.key(function)?;
        let qualifier = subject(function, qualifier)?;
        let revision = new_revision();
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = entry(snapshot, &key, &qualifier)?;
            let current = entry.policy(&qualifier);
            check_revision(current, request.revision_id.as_deref())?;
            let mut statements = current.map_or_else(Vec::new, |record| record.statements.clone());
            if statements.iter().any(|known| known.id == statement.id) {
                return Err(ApiError::conflict(format!(
                    "The statement id ({}) provided already exists. Please provide a new statement id, or remove the \
                     existing statement.",
                    statement.id
                )));
            }
            statements.push(statement.clone());
            let record = PolicyRecord {
                qualifier: qualifier.clone(),
                revision: revision.clone(),
                statements,
            };
            let resource = resource(&key, &qualifier);
            let size = json(&policy::document(&record, &resource))?.len();
            if size > POLICY_BYTES {
                return Err(ApiError::new(
                    ErrorKind::PolicyLengthExceeded,
                    format!(
                        "The final policy size ({size}) is bigger than the limit ({POLICY_BYTES})."
                    ),
                ));
            }
            let answer = AddPermissionResponse {
                statement: json(&policy::statement(&statement, &resource))?,
            };
            Ok((vec![put(&key, record, current)], answer))
        })
        .await
    }

    /// `RemovePermission`: takes a statement out of a policy.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound),
    /// [`PreconditionFailed`](ErrorKind::PreconditionFailed) if `revision` is not the current one; those of bad
    /// parameters and of the store. Nothing was changed then.
    pub async fn remove_permission(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
        statement: &str,
        revision: Option<&str>,
    ) -> Result<(), ApiError> {
        let key = scope.key(function)?;
        let qualifier = subject(function, qualifier)?;
        let new = new_revision();
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = entry(snapshot, &key, &qualifier)?;
            let current = entry.policy(&qualifier).ok_or_else(no_policy)?;
            check_revision(Some(current), revision)?;
            let mut record = current.clone();
            record.statements.retain(|known| known.id != statement);
            if record.statements.len() == current.statements.len() {
                let shown: String = statement.chars().take(100).collect();
                return Err(ApiError::not_found(format!(
                    "Statement {shown} is not found in resource policy."
                )));
            }
            let change = if record.statements.is_empty() {
                Change::DeletePolicy(key.clone(), qualifier.clone())
            } else {
                record.revision.clone_from(&new);
                put(&key, record, Some(current))
            };
            Ok((vec![change], ()))
        })
        .await
    }

    /// `GetPolicy`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound) if there is none; those of bad parameters.
    pub fn get_policy(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<GetPolicyResponse, ApiError> {
        let key = scope.key(function)?;
        let qualifier = subject(function, qualifier)?;
        let snapshot = self.snapshot();
        let entry = entry(&snapshot, &key, &qualifier)?;
        let record = entry.policy(&qualifier).ok_or_else(no_policy)?;
        Ok(GetPolicyResponse {
            policy: json(&policy::document(record, &resource(&key, &qualifier)))?,
            revision_id: record.revision.clone(),
        })
    }
}

/// What a policy is about. The function itself is kept as `$LATEST`, which no caller can name.
fn subject(function: &FunctionRef, qualifier: Option<&Qualifier>) -> Result<Qualifier, ApiError> {
    match one_qualifier(function, qualifier)? {
        None => Ok(Qualifier::Version(Version::Latest)),
        Some(Qualifier::Version(Version::Latest)) => Err(ApiError::invalid(
            "We currently do not support adding policies for $LATEST.",
        )),
        Some(other) => Ok(other.clone()),
    }
}

fn resource(key: &FunctionKey, qualifier: &Qualifier) -> String {
    let named = match qualifier {
        Qualifier::Version(Version::Latest) => None,
        other => Some(other.clone()),
    };
    present::arn(key, named)
}

fn entry<'s>(
    snapshot: &'s Snapshot,
    key: &FunctionKey,
    qualifier: &Qualifier,
) -> Result<&'s FunctionEntry, ApiError> {
    let entry = snapshot
        .function(key)
        .ok_or_else(|| present::function_not_found(key, None))?;
    match entry.qualified(Some(qualifier)) {
        Some(_) => Ok(entry),
        None => Err(present::function_not_found(key, Some(qualifier))),
    }
}

fn no_policy() -> ApiError {
    ApiError::not_found("The resource you requested does not exist.")
}

fn check_revision(current: Option<&PolicyRecord>, given: Option<&str>) -> Result<(), ApiError> {
    match given {
        Some(given) if current.is_none_or(|record| record.revision != given) => {
            Err(present::revision_mismatch())
        }
        _ => Ok(()),
    }
}

fn put(key: &FunctionKey, record: PolicyRecord, current: Option<&PolicyRecord>) -> Change {
    Change::PutPolicy {
        key: key.clone(),
        record,
        expected: current.map(|record| record.revision.clone()),
    }
}

fn json(shape: &impl Serialize) -> Result<String, ApiError> {
    serde_json::to_string(shape).map_err(|error| {
        tracing::error!(%error, "write a policy as JSON");
        ApiError::service("The policy can't be written. Try again.")
    })
}

/// The statement that a request asks for.
fn read(request: &AddPermissionRequest) -> Result<StatementRecord, ApiError> {
    let mut constraints = Constraints::default();
    let word = |text: &str, more: &[u8]| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    let mut take = |member: &str,
                    value: &Option<String>,
                    most: usize,
                    fits: &dyn Fn(&str) -> bool,
                    pattern: &str| {
        if let Some(value) = value {
            constraints.length(member, value, 0..=most);
            constraints.pattern(member, value, fits(value), pattern);
        }
    };
    let action_fits = |text: &str| {
        text == "*"
            || text.strip_prefix("lambda:").is_some_and(|name| {
                name == "*" || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic()))
            })
    };
    let arn_fits = |text: &str| text.starts_with("arn:aws") && text.splitn(6, ':').count() == 6;
    take(
        "statementId",
        &request.statement_id,
        100,
        &|text| word(text, b"-_"),
        STATEMENT_PATTERN,
    );
    take(
        "action",
        &request.action,
        10_000,
        &action_fits,
        ACTION_PATTERN,
    );
    take(
        "principal",
        &request.principal,
        2_048,
        &|text| !text.is_empty() && !text.contains(char::is_whitespace),
        PRINCIPAL_PATTERN,
    );
    take(
        "sourceArn",
        &request.source_arn,
        10_000,
        &arn_fits,
        ARN_PATTERN,
    );
    take(
        "sourceAccount",
        &request.source_account,
        12,
        &|text| text.parse::<AccountId>().is_ok(),
        ACCOUNT_PATTERN,
    );
    take(
        "eventSourceToken",
        &request.event_source_token,
        256,
        &|text| word(text, b"._-"),
        TOKEN_PATTERN,
    );
    take(
        "principalOrgID",
        &request.principal_org_id,
        34,
        &|text| {
            text.strip_prefix("o-").is_some_and(|rest| {
                (10..=32).contains(&rest.len())
                    && rest
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            })
        },
        ORGANISATION_PATTERN,
    );
    constraints.required("statementId", request.statement_id.is_some());
    constraints.required("action", request.action.is_some());
    constraints.required("principal", request.principal.is_some());
    let url_auth = request.function_url_auth_type.as_deref();
    if let Some(text) = url_auth {
        constraints.one_of("functionUrlAuthType", text, &UrlAuth::NAMES);
    }
    constraints.finish()?;

    let statement = StatementRecord {
        id: request.statement_id.clone().unwrap_or_default(),
        action: request.action.clone().unwrap_or_default(),
        principal: request.principal.clone().unwrap_or_default(),
        source_arn: request.source_arn.clone(),
        source_account: request.source_account.clone(),
        event_source_token: request.event_source_token.clone(),
        principal_org_id: request.principal_org_id.clone(),
        url_auth: url_auth.and_then(UrlAuth::read),
        via_url: request.invoked_via_function_url,
    };
    let principal = &statement.principal;
    let known = principal == policy::EVERYONE
        || principal.parse::<AccountId>().is_ok()
        || principal.starts_with("arn:aws:iam::")
        || principal.starts_with("arn:aws:sts::")
        || (principal.contains('.') && word(principal, b".-"));
    if !known {
        return Err(ApiError::invalid(
            "The provided principal was invalid. Please check the principal and try again.",
        ));
    }
    if statement.url_auth.is_some() && statement.action != INVOKE_URL {
        return Err(ApiError::invalid(format!(
            "FunctionUrlAuthType is only supported for {INVOKE_URL} action"
        )));
    }
    if statement.via_url.is_some() && statement.action != INVOKE {
        return Err(ApiError::invalid(format!(
            "InvokedViaFunctionUrl is only supported for {INVOKE} action"
        )));
    }
    Ok(statement)
}
