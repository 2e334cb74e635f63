//! From verdicts to the machine language of filters (classic BPF, `Documentation/userspace-api/seccomp_filter.rst`).
//!
//! Looking a call up is a binary search over ranges of numbers. A chain of comparisons, which general filter compilers
//! emit, would be 1,900 instructions long here, and the kernel walks it once for each call that exists when it takes the
//! filter: 1.2 ms of each launch against 0.1 ms.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, sock_filter};

/// What becomes of a call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Allow,
    /// Fails with this error number.
    Errno(i32),
    /// Allowed if one of these holds, EPERM otherwise.
    If(Vec<Rule>),
}

/// Tests of arguments (0 to 5), all of which must hold. Only the lower 32 bits are looked at, which are all that the
/// kernel takes of the arguments tested here: dirt above must not get past a test.
pub(super) type Rule = Vec<(u8, Test)>;

/// A test of one argument.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Test {
    Equal(u32),
    NotEqual(u32),
    /// The bits of the first are those of the second.
    Masked(u32, u32),
}

/// `AUDIT_ARCH_*` of `linux/audit.h`: what a filter is told of the processor whose call it is.
pub(super) fn audit_number(processor: &str) -> Option<u32> {
    match processor {
        "x86_64" => Some(0xc000_003e),
        "aarch64" => Some(0xc000_00b7),
        _ => None,
    }
}

/// Places in `struct seccomp_data`; arguments are 64 bits each, little-endian on both processors.
const NUMBER: u32 = 0;
const PROCESSOR: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const SKIP: u32 = libc::BPF_JMP | libc::BPF_JA;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

fn answer(verdict: u32) -> sock_filter {
    instruction(RETURN, 0, 0, verdict)
}

fn errno(number: i32) -> sock_filter {
    answer(libc::SECCOMP_RET_ERRNO | number.cast_unsigned() & libc::SECCOMP_RET_DATA)
}

/// Compiles verdicts by call number; calls without one fail with EPERM.
pub(super) fn assemble(processor: u32, verdicts: &BTreeMap<u32, Verdict>) -> BpfProgram {
    let other = Verdict::Errno(libc::EPERM);
    let mut ranges: Vec<(u32, &Verdict)> = vec![(0, &other)];
    let mut next = 0;
    let mut add = |start: u32, verdict| match ranges.last_mut() {
        Some((_, last)) if *last == verdict => {}
        Some(last) if last.0 == start => last.1 = verdict,
        _ => ranges.push((start, verdict)),
    };
    for (&call, verdict) in verdicts {
        if call > next {
            add(next, &other);
        }
        add(call, verdict);
        next = call + 1;
    }
    add(next, &other);
    let mut program = vec![
        instruction(LOAD, 0, 0, PROCESSOR),
        instruction(IF_EQUAL, 1, 0, processor),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        instruction(LOAD, 0, 0, NUMBER),
    ];
    program.extend(search(&ranges));
    program
}

/// Finds the range of the loaded number among ranges that are known to hold it.
fn search(ranges: &[(u32, &Verdict)]) -> Vec<sock_filter> {
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    match (lower, upper) {
        ([], [(_, verdict)]) => judge(verdict),
        (_, []) => Vec::new(),
        (lower, [(start, _), ..]) => {
            let lower = search(lower);
            // Conditional jumps reach 255 instructions, this one as far as it takes.
            let mut program = vec![
                instruction(IF_AT_LEAST, 0, 1, *start),
                instruction(SKIP, 0, 0, lower.len() as u32),
            ];
            program.extend(lower);
            program.extend(search(upper));
            program
        }
    }
}

fn judge(verdict: &Verdict) -> Vec<sock_filter> {
    match verdict {
        Verdict::Allow => vec![answer(libc::SECCOMP_RET_ALLOW)],
        Verdict::Errno(number) => vec![errno(*number)],
        Verdict::If(rules) => {
            let mut program: Vec<_> = rules.iter().flat_map(test).collect();
            program.push(errno(libc::EPERM));
            program
        }
    }
}

/// Answers "allow" if the whole rule holds and goes on behind itself if not.
fn test(rule: &Rule) -> Vec<sock_filter> {
    // Built from its end, so that the way out is known: behind the last instruction.
    let mut program = vec![answer(libc::SECCOMP_RET_ALLOW)];
    for (argument, test) in rule.iter().rev() {
        let out = program.len() as u8;
        let (mask, jump) = match *test {
            Test::Equal(value) => (None, instruction(IF_EQUAL, 0, out, value)),
            Test::NotEqual(value) => (None, instruction(IF_EQUAL, out, 0, value)),
            Test::Masked(mask, value) => (Some(mask), instruction(IF_EQUAL, 0, out, value)),
        };
        let load = instruction(LOAD, 0, 0, ARGUMENTS + 8 * u32::from(*argument));
        let mask = mask.map(|mask| instruction(AND, 0, 0, mask));
        program.splice(0..0, [Some(load), mask, Some(jump)].into_iter().flatten());
    }
    program
}

/// What the kernel does with a program.
#[cfg(test)]
pub(super) fn run(
    program: &[sock_filter],
    processor: u32,
    number: u32,
    arguments: [u64; 4],
) -> u32 {
    let mut at = 0;
    let mut loaded = 0;
    loop {
        let step = &program[at];
        at += 1;
        match u32::from(step.code) {
            LOAD if step.k == NUMBER => loaded = number,
            LOAD if step.k == PROCESSOR => loaded = processor,
            LOAD => loaded = arguments[((step.k - ARGUMENTS) / 8) as usize] as u32,
            AND => loaded &= step.k,
            IF_EQUAL => at += usize::from(if loaded == step.k { step.jt } else { step.jf }),
            IF_AT_LEAST => at += usize::from(if loaded >= step.k { step.jt } else { step.jf }),
            SKIP => at += step.k as usize,
            RETURN => return step.k,
            code => panic!("unknown instruction {code}"),
        }
    }
}
