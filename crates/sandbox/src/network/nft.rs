//! The router's rules, in nftables. One table of Hearth's own, loaded whole; other tables are left alone.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Prefix;
use super::claim::{INTERFACE_PREFIX, NUMBERS, interface_prefix, table};
use super::reach::Verdict;

/// The set of interfaces whose forwarding Hearth switched on. It is kept in the table so that whoever cleans up after a
/// killed run knows what to switch off again.
const OPENED: &str = "opened";

/// The program of the package `nftables`.
#[derive(Clone, Debug)]
pub(super) struct Nft(PathBuf);

impl Nft {
    /// `None` if it is not installed.
    pub(super) fn find() -> Option<Self> {
        super::program("nft").map(Self)
    }

    /// Runs a script in the calling thread's network namespace: all of it or nothing takes effect.
    ///
    /// # Errors
    /// With what `nft` said; `PermissionDenied` if that is why.
    pub(super) fn run(&self, script: &str) -> io::Result<String> {
        run(&self.0, script)
    }

    /// The numbers of the instances that have a table here.
    pub(super) fn numbers(&self) -> io::Result<Vec<u8>> {
        let listed = self.run("list tables inet\n")?;
        let tables: BTreeSet<_> = listed.split_whitespace().collect();
        Ok(NUMBERS
            .filter(|number| tables.contains(table(*number).as_str()))
            .collect())
    }

    /// The interfaces that an instance's table says it switched on; `None` if there is no such table.
    pub(super) fn opened(&self, number: u8) -> Option<BTreeSet<String>> {
        let listed = self
            .run(&format!("list set inet {} {OPENED}\n", table(number)))
            .ok()?;
        Some(quoted(&listed))
    }

    /// Remembers an interface before it is switched on.
    pub(super) fn remember(&self, number: u8, interface: &str) -> io::Result<()> {
        self.run(&format!(
            "add element inet {} {OPENED} {{ \"{interface}\" }}\n",
            table(number)
        ))
        .map(drop)
    }

    /// Forgets all interfaces: somebody else wants them to forward now.
    pub(super) fn forget(&self, number: u8) -> io::Result<()> {
        self.run(&format!("flush set inet {} {OPENED}\n", table(number)))
            .map(drop)
    }

    /// Removes an instance's table; no error if there is none.
    pub(super) fn remove(&self, number: u8) -> io::Result<()> {
        let table = table(number);
        self.run(&format!(
            "add table inet {table}\ndelete table inet {table}\n"
        ))
        .map(drop)
    }
}

fn run(program: &Path, script: &str) -> io::Result<String> {
    let mut child = Command::new(program)
        .args(["-f", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // The scripts are smaller than a pipe, so this does not wait; a broken pipe shows in the exit status.
        let _ = input.write_all(script.as_bytes());
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("no reason given").trim();
    let kind = if said.contains("Operation not permitted") {
        io::ErrorKind::PermissionDenied
    } else {
        io::ErrorKind::Other
    };
    Err(io::Error::new(kind, format!("nft: {said}")))
}

/// The texts between quotes of a set's listing.
fn quoted(listing: &str) -> BTreeSet<String> {
    listing
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Whether a name can stand in a script: the kernel allows more in names of interfaces than people use.
pub(super) fn is_plain(interface: &str) -> bool {
    !interface.is_empty()
        && interface
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte))
}

/// The whole table of an instance. `slice` holds the functions' addresses; `routes` are those of [`super::reach::routes`].
pub(super) fn ruleset(number: u8, slice: Prefix, routes: &[(Prefix, Verdict)]) -> String {
    let table = table(number);
    let own = format!("{}*", interface_prefix(number));
    let any = format!("{INTERFACE_PREFIX}*");
    // The longest range decides, as in a table of routes.
    let mut routes = routes.to_vec();
    routes.sort_by_key(|(range, _)| std::cmp::Reverse(range.length()));
    let mut reach = String::new();
    for (range, verdict) in routes {
        let word = match verdict {
            Verdict::Pass => "accept",
            Verdict::Refuse => "drop",
        };
        let _ = writeln!(reach, "    ip daddr {range} {word}");
    }
    // Before the usual filters (priority 0), so that what they accept is decided here already; an `accept` here still
    // leaves them their say. IPv6 and forged senders end in `from_functions`.
    format!(
        r#"add table inet {table}
delete table inet {table}
table inet {table} {{
  set {OPENED} {{
    type ifname
  }}
  chain from_functions {{
    meta nfproto != ipv4 drop
    ip saddr != {slice} drop
    oifname "{any}" drop
{reach}    drop
  }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname "{own}" drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname "{own}" goto from_functions
    oifname "{own}" ct state established,related accept
    oifname "{own}" drop
    iifname @{OPENED} oifname != "{any}" drop
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {slice} oifname != "{any}" masquerade
  }}
}}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::reach;

    #[test]
    fn the_longest_range_comes_first() {
        let slice: Prefix = "100.127.0.0/20".parse().unwrap();
        let allowed: Prefix = "10.20.0.0/16".parse().unwrap();
        let text = ruleset(0, slice, &reach::routes(&[allowed], slice, &[]));
        let at = |rule: &str| {
            text.find(rule)
                .unwrap_or_else(|| panic!("no {rule} in {text}"))
        };
        assert!(at("ip daddr 10.20.0.0/16 accept") < at("ip daddr 10.0.0.0/8 drop"));
        assert!(at("ip daddr 10.0.0.0/8 drop") < at("ip daddr 0.0.0.0/0 accept"));
    }

    #[test]
    fn a_listing_gives_its_names_back() {
        let listing = "table inet hearth0 {\n set opened {\n type ifname\n elements = { \"eth0\",\n \"br-1.2\" }\n}}\n";
        assert_eq!(
            quoted(listing).into_iter().collect::<Vec<_>>(),
            ["br-1.2", "eth0"]
        );
        assert!(quoted("table inet hearth0 {\n}\n").is_empty());
    }

    #[test]
    fn strange_names_never_reach_a_script() {
        assert!(is_plain("eth0.5") && is_plain("enp3s0f1") && is_plain("br-abc_d"));
        for strange in ["", "a\"b", "x;y", "a b", "ü", "{", "$x"] {
            assert!(!is_plain(strange), "{strange}");
        }
    }
}
