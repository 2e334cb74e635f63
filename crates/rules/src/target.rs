//! What a target may be, and how it is shown.

use hearth_store::rules::{RuleInput, RuleTarget};
use hearth_targets::{check, is_allowed};
use hearth_types::destination::Destination;

use crate::error::RuleError;
use crate::input::Template;
use crate::name;
use crate::operations::check_role;
use crate::path::Path;
use crate::rules::Caller;
use crate::wire::{DeadLetterConfig, InputTransformer, RetryPolicy, SqsParameters, Target};

/// Most characters of an input or a template (service model, `TargetInput` and `TransformerInput`).
const INPUT_CHARACTERS: usize = 8192;
/// Most variables of a template (service model, `TransformerPaths`).
const VARIABLES: usize = 100;

/// A target of a request, checked, with its identifier.
pub(crate) fn read(target: Target, caller: &Caller) -> Result<(String, RuleTarget), RuleError> {
    let id = name::check(&target.id, "Id")?;
    let invalid =
        |why: String| RuleError::invalid(format!("Target {} is not valid: {why}", target.id));
    if let Some((member, _)) = target.others.iter().find(|(_, value)| !value.is_null()) {
        let shown: String = member.chars().take(80).collect();
        return Err(invalid(format!(
            "{shown} is for targets that Hearth does not have: its rules give events to functions and queues."
        )));
    }
    let owner = check::Owner {
        account: &caller.account,
        region: &caller.region,
    };
    let destination = check::destination(&target.arn, owner, "Arn").map_err(invalid)?;
    check_role(caller, target.role_arn.as_deref(), "RoleArn")?;
    let message_group =
        check::message_group(target.sqs_parameters, &destination).map_err(invalid)?;
    let input = input(
        target.input,
        target.input_path,
        target.input_transformer,
        &destination,
    )
    .map_err(invalid)?;
    let (most_age_seconds, most_retries) = check::retries(target.retry_policy).map_err(invalid)?;
    let dead_letters = check::dead_letters(target.dead_letter_config, owner).map_err(invalid)?;
    let target = RuleTarget {
        arn: target.arn,
        role: target.role_arn,
        input,
        message_group,
        dead_letters,
        most_age_seconds,
        most_retries,
    };
    Ok((id, target))
}

fn input(
    constant: Option<String>,
    path: Option<String>,
    transformer: Option<InputTransformer>,
    destination: &Destination,
) -> Result<RuleInput, String> {
    match (constant, path, transformer) {
        (None, None, None) => Ok(RuleInput::Whole),
        (Some(text), None, None) => {
            check_length(&text, "Input")?;
            serde_json::from_str::<serde::de::IgnoredAny>(&text)
                .map_err(|error| format!("Input must be JSON: {error}."))?;
            Ok(RuleInput::Constant(text))
        }
        (None, Some(path), None) => {
            path.parse::<Path>()
                .map_err(|why| format!("InputPath {why}"))?;
            Ok(RuleInput::Path(path))
        }
        (None, None, Some(transformer)) => {
            let paths = transformer.input_paths_map.unwrap_or_default();
            if paths.len() > VARIABLES {
                return Err(format!("InputPathsMap may have {VARIABLES} entries."));
            }
            check_length(&transformer.input_template, "InputTemplate")?;
            let template = Template::read(&paths, &transformer.input_template)?;
            if matches!(destination, Destination::Function { .. }) {
                template.check_json()?;
            }
            Ok(RuleInput::Template {
                paths,
                text: transformer.input_template,
            })
        }
        _ => Err("it may have one of Input, InputPath and InputTransformer.".to_owned()),
    }
}

fn check_length(text: &str, member: &str) -> Result<(), String> {
    if !(1..=INPUT_CHARACTERS).contains(&text.chars().count()) {
        return Err(format!(
            "{member} must have 1 to {INPUT_CHARACTERS} characters."
        ));
    }
    if text.chars().all(is_allowed) {
        return Ok(());
    }
    Err(format!(
        "{member} has a character that messages can't have: a control character, U+FFFE or U+FFFF."
    ))
}

/// A target as it was put.
pub(crate) fn shown(id: &str, target: &RuleTarget) -> Target {
    let mut shown = Target {
        id: id.to_owned(),
        arn: target.arn.clone(),
        role_arn: target.role.clone(),
        sqs_parameters: target.message_group.clone().map(|group| SqsParameters {
            message_group_id: Some(group),
        }),
        dead_letter_config: target
            .dead_letters
            .clone()
            .map(|arn| DeadLetterConfig { arn: Some(arn) }),
        ..Target::default()
    };
    let policy = RetryPolicy {
        maximum_event_age_in_seconds: target.most_age_seconds.map(i64::from),
        maximum_retry_attempts: target.most_retries.map(i64::from),
    };
    if policy != RetryPolicy::default() {
        shown.retry_policy = Some(policy);
    }
    match &target.input {
        RuleInput::Whole => {}
        RuleInput::Constant(text) => shown.input = Some(text.clone()),
        RuleInput::Path(path) => shown.input_path = Some(path.clone()),
        RuleInput::Template { paths, text } => {
            shown.input_transformer = Some(InputTransformer {
                input_paths_map: (!paths.is_empty()).then(|| paths.clone()),
                input_template: text.clone(),
            });
        }
    }
    shown
}
