//! Cron triggers: schedules in a group of their own, which fire at what is deployed.

use hearth_registry::Scope;
use hearth_schedules::error::Kind;
use hearth_schedules::{Call, Place, ScheduleError};
use hearth_types::ErrorKind;
use hearth_types::arn::FunctionArn;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::answer::{Failure, Reply, code, quoted};
use crate::api::{Cloudflare, Request};
use crate::worker::{DEPLOYED, function, role};

/// The group.
const GROUP: &str = "wrangler";
/// Crons of a worker. Cloudflare's limits have three to 250 by plan.
const MOST: usize = 50;
/// Longest name of a worker that has crons: a schedule's name has 64 characters, of which 9 are the cron's.
const NAME_CHARACTERS: usize = 55;

impl From<ScheduleError> for Failure {
    fn from(error: ScheduleError) -> Self {
        let status = error.kind.status();
        let code = if status < 500 {
            code::INVALID
        } else {
            code::INTERNAL
        };
        Self::new(status, code, error.message)
    }
}

/// A cron of Cloudflare's as a schedule's expression: five fields, of which the days of the month and of the week can't
/// both say something, and a sixth for years.
///
/// # Errors
/// If it has other fields.
pub(crate) fn expression(cron: &str) -> Result<String, Failure> {
    let fields: Vec<&str> = cron.split_ascii_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
        return Err(Failure::invalid(format!(
            "The cron {} must have five fields: minutes, hours, days, months, days of the week.",
            quoted(cron)
        )));
    };
    let (days, weekdays) = match (*days, *weekdays) {
        (days, "*" | "?") => (days, "?"),
        ("*" | "?", weekdays) => ("?", weekdays),
        _ => {
            return Err(Failure::invalid(format!(
                "The cron '{cron}' names days of the month and days of the week. Name one of them, and write * for the \
                 other."
            )));
        }
    };
    Ok(format!(
        "cron({minutes} {hours} {days} {months} {weekdays} *)"
    ))
}

/// The beginning of the names of a script's schedules: a dot is in no script's name.
fn prefix(name: &str) -> String {
    format!("{name}.")
}

/// The name of a script's schedule: another for another target, so that one that fires elsewhere is replaced.
fn named(name: &str, target: &str, cron: &str) -> String {
    let digest = Sha256::digest(format!("{target} {cron}"));
    format!("{}{}", prefix(name), hex::encode(&digest[..4]))
}

/// What a schedule gives its worker: the form of an event without an input, and the cron.
fn input(cron: &str) -> String {
    json!({
        "detail-type": "Scheduled Event",
        "source": "aws.scheduler",
        "time": "<aws.scheduler.scheduled-time>",
        "resources": ["<aws.scheduler.schedule-arn>"],
        "detail": { "cron": cron },
    })
    .to_string()
}

impl Cloudflare {
    async fn scheduler(
        &self,
        scope: &Scope,
        operation: &str,
        name: &str,
        query: &[(String, String)],
        body: Value,
    ) -> Result<Value, ScheduleError> {
        let place = Place {
            account: scope.account.clone(),
            region: scope.region.clone(),
        };
        let body = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        let call = Call {
            operation,
            name,
            query,
            body: &body,
        };
        self.schedules.call(&place, call).await
    }

    /// The names of a script's schedules.
    async fn schedules_of(&self, scope: &Scope, name: &str) -> Result<Vec<String>, Failure> {
        let query = [
            ("ScheduleGroup".to_owned(), GROUP.to_owned()),
            ("NamePrefix".to_owned(), prefix(name)),
        ];
        let found = self
            .scheduler(scope, "ListSchedules", "", &query, Value::Null)
            .await;
        let found = match found {
            Ok(found) => found,
            Err(error) if error.kind == Kind::ResourceNotFound => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let list = found["Schedules"].as_array().cloned().unwrap_or_default();
        let names = list.iter().filter_map(|one| one["Name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// `GET schedules`.
    pub(crate) async fn list_schedules(&self, scope: &Scope, name: &str) -> Result<Reply, Failure> {
        self.script_named(scope, name)?;
        let query = [("groupName".to_owned(), GROUP.to_owned())];
        let mut schedules = Vec::new();
        for one in self.schedules_of(scope, name).await? {
            let found = self
                .scheduler(scope, "GetSchedule", &one, &query, Value::Null)
                .await?;
            let input = found["Target"]["Input"].as_str().unwrap_or_default();
            let input: Value = serde_json::from_str(input).unwrap_or_default();
            schedules.push(json!({ "cron": input["detail"]["cron"] }));
        }
        Ok(Reply::of(json!({ "schedules": schedules })))
    }

    /// `PUT schedules`: all that there are from now on.
    pub(crate) async fn put_schedules(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Reply, Failure> {
        #[derive(Deserialize)]
        struct Asked {
            cron: String,
        }
        let asked: Vec<Asked> = request.json()?;
        self.script_named(scope, name)?;
        let mut crons: Vec<String> = asked.into_iter().map(|one| one.cron).collect();
        crons.sort();
        crons.dedup();
        self.replace_schedules(scope, name, &crons).await?;
        self.list_schedules(scope, name).await
    }

    /// Makes these the script's schedules. Those that stay are left alone.
    pub(crate) async fn replace_schedules(
        &self,
        scope: &Scope,
        name: &str,
        crons: &[String],
    ) -> Result<(), Failure> {
        if crons.len() > MOST {
            return Err(Failure::invalid(format!(
                "A worker has up to {MOST} crons, not {}.",
                crons.len()
            )));
        }
        if !crons.is_empty() && name.len() > NAME_CHARACTERS {
            return Err(Failure::invalid(format!(
                "A worker with crons has a name of up to {NAME_CHARACTERS} characters."
            )));
        }
        let function = function(name)?;
        let has_alias = match self.registry.get_alias(scope, &function, DEPLOYED) {
            Ok(_) => true,
            Err(error) if error.kind == ErrorKind::ResourceNotFound => false,
            Err(error) => return Err(error.into()),
        };
        let key = scope.key(&function)?;
        let target = FunctionArn {
            key: &key,
            // A function that was made by other means has no alias.
            qualifier: DEPLOYED.parse().ok().filter(|_| has_alias),
        };
        let target = target.to_string();
        // All are read before the first is changed.
        let wanted = crons
            .iter()
            .map(|cron| Ok((named(name, &target, cron), cron, expression(cron)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let known = self.schedules_of(scope, name).await?;
        let new: Vec<_> = wanted
            .iter()
            .filter(|(named, ..)| !known.contains(named))
            .collect();
        if !new.is_empty() {
            let made = self
                .scheduler(scope, "CreateScheduleGroup", GROUP, &[], json!({}))
                .await;
            match made {
                Ok(_) => {}
                Err(error) if error.kind == Kind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        for (named, cron, expression) in new {
            let body = json!({
                "GroupName": GROUP,
                "ScheduleExpression": expression,
                "FlexibleTimeWindow": { "Mode": "OFF" },
                "Target": {
                    "Arn": target,
                    "RoleArn": role(scope),
                    "Input": input(cron),
                    // A cron is not fired again: so it is with Cloudflare.
                    "RetryPolicy": { "MaximumRetryAttempts": 0 },
                },
            });
            self.scheduler(scope, "CreateSchedule", named, &[], body)
                .await?;
        }
        let query = [("groupName".to_owned(), GROUP.to_owned())];
        for gone in known {
            if !wanted.iter().any(|(named, ..)| *named == gone) {
                self.scheduler(scope, "DeleteSchedule", &gone, &query, Value::Null)
                    .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_of_its_target_and_cron() {
        let first = named("a", "arn:a", "* * * * *");
        assert!(first.starts_with("a.") && first.len() == 10, "{first}");
        assert_eq!(first, named("a", "arn:a", "* * * * *"));
        assert_ne!(first, named("a", "arn:a:production", "* * * * *"));
        assert_ne!(first, named("a", "arn:a", "0 * * * *"));
    }

    #[test]
    fn crons_are_expressions_of_schedules() {
        for (cron, expected) in [
            ("* * * * *", "cron(* * * * ? *)"),
            ("*/5 1 * * MON-FRI", "cron(*/5 1 ? * MON-FRI *)"),
            ("0 0 L * *", "cron(0 0 L * ? *)"),
        ] {
            assert_eq!(expression(cron).unwrap(), expected);
        }
        for bad in ["", "* * * *", "* * * * * *", "0 0 1 * MON"] {
            assert!(expression(bad).is_err(), "{bad}");
        }
    }
}
