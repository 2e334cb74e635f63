//! Seeded random changes: some fit, some don't.

use hearth_types::name::{FunctionKey, Version};

use super::samples::{
    alias, event_invoke, function, function_url, key, layer_arn, layer_version, mapping,
    mapping_id, policy, route, route_id, route_key, topic, topic_id, version,
};
use crate::contract::{Change, Contents};

/// A sequence of numbers that is the same for the same seed (SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number, below `end` (above 0).
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// A commit of one to four changes; most fit `contents`, taken one by one.
    pub fn changes(&mut self, contents: &Contents) -> Vec<Change> {
        (0..=self.below(4)).map(|_| self.change(contents)).collect()
    }

    /// The generation to name: the stored one, or now and then one that is wrong.
    fn generation(&mut self, contents: &Contents, key: &FunctionKey) -> u64 {
        let stored = contents.functions.iter().find(|f| f.function.key == *key);
        let right = stored.map_or(1, |f| f.function.generation);
        if self.below(10) == 0 {
            right + 1
        } else {
            right
        }
    }

    fn change(&mut self, contents: &Contents) -> Change {
        // Few names, so that changes meet.
        let key = key(["one", "two", "three"][self.below(3) as usize]);
        let tag = self.below(1_000_000);
        let number = 1 + self.below(4);
        let name = ["live", "test"][self.below(2) as usize];
        let qualifier = ["$LATEST", "live", "1"][self.below(3) as usize];
        match self.below(27) {
            0 | 1 => Change::CreateFunction(function(&key, 1, tag)),
            2 => Change::UpdateFunction(function(&key, self.generation(contents, &key) + 1, tag)),
            3 => Change::DeleteFunction {
                generation: self.generation(contents, &key),
                key,
            },
            // The tag follows from the number, so that an update may find the same configuration.
            4 => Change::CreateVersion(key, version(Version::Number(number), number)),
            5 => {
                let mut record = version(Version::Number(number), number + self.below(5) / 4);
                record.revision = format!("revision-{tag}");
                Change::UpdateVersion(key, record)
            }
            6 => Change::DeleteVersion(key, Version::Number(number)),
            7 => Change::CreateAlias(key, alias(name, tag)),
            8 => {
                let stored = contents.functions.iter().find(|f| f.function.key == key);
                let stored =
                    stored.and_then(|f| f.aliases.iter().find(|a| a.name.as_str() == name));
                Change::UpdateAlias {
                    expected: stored.map_or("none".to_owned(), |a| a.revision.clone()),
                    record: alias(name, tag),
                    key,
                }
            }
            9 => Change::DeleteAlias(key, alias(name, 0).name),
            10 => {
                let layer = ["base", "extra"][self.below(2) as usize];
                let last = contents
                    .layer_counters
                    .iter()
                    .find(|c| c.layer.as_str() == layer);
                let next = last.map_or(1, |c| c.last + 1) + self.below(10) / 9;
                Change::CreateLayerVersion(layer_version(layer_arn(layer, next)))
            }
            11 => Change::CreateFunctionUrl(key, function_url(qualifier, 1, tag)),
            12 => {
                let stored = contents.functions.iter().find(|f| f.function.key == key);
                let stored = stored.and_then(|f| {
                    let mut urls = f.urls.iter();
                    urls.find(|url| url.qualifier.to_string() == qualifier)
                });
                let next = stored.map_or(1, |url| url.generation + 1) + self.below(10) / 9;
                Change::UpdateFunctionUrl(key, function_url(qualifier, next, tag))
            }
            13 => Change::DeleteFunctionUrl(key, function_url(qualifier, 1, 0).qualifier),
            14 => {
                let stored = contents.functions.iter().find(|f| f.function.key == key);
                let stored = stored.and_then(|f| {
                    let mut policies = f.policies.iter();
                    policies.find(|policy| policy.qualifier.to_string() == qualifier)
                });
                let seen = stored.map(|policy| policy.revision.clone());
                Change::PutPolicy {
                    expected: seen.filter(|_| self.below(10) > 0),
                    record: policy(qualifier, tag),
                    key,
                }
            }
            15 => Change::DeletePolicy(key, policy(qualifier, 0).qualifier),
            16 => {
                let stored = contents.routes.iter().find(|r| r.id == route_id(name));
                let seen = stored.map(|route| route.revision.clone());
                Change::PutRoute {
                    expected: seen.filter(|_| self.below(10) > 0),
                    record: route(name, tag),
                }
            }
            17 => {
                let stored = contents.routes.iter().find(|r| r.id == route_id(name));
                Change::DeleteRoute {
                    id: route_id(name),
                    expected: stored.map_or("none".to_owned(), |r| r.revision.clone()),
                }
            }
            18 => {
                let stored = contents.route_keys.iter().find(|k| k.id == route_id(name));
                let seen = stored.map(|key| key.revision.clone());
                Change::PutRouteKey {
                    expected: seen.filter(|_| self.below(10) > 0),
                    record: route_key(name, tag),
                }
            }
            19 => {
                let stored = contents.route_keys.iter().find(|k| k.id == route_id(name));
                Change::DeleteRouteKey {
                    id: route_id(name),
                    expected: stored.map_or("none".to_owned(), |k| k.revision.clone()),
                }
            }
            20 => {
                let stored = contents.functions.iter().find(|f| f.function.key == key);
                let stored = stored.and_then(|f| {
                    let mut records = f.event_invokes.iter();
                    records.find(|record| record.qualifier.to_string() == qualifier)
                });
                let seen = stored.map(|record| record.revision.clone());
                Change::PutEventInvoke {
                    expected: seen.filter(|_| self.below(10) > 0),
                    record: event_invoke(qualifier, tag),
                    key,
                }
            }
            21 => Change::DeleteEventInvoke(key, event_invoke(qualifier, 0).qualifier),
            22 => {
                let stored = contents.topics.iter().find(|t| t.id == topic_id(name));
                let seen = stored.map(|topic| topic.revision.clone());
                Change::PutTopic {
                    expected: seen.filter(|_| self.below(10) > 0),
                    record: topic(name, tag),
                }
            }
            23 => {
                let stored = contents.topics.iter().find(|t| t.id == topic_id(name));
                Change::DeleteTopic {
                    id: topic_id(name),
                    expected: stored.map_or("none".to_owned(), |t| t.revision.clone()),
                }
            }
            24 => {
                let n = self.below(3) as u8;
                let stored = contents.mappings.iter().find(|m| m.id == mapping_id(n));
                let seen = stored.map(|mapping| mapping.revision.clone());
                Change::PutMapping {
                    expected: seen.filter(|_| self.below(10) > 0),
                    record: mapping(n, tag),
                }
            }
            25 => {
                let n = self.below(3) as u8;
                let stored = contents.mappings.iter().find(|m| m.id == mapping_id(n));
                Change::DeleteMapping {
                    id: mapping_id(n),
                    expected: stored.map_or("none".to_owned(), |m| m.revision.clone()),
                }
            }
            _ => Change::DeleteLayerVersion(layer_arn("base", 1 + self.below(8))),
        }
    }
}
