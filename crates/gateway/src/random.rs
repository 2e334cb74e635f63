//! Randomness for identifiers and for choosing between the versions of an alias.

/// Random bytes from the operating system.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Linux's getrandom(2) does not fail once the machine has started; identifiers of zeros would then only make
    // requests hard to tell apart in logs: nothing secret is made of them.
    if getrandom::fill(&mut bytes).is_err() {
        tracing::error!("read random bytes from the operating system");
    }
    bytes
}

/// A number of at least 0 and below 1.
pub(crate) fn fraction() -> f64 {
    // 53 bits: what an f64 holds exactly.
    const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
    (u64::from_le_bytes(bytes()) >> 11) as f64 * SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_stay_below_one() {
        for _ in 0..1_000 {
            assert!((0.0..1.0).contains(&fraction()));
        }
        assert_ne!(bytes::<16>(), bytes::<16>());
    }
}
