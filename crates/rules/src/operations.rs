//! Operations on rules.

use std::sync::Arc;

use hearth_patterns::Pattern;
use hearth_store::rules::{BusId, Rule, RuleId, RuleSettings};
use hearth_types::arn::role_account;
use serde_json::{Value, json};

use crate::error::{Kind, RuleError};
use crate::known::KnownRule;
use crate::name;
use crate::page;
use crate::rules::{Caller, Rules, to_value};
use crate::tags;
use crate::wire::{self, List, NameRule, PutRule};

/// Most rules of an event bus (EventBridge user guide, "Quotas").
const RULES: usize = 300;
/// Most characters of a description (service model, `RuleDescription`).
pub(crate) const DESCRIPTION_CHARACTERS: usize = 512;

impl Rules {
    /// A rule that is there.
    pub(crate) fn found(&self, id: &RuleId) -> Result<Arc<KnownRule>, RuleError> {
        self.check_bus(&id.bus)?;
        self.known().rule(id).ok_or_else(|| {
            RuleError::new(
                Kind::ResourceNotFound,
                format!(
                    "Rule {} does not exist on EventBus {}.",
                    id.name, id.bus.name
                ),
            )
        })
    }

    /// Makes sure that a bus is there.
    pub(crate) fn check_bus(&self, id: &BusId) -> Result<(), RuleError> {
        if self.known().has_bus(id) {
            return Ok(());
        }
        Err(RuleError::new(
            Kind::ResourceNotFound,
            format!("Event bus {} does not exist.", id.name),
        ))
    }

    /// Stores a rule, then has events meet it.
    pub(crate) async fn store_rule(&self, rule: Rule, pattern: Pattern) -> Result<(), RuleError> {
        let new = KnownRule::new(rule.clone(), pattern)?;
        let stored = self.0.store.put_rule(rule).await;
        stored.map_err(|error| RuleError::of(error, "rules"))?;
        self.learn(|known| known.put_rule(new));
        Ok(())
    }

    pub(crate) async fn put_rule(
        &self,
        caller: &Caller,
        request: PutRule,
    ) -> Result<Value, RuleError> {
        let id = caller.rule(&request.name, request.event_bus_name.as_deref(), "Name")?;
        if request
            .schedule_expression
            .is_some_and(|text| !text.is_empty())
        {
            return Err(RuleError::invalid(
                "Hearth's rules have no ScheduleExpression. Use EventBridge Scheduler (`aws scheduler create-schedule`), whose \
                 API the node answers.",
            ));
        }
        let text = request.event_pattern.filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| {
            RuleError::invalid("A rule needs an EventPattern, which says which events it means.")
        })?;
        let pattern = pattern(&text)?;
        let enabled = match request.state.as_deref() {
            // There are no trails whose events a rule could leave out.
            None | Some("ENABLED" | "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS") => true,
            Some("DISABLED") => false,
            Some(_) => {
                return Err(RuleError::invalid("State must be ENABLED or DISABLED."));
            }
        };
        let description = description(request.description)?;
        check_role(caller, request.role_arn.as_deref(), "RoleArn")?;
        let tags = request.tags.map(tags::read).transpose()?;
        let _changing = self.0.changing.lock().await;
        self.check_bus(&id.bus)?;
        let earlier = self.known().rule(&id);
        if earlier.is_none() && self.known().rules(&id.bus).count() >= RULES {
            return Err(RuleError::new(
                Kind::LimitExceeded,
                format!(
                    "Event bus {} has {RULES} rules, as many as it may have. Delete one, or use another bus.",
                    id.bus.name
                ),
            ));
        }
        let arn = name::rule_arn(&id);
        let rule = Rule {
            settings: RuleSettings {
                pattern: text,
                description,
                role: request.role_arn,
                enabled,
                // Those of a rule that is there stay: TagResource changes them (API reference, `PutRule`).
                tags: match &earlier {
                    Some(earlier) => earlier.rule.settings.tags.clone(),
                    None => tags.unwrap_or_default(),
                },
                targets: match &earlier {
                    Some(earlier) => earlier.rule.settings.targets.clone(),
                    None => Default::default(),
                },
            },
            created: earlier.map_or_else(|| self.now(), |earlier| earlier.rule.created),
            id,
        };
        self.store_rule(rule, pattern).await?;
        Ok(json!({ "RuleArn": arn }))
    }

    pub(crate) fn describe_rule(
        &self,
        caller: &Caller,
        request: NameRule,
    ) -> Result<Value, RuleError> {
        let id = caller.rule(&request.name, request.event_bus_name.as_deref(), "Name")?;
        let found = self.found(&id)?;
        to_value(&wire::Rule {
            created_by: Some(id.bus.account.to_string()),
            ..shown(&found)
        })
    }

    pub(crate) fn list_rules(&self, caller: &Caller, request: List) -> Result<Value, RuleError> {
        let bus = caller.bus_of(request.event_bus_name.as_deref(), "EventBusName")?;
        self.check_bus(&bus)?;
        let known = self.known();
        let rules = known
            .rules(&bus)
            .filter(|one| page::has_prefix(&request, &one.rule.id.name))
            .map(|one| (one.rule.id.name.clone(), shown(one)));
        let (rules, next) = page::page(&request, rules)?;
        Ok(json!({ "Rules": rules, "NextToken": next }))
    }

    pub(crate) async fn delete_rule(
        &self,
        caller: &Caller,
        request: NameRule,
    ) -> Result<Value, RuleError> {
        let id = caller.rule(&request.name, request.event_bus_name.as_deref(), "Name")?;
        let _changing = self.0.changing.lock().await;
        self.check_bus(&id.bus)?;
        let Some(found) = self.known().rule(&id) else {
            // As the service does: a rule that is not there is deleted.
            return Ok(json!({}));
        };
        if !found.rule.settings.targets.is_empty() {
            return Err(RuleError::invalid(
                "Rule can't be deleted since it has targets. Remove them first.",
            ));
        }
        self.0.store.delete_rule(id.clone()).await?;
        self.learn(|known| known.remove_rule(&id));
        Ok(json!({}))
    }

    pub(crate) async fn set_enabled(
        &self,
        caller: &Caller,
        request: NameRule,
        enabled: bool,
    ) -> Result<Value, RuleError> {
        let id = caller.rule(&request.name, request.event_bus_name.as_deref(), "Name")?;
        self.change_rule(&id, |settings| settings.enabled = enabled)
            .await?;
        Ok(json!({}))
    }

    /// Changes what is set of a rule that is there, but for its pattern.
    pub(crate) async fn change_rule(
        &self,
        id: &RuleId,
        change: impl FnOnce(&mut RuleSettings),
    ) -> Result<(), RuleError> {
        self.try_change_rule(id, |settings| {
            change(settings);
            Ok(())
        })
        .await
    }

    /// As [`Rules::change_rule`], unless the change refuses.
    pub(crate) async fn try_change_rule(
        &self,
        id: &RuleId,
        change: impl FnOnce(&mut RuleSettings) -> Result<(), RuleError>,
    ) -> Result<(), RuleError> {
        let _changing = self.0.changing.lock().await;
        let found = self.found(id)?;
        let mut rule = found.rule.clone();
        change(&mut rule.settings)?;
        if rule == found.rule {
            return Ok(());
        }
        self.store_rule(rule, found.pattern.clone()).await
    }
}

impl Caller {
    /// The rule that a request names.
    pub(crate) fn rule(
        &self,
        name: &str,
        bus: Option<&str>,
        member: &str,
    ) -> Result<RuleId, RuleError> {
        Ok(RuleId {
            bus: self.bus_of(bus, "EventBusName")?,
            name: name::check(name, member)?,
        })
    }
}

pub(crate) fn pattern(text: &str) -> Result<Pattern, RuleError> {
    text.parse().map_err(|error| {
        RuleError::new(
            Kind::InvalidEventPattern,
            // The beginning is the service's.
            format!("Event pattern is not valid. Reason: {error}."),
        )
    })
}

pub(crate) fn description(given: Option<String>) -> Result<Option<String>, RuleError> {
    let given = given.filter(|text| !text.is_empty());
    match &given {
        Some(text) if text.chars().count() > DESCRIPTION_CHARACTERS => Err(RuleError::invalid(
            format!("Description may have {DESCRIPTION_CHARACTERS} characters."),
        )),
        _ => Ok(given),
    }
}

/// Hearth grants by account: any well-formed role of it will do.
pub(crate) fn check_role(
    caller: &Caller,
    role: Option<&str>,
    member: &str,
) -> Result<(), RuleError> {
    match role.map(role_account) {
        None => Ok(()),
        Some(Ok(account)) if account == caller.account => Ok(()),
        Some(Ok(_)) => Err(RuleError::invalid(format!(
            "{member} must be a role of this account."
        ))),
        Some(Err(error)) => Err(RuleError::invalid(format!("{member} is {error}."))),
    }
}

fn shown(known: &KnownRule) -> wire::Rule {
    let settings = &known.rule.settings;
    wire::Rule {
        name: known.rule.id.name.clone(),
        arn: known.arn.clone(),
        event_pattern: settings.pattern.clone(),
        state: if settings.enabled {
            "ENABLED"
        } else {
            "DISABLED"
        },
        description: settings.description.clone(),
        role_arn: settings.role.clone(),
        event_bus_name: known.rule.id.bus.name.clone(),
        created_by: None,
    }
}
