//! The table against a matcher that tries every route, and its rules on hosts.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use hearth_store::conformance::random::Random;
use hearth_store::record::RouteRecord;
use hearth_types::name::RouteId;
use hearth_types::route::path::{Segment, normal};
use hearth_types::route::{HostPattern, PathPattern};
use hearth_types::time::Timestamp;
use hearth_types::wire::route as wire;
use http::Method;

use super::route::Route;
use super::site::{Found, Site};
use super::table::Table;

fn record(account: &str, name: &str, hosts: &[&str], path: &str, methods: &[&str]) -> RouteRecord {
    let list = |list: &[&str]| {
        list.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    RouteRecord {
        id: RouteId {
            account: account.parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            name: name.parse().unwrap(),
        },
        revision: "r".to_owned(),
        created: Timestamp::default(),
        modified: Timestamp::default(),
        route: wire::Route {
            hosts: Some(list(hosts)),
            path: Some(path.to_owned()),
            methods: (!methods.is_empty()).then(|| list(methods)),
            target: Some(wire::Target {
                response: Some(wire::FixedResponse::default()),
                ..wire::Target::default()
            }),
            ..wire::Route::default()
        },
    }
}

const OWN: &str = "000000000000";
const OTHER: &str = "111111111111";

fn route(record: &RouteRecord) -> Route {
    Route::read(&Arc::new(record.clone())).unwrap()
}

fn put(table: &mut Table, record: RouteRecord) -> Result<(), String> {
    table
        .check(&route(&record))
        .map_err(|error| error.message.into_owned())?;
    table.put(record);
    Ok(())
}

/// The most specific pattern of those that match, as the documentation says it: from left to right, a literal before a
/// capture before a rest, and the end of a pattern before a rest that is empty.
fn naive<'r>(records: &'r [RouteRecord], path: &str) -> Vec<&'r RouteRecord> {
    fn rank(pattern: &PathPattern, path: &[&str]) -> Option<Vec<u8>> {
        let mut ranks = Vec::new();
        for (at, segment) in pattern.segments().iter().enumerate() {
            match segment {
                Segment::Rest(_) => {
                    ranks.push(2);
                    return Some(ranks);
                }
                Segment::Literal(text) if path.get(at) == Some(&text.as_str()) => ranks.push(0),
                Segment::Capture(_) if at < path.len() => ranks.push(1),
                _ => return None,
            }
        }
        (pattern.segments().len() == path.len()).then_some(ranks)
    }
    let parts: Vec<&str> = path[1..]
        .split('/')
        .filter(|part| !part.is_empty())
        .collect();
    let ranked = records.iter().filter_map(|record| {
        let pattern = record.route.path.as_ref()?.parse().ok()?;
        Some((rank(&pattern, &parts)?, record))
    });
    let ranked: Vec<_> = ranked.collect();
    let best = ranked.iter().map(|(rank, _)| rank).min().cloned();
    ranked
        .into_iter()
        .filter(|(rank, _)| Some(rank) == best.as_ref())
        .map(|(_, record)| record)
        .collect()
}

fn some_path(random: &mut Random, is_pattern: bool) -> String {
    let mut path = String::new();
    for at in 0..random.below(5) {
        path.push('/');
        match random.below(if is_pattern { 8 } else { 5 }) {
            5 | 6 => path.push_str(&format!("{{n{at}}}")),
            7 => {
                path.push_str("{*rest}");
                return path;
            }
            n => path.push_str(["a", "b", "ab", "a.b"][n as usize % 4]),
        }
    }
    if path.is_empty() {
        "/".to_owned()
    } else {
        path
    }
}

#[test]
fn the_tree_finds_what_trying_every_route_finds() {
    let mut random = Random::new(7);
    let methods: [&[&str]; 4] = [&[], &["GET"], &["POST", "PUT"], &["GET", "HEAD"]];
    let (mut matched, mut refused, mut missed) = (0, 0, 0);
    for round in 0..120 {
        let mut table = Table::default();
        let mut records: Vec<RouteRecord> = Vec::new();
        for n in 0..40 {
            // Earlier snapshots must stay as they are.
            let before = table.clone();
            if random.below(5) == 0 && !records.is_empty() {
                let at = random.below(records.len() as u64) as usize;
                table.remove(&records.swap_remove(at).id);
            } else {
                let path = some_path(&mut random, true);
                let methods = methods[random.below(4) as usize];
                let record = record(OWN, &format!("r{n}"), &["h"], &path, methods);
                match put(&mut table, record.clone()) {
                    Ok(()) => records.push(record),
                    Err(_) => refused += 1,
                }
            }
            drop(before);
        }
        for _ in 0..60 {
            let path = some_path(&mut random, false);
            let method =
                [Method::GET, Method::POST, Method::DELETE][random.below(3) as usize].clone();
            let candidates = naive(&records, &path);
            let expected = candidates
                .iter()
                .find(|record| route(record).takes(&method));
            let empty = Arc::new(Site::default());
            let site = table.at_host("h").unwrap_or(&empty);
            match site.find(&method, &path) {
                Found::Route(found) => {
                    let all: Vec<_> = records
                        .iter()
                        .map(|r| {
                            (
                                &r.id.name,
                                r.route.path.as_deref(),
                                r.route.methods.as_ref(),
                            )
                        })
                        .collect();
                    assert_eq!(
                        Some(found.route.id()),
                        expected.map(|e| &e.id),
                        "{round}: {method} {path} {all:?}"
                    );
                    assert_eq!(found.captures.len(), found.route.pattern().names().count());
                    // The captures, put where they were taken from, give the path again.
                    let mut captures = found.captures.iter();
                    let mut again = String::new();
                    for segment in found.route.pattern().segments() {
                        let part = match segment {
                            Segment::Literal(text) => text.as_str(),
                            _ => captures.next().unwrap(),
                        };
                        again += &format!("/{part}");
                    }
                    assert_eq!(
                        normal(if again.is_empty() { "/" } else { &again }).unwrap(),
                        path
                    );
                    matched += 1;
                }
                Found::Methods(_) => {
                    assert!(
                        expected.is_none() && !candidates.is_empty(),
                        "{round}: {path}"
                    );
                    missed += 1;
                }
                Found::Nothing => assert!(
                    candidates.is_empty(),
                    "{round}: {method} {path}: {candidates:?}"
                ),
            }
        }
    }
    assert!(
        matched > 1_000 && refused > 100 && missed > 100,
        "{matched} {refused} {missed}"
    );
}

#[test]
fn the_most_specific_host_decides_alone() {
    let mut table = Table::default();
    for (name, host, path) in [
        ("exact", "a.example.com", "/x"),
        ("deep", "*.b.example.com", "/x"),
        ("wild", "*.example.com", "/x"),
    ] {
        put(&mut table, record(OWN, name, &[host], path, &[])).unwrap();
    }
    put(&mut table, record(OWN, "any", &["*"], "/any", &[])).unwrap();
    let at = |host: &str| {
        let site = table.at_host(host)?;
        match site.find(&Method::GET, "/x") {
            Found::Route(found) => Some(found.route.id().name.to_string()),
            _ => None,
        }
    };
    assert_eq!(at("a.example.com").unwrap(), "exact");
    assert_eq!(at("c.example.com").unwrap(), "wild");
    assert_eq!(at("c.d.example.com").unwrap(), "wild");
    assert_eq!(at("c.b.example.com").unwrap(), "deep");
    assert_eq!(at("b.example.com").unwrap(), "wild");
    assert_eq!(at("example.com"), None);
    assert_eq!(at("other.example"), None);
    let site = table.at_host("a.example.com").unwrap();
    assert!(matches!(site.find(&Method::GET, "/any"), Found::Nothing));
}

#[test]
fn a_refusal_names_the_other_route() {
    let mut table = Table::default();
    put(
        &mut table,
        record(OWN, "first", &["h"], "/a/{id}", &["GET", "PUT"]),
    )
    .unwrap();
    let same = put(
        &mut table,
        record(OWN, "second", &["i", "h"], "/a/{name}", &["PUT"]),
    );
    let message = same.unwrap_err();
    assert!(
        message.contains("'first'") && message.contains("/a/{id}"),
        "{message}"
    );
    assert!(put(&mut table, record(OWN, "all", &["h"], "/a/{x}", &[])).is_err());
    put(&mut table, record(OWN, "post", &["h"], "/a/{x}", &["POST"])).unwrap();
    put(&mut table, record(OWN, "more", &["h"], "/a/{*rest}", &[])).unwrap();
    // A route is no rival of its own earlier form.
    put(
        &mut table,
        record(OWN, "first", &["h"], "/a/{other}", &["GET"]),
    )
    .unwrap();
    put(&mut table, record(OWN, "put", &["h"], "/a/{x}", &["PUT"])).unwrap();
    let site = table.at_host("h").unwrap();
    let Found::Methods(methods) = site.find(&Method::DELETE, "/a/b") else {
        panic!("a method that no route takes");
    };
    assert_eq!(methods, [Method::GET, Method::POST, Method::PUT]);
}

#[test]
fn nobody_gets_into_anothers_hosts() {
    let taken = ["a.example.com", "*.wild.example", "solo.test"];
    let mut table = Table::default();
    put(&mut table, record(OWN, "own", &taken, "/", &[])).unwrap();
    put(&mut table, record(OWN, "any", &["*"], "/own", &[])).unwrap();
    for host in [
        "a.example.com",
        "*.a.example.com",
        "*.example.com",
        "*.com",
        "x.wild.example",
        "*.x.wild.example",
        "wild.example",
        "*.example",
        "solo.test",
        "*",
    ] {
        let hosts: &[&str] = if host == "*" {
            &["*"]
        } else {
            &["free.test", host]
        };
        let theirs = put(
            &mut table,
            record(OTHER, "theirs", hosts, "/other/place", &["PATCH"]),
        );
        let message = theirs.unwrap_err();
        assert!(
            message.contains("another account") && !message.contains("'own'"),
            "{message}"
        );
    }
    for host in [
        "example.com",
        "b.example.com",
        "deep.a.example.com",
        "com",
        "badwild.example",
        "test",
    ] {
        put(&mut table, record(OTHER, "theirs", &[host], "/", &[])).unwrap();
    }
    // What is given up is free again.
    table.remove(&record(OWN, "own", &taken, "/", &[]).id);
    put(
        &mut table,
        record(OTHER, "theirs", &["*.wild.example"], "/", &[]),
    )
    .unwrap();
}

#[test]
fn a_disabled_route_takes_nothing() {
    let mut table = Table::default();
    let mut disabled = record(OWN, "off", &["h"], "/", &[]);
    disabled.route.enabled = Some(false);
    table.put(disabled.clone());
    assert!(table.at_host("h").is_none());
    put(&mut table, record(OTHER, "theirs", &["h"], "/", &[])).unwrap();
    assert!(table.record(&disabled.id).is_some());
    assert!(table.remove(&disabled.id).is_none());
    assert!(table.record(&disabled.id).is_none());
}

#[test]
fn buckets_outlive_changes_of_other_things() {
    let mut limited = record(OWN, "r", &["h"], "/a", &[]);
    limited.route.rate_limit = Some(wire::RateLimit {
        requests_per_second: Some(0.001),
        burst: Some(1),
    });
    let mut table = Table::default();
    table.put(limited.clone());
    let now = Instant::now();
    let take = |table: &Table| match table.at_host("h").unwrap().find(&Method::GET, "/a") {
        Found::Route(found) => found.route.take_token(b"", now).is_ok(),
        _ => panic!("the route is there"),
    };
    assert!(take(&table) && !take(&table));
    limited.route.methods = Some(vec!["GET".to_owned()]);
    table.put(limited.clone());
    assert!(!take(&table));
    limited.route.rate_limit = Some(wire::RateLimit {
        requests_per_second: Some(0.001),
        burst: Some(2),
    });
    table.put(limited);
    assert!(take(&table));
}

/// Longer patterns of literals come first in a list that is sorted so; the tree needs no such list.
#[test]
fn patterns_of_a_hundred_routes_are_all_found() {
    let mut table = Table::default();
    let mut paths: Vec<String> = (0..100).map(|n| format!("/p{}/q/{n}", n % 7)).collect();
    paths.sort_by_key(|path| Reverse(path.len()));
    for (n, path) in paths.iter().enumerate() {
        put(&mut table, record(OWN, &format!("r{n}"), &["*"], path, &[])).unwrap();
    }
    let site = table.anywhere().unwrap();
    for (n, path) in paths.iter().enumerate() {
        let Found::Route(found) = site.find(&Method::GET, path) else {
            panic!("{path}");
        };
        assert_eq!(found.route.id().name.as_str(), format!("r{n}"));
    }
    for n in 0..paths.len() {
        table.remove(&record(OWN, &format!("r{n}"), &["*"], "/x", &[]).id);
    }
    assert!(table.anywhere().is_none());
    assert!(HostPattern::Any.takes("x"));
}
