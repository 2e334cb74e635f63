//! The private line between Hearth and its helper processes.
//!
//! One AF_UNIX `SOCK_SEQPACKET` socket carries one JSON message a packet, with open descriptors beside it
//! (`SCM_RIGHTS`). Packets keep their borders, so there is no framing to get wrong, and the end of file says that the
//! other side is gone. Helpers are single-threaded and use the blocking functions; the main process uses [`Channel`].

#![allow(
    unsafe_code,
    reason = "watching a descriptor promises that it stays open"
)]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The largest message in bytes. A packet must fit in the socket's send buffer, 212,992 bytes by default
/// (`net.core.wmem_default`), which also pays for the kernel's own bookkeeping.
pub(crate) const MAX_MESSAGE: usize = 128 * 1024;

/// The most descriptors in one message; the kernel's own bound is 253 (`SCM_MAX_FD`).
pub(crate) const MAX_DESCRIPTORS: usize = 16;

/// Makes the two ends of a new line, both close-on-exec and blocking.
///
/// # Errors
/// When the process or the host is out of descriptors.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message and copies of `descriptors`. Blocks while the other side's queue is full, unless the socket is
/// non-blocking.
///
/// # Errors
/// `InvalidInput` when the message is larger than [`MAX_MESSAGE`] or has more than [`MAX_DESCRIPTORS`]; `BrokenPipe`
/// when the other side is gone; `WouldBlock` on a non-blocking socket.
pub(crate) fn send<T: Serialize>(
    socket: BorrowedFd<'_>,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_bytes(socket, &encode(message, descriptors.len())?, descriptors)
}

/// Receives one message and its descriptors (close-on-exec); `None` once the other side is gone. Where this process may not
/// have as many, there are none: the message can still be answered.
///
/// # Errors
/// `InvalidData` when the packet is not a message of type `T` or was cut; `WouldBlock` on a non-blocking socket.
pub(crate) fn receive<T: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0_u8; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let packet = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(packet) => break packet,
            Err(rustix::io::Errno::INTR) => {}
            // A peer that died with unread packets in its queue resets the line: it is gone all the same.
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    };
    let mut descriptors = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    if packet.bytes == 0 {
        return Ok(None);
    }
    if packet.flags.contains(rustix::net::ReturnFlags::CTRUNC) {
        descriptors.clear();
    }
    if packet.flags.contains(rustix::net::ReturnFlags::TRUNC) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message was cut short",
        ));
    }
    let message = serde_json::from_slice(bytes.get(..packet.bytes).unwrap_or_default())?;
    Ok(Some((message, descriptors)))
}

fn encode<T: Serialize>(message: &T, descriptors: usize) -> io::Result<Vec<u8>> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MAX_MESSAGE || descriptors > MAX_DESCRIPTORS {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "a message of {} bytes and {descriptors} descriptors is too large",
                bytes.len()
            ),
        ));
    }
    Ok(bytes)
}

fn send_bytes(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "too many descriptors in one message",
        ));
    }
    loop {
        match rustix::net::sendmsg(
            socket,
            &[IoSlice::new(bytes)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        ) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            // As in `receive`: the peer died with unread packets in its queue.
            Err(rustix::io::Errno::CONNRESET) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// One end of the line for the main process's event loop.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: AsyncFd<OwnedFd>,
}

impl Channel {
    /// Takes one end of [`pair`] and makes it non-blocking. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the descriptor cannot be watched.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        // SAFETY: an `OwnedFd` is a valid descriptor that stays open and the same for as long as it is owned, and
        // `AsyncFd` owns it from here on.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { socket })
    }

    /// Sends one message; see [`send`]. Cancel safe: a packet is sent whole or not at all.
    ///
    /// # Errors
    /// As [`send`], without `WouldBlock`.
    pub(crate) async fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = encode(message, descriptors.len())?;
        self.socket
            .async_io(Interest::WRITABLE, |socket| {
                send_bytes(socket.as_fd(), &bytes, descriptors)
            })
            .await
    }

    /// Receives one message; see [`receive`]. Cancel safe: a packet is taken whole or not at all.
    ///
    /// # Errors
    /// As [`receive`], without `WouldBlock`.
    pub(crate) async fn receive<T: DeserializeOwned>(
        &self,
    ) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        self.socket
            .async_io(Interest::READABLE, |socket| receive(socket.as_fd()))
            .await
    }

    /// Lets the other side see the end, while its last messages can still be received here.
    pub(crate) fn hang_up(&self) {
        // Fails only if the other side is gone already.
        let _ = rustix::net::shutdown(self.socket.get_ref(), rustix::net::Shutdown::Write);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (near, far) = pair().unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        send(near.as_fd(), &("pipe", 7), &[writer.as_fd()]).unwrap();
        drop(writer);
        let ((name, number), mut descriptors) =
            receive::<(String, u32)>(far.as_fd()).unwrap().unwrap();
        assert_eq!((name.as_str(), number, descriptors.len()), ("pipe", 7, 1));
        std::fs::File::from(descriptors.remove(0))
            .write_all(b"through")
            .unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn a_closed_line_is_an_end_and_not_an_error() {
        let (near, far) = pair().unwrap();
        drop(near);
        assert!(receive::<u32>(far.as_fd()).unwrap().is_none());
        let error = send(far.as_fd(), &1, &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn messages_beyond_the_bounds_are_refused_by_the_sender() {
        let (near, _far) = pair().unwrap();
        let error = send(near.as_fd(), &"x".repeat(MAX_MESSAGE), &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let many = vec![near.as_fd(); MAX_DESCRIPTORS + 1];
        assert_eq!(
            send(near.as_fd(), &1, &many).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }

    /// Of the process that may not have another descriptor.
    const FULL: &str = "HEARTH_TEST_CHANNEL_FULL";

    #[test]
    fn child() {
        if std::env::var_os(FULL).is_none() {
            return;
        }
        let (near, far) = pair().unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        send(near.as_fd(), &7, &[reader.as_fd(), reader.as_fd()]).unwrap();
        send(near.as_fd(), &8, &[]).unwrap();
        // There is room for one of two.
        let lowest = rustix::io::dup(&far).unwrap();
        let most = u64::from(std::os::fd::AsRawFd::as_raw_fd(&lowest).unsigned_abs());
        drop(lowest);
        let limit = rustix::process::Rlimit {
            current: Some(most + 1),
            maximum: Some(most + 1),
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        for expected in [7, 8] {
            let (number, descriptors) = receive::<u32>(far.as_fd()).unwrap().unwrap();
            assert_eq!((number, descriptors.len()), (expected, 0));
        }
        println!("received");
    }

    /// In a process of its own: the bound is the whole process's.
    #[test]
    fn a_process_that_is_out_of_descriptors_still_gets_its_messages() {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "channel::tests::child", "--nocapture"])
            .env(FULL, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && said.contains("received"),
            "{child:?}"
        );
    }

    #[tokio::test]
    async fn the_asynchronous_end_speaks_to_the_blocking_one() {
        let (near, far) = pair().unwrap();
        let channel = Channel::new(near).unwrap();
        channel
            .send(&"x".repeat(MAX_MESSAGE - 2), &[])
            .await
            .unwrap();
        let (text, _) = receive::<String>(far.as_fd()).unwrap().unwrap();
        assert_eq!(text.len(), MAX_MESSAGE - 2);
        send(far.as_fd(), &42, &[]).unwrap();
        assert_eq!(channel.receive::<u32>().await.unwrap().unwrap().0, 42);
        drop(far);
        assert!(channel.receive::<u32>().await.unwrap().is_none());
    }
}
