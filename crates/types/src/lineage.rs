//! The chain of invocations that led to one: the field `Lineage` of a trace (`X-Amzn-Trace-Id`), which AWS's SDKs pass on
//! from a function to what it invokes.
//!
//! `Lineage=5f1b0c2a:3|90d2aa17:1`: for each function of the chain eight hexadecimal digits, and how often it was run.

use std::fmt::{self, Write as _};

use crate::name::FunctionKey;
use crate::time::Timestamp;

/// How often a chain may run one function (guide, "Recursive loop detection": approximately 16 times).
pub const MOST_RUNS: u32 = 16;
/// Functions of a chain that are remembered, those that were run last. With what else a trace has they make about 470
/// characters.
const FUNCTIONS: usize = 32;

const FIELD: &str = "Lineage=";
/// Characters of an entry, with runs of two digits and what is between it and the next.
const ENTRY: usize = 12;

/// A new trace, of no chain: `Root=1-<time>-<id>;Parent=<id>;Sampled=0`.
pub fn new_trace(sampled: bool, now: Timestamp, random: [u8; 20]) -> String {
    // Four bytes of seconds last until 2106.
    let seconds = (now.as_millis() / 1_000) as u32;
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    bytes[4..].copy_from_slice(&random);
    let mut digits = [0; 48];
    // Twice as long as the bytes: it can't fail.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    let (time, random) = digits.split_at(8);
    let (root, parent) = random.split_at(24);
    let sampled = if sampled { "1" } else { "0" };
    let text = [
        b"Root=1-",
        time,
        b"-",
        root,
        b";Parent=",
        parent,
        b";Sampled=",
        sampled.as_bytes(),
    ]
    .concat();
    String::from_utf8(text).unwrap_or_default()
}

/// How often the chain of `trace` has run `function`.
pub fn runs(trace: &str, function: &FunctionKey) -> u32 {
    let Some(chain) = chain(trace) else {
        return 0;
    };
    let own = digest(function);
    let run = entries(chain).find(|(function, _)| *function == own);
    run.map_or(0, |(_, runs)| runs)
}

/// `trace`, with `function` run once more.
pub fn with(trace: &str, function: &FunctionKey) -> String {
    let own = digest(function);
    let mut chain: Vec<_> = chain(trace).into_iter().flat_map(entries).collect();
    let runs = match chain.iter().position(|(function, _)| *function == own) {
        Some(at) => chain.remove(at).1,
        None => 0,
    };
    chain.push((own, runs.saturating_add(1)));
    let kept = &chain[chain.len().saturating_sub(FUNCTIONS)..];
    // Every invocation comes by here: one allocation for all of the text.
    let mut text = String::with_capacity(trace.len() + FIELD.len() + 1 + kept.len() * ENTRY);
    let others = trace
        .split(';')
        .filter(|field| !field.is_empty() && !field.starts_with(FIELD));
    for field in others {
        text.push_str(field);
        text.push(';');
    }
    text.push_str(FIELD);
    for (at, (function, runs)) in kept.iter().enumerate() {
        let before = if at > 0 { "|" } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{before}{function:08x}:{runs}");
    }
    text
}

fn chain(trace: &str) -> Option<&str> {
    trace.split(';').find_map(|field| field.strip_prefix(FIELD))
}

/// The well-formed entries: what callers send may be anything.
fn entries(chain: &str) -> impl Iterator<Item = (u32, u32)> {
    chain.split('|').filter_map(|entry| {
        let (function, runs) = entry.split_once(':')?;
        let function = u32::from_str_radix(function, 16).ok()?;
        Some((function, runs.parse().ok()?))
    })
}

/// FNV-1a, 32 bits: the same on every node and in every release. Two functions of one chain that share a digest are one
/// in a hundred million.
fn digest(function: &FunctionKey) -> u32 {
    struct Fnv(u32);
    impl fmt::Write for Fnv {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = text.bytes().fold(self.0, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            });
            Ok(())
        }
    }
    let mut hash = Fnv(0x811c_9dc5);
    // Neither does this.
    let _ = write!(hash, "{function}");
    hash.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0";

    fn function(name: &str) -> FunctionKey {
        FunctionKey {
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            name: name.parse().unwrap(),
        }
    }

    #[test]
    fn runs_are_counted_for_each_function() {
        let (f, g) = (function("f"), function("g"));
        let mut trace = TRACE.to_owned();
        for n in 0..20 {
            assert_eq!((runs(&trace, &f), runs(&trace, &g)), (n, n));
            trace = with(&with(&trace, &f), &g);
        }
        assert!(trace.starts_with(TRACE), "{trace}");
        assert_eq!(trace.matches(FIELD).count(), 1);
    }

    #[test]
    fn a_chain_does_not_grow_for_ever() {
        let mut trace = TRACE.to_owned();
        for n in 0..100 {
            trace = with(&trace, &function(&format!("f{n}")));
        }
        assert!(trace.len() <= 512, "{}", trace.len());
        assert_eq!(runs(&trace, &function("f99")), 1);
        assert_eq!(runs(&trace, &function("f0")), 0);
    }

    #[test]
    fn what_is_no_chain_is_none() {
        let f = function("f");
        for odd in ["", "Lineage=", "Lineage=|:|x:1|1:|:1|1:99999999999", ";;"] {
            assert_eq!(runs(odd, &f), 0, "{odd}");
            assert_eq!(runs(&with(odd, &f), &f), 1, "{odd}");
        }
        let many = format!("Lineage={:08x}:{}", digest(&f), u32::MAX);
        assert_eq!(runs(&with(&many, &f), &f), u32::MAX);
    }
}
