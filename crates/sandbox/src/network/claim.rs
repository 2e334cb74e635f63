//! Which instance of Hearth on this host uses which names and addresses.
//!
//! Interfaces, nftables tables and addresses are the host's, and several instances may run on one. Each claims a number
//! by an abstract socket: the name lives in the same network namespace as what it guards, and the kernel frees it when
//! the process is gone, however it went. What bears an unclaimed number was left by a run that was killed.

use std::io;
use std::net::Ipv4Addr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use super::Prefix;
use super::options::SLICE_BITS;

/// All interfaces of all instances begin so; at most 15 characters fit a name (`IFNAMSIZ`).
pub(super) const INTERFACE_PREFIX: &str = "hth";

/// The numbers that instances can have.
pub(super) const NUMBERS: std::ops::Range<u8> = 0..1 << SLICE_BITS;

/// A number of one's own, until dropped.
#[derive(Debug)]
pub(super) struct Claim {
    number: u8,
    _socket: UnixListener,
}

impl Claim {
    /// Claims one number in the calling thread's network namespace; `None` while another process has it.
    ///
    /// # Errors
    /// When the process is out of descriptors.
    pub(super) fn take(number: u8) -> io::Result<Option<Self>> {
        let name = SocketAddr::from_abstract_name(format!("hearth-network-{number}"))?;
        match UnixListener::bind_addr(&name) {
            Ok(socket) => Ok(Some(Self {
                number,
                _socket: socket,
            })),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The number.
    pub(super) fn number(&self) -> u8 {
        self.number
    }
}

/// The turn to change what instances share, until dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _socket: UnixListener,
}

/// The longest that others may take with their turns; one takes about 20 ms.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often to look whether the turn is free; the kernel does not tell.
const LOOK: Duration = Duration::from_millis(1);

impl Turn {
    /// Waits until no other instance in the calling thread's network namespace starts, ends, or changes forwarding:
    /// two that end at once would each leave the host's forwarding to the other.
    ///
    /// # Errors
    /// When the turn does not become free.
    pub(super) async fn wait() -> io::Result<Self> {
        let name = SocketAddr::from_abstract_name("hearth-network-turn")?;
        let waiting = async {
            loop {
                match UnixListener::bind_addr(&name) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                        tokio::time::sleep(LOOK).await;
                    }
                    other => break other,
                }
            }
        };
        let socket = tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| {
                Err(io::Error::other(
                    "another instance of Hearth holds the abstract socket hearth-network-turn",
                ))
            })?;
        Ok(Self { _socket: socket })
    }
}

/// What the interfaces of an instance begin with.
pub(super) fn interface_prefix(number: u8) -> String {
    format!("{INTERFACE_PREFIX}{number:x}-")
}

/// The name of an instance's nftables table, of family `inet`.
pub(super) fn table(number: u8) -> String {
    format!("hearth{number}")
}

/// The part of a range that belongs to an instance.
pub(super) fn slice(range: Prefix, number: u8) -> Prefix {
    let length = (range.length() + SLICE_BITS).min(30);
    let start = range.address().to_bits() + (u32::from(number) << (32 - length));
    Prefix::new(Ipv4Addr::from_bits(start), length)
}

/// Hands out the pairs of neighbouring addresses (RFC 3021) of a slice.
#[derive(Debug)]
pub(super) struct Pairs {
    slice: Prefix,
    next: u32,
    free: std::collections::VecDeque<u32>,
}

impl Pairs {
    /// All of the slice is free.
    pub(super) fn new(slice: Prefix) -> Self {
        Self {
            slice,
            next: 0,
            free: std::collections::VecDeque::new(),
        }
    }

    /// The number of a free pair, which was given back longest ago; `None` if all are taken.
    pub(super) fn take(&mut self) -> Option<u32> {
        let all = 1_u32 << (31 - u32::from(self.slice.length()));
        if self.next < all {
            self.next += 1;
            return Some(self.next - 1);
        }
        self.free.pop_front()
    }

    /// Gives a pair back that [`Pairs::take`] returned.
    pub(super) fn give_back(&mut self, pair: u32) {
        self.free.push_back(pair);
    }

    /// The router's and the other side's address.
    pub(super) fn addresses(&self, pair: u32) -> (Ipv4Addr, Ipv4Addr) {
        let first = self.slice.address().to_bits() + 2 * pair;
        (Ipv4Addr::from_bits(first), Ipv4Addr::from_bits(first + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_divide_the_range_without_overlap() {
        let range: Prefix = "100.127.0.0/16".parse().unwrap();
        let slices: Vec<_> = NUMBERS.map(|number| slice(range, number)).collect();
        assert_eq!(slices[0].to_string(), "100.127.0.0/20");
        assert_eq!(slices[15].to_string(), "100.127.240.0/20");
        for (at, one) in slices.iter().enumerate() {
            assert!(range.covers(*one));
            assert!(slices[at + 1..].iter().all(|other| !one.overlaps(*other)));
        }
    }

    #[test]
    fn pairs_are_distinct_bounded_and_come_back_last() {
        let mut pairs = Pairs::new("10.0.0.16/28".parse().unwrap());
        let taken: Vec<_> = std::iter::from_fn(|| pairs.take()).collect();
        assert_eq!(taken.len(), 8);
        assert_eq!(
            pairs.addresses(7),
            ("10.0.0.30".parse().unwrap(), "10.0.0.31".parse().unwrap())
        );
        pairs.give_back(3);
        pairs.give_back(5);
        assert_eq!(
            (pairs.take(), pairs.take(), pairs.take()),
            (Some(3), Some(5), None)
        );
    }

    #[test]
    fn names_fit_an_interface() {
        assert!(interface_prefix(15).len() + "fffffff".len() <= 15);
    }
}
