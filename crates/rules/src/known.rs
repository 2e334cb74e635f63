//! What the store has of buses and rules, in memory: events look here.

use std::collections::BTreeMap;
use std::sync::Arc;

use hearth_patterns::Pattern;
use hearth_store::StoreError;
use hearth_store::rules::{Address, Bus, BusId, Rule, RuleId, Told};
use serde_json::Value;

use crate::name::{self, DEFAULT};

/// A rule, read.
#[derive(Debug)]
pub(crate) struct KnownRule {
    pub(crate) rule: Rule,
    pub(crate) arn: String,
    pub(crate) pattern: Pattern,
    /// Its targets, as they are stored with each event.
    addresses: Vec<Arc<Address>>,
}

impl KnownRule {
    pub(crate) fn new(rule: Rule, pattern: Pattern) -> Result<Self, StoreError> {
        let arn = name::rule_arn(&rule.id);
        let addresses = rule.settings.targets.values().map(|target| {
            let address = Address::new(&Told {
                rule: arn.clone(),
                target: target.clone(),
            });
            address.map(Arc::new)
        });
        Ok(Self {
            addresses: addresses.collect::<Result<_, _>>()?,
            arn,
            pattern,
            rule,
        })
    }
}

/// Buses and rules.
#[derive(Debug, Default)]
pub(crate) struct Known {
    buses: BTreeMap<BusId, Arc<Bus>>,
    rules: BTreeMap<BusId, BTreeMap<String, Arc<KnownRule>>>,
}

impl Known {
    pub(crate) fn new(buses: Vec<Bus>, rules: Vec<Rule>) -> Result<Self, StoreError> {
        let mut known = Self::default();
        for bus in buses {
            known.put_bus(bus);
        }
        for rule in rules {
            let name = rule.id.name.clone();
            // It was read before it was stored.
            let pattern = rule.settings.pattern.parse();
            let pattern = pattern.map_err(|error| {
                StoreError::Corrupt(format!("the pattern of rule {name} can't be read: {error}"))
            })?;
            known.put_rule(KnownRule::new(rule, pattern)?);
        }
        Ok(known)
    }

    pub(crate) fn put_bus(&mut self, bus: Bus) {
        self.buses.insert(bus.id.clone(), Arc::new(bus));
    }

    pub(crate) fn remove_bus(&mut self, id: &BusId) {
        self.buses.remove(id);
    }

    /// A bus that was made or changed.
    pub(crate) fn bus(&self, id: &BusId) -> Option<Arc<Bus>> {
        self.buses.get(id).cloned()
    }

    /// Whether a bus is there; one always is.
    pub(crate) fn has_bus(&self, id: &BusId) -> bool {
        id.name == DEFAULT || self.buses.contains_key(id)
    }

    /// An owner's buses, by name.
    pub(crate) fn buses<'k>(&'k self, owner: &'k BusId) -> impl Iterator<Item = &'k Bus> {
        let from = BusId {
            name: String::new(),
            ..owner.clone()
        };
        let is_own = |id: &BusId| (&id.account, &id.region) == (&owner.account, &owner.region);
        let buses = self.buses.range(from..);
        buses
            .take_while(move |(id, _)| is_own(id))
            .map(|(_, bus)| &**bus)
    }

    pub(crate) fn put_rule(&mut self, rule: KnownRule) {
        let id = &rule.rule.id;
        let rules = self.rules.entry(id.bus.clone()).or_default();
        rules.insert(id.name.clone(), Arc::new(rule));
    }

    pub(crate) fn remove_rule(&mut self, id: &RuleId) {
        if let Some(rules) = self.rules.get_mut(&id.bus) {
            rules.remove(&id.name);
            if rules.is_empty() {
                self.rules.remove(&id.bus);
            }
        }
    }

    pub(crate) fn rule(&self, id: &RuleId) -> Option<Arc<KnownRule>> {
        self.rules.get(&id.bus)?.get(&id.name).cloned()
    }

    /// The rules of a bus, by name.
    pub(crate) fn rules(&self, bus: &BusId) -> impl Iterator<Item = &Arc<KnownRule>> {
        self.rules.get(bus).into_iter().flat_map(BTreeMap::values)
    }

    /// Who is given an event that comes to a bus.
    pub(crate) fn told(&self, bus: &BusId, event: &Value) -> Vec<Arc<Address>> {
        let meant = self
            .rules(bus)
            .filter(|known| known.rule.settings.enabled && known.pattern.matches(event));
        meant
            .flat_map(|known| known.addresses.iter().cloned())
            .collect()
    }
}
