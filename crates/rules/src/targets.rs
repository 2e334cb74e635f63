//! Operations on the targets of rules.

use serde_json::{Value, json};

use crate::error::{Kind, RuleError};
use crate::name;
use crate::page;
use crate::rules::{Caller, Rules};
use crate::target;
use crate::wire::{EntryResult, List, PutTargets, RemoveTargets, TargetDeliveries};

/// Most targets of a rule (EventBridge user guide, "Quotas").
const TARGETS: usize = 5;
/// Most entries of a request (service model, `TargetList`).
const ENTRIES: usize = 100;

impl Rules {
    pub(crate) async fn put_targets(
        &self,
        caller: &Caller,
        request: PutTargets,
    ) -> Result<Value, RuleError> {
        let id = caller.rule(&request.rule, request.event_bus_name.as_deref(), "Rule")?;
        check_count(request.targets.len(), "Targets")?;
        let targets = request.targets.into_iter();
        let targets = targets
            .map(|one| target::read(one, caller))
            .collect::<Result<Vec<_>, _>>()?;
        self.try_change_rule(&id, |settings| {
            settings.targets.extend(targets);
            if settings.targets.len() > TARGETS {
                return Err(RuleError::new(
                    Kind::LimitExceeded,
                    format!(
                        "A rule may have {TARGETS} targets. Make another rule with the same pattern for more."
                    ),
                ));
            }
            Ok(())
        })
        .await?;
        Ok(none_failed())
    }

    pub(crate) fn list_targets(&self, caller: &Caller, request: List) -> Result<Value, RuleError> {
        let id = caller.rule(&request.rule, request.event_bus_name.as_deref(), "Rule")?;
        let found = self.found(&id)?;
        let targets = found.rule.settings.targets.iter();
        let targets = targets.map(|(id, one)| (id.clone(), target::shown(id, one)));
        let (targets, next) = page::page(&request, targets)?;
        Ok(json!({ "Targets": targets, "NextToken": next }))
    }

    /// How it stands with the targets of a caller: what is on its way to each, and what was given up.
    ///
    /// # Errors
    /// [`RuleError`].
    pub async fn deliveries(&self, caller: &Caller) -> Result<Vec<TargetDeliveries>, RuleError> {
        let found = self
            .0
            .store
            .targets(&caller.account, &caller.region)
            .await?;
        let shown = found.into_iter().map(|one| TargetDeliveries {
            target_arn: one.target,
            waiting: one.waiting,
            given_up: one.given_up,
        });
        Ok(shown.collect())
    }

    pub(crate) fn list_names_by_target(
        &self,
        caller: &Caller,
        request: List,
    ) -> Result<Value, RuleError> {
        if request.target_arn.is_empty() {
            return Err(RuleError::invalid("TargetArn is missing: name a target."));
        }
        let bus = caller.bus_of(request.event_bus_name.as_deref(), "EventBusName")?;
        self.check_bus(&bus)?;
        let known = self.known();
        let names = known.rules(&bus).filter(|one| {
            let mut targets = one.rule.settings.targets.values();
            targets.any(|target| target.arn == request.target_arn)
        });
        let names = names.map(|one| (one.rule.id.name.clone(), one.rule.id.name.clone()));
        let (names, next) = page::page(&request, names)?;
        Ok(json!({ "RuleNames": names, "NextToken": next }))
    }

    pub(crate) async fn remove_targets(
        &self,
        caller: &Caller,
        request: RemoveTargets,
    ) -> Result<Value, RuleError> {
        let id = caller.rule(&request.rule, request.event_bus_name.as_deref(), "Rule")?;
        check_count(request.ids.len(), "Ids")?;
        for id in &request.ids {
            name::check(id, "Ids")?;
        }
        self.change_rule(&id, |settings| {
            settings.targets.retain(|id, _| !request.ids.contains(id));
        })
        .await?;
        Ok(none_failed())
    }
}

fn check_count(count: usize, member: &str) -> Result<(), RuleError> {
    if (1..=ENTRIES).contains(&count) {
        return Ok(());
    }
    Err(RuleError::invalid(format!(
        "{member} must have 1 to {ENTRIES} entries."
    )))
}

/// What is not valid is refused whole.
fn none_failed() -> Value {
    let failed: [EntryResult; 0] = [];
    json!({ "FailedEntryCount": 0, "FailedEntries": failed })
}
