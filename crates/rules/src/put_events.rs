//! PutEvents and TestEventPattern.

use hearth_types::time::Timestamp;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::error::{Kind, RuleError};
use crate::event::{self, EVENT_BYTES, Event, RESERVED_SOURCE};
use crate::name::check_bus;
use crate::operations;
use crate::rules::{Arriving, Caller, Rules, new_id};
use crate::wire::{Entry, EntryResult, PutEvents, TestEventPattern};

/// Most entries of a request (service model, `PutEventsRequestEntryList`).
const ENTRIES: usize = 10;
/// What an entry's time counts (EventBridge user guide, "Calculating PutEvents event entry size").
const TIME_BYTES: usize = 14;
/// Most characters of a resource, and of a trace (service model, `EventResource` and `TraceHeader`).
const RESOURCE_CHARACTERS: usize = 2048;
const TRACE_CHARACTERS: usize = 500;
/// The seconds that a time may have: years 1970 to 9999.
const SECONDS: std::ops::Range<f64> = 0.0..253_402_300_800.0;
/// What an event has in any case (EventBridge user guide, "Creating event patterns", as for tests of patterns).
const MEMBERS: [&str; 7] = [
    "id",
    "account",
    "source",
    "time",
    "region",
    "resources",
    "detail-type",
];

/// Why one entry is not taken: a code and a sentence.
type EntryError = (&'static str, String);

impl Rules {
    /// Takes the entries in that are valid, together; of the others it says why not.
    pub(crate) async fn put_events(
        &self,
        caller: &Caller,
        request: PutEvents,
    ) -> Result<Value, RuleError> {
        if request.endpoint_id.is_some() {
            return Err(RuleError::invalid(
                "Hearth has no global endpoints. Leave EndpointId out.",
            ));
        }
        if !(1..=ENTRIES).contains(&request.entries.len()) {
            return Err(RuleError::invalid(format!(
                "Entries must have 1 to {ENTRIES} entries."
            )));
        }
        let bytes: usize = request.entries.iter().map(bytes).sum();
        if bytes > EVENT_BYTES {
            return Err(RuleError::invalid(format!(
                "Total size of the entries in the request is over the limit: {bytes} of {EVENT_BYTES} bytes."
            )));
        }
        let (mut arriving, mut results) = (Vec::new(), Vec::new());
        for entry in request.entries {
            let id = new_id()?;
            let result = match self.arriving(caller, entry, id.as_str()) {
                Ok(one) => {
                    arriving.push(one);
                    EntryResult {
                        event_id: Some(id.as_str().to_owned()),
                        ..EntryResult::default()
                    }
                }
                Err((code, message)) => EntryResult {
                    error_code: Some(code.to_owned()),
                    error_message: Some(message),
                    ..EntryResult::default()
                },
            };
            results.push(result);
        }
        let failed = results.iter().filter(|one| one.event_id.is_none()).count();
        self.take(arriving).await?;
        Ok(json!({ "FailedEntryCount": failed, "Entries": results }))
    }

    fn arriving(&self, caller: &Caller, entry: Entry, id: &str) -> Result<Arriving, EntryError> {
        let invalid = |parameter: &str, why: &str| {
            let message = format!("Parameter {parameter} is not valid. Reason: {why}");
            ("InvalidArgument", message)
        };
        let given = |value: Option<String>, member: &str| {
            let value = value.filter(|value| !value.is_empty());
            value.ok_or_else(|| invalid(member, &format!("{member} is a required argument.")))
        };
        let source = given(entry.source, "Source")?;
        let detail_type = given(entry.detail_type, "DetailType")?;
        let detail = given(entry.detail, "Detail")?;
        if source.starts_with(RESERVED_SOURCE) {
            let message = format!("Not authorized for the source: {RESERVED_SOURCE}* is reserved.");
            return Err(("NotAuthorizedForSourceException", message));
        }
        let bus = caller.bus_of(entry.event_bus_name.as_deref(), "EventBusName");
        let bus = bus.map_err(|error| invalid("EventBusName", &error.message))?;
        self.check_bus(&bus)
            .map_err(|error| invalid("EventBusName", &error.message))?;
        let resources = entry.resources.unwrap_or_default();
        if resources
            .iter()
            .any(|one| one.chars().count() > RESOURCE_CHARACTERS)
        {
            return Err(invalid(
                "Resources",
                &format!("Each may have {RESOURCE_CHARACTERS} characters."),
            ));
        }
        let time = match entry.time {
            None => self.now(),
            Some(seconds) if SECONDS.contains(&seconds) => {
                Timestamp::from_millis((seconds * 1_000.0) as i64)
            }
            Some(_) => {
                return Err(invalid("Time", "It must be a date from 1970 to 9999."));
            }
        };
        let trace = match entry.trace_header {
            None => caller.trace.clone(),
            Some(trace) => {
                let good = trace.len() <= TRACE_CHARACTERS
                    && trace.bytes().all(|b| b.is_ascii_graphic())
                    && trace.split(';').any(|field| field.starts_with("Root=1-"));
                if !good {
                    return Err(invalid(
                        "TraceHeader",
                        &format!(
                            "It must be an X-Ray trace of at most {TRACE_CHARACTERS} characters."
                        ),
                    ));
                }
                Some(trace)
            }
        };
        let malformed = |why: String| ("MalformedDetail", format!("Detail is malformed: {why}."));
        let detail: Box<RawValue> =
            serde_json::from_str(&detail).map_err(|error| malformed(error.to_string()))?;
        if !detail.get().starts_with('{') {
            return Err(malformed("it is no JSON object".to_owned()));
        }
        let event = Event {
            version: "0",
            id,
            detail_type: &detail_type,
            source: &source,
            account: &caller.account,
            time: event::time(time),
            region: &caller.region,
            resources: &resources,
            detail: &detail,
            cloudevent: None,
        };
        let event = event
            .write()
            .map_err(|error| malformed(error.to_string()))?;
        Ok(Arriving { bus, event, trace })
    }

    /// Takes CloudEvents in, all or none.
    ///
    /// # Errors
    /// [`RuleError`]: `ResourceNotFound` if there is no such bus, `Throttling` if as much is on its way as may be, or the
    /// store's.
    pub async fn put_cloud_events(
        &self,
        caller: &Caller,
        bus: &str,
        events: Vec<crate::cloud_event::CloudEvent>,
    ) -> Result<(), RuleError> {
        let bus = caller.bus(&check_bus(bus, "The event bus")?);
        self.check_bus(&bus)?;
        let now = self.now();
        let arriving = events
            .into_iter()
            .map(|event| {
                let event = event.write(caller, now).map_err(|why| {
                    RuleError::invalid(format!("The CloudEvent is not valid: {why}"))
                })?;
                Ok(Arriving {
                    bus: bus.clone(),
                    event,
                    trace: caller.trace.clone(),
                })
            })
            .collect::<Result<_, RuleError>>()?;
        self.take(arriving).await
    }
}

/// What an entry counts (EventBridge user guide, "Calculating PutEvents event entry size").
fn bytes(entry: &Entry) -> usize {
    let texts = [&entry.source, &entry.detail_type, &entry.detail];
    let texts = texts
        .into_iter()
        .flatten()
        .chain(entry.resources.iter().flatten());
    let time = if entry.time.is_some() { TIME_BYTES } else { 0 };
    time + texts.map(String::len).sum::<usize>()
}

/// Whether a pattern means an event.
pub(crate) fn test_pattern(request: &TestEventPattern) -> Result<Value, RuleError> {
    let pattern = operations::pattern(&request.event_pattern)?;
    let event: Value = serde_json::from_str(&request.event)
        .map_err(|error| RuleError::invalid(format!("Event can't be read as JSON: {error}.")))?;
    if let Some(missing) = MEMBERS.iter().find(|member| event.get(**member).is_none()) {
        return Err(RuleError::new(
            Kind::Validation,
            format!("Event is not valid: it lacks the member {missing}, which every event has."),
        ));
    }
    Ok(json!({ "Result": pattern.matches(&event) }))
}
