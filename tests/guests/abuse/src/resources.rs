//! Taking: processor time, stack, memory, handles of the host, randomness, log.

use std::hint::black_box;
use std::mem::forget;

use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::http::types::{Fields, OutgoingRequest};
use wasip2::random::random;

pub(crate) fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// A loop that is hardly ever in its own code.
pub(crate) fn ask_the_host_for_ever() -> ! {
    loop {
        black_box(monotonic_clock::now());
    }
}

/// Calls itself for ever.
#[expect(unconditional_recursion, reason = "that is what it is for")]
pub(crate) fn dig(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    dig(depth + 1) + frame[0]
}

/// Takes memory until it is refused, and does not survive that.
pub(crate) fn gobble() {
    loop {
        forget(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Takes memory, and says whether it got it.
pub(crate) fn grow(mib: u64) -> Vec<String> {
    let mut held: Vec<Vec<u8>> = Vec::new();
    for _ in 0..mib {
        let mut block = Vec::new();
        if block.try_reserve_exact(1 << 20).is_err() {
            break;
        }
        block.resize(1 << 20, 1);
        held.push(block);
    }
    vec![
        format!("asked={mib}"),
        format!("got={}", black_box(&held).len()),
    ]
}

/// Takes handles of the host until they are refused, or so many that they should have been.
pub(crate) fn handles(kind: &str) -> Vec<String> {
    const TOO_MANY: u32 = 3_000_000;
    for _ in 0..TOO_MANY {
        match kind {
            "pollables" => forget(monotonic_clock::subscribe_duration(u64::MAX)),
            "requests" => forget(OutgoingRequest::new(Fields::new())),
            _ => forget(Fields::new()),
        }
    }
    vec![format!("never refused: {TOO_MANY}")]
}

pub(crate) fn random(bytes: u64) -> Vec<String> {
    let got = random::get_random_bytes(bytes);
    let differs = got.iter().any(|byte| *byte != got[0]);
    vec![
        format!("bytes={}", got.len()),
        format!("differs={differs}"),
        format!("number={}", random::get_random_u64()),
    ]
}

pub(crate) fn clock() -> Vec<String> {
    let (first, second) = (monotonic_clock::now(), monotonic_clock::now());
    vec![
        format!("forward={}", second >= first),
        format!("monotonic={first}"),
        format!("resolution={}", monotonic_clock::resolution()),
        format!("wall={}", wall_clock::now().seconds),
    ]
}

pub(crate) fn sleep(ms: u64) -> Vec<String> {
    monotonic_clock::subscribe_duration(ms * 1_000_000).block();
    vec!["slept".to_owned()]
}

/// Lines to both outputs, and one that has no end.
pub(crate) fn log(lines: u64, bytes: u64) -> Vec<String> {
    for number in 0..lines {
        println!("stdout {number}");
        eprintln!("stderr {number}");
    }
    if bytes > 0 {
        print!("{}", "x".repeat(bytes as usize));
    }
    vec!["logged".to_owned()]
}
