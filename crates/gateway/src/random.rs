//! Randomness for identifiers and for choosing between the versions of an alias.

use std::cell::RefCell;

/// Bytes that a thread asks the operating system for at once: a request takes some 36, and the system's answer costs
/// about as much for a few hundred as for one (a fraction of a microsecond).
const POOL_BYTES: usize = 512;

/// What a thread has left of the last bytes that it asked for.
struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const {
        RefCell::new(Pool {
            bytes: [0; POOL_BYTES],
            used: POOL_BYTES,
        })
    };
}

/// Random bytes from the operating system, at most [`POOL_BYTES`]. Nothing secret may be made of them: they lie in
/// memory before they are used.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    const { assert!(N <= POOL_BYTES) };
    POOL.with_borrow_mut(|pool| {
        if POOL_BYTES - pool.used < N {
            // Linux's getrandom(2) does not fail once the machine has started; identifiers of zeros would then only
            // make requests hard to tell apart in logs.
            if getrandom::fill(&mut pool.bytes).is_err() {
                tracing::error!("read random bytes from the operating system");
            }
            pool.used = 0;
        }
        let mut bytes = [0; N];
        bytes.copy_from_slice(&pool.bytes[pool.used..pool.used + N]);
        pool.used += N;
        bytes
    })
}

/// A number of at least 0 and below 1.
pub(crate) fn fraction() -> f64 {
    hearth_registry::draw(u64::from_le_bytes(bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_stay_below_one() {
        for _ in 0..1_000 {
            assert!((0.0..1.0).contains(&fraction()));
        }
    }

    #[test]
    fn no_bytes_are_given_twice() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1_000 {
            assert!(seen.insert(bytes::<16>()));
        }
    }
}
