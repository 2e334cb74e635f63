//! A range of IPv4 addresses as people write it: `10.0.0.0/8`.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range of IPv4 addresses in CIDR notation. A bare address is a range of one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: Ipv4Addr,
    length: u8,
}

impl Prefix {
    /// The range of the first `length` bits of `address`: 0 to 32, more counts as 32. Bits below the mask are cleared.
    #[must_use]
    pub const fn new(address: Ipv4Addr, length: u8) -> Self {
        let length = if length > 32 { 32 } else { length };
        Self {
            address: Ipv4Addr::from_bits(address.to_bits() & mask(length)),
            length,
        }
    }

    /// The range of one address.
    #[must_use]
    pub const fn host(address: Ipv4Addr) -> Self {
        Self::new(address, 32)
    }

    /// The first address of the range.
    #[must_use]
    pub const fn address(self) -> Ipv4Addr {
        self.address
    }

    /// How many leading bits all addresses of the range share: 0 to 32.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether every address of `other` is in this range.
    #[must_use]
    pub const fn covers(self, other: Self) -> bool {
        self.length <= other.length
            && other.address.to_bits() & mask(self.length) == self.address.to_bits()
    }

    /// Whether the ranges share an address.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

const fn mask(length: u8) -> u32 {
    // A shift by 32 is not one that the processor knows.
    if length == 0 {
        0
    } else {
        u32::MAX << (32 - length)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

/// Why a text is not a [`Prefix`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{text:?} is not a range of IPv4 addresses: {why}")]
pub struct PrefixError {
    text: String,
    why: String,
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let error = |why: String| PrefixError {
            text: text.to_owned(),
            why,
        };
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let address: Ipv4Addr = address
            .parse()
            .map_err(|_| error("write it as 10.20.0.0/16".to_owned()))?;
        let length = length
            .parse::<u8>()
            .ok()
            .filter(|length| *length <= 32)
            .ok_or_else(|| error("the part behind the slash must be 0 to 32".to_owned()))?;
        let prefix = Self::new(address, length);
        if prefix.address != address {
            return Err(error(format!(
                "{address} is inside the range and not its start; did you mean {prefix}?"
            )));
        }
        Ok(prefix)
    }
}

impl TryFrom<String> for Prefix {
    type Error = PrefixError;

    fn try_from(text: String) -> Result<Self, PrefixError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_are_read_as_people_write_them() {
        assert_eq!(prefix("10.0.0.0/8").to_string(), "10.0.0.0/8");
        assert_eq!(prefix("192.0.2.7").to_string(), "192.0.2.7/32");
        assert_eq!(prefix("0.0.0.0/0").length(), 0);
        for wrong in [
            "",
            "10/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "::1/128",
            "localhost",
            "10.0.0.0/-1",
        ] {
            wrong.parse::<Prefix>().unwrap_err();
        }
        let error = "10.1.2.3/8".parse::<Prefix>().unwrap_err().to_string();
        assert!(error.contains("did you mean 10.0.0.0/8?"), "{error}");
    }

    #[test]
    fn covering_and_overlapping_follow_the_bits() {
        let (all, ten, part, one) = (
            prefix("0.0.0.0/0"),
            prefix("10.0.0.0/8"),
            prefix("10.128.0.0/9"),
            prefix("10.127.255.255"),
        );
        assert!(all.covers(ten) && ten.covers(part) && ten.covers(one) && ten.covers(ten));
        assert!(!part.covers(one) && !part.covers(ten) && !part.overlaps(one));
        assert!(part.overlaps(ten) && one.overlaps(all));
    }

    #[test]
    fn configuration_spells_a_range_as_a_string() {
        let read: Prefix = serde_json::from_str("\"172.16.0.0/12\"").unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"172.16.0.0/12\"");
        serde_json::from_str::<Prefix>("\"172.16.0.1/12\"").unwrap_err();
    }
}
