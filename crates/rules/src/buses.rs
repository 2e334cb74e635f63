//! Operations on event buses. One is always there; it has a row once something of it was changed.

use hearth_store::rules::{Bus, BusId, BusSettings};
use serde_json::{Value, json};

use crate::error::{Kind, RuleError};
use crate::name::{self, DEFAULT, bus_arn};
use crate::operations::description;
use crate::page;
use crate::rules::{Caller, Rules, to_value};
use crate::tags;
use crate::wire::{EventBus, List, NameEventBus, PutEventBus};

/// Most event buses of an account in a region (EventBridge user guide, "Quotas").
const BUSES: usize = 100;

impl Rules {
    pub(crate) async fn create_bus(
        &self,
        caller: &Caller,
        request: PutEventBus,
    ) -> Result<Value, RuleError> {
        check_others(&request)?;
        let id = caller.bus(&name::check_bus(&request.name.unwrap_or_default(), "Name")?);
        let settings = BusSettings {
            description: description(request.description)?,
            tags: tags::read(request.tags.unwrap_or_default())?,
        };
        let _changing = self.0.changing.lock().await;
        if self.known().has_bus(&id) {
            return Err(RuleError::new(
                Kind::ResourceAlreadyExists,
                format!("Event bus {} already exists.", id.name),
            ));
        }
        if self.known().buses(&id).count() >= BUSES {
            return Err(RuleError::new(
                Kind::LimitExceeded,
                format!("There are {BUSES} event buses, as many as there may be. Delete one."),
            ));
        }
        let answer = json!({ "EventBusArn": bus_arn(&id), "Description": settings.description });
        self.store_bus(id, settings).await?;
        Ok(answer)
    }

    pub(crate) async fn update_bus(
        &self,
        caller: &Caller,
        request: PutEventBus,
    ) -> Result<Value, RuleError> {
        check_others(&request)?;
        let id = caller.bus_of(request.name.as_deref(), "Name")?;
        let text = description(request.description)?;
        self.change_bus(&id, |settings| {
            settings.description.clone_from(&text);
            Ok(())
        })
        .await?;
        Ok(json!({ "Arn": bus_arn(&id), "Name": id.name, "Description": text }))
    }

    pub(crate) fn describe_bus(
        &self,
        caller: &Caller,
        request: &NameEventBus,
    ) -> Result<Value, RuleError> {
        let id = caller.bus_of(request.name.as_deref(), "Name")?;
        self.check_bus(&id)?;
        let found = self.known().bus(&id);
        to_value(&shown(&id, found.as_deref()))
    }

    pub(crate) fn list_buses(&self, caller: &Caller, request: List) -> Result<Value, RuleError> {
        let default = caller.bus(DEFAULT);
        let known = self.known();
        let mut buses: Vec<_> = known
            .buses(&default)
            .map(|bus| (bus.id.name.clone(), shown(&bus.id, Some(bus))))
            .collect();
        if known.bus(&default).is_none() {
            let at = buses.partition_point(|(name, _)| name.as_str() < DEFAULT);
            buses.insert(at, (DEFAULT.to_owned(), shown(&default, None)));
        }
        buses.retain(|(name, _)| page::has_prefix(&request, name));
        let (buses, next) = page::page(&request, buses.into_iter())?;
        Ok(json!({ "EventBuses": buses, "NextToken": next }))
    }

    pub(crate) async fn delete_bus(
        &self,
        caller: &Caller,
        request: NameEventBus,
    ) -> Result<Value, RuleError> {
        let name = request.name.unwrap_or_default();
        if name == DEFAULT {
            return Err(RuleError::invalid("Cannot delete event bus default."));
        }
        let id = caller.bus(&name::check_bus(&name, "Name")?);
        let _changing = self.0.changing.lock().await;
        if self.known().rules(&id).next().is_some() {
            return Err(RuleError::invalid(format!(
                "Event bus {name} can't be deleted since it has rules. Delete them first."
            )));
        }
        // As the service does: a bus that is not there is deleted.
        self.0.store.delete_bus(id.clone()).await?;
        self.learn(|known| known.remove_bus(&id));
        Ok(json!({}))
    }

    /// Changes what is set of a bus that is there, unless the change refuses.
    pub(crate) async fn change_bus(
        &self,
        id: &BusId,
        change: impl FnOnce(&mut BusSettings) -> Result<(), RuleError>,
    ) -> Result<(), RuleError> {
        let _changing = self.0.changing.lock().await;
        self.check_bus(id)?;
        let found = self.known().bus(id);
        let mut settings = found.map(|bus| bus.settings.clone()).unwrap_or_default();
        change(&mut settings)?;
        self.store_bus(id.clone(), settings).await
    }

    async fn store_bus(&self, id: BusId, settings: BusSettings) -> Result<(), RuleError> {
        let now = self.now();
        let earlier = self.known().bus(&id);
        let bus = Bus {
            id,
            settings,
            created: earlier.map_or(now, |bus| bus.created),
            modified: now,
        };
        let stored = self.0.store.put_bus(bus.clone()).await;
        stored.map_err(|error| RuleError::of(error, "event buses"))?;
        self.learn(|known| known.put_bus(bus));
        Ok(())
    }
}

fn check_others(request: &PutEventBus) -> Result<(), RuleError> {
    match request.others.iter().find(|(_, value)| !value.is_null()) {
        None => Ok(()),
        Some((member, _)) => {
            let shown: String = member.chars().take(80).collect();
            Err(RuleError::invalid(format!(
                "Hearth's event buses have no {shown}. Leave it out."
            )))
        }
    }
}

fn shown(id: &BusId, bus: Option<&Bus>) -> EventBus {
    let seconds = |at: hearth_types::time::Timestamp| at.as_millis() as f64 / 1_000.0;
    EventBus {
        name: id.name.clone(),
        arn: bus_arn(id),
        description: bus.and_then(|bus| bus.settings.description.clone()),
        creation_time: bus.map(|bus| seconds(bus.created)),
        last_modified_time: bus.map(|bus| seconds(bus.modified)),
    }
}
