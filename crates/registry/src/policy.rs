//! What a resource policy allows, and how it is written.

use std::collections::BTreeMap;

use hearth_store::record::{PolicyRecord, StatementRecord};
use hearth_types::function_url::UrlAuth;
use hearth_types::name::AccountId;
use hearth_types::wire::lambda::{PolicyDocument, PolicyPrincipal, PolicyStatement};

/// Who is meant by everyone.
pub(crate) const EVERYONE: &str = "*";
/// What using a function URL takes (developer guide, "Control access to Lambda function URLs").
const TO_USE_A_URL: [&str; 2] = ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"];

/// Whether a policy lets a caller use a URL of this kind; `None` is a caller who did not sign.
pub(crate) fn lets_use_url(
    policy: Option<&PolicyRecord>,
    auth: UrlAuth,
    caller: Option<&AccountId>,
) -> bool {
    let statements = policy.map_or(&[][..], |policy| &policy.statements);
    TO_USE_A_URL.into_iter().all(|action| {
        statements.iter().any(|statement| {
            covers(&statement.action, action)
                && is(&statement.principal, caller)
                && statement.url_auth.is_none_or(|asked| asked == auth)
                && statement.via_url != Some(false)
                && !needs_more(statement)
        })
    })
}

fn covers(given: &str, action: &str) -> bool {
    matches!(given, "*" | "lambda:*") || given == action
}

fn is(principal: &str, caller: Option<&AccountId>) -> bool {
    if principal == EVERYONE {
        return true;
    }
    caller.is_some_and(|account| {
        let root = principal
            .strip_prefix("arn:aws:iam::")
            .and_then(|rest| rest.strip_suffix(":root"));
        root.unwrap_or(principal) == account.as_str()
    })
}

/// Conditions on services and organisations: no request at a URL comes on behalf of one.
fn needs_more(statement: &StatementRecord) -> bool {
    statement.source_arn.is_some()
        || statement.source_account.is_some()
        || statement.event_source_token.is_some()
        || statement.principal_org_id.is_some()
}

/// A policy as the API writes it; `resource` is the ARN that it is about.
pub(crate) fn document(record: &PolicyRecord, resource: &str) -> PolicyDocument {
    PolicyDocument {
        version: "2012-10-17".to_owned(),
        id: "default".to_owned(),
        statement: record
            .statements
            .iter()
            .map(|one| statement(one, resource))
            .collect(),
    }
}

/// A statement as the API writes it.
pub(crate) fn statement(record: &StatementRecord, resource: &str) -> PolicyStatement {
    let mut condition = BTreeMap::<String, BTreeMap<String, String>>::new();
    let mut put = |operator: &str, key: &str, value: Option<String>| {
        if let Some(value) = value {
            let keys = condition.entry(operator.to_owned()).or_default();
            keys.insert(key.to_owned(), value);
        }
    };
    put("ArnLike", "AWS:SourceArn", record.source_arn.clone());
    for (key, value) in [
        ("AWS:SourceAccount", &record.source_account),
        ("lambda:EventSourceToken", &record.event_source_token),
        ("aws:PrincipalOrgID", &record.principal_org_id),
    ] {
        put("StringEquals", key, value.clone());
    }
    let auth = record.url_auth.map(|auth| auth.as_str().to_owned());
    put("StringEquals", "lambda:FunctionUrlAuthType", auth);
    let via_url = record.via_url.map(|via_url| via_url.to_string());
    put("Bool", "lambda:InvokedViaFunctionUrl", via_url);
    PolicyStatement {
        sid: record.id.clone(),
        effect: "Allow".to_owned(),
        principal: principal(&record.principal),
        action: record.action.clone(),
        resource: resource.to_owned(),
        condition,
    }
}

fn principal(text: &str) -> PolicyPrincipal {
    let of = |kind: &str, who: String| PolicyPrincipal::Of([(kind.to_owned(), who)].into());
    if text == EVERYONE {
        PolicyPrincipal::Everyone(text.to_owned())
    } else if text.parse::<AccountId>().is_ok() {
        of("AWS", format!("arn:aws:iam::{text}:root"))
    } else if text.starts_with("arn:") {
        of("AWS", text.to_owned())
    } else {
        of("Service", text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(action: &str, principal: &str) -> StatementRecord {
        StatementRecord {
            id: "s".to_owned(),
            action: action.to_owned(),
            principal: principal.to_owned(),
            source_arn: None,
            source_account: None,
            event_source_token: None,
            principal_org_id: None,
            url_auth: None,
            via_url: None,
        }
    }

    fn lets(statements: &[StatementRecord], auth: UrlAuth, caller: Option<&str>) -> bool {
        let policy = PolicyRecord {
            qualifier: "$LATEST".parse().unwrap(),
            revision: String::new(),
            statements: statements.to_vec(),
        };
        let caller: Option<AccountId> = caller.map(|account| account.parse().unwrap());
        lets_use_url(Some(&policy), auth, caller.as_ref())
    }

    #[test]
    fn both_permissions_are_needed() {
        let url = allow("lambda:InvokeFunctionUrl", "*");
        let invoke = allow("lambda:InvokeFunction", "*");
        assert!(!lets_use_url(None, UrlAuth::None, None));
        assert!(!lets(&[], UrlAuth::None, None));
        assert!(!lets(std::slice::from_ref(&url), UrlAuth::None, None));
        assert!(!lets(std::slice::from_ref(&invoke), UrlAuth::None, None));
        assert!(lets(&[url, invoke], UrlAuth::None, None));
        assert!(lets(&[allow("lambda:*", "*")], UrlAuth::None, None));
        assert!(!lets(&[allow("lambda:Invoke", "*")], UrlAuth::None, None));
    }

    #[test]
    fn conditions_must_hold() {
        let all = allow("*", "*");
        for other in [
            StatementRecord {
                url_auth: Some(UrlAuth::AwsIam),
                ..all.clone()
            },
            StatementRecord {
                via_url: Some(false),
                ..all.clone()
            },
            StatementRecord {
                source_account: Some("000000000000".to_owned()),
                ..all.clone()
            },
            StatementRecord {
                source_arn: Some("arn:aws:s3:::b".to_owned()),
                ..all.clone()
            },
            StatementRecord {
                principal_org_id: Some("o-1".to_owned()),
                ..all.clone()
            },
            StatementRecord {
                event_source_token: Some("t".to_owned()),
                ..all.clone()
            },
            allow("*", "000000000000"),
            allow("*", "apigateway.amazonaws.com"),
        ] {
            assert!(
                !lets(std::slice::from_ref(&other), UrlAuth::None, None),
                "{other:?}"
            );
        }
        let via = StatementRecord {
            url_auth: Some(UrlAuth::None),
            via_url: Some(true),
            ..all
        };
        assert!(lets(&[via], UrlAuth::None, None));
    }

    #[test]
    fn accounts_are_told_apart() {
        for principal in ["*", "111111111111", "arn:aws:iam::111111111111:root"] {
            assert!(
                lets(
                    &[allow("*", principal)],
                    UrlAuth::AwsIam,
                    Some("111111111111")
                ),
                "{principal}"
            );
        }
        for principal in [
            "222222222222",
            "arn:aws:iam::111111111111:user/a",
            "x.amazonaws.com",
        ] {
            assert!(
                !lets(
                    &[allow("*", principal)],
                    UrlAuth::AwsIam,
                    Some("111111111111")
                ),
                "{principal}"
            );
        }
    }

    #[test]
    fn statements_are_written_as_the_service_writes_them() {
        let record = StatementRecord {
            url_auth: Some(UrlAuth::None),
            ..allow("lambda:InvokeFunctionUrl", "*")
        };
        assert_eq!(
            serde_json::to_string(&statement(&record, "arn")).unwrap(),
            r#"{"Sid":"s","Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunctionUrl","Resource":"arn","Condition":{"StringEquals":{"lambda:FunctionUrlAuthType":"NONE"}}}"#
        );
        let of_service = serde_json::to_value(statement(&allow("*", "s3.amazonaws.com"), "arn"));
        assert_eq!(
            of_service.unwrap()["Principal"]["Service"],
            "s3.amazonaws.com"
        );
    }
}
