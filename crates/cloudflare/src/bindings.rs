//! The bindings of an upload: which Hearth has, and what each becomes.

use std::collections::BTreeMap;
use std::fmt;

use hearth_registry::Scope;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::answer::{Failure, code, quoted};
use crate::api::Cloudflare;
use crate::worker::{DEPLOYED, Secrets, function};

/// A binding as the API writes it. What the kind of a binding does not have is not there.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Binding {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) json: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queue_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entrypoint: Option<String>,
}

impl fmt::Debug for Binding {
    /// Without the text, which may be a secret's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Binding");
        let shown = shown.field("name", &self.name).field("kind", &self.kind);
        shown.finish_non_exhaustive()
    }
}

/// The kind of a secret, whose text is kept apart.
pub(crate) const SECRET: &str = "secret_text";
/// A binding that stays as it was.
const INHERIT: &str = "inherit";
/// What there is, for those who ask for something else.
const KINDS: &str = "plain_text, json, secret_text, kv_namespace, queue, service and assets";

/// Bindings, sorted out.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Sorted {
    /// All but secrets, as they are kept with the package.
    pub(crate) kept: Vec<Binding>,
    /// Secrets of the upload.
    pub(crate) secrets: Secrets,
}

impl fmt::Debug for Sorted {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Sorted");
        shown.field("kept", &self.kept).finish_non_exhaustive()
    }
}

/// Sorts the bindings of an upload. `before`: what the version before it has, which `inherit` and `keep` refer to;
/// `secrets`: the names of its secrets.
///
/// # Errors
/// If one can't be had.
pub(crate) fn sort(
    asked: Vec<Binding>,
    keep: &[String],
    before: &[Binding],
    secrets: &Secrets,
) -> Result<Sorted, Failure> {
    let mut sorted = Sorted::default();
    for binding in asked {
        let name = binding.name.clone();
        match binding.kind.as_str() {
            INHERIT => match before.iter().find(|known| known.name == name) {
                Some(known) => sorted.kept.push(known.clone()),
                None if secrets.contains_key(&name) => {}
                None => {
                    return Err(Failure::new(
                        400,
                        code::NO_BINDING,
                        format!("There is no binding {} to inherit.", quoted(&name)),
                    ));
                }
            },
            SECRET => {
                let text = binding.text.ok_or_else(|| lacks(&name, "text"))?;
                sorted.secrets.insert(name, text);
            }
            _ => {
                check(&binding)?;
                sorted.kept.push(binding);
            }
        }
    }
    for known in before {
        let is_there = sorted.kept.iter().any(|binding| binding.name == known.name)
            || sorted.secrets.contains_key(&known.name);
        if keep.contains(&known.kind) && !is_there {
            sorted.kept.push(known.clone());
        }
    }
    Ok(sorted)
}

fn check(binding: &Binding) -> Result<(), Failure> {
    let name = &binding.name;
    let has = match binding.kind.as_str() {
        "plain_text" => binding.text.is_some(),
        "json" => binding.json.is_some(),
        "kv_namespace" => binding.namespace_id.is_some(),
        "queue" => binding.queue_name.is_some(),
        "service" => {
            if binding
                .entrypoint
                .as_deref()
                .is_some_and(|named| named != "default")
            {
                return Err(Failure::invalid(format!(
                    "The service {} names an entrypoint: only default exports can be bound.",
                    quoted(name)
                )));
            }
            binding.service.is_some()
        }
        "assets" => true,
        other => {
            return Err(Failure::invalid(format!(
                "The binding {} is of the type {}, which Hearth does not have; it has {KINDS}. Take it out of Wrangler's \
                 configuration.",
                quoted(name),
                quoted(other)
            )));
        }
    };
    if has {
        Ok(())
    } else {
        Err(lacks(name, "what its type needs"))
    }
}

fn lacks(name: &str, what: &str) -> Failure {
    Failure::invalid(format!("The binding {} lacks {what}.", quoted(name)))
}

/// What bindings are in the configuration of a package, as Wrangler's own file has them. `services`: the functions that
/// services lead to.
pub(crate) fn configuration(
    bindings: &[Binding],
    services: &BTreeMap<String, String>,
) -> Map<String, Value> {
    let mut vars = Map::new();
    let (mut namespaces, mut asked, mut producers) = (Vec::new(), Vec::new(), Vec::new());
    for binding in bindings {
        let name = &binding.name;
        match binding.kind.as_str() {
            "plain_text" => drop(vars.insert(name.clone(), json!(binding.text))),
            "json" => drop(vars.insert(name.clone(), json!(binding.json))),
            "kv_namespace" => {
                namespaces.push(json!({ "binding": name, "id": binding.namespace_id }));
            }
            "queue" => producers.push(json!({ "binding": name, "queue": binding.queue_name })),
            "service" => asked.push(json!({ "binding": name, "service": services.get(name) })),
            _ => {}
        }
    }
    let mut configuration = Map::new();
    for (member, value) in [
        ("vars", Value::Object(vars)),
        ("kv_namespaces", json!(namespaces)),
        ("services", json!(asked)),
        ("queues", json!({ "producers": producers })),
    ] {
        configuration.insert(member.to_owned(), value);
    }
    configuration
}

impl Cloudflare {
    /// The functions that services lead to: what is deployed of a script, and `$LATEST` of other functions. A service may
    /// be the script itself.
    ///
    /// # Errors
    /// If one is not there.
    pub(crate) fn services(
        &self,
        scope: &Scope,
        name: &str,
        bindings: &[Binding],
    ) -> Result<BTreeMap<String, String>, Failure> {
        let asked = bindings.iter().filter(|binding| binding.kind == "service");
        let mut services = BTreeMap::new();
        for binding in asked {
            let service = binding.service.clone().unwrap_or_default();
            let target = function(&service)?;
            let is_deployed = self.registry.get_alias(scope, &target, DEPLOYED).is_ok();
            let is_there = self
                .registry
                .get_function_configuration(scope, &target, None)
                .is_ok();
            if !is_there && service != name {
                return Err(Failure::new(
                    400,
                    code::NO_SERVICE,
                    format!(
                        "The service {} leads to {}, which is not there. Deploy that first.",
                        quoted(&binding.name),
                        quoted(&service)
                    ),
                ));
            }
            let named = if is_deployed || service == name {
                format!("{service}:{DEPLOYED}")
            } else {
                service
            };
            services.insert(binding.name.clone(), named);
        }
        Ok(services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(value: Value) -> Binding {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn secrets_are_taken_out_and_others_inherited_or_kept() {
        let before = [
            binding(json!({ "name": "A", "type": "plain_text", "text": "old" })),
            binding(json!({ "name": "KV", "type": "kv_namespace", "namespace_id": "n" })),
        ];
        let known = Secrets::from([("OLD".to_owned(), String::new())]);
        let asked = vec![
            binding(json!({ "name": "S", "type": "secret_text", "text": "s" })),
            binding(json!({ "name": "KV", "type": "inherit" })),
            binding(json!({ "name": "OLD", "type": "inherit" })),
        ];
        let sorted = sort(asked.clone(), &[], &before, &known).unwrap();
        assert_eq!(sorted.kept, [before[1].clone()]);
        assert_eq!(sorted.secrets["S"], "s");
        let sorted = sort(asked, &["plain_text".to_owned()], &before, &known).unwrap();
        assert_eq!(sorted.kept, [before[1].clone(), before[0].clone()]);
    }

    #[test]
    fn what_there_is_not_is_refused_by_name() {
        for (value, word) in [
            (json!({ "name": "DB", "type": "d1", "id": "x" }), "'d1'"),
            (json!({ "name": "A", "type": "service" }), "lacks"),
            (
                json!({ "name": "A", "type": "service", "service": "s", "entrypoint": "E" }),
                "entrypoint",
            ),
            (json!({ "name": "A", "type": "inherit" }), "inherit"),
            (json!({ "name": "A", "type": "secret_text" }), "text"),
            (json!({}), "''"),
        ] {
            let failure = sort(vec![binding(value)], &[], &[], &Secrets::default()).unwrap_err();
            assert!(failure.message.contains(word), "{}", failure.message);
        }
    }

    #[test]
    fn the_configuration_is_wranglers_own() {
        let bindings = [
            binding(json!({ "name": "A", "type": "plain_text", "text": "a" })),
            binding(json!({ "name": "J", "type": "json", "json": { "x": null } })),
            binding(json!({ "name": "Q", "type": "queue", "queue_name": "jobs" })),
            binding(json!({ "name": "O", "type": "service", "service": "other" })),
        ];
        let services = BTreeMap::from([("O".to_owned(), "other:production".to_owned())]);
        let configuration = Value::Object(configuration(&bindings, &services));
        assert_eq!(
            configuration["vars"],
            json!({ "A": "a", "J": { "x": null } })
        );
        assert_eq!(configuration["queues"]["producers"][0]["queue"], "jobs");
        assert_eq!(configuration["services"][0]["service"], "other:production");
    }
}
