//! Whether something can be told of an event's end there: destinations and dead-letter queues as requests give them.

use std::collections::BTreeSet;

use hearth_store::queues::Queue;
use hearth_types::ApiError;
use hearth_types::destination::Destination;
use hearth_types::event_invoke::{DESTINATION_ARN_CHARS, DestinationArn};
use hearth_types::name::{AccountId, BucketName, FunctionKey, QueueId, Region};

use crate::Registry;
use crate::constraints::Constraints;
use crate::registry::refusal;
use crate::snapshot::Snapshot;

const ARN_PATTERN: &str = r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)";

/// What is told there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Records of events that were handled.
    OnSuccess,
    /// Records of those that were not.
    OnFailure,
    /// The events themselves that were not.
    DeadLetters,
}

/// Reads a destination out of a request; nothing and an empty text are none. A breach of its shape goes to `constraints`.
pub(crate) fn read(
    member: &str,
    text: Option<&str>,
    constraints: &mut Constraints,
) -> Option<DestinationArn> {
    let text = text.filter(|text| !text.is_empty())?;
    constraints.length(member, text, 0..=DESTINATION_ARN_CHARS);
    let arn = text.parse().ok();
    let is_too_long = text.len() > DESTINATION_ARN_CHARS;
    constraints.pattern(member, text, arn.is_some() || is_too_long, ARN_PATTERN);
    arn
}

impl Registry {
    /// Makes sure that a queue which `arn` names is there and takes what is told. It is asked for apart from [`check`],
    /// for queues are in a store of their own. Those of others are refused there, and not looked for here.
    ///
    /// # Errors
    /// [`hearth_types::ErrorKind::InvalidParameterValue`]; those of the store.
    pub(crate) async fn check_queue(
        &self,
        of: &FunctionKey,
        arn: Option<&DestinationArn>,
    ) -> Result<(), ApiError> {
        let Some((arn, Ok(Destination::Queue(id)))) = arn.map(|arn| (arn, arn.as_str().parse()))
        else {
            return Ok(());
        };
        if (&id.account, &id.region) != (&of.account, &of.region) {
            return Ok(());
        }
        match self.queue(&id).await? {
            None => Err(invalid(arn, "there is no such queue. Create it first.")),
            // Guide, "Adding a destination" and "Dead-letter queues": standard queues only.
            Some(queue) if queue.settings.fifo.is_some() => Err(invalid(
                arn,
                "FIFO queues take no destinations and no dead letters of functions. Use a standard queue.",
            )),
            Some(_) => Ok(()),
        }
    }

    /// A queue, if it is there.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn queue(&self, id: &QueueId) -> Result<Option<Queue>, ApiError> {
        match &self.inner.options.queues {
            None => Ok(None),
            Some(queues) => queues.queue(id.into()).await.map_err(|e| refusal(&e)),
        }
    }
}

fn invalid(arn: &DestinationArn, why: &str) -> ApiError {
    ApiError::invalid(format!("The destination ARN {arn} is invalid: {why}"))
}

/// Makes sure that `arn` can be told of the events of the function `of`. `buckets` are those that the node knows.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn check(
    snapshot: &Snapshot,
    buckets: &BTreeSet<BucketName>,
    of: &FunctionKey,
    role: Role,
    arn: &DestinationArn,
) -> Result<(), ApiError> {
    let invalid = |why: &str| Err(invalid(arn, why));
    let destination: Destination = match arn.as_str().parse() {
        Ok(destination) => destination,
        Err(error) => return invalid(&format!("{error}.")),
    };
    if let Err(why) = takes(&destination, role) {
        return invalid(why);
    }
    let is_near =
        |account: &AccountId, region: &Region| (account, region) == (&of.account, &of.region);
    const FAR: &str = "it must be of the function's account and region.";
    match destination {
        Destination::Function { key, .. } if key == *of => Err(ApiError::invalid(
            "You can't specify the function as a destination for itself.",
        )),
        Destination::Function { key, .. } if !is_near(&key.account, &key.region) => invalid(FAR),
        Destination::Function { key, qualifier } => {
            let entry = snapshot.function(&key);
            match entry.and_then(|entry| entry.qualified(qualifier.as_ref())) {
                Some(_) => Ok(()),
                None => invalid("there is no such function, version or alias. Create it first."),
            }
        }
        Destination::Queue(id) if !is_near(&id.account, &id.region) => invalid(FAR),
        // `check_queue` has looked whether it is there.
        Destination::Queue(_) => Ok(()),
        Destination::Topic(id) if !is_near(&id.account, &id.region) => invalid(FAR),
        Destination::Topic(id) if snapshot.topic(&id).is_some() => Ok(()),
        Destination::Topic(id) => invalid(&format!(
            "there is no such topic. Create it first, with `hearth topic create {}`.",
            id.name
        )),
        Destination::Bucket(name) if buckets.contains(&name) => Ok(()),
        Destination::Bucket(name) => invalid(&format!(
            "the node has no such bucket. Name it in its configuration, as destinations.buckets.{name}."
        )),
    }
}

/// Whether destinations of a kind take what is told in a role (guide, "Adding a destination", "Dead-letter queues").
fn takes(destination: &Destination, role: Role) -> Result<(), &'static str> {
    match (destination, role) {
        (Destination::Function { .. } | Destination::Bucket(_), Role::DeadLetters) => {
            Err("dead letters go to a queue or a topic. Use OnFailure for a function or a bucket.")
        }
        (Destination::Bucket(_), Role::OnSuccess) => {
            Err("buckets take records of failures alone. Use another destination for OnSuccess.")
        }
        _ => Ok(()),
    }
}
