//! What a function's tags ask of its walls: tags that begin with `hearth:`.
//!
//! Each is checked when it is set, and again when a record is read: a function never runs behind less than what its
//! tags ask for, and a tag that would have no effect is refused rather than ignored.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::function::Runtime;
use crate::limits::ENVIRONMENT_CONCURRENCY;
use crate::network::{Hosts, HostsError};
use crate::web::WebPort;

/// A wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Processes behind the kernel's means.
    Process,
    /// WebAssembly components.
    Wasm,
    /// JavaScript workers in V8 isolates.
    Isolate,
}

impl Isolation {
    /// Its name in tags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Wasm => "wasm",
            Self::Isolate => "isolate",
        }
    }
}

/// What a function's tags ask of its walls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Walls {
    /// The wall (tag `hearth:isolation`); `None`: the runtime's own.
    pub isolation: Option<Isolation>,
    /// The outgoing network (tag `hearth:network`).
    pub network: NetworkAccess,
    /// Hosts that outgoing HTTP requests may go to, in place of the node's list (tag `hearth:allowed-hosts`); `None`:
    /// there is no such tag.
    pub allowed_hosts: Option<Hosts>,
    /// Key-value stores (tag `hearth:keyvalue`); `None`: there is no such tag.
    pub keyvalue: Option<KeyValueAccess>,
    /// What only a WebAssembly component can be granted.
    pub component: ComponentGrants,
    /// What only a worker can be told.
    pub worker: WorkerGrants,
    /// Invocations that one environment may run at the same time (tag `hearth:concurrency`); `None`: there is no such
    /// tag.
    pub concurrency: Option<u32>,
    /// Whether the function is a web server (tag `hearth:web`); `None`: there is no such tag.
    pub web: Option<WebPort>,
}

/// The outgoing network of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NetworkAccess {
    /// Public addresses (and private ranges that the node's configuration allows). A WebAssembly component still
    /// reaches only the hosts that are named for it.
    #[default]
    Public,
    /// None: only Hearth's own API (`hearth:network=none`).
    None,
}

/// What tags grant to a WebAssembly component; `None`: there is no such tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ComponentGrants {
    /// Requests that one instance serves, one after the other ([`Walls::REUSE`]; tag `hearth:wasm-reuse`).
    pub reuse: Option<u32>,
    /// Whether there is a `/tmp` (tag `hearth:tmp`).
    pub tmp: Option<TmpAccess>,
}

/// What tags say to the engine of a worker, before its package's file; `None`: there is no such tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkerGrants {
    /// The compatibility date (tag `hearth:compatibility-date`), as it is written: `2026-01-31`.
    pub compatibility_date: Option<String>,
    /// Compatibility flags (tag `hearth:compatibility-flags`).
    pub compatibility_flags: Option<Vec<String>>,
}

/// `/tmp` of a WebAssembly component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TmpAccess {
    /// None.
    None,
    /// An empty one for each instance, of the function's `EphemeralStorage`.
    Private,
}

/// Key-value stores of a WebAssembly component or a worker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyValueAccess {
    /// One that belongs to the function.
    Function,
    /// Some that are shared with the account's other functions that name them.
    Shared(Vec<SharedStore>),
}

/// A key-value store of an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SharedStore {
    /// What the function calls it.
    pub name: String,
    /// What the account calls it: see [`is_store_name`].
    pub store: String,
}

impl Walls {
    /// The tag that chooses the wall: `process`, `wasm` or `isolate`.
    pub const ISOLATION_TAG: &'static str = "hearth:isolation";
    /// The tag that turns the network off: `public` or `none`.
    pub const NETWORK_TAG: &'static str = "hearth:network";
    /// The tag that lets an instance of a component serve several requests: a number in [`Walls::REUSE`].
    pub const REUSE_TAG: &'static str = "hearth:wasm-reuse";
    /// The tag that names the hosts that a component or a worker may send HTTP requests to, as [`Hosts`] reads
    /// them.
    pub const ALLOWED_HOSTS_TAG: &'static str = "hearth:allowed-hosts";
    /// The tag that gives a component a `/tmp`: `none` or `private`.
    pub const TMP_TAG: &'static str = "hearth:tmp";
    /// The tag that gives a component or a worker key-value stores: `function`, or names separated by spaces, each a
    /// store's name ([`is_store_name`]) or what the function calls it, `=` and the store's name.
    pub const KEYVALUE_TAG: &'static str = "hearth:keyvalue";
    /// The tag that lets one environment run several invocations at once: a number in
    /// [`ENVIRONMENT_CONCURRENCY`].
    pub const CONCURRENCY_TAG: &'static str = "hearth:concurrency";
    /// The tag of a function that is a web server: `on`, or the port at which it listens ([`crate::web::PORTS`]).
    pub const WEB_TAG: &'static str = "hearth:web";

    /// The tag that gives a worker a compatibility date.
    pub const COMPATIBILITY_DATE_TAG: &'static str = "hearth:compatibility-date";
    /// The tag that gives a worker compatibility flags: words separated by spaces.
    pub const COMPATIBILITY_FLAGS_TAG: &'static str = "hearth:compatibility-flags";

    /// Requests that one instance of a component may serve. The upper end is Hearth's own: an instance that lives
    /// longer saves nothing more.
    pub const REUSE: RangeInclusive<u32> = 1..=10_000;

    const KNOWN: [&'static str; 10] = [
        Self::ISOLATION_TAG,
        Self::NETWORK_TAG,
        Self::REUSE_TAG,
        Self::ALLOWED_HOSTS_TAG,
        Self::TMP_TAG,
        Self::KEYVALUE_TAG,
        Self::CONCURRENCY_TAG,
        Self::WEB_TAG,
        Self::COMPATIBILITY_DATE_TAG,
        Self::COMPATIBILITY_FLAGS_TAG,
    ];

    /// Reads a function's tags; others than Hearth's are not looked at.
    ///
    /// # Errors
    /// A sentence for the caller, if a tag of Hearth's has a value that can't be had. Never falls back to less
    /// than what was asked for.
    pub fn from_tags(tags: &BTreeMap<String, String>) -> Result<Self, String> {
        let unknown =
            |key: &&String| key.starts_with("hearth:") && !Self::KNOWN.contains(&key.as_str());
        if let Some(key) = tags.keys().find(unknown) {
            // A misspelt tag must not silently leave open what it was meant to close.
            return Err(format!(
                "The tag {} is not known; tags that begin with 'hearth:' are {}.",
                shown(key),
                Self::KNOWN.join(", ")
            ));
        }
        let value = |tag: &str| tags.get(tag).map(String::as_str);
        let isolation = match value(Self::ISOLATION_TAG) {
            None => None,
            Some("process") => Some(Isolation::Process),
            Some("wasm") => Some(Isolation::Wasm),
            Some("isolate") => Some(Isolation::Isolate),
            Some(other) => {
                return Err(format!(
                    "The wall '{}' (tag {}) is not available on this node; use 'process', 'wasm' or 'isolate', or \
                     leave the tag out.",
                    shown(other),
                    Self::ISOLATION_TAG
                ));
            }
        };
        let network = match value(Self::NETWORK_TAG) {
            None | Some("public") => NetworkAccess::Public,
            Some("none") => NetworkAccess::None,
            Some(other) => return Err(bad(Self::NETWORK_TAG, other, "use 'public' or 'none'")),
        };
        Ok(Self {
            isolation,
            network,
            component: ComponentGrants {
                reuse: value(Self::REUSE_TAG).map(reuse).transpose()?,
                tmp: value(Self::TMP_TAG).map(tmp).transpose()?,
            },
            allowed_hosts: value(Self::ALLOWED_HOSTS_TAG).map(hosts).transpose()?,
            keyvalue: value(Self::KEYVALUE_TAG).map(keyvalue).transpose()?,
            concurrency: value(Self::CONCURRENCY_TAG).map(concurrency).transpose()?,
            web: value(Self::WEB_TAG).map(web).transpose()?,
            worker: WorkerGrants {
                compatibility_date: value(Self::COMPATIBILITY_DATE_TAG)
                    .map(compatibility_date)
                    .transpose()?,
                compatibility_flags: value(Self::COMPATIBILITY_FLAGS_TAG)
                    .map(compatibility_flags)
                    .transpose()?,
            },
        })
    }

    /// Whether `wall` can do what is asked for.
    ///
    /// # Errors
    /// A sentence for the caller, naming the tag.
    pub fn check(&self, wall: Isolation) -> Result<(), String> {
        if let Some(asked) = self.isolation
            && asked != wall
        {
            return Err(match asked {
                Isolation::Wasm => format!(
                    "The tag {}=wasm needs a WebAssembly component: the runtime wasm, or a package for provided.* \
                     without a bootstrap and with one component at its root.",
                    Self::ISOLATION_TAG
                ),
                Isolation::Isolate => format!(
                    "The tag {}=isolate needs the runtime worker.",
                    Self::ISOLATION_TAG
                ),
                Isolation::Process => format!(
                    "{} can't run behind the wall that the tag {}=process asks for; use '{}' or leave the tag out.",
                    if wall == Isolation::Wasm {
                        "A WebAssembly component"
                    } else {
                        "A worker"
                    },
                    Self::ISOLATION_TAG,
                    wall.as_str()
                ),
            });
        }
        let only_components = [
            (Self::REUSE_TAG, self.component.reuse.is_some()),
            (Self::TMP_TAG, self.component.tmp.is_some()),
        ];
        let WorkerGrants {
            compatibility_date,
            compatibility_flags,
        } = &self.worker;
        let only_workers = [
            (Self::COMPATIBILITY_DATE_TAG, compatibility_date.is_some()),
            (Self::COMPATIBILITY_FLAGS_TAG, compatibility_flags.is_some()),
        ];
        let no_processes = [
            (Self::ALLOWED_HOSTS_TAG, self.allowed_hosts.is_some()),
            (Self::KEYVALUE_TAG, self.keyvalue.is_some()),
        ];
        let only_processes = [
            (Self::CONCURRENCY_TAG, self.concurrency.is_some()),
            (Self::WEB_TAG, self.web.is_some()),
        ];
        if wall != Isolation::Process
            && let Some((tag, _)) = only_processes.iter().find(|(_, asked)| *asked)
        {
            return Err(format!(
                "The tag {tag} is for functions that run as processes, and would have no effect on a {}; leave it out.",
                if wall == Isolation::Wasm {
                    "WebAssembly component"
                } else {
                    "worker"
                }
            ));
        }
        if wall != Isolation::Wasm
            && let Some((tag, _)) = only_components.iter().find(|(_, asked)| *asked)
        {
            return Err(format!(
                "The tag {tag} is for WebAssembly components alone, and would have no effect on this function; leave \
                 it out."
            ));
        }
        if wall != Isolation::Isolate
            && let Some((tag, _)) = only_workers.iter().find(|(_, asked)| *asked)
        {
            return Err(format!(
                "The tag {tag} is for the runtime worker alone, and would have no effect on this function; leave it out."
            ));
        }
        if wall == Isolation::Process
            && let Some((tag, _)) = no_processes.iter().find(|(_, asked)| *asked)
        {
            return Err(format!(
                "The tag {tag} is for WebAssembly components and workers, and would have no effect on this function; \
                 leave it out."
            ));
        }
        Ok(())
    }

    /// [`check`](Self::check) for a function of `runtime`, as far as the runtime tells the wall.
    ///
    /// # Errors
    /// As `check`.
    pub fn check_runtime(&self, runtime: &Runtime) -> Result<(), String> {
        runtime.isolation().map_or(Ok(()), |wall| self.check(wall))
    }
}

/// Whether `text` can name a key-value store: 1 to 64 letters, digits, `-`, `_` and `.`.
pub fn is_store_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn reuse(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|number| Walls::REUSE.contains(number))
        .ok_or_else(|| bad(Walls::REUSE_TAG, text, "use a number from 1 to 10000"))
}

fn web(text: &str) -> Result<WebPort, String> {
    WebPort::read(text).ok_or_else(|| {
        bad(
            Walls::WEB_TAG,
            text,
            "use 'on', or a port from 1024 to 65535 except 9001 and 9002",
        )
    })
}

fn concurrency(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|number| ENVIRONMENT_CONCURRENCY.contains(number))
        .ok_or_else(|| bad(Walls::CONCURRENCY_TAG, text, "use a number from 1 to 1600"))
}

/// Whether `text` is written as a date of the calendar is: `2026-01-31`.
pub fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts.as_slice() else {
        return false;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    [year.len(), month.len(), day.len()] == [4, 2, 2]
        && parts.iter().all(|part| digits(part))
        && ("01"..="12").contains(month)
        && ("01"..="31").contains(day)
}

fn compatibility_date(text: &str) -> Result<String, String> {
    if is_date(text) {
        return Ok(text.to_owned());
    }
    Err(bad(
        Walls::COMPATIBILITY_DATE_TAG,
        text,
        "write a date as 2026-01-31",
    ))
}

fn compatibility_flags(text: &str) -> Result<Vec<String>, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let flags: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if !flags.is_empty() && flags.iter().all(|flag| flag.bytes().all(good)) {
        return Ok(flags);
    }
    Err(bad(
        Walls::COMPATIBILITY_FLAGS_TAG,
        text,
        "use names of flags separated by spaces",
    ))
}

fn hosts(text: &str) -> Result<Hosts, String> {
    text.parse().map_err(|error: HostsError| {
        format!(
            "The value of tag {} can't be read: {error}.",
            Walls::ALLOWED_HOSTS_TAG
        )
    })
}

fn tmp(text: &str) -> Result<TmpAccess, String> {
    match text {
        "none" => Ok(TmpAccess::None),
        "private" => Ok(TmpAccess::Private),
        other => Err(bad(Walls::TMP_TAG, other, "use 'none' or 'private'")),
    }
}

fn keyvalue(text: &str) -> Result<KeyValueAccess, String> {
    if text.trim() == "function" {
        return Ok(KeyValueAccess::Function);
    }
    let stores = text.split_whitespace().map(|entry| {
        let (name, store) = entry.split_once('=').unwrap_or((entry, entry));
        let fits = |text: &str| is_store_name(text) && text != "function";
        (fits(name) && fits(store)).then(|| SharedStore {
            name: name.to_owned(),
            store: store.to_owned(),
        })
    });
    stores
        .collect::<Option<Vec<_>>>()
        .filter(|stores| !stores.is_empty())
        .map(KeyValueAccess::Shared)
        .ok_or_else(|| {
            bad(
                Walls::KEYVALUE_TAG,
                text,
                "use 'function', or names of stores separated by spaces (up to 64 letters, digits, '-', '_' and '.' \
                 each), with another name and '=' before them where the function calls them otherwise",
            )
        })
}

fn bad(tag: &str, value: &str, instead: &str) -> String {
    format!(
        "The value '{}' of tag {tag} is not known; {instead}.",
        shown(value)
    )
}

/// As much of a refused value as is shown.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags<const N: usize>(tags: [(&str, &str); N]) -> BTreeMap<String, String> {
        tags.map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    fn walls(key: &str, value: &str) -> Result<Walls, String> {
        Walls::from_tags(&tags([(key, value)]))
    }

    #[test]
    fn a_wall_that_is_not_there_is_an_error_and_not_a_weaker_wall() {
        assert_eq!(
            walls(Walls::NETWORK_TAG, "none").unwrap().network,
            NetworkAccess::None
        );
        assert_eq!(walls("team", "x").unwrap(), Walls::default());
        for (tag, value) in [
            (Walls::NETWORK_TAG, "off"),
            (Walls::ISOLATION_TAG, "microvm"),
            (Walls::REUSE_TAG, "0"),
            (Walls::REUSE_TAG, "10001"),
            (Walls::REUSE_TAG, "many"),
            (Walls::CONCURRENCY_TAG, "0"),
            (Walls::CONCURRENCY_TAG, "1601"),
            (Walls::WEB_TAG, "off"),
            (Walls::WEB_TAG, "80"),
            (Walls::TMP_TAG, ""),
            (Walls::KEYVALUE_TAG, ""),
            (Walls::KEYVALUE_TAG, "function other"),
            (Walls::KEYVALUE_TAG, "a/b"),
            (Walls::KEYVALUE_TAG, "a=function"),
            (Walls::KEYVALUE_TAG, "=a"),
            (Walls::KEYVALUE_TAG, "a=b=c"),
            (Walls::ALLOWED_HOSTS_TAG, "https://example.com"),
            (Walls::COMPATIBILITY_DATE_TAG, "31.1.2026"),
            (Walls::COMPATIBILITY_FLAGS_TAG, ""),
            (Walls::COMPATIBILITY_FLAGS_TAG, "a,b"),
            ("hearth:netwrok", "none"),
        ] {
            let error = walls(tag, value).unwrap_err();
            assert!(error.contains(tag), "{error}");
        }
    }

    #[test]
    fn what_a_component_is_granted_reads_from_the_tags() {
        let walls = Walls::from_tags(&tags([
            (Walls::ISOLATION_TAG, "wasm"),
            (Walls::REUSE_TAG, "128"),
            (
                Walls::ALLOWED_HOSTS_TAG,
                "api.example.com  .example.org:8443",
            ),
            (Walls::TMP_TAG, "private"),
            (Walls::KEYVALUE_TAG, "sessions CARTS=carts"),
        ]))
        .unwrap();
        assert_eq!(
            walls.component,
            ComponentGrants {
                reuse: Some(128),
                tmp: Some(TmpAccess::Private),
            }
        );
        assert_eq!(
            walls.allowed_hosts,
            Some("api.example.com .example.org:8443".parse().unwrap())
        );
        let shared = |name: &str, store: &str| SharedStore {
            name: name.to_owned(),
            store: store.to_owned(),
        };
        assert_eq!(
            walls.keyvalue,
            Some(KeyValueAccess::Shared(vec![
                shared("sessions", "sessions"),
                shared("CARTS", "carts"),
            ]))
        );
        // An empty list closes what the node's configuration opens.
        assert_eq!(
            super::tests::walls(Walls::ALLOWED_HOSTS_TAG, "")
                .unwrap()
                .allowed_hosts,
            Some(Hosts::default())
        );
    }

    #[test]
    fn a_tag_without_effect_is_refused() {
        let python = Runtime::Python { minor: 12 };
        let provided: Runtime = "provided.al2023".parse().unwrap();
        for (tag, value) in [
            (Walls::ISOLATION_TAG, "wasm"),
            (Walls::REUSE_TAG, "1"),
            (Walls::ALLOWED_HOSTS_TAG, ""),
            (Walls::TMP_TAG, "none"),
            (Walls::KEYVALUE_TAG, "function"),
        ] {
            let walls = walls(tag, value).unwrap();
            let error = walls.check_runtime(&python).unwrap_err();
            assert!(error.contains(tag), "{error}");
            walls.check_runtime(&Runtime::Wasm).unwrap();
            // The package decides.
            walls.check_runtime(&provided).unwrap();
            walls.check(Isolation::Process).unwrap_err();
            let of_workers = [Walls::ALLOWED_HOSTS_TAG, Walls::KEYVALUE_TAG].contains(&tag);
            assert_eq!(walls.check_runtime(&Runtime::Worker).is_ok(), of_workers);
        }
        let isolate = walls(Walls::ISOLATION_TAG, "isolate").unwrap();
        isolate.check_runtime(&Runtime::Worker).unwrap();
        isolate.check_runtime(&python).unwrap_err();
        isolate.check_runtime(&Runtime::Wasm).unwrap_err();
        let many = walls(Walls::CONCURRENCY_TAG, "1600").unwrap();
        assert_eq!(many.concurrency, Some(1600));
        many.check_runtime(&python).unwrap();
        many.check_runtime(&provided).unwrap();
        many.check_runtime(&Runtime::Wasm).unwrap_err();
        let web = walls(Walls::WEB_TAG, "3000").unwrap();
        assert_eq!(web.web, Some(WebPort::Number(3000)));
        web.check_runtime(&python).unwrap();
        web.check_runtime(&Runtime::Wasm).unwrap_err();
        web.check_runtime(&Runtime::Worker).unwrap_err();
        let process = walls(Walls::ISOLATION_TAG, "process").unwrap();
        process.check_runtime(&python).unwrap();
        assert!(
            process
                .check_runtime(&Runtime::Wasm)
                .unwrap_err()
                .contains("=process")
        );
    }
}
