//! How event buses and rules are named.

use hearth_store::rules::{BusId, RuleId};

use crate::error::RuleError;
use crate::rules::Caller;

/// The event bus that is always there.
pub(crate) const DEFAULT: &str = "default";
/// Most characters of a rule's name and of a target's identifier (service model, `RuleName` and `TargetId`).
const CHARACTERS: usize = 64;
/// Most characters of a bus's name (service model, `EventBusName`).
const BUS_CHARACTERS: usize = 256;

fn is_name(name: &str, most: usize) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=most).contains(&name.len()) && name.bytes().all(good)
}

/// Checks the name of a rule or the identifier of a target: letters, digits, `-`, `_` and `.`.
pub(crate) fn check(name: &str, member: &str) -> Result<String, RuleError> {
    if is_name(name, CHARACTERS) {
        return Ok(name.to_owned());
    }
    Err(RuleError::invalid(format!(
        "{member} must be 1 to {CHARACTERS} letters, digits, '-', '_' and '.'."
    )))
}

/// Checks the name of an event bus. Those with slashes are of AWS's partners, of which Hearth has none.
pub(crate) fn check_bus(name: &str, member: &str) -> Result<String, RuleError> {
    if is_name(name, BUS_CHARACTERS) {
        return Ok(name.to_owned());
    }
    Err(RuleError::invalid(format!(
        "{member} must be 1 to {BUS_CHARACTERS} letters, digits, '-', '_' and '.'."
    )))
}

/// A bus's ARN.
pub(crate) fn bus_arn(id: &BusId) -> String {
    let BusId {
        account,
        region,
        name,
    } = id;
    format!("arn:aws:events:{region}:{account}:event-bus/{name}")
}

/// A rule's ARN. Rules of the bus that is always there don't name it.
pub(crate) fn rule_arn(id: &RuleId) -> String {
    let BusId {
        account,
        region,
        name: bus,
    } = &id.bus;
    let name = &id.name;
    if bus == DEFAULT {
        format!("arn:aws:events:{region}:{account}:rule/{name}")
    } else {
        format!("arn:aws:events:{region}:{account}:rule/{bus}/{name}")
    }
}

/// What an ARN of the caller's names.
pub(crate) enum Named {
    Bus(BusId),
    Rule(RuleId),
}

impl Caller {
    /// One of the caller's buses.
    pub(crate) fn bus(&self, name: &str) -> BusId {
        BusId {
            account: self.account.clone(),
            region: self.region.clone(),
            name: name.to_owned(),
        }
    }

    /// The bus that a request gives by name or ARN, or leaves out.
    pub(crate) fn bus_of(&self, given: Option<&str>, member: &str) -> Result<BusId, RuleError> {
        let given = given.unwrap_or(DEFAULT);
        if !given.starts_with("arn:") {
            return Ok(self.bus(&check_bus(given, member)?));
        }
        match self.named(given) {
            Some(Named::Bus(id)) => Ok(id),
            _ => Err(RuleError::invalid(format!(
                "{member} must be the name or the ARN of an event bus of this account and region."
            ))),
        }
    }

    /// What an ARN names.
    pub(crate) fn named(&self, arn: &str) -> Option<Named> {
        let prefix = format!("arn:aws:events:{}:{}:", self.region, self.account);
        let (kind, rest) = arn.strip_prefix(&prefix)?.split_once('/')?;
        match kind {
            "event-bus" => Some(Named::Bus(self.bus(&check_bus(rest, "").ok()?))),
            "rule" => {
                let (bus, name) = rest.rsplit_once('/').unwrap_or((DEFAULT, rest));
                Some(Named::Rule(RuleId {
                    bus: self.bus(&check_bus(bus, "").ok()?),
                    name: check(name, "").ok()?,
                }))
            }
            _ => None,
        }
    }
}
