//! The network of a sandbox.
#![allow(unsafe_code, reason = "one ioctl brings the loopback up")]

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::channel::{self, Channel};

/// What a function may reach.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Network {
    /// Only its own loopback and Hearth's doors.
    None,
    /// The outside world, never the host.
    #[default]
    Egress,
}

/// How sandboxes reach the outside.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct NetworkOptions {}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) netns: OwnedFd,
    pub(crate) runtime_api: TcpListener,
    pub(crate) door: TcpListener,
}

#[derive(Debug)]
pub(crate) struct Preparer {
    channel: tokio::sync::Mutex<Channel>,
}

impl Preparer {
    pub(crate) fn new(channel: Channel, _options: &NetworkOptions) -> Self {
        Self {
            channel: tokio::sync::Mutex::new(channel),
        }
    }

    pub(crate) async fn take(&self, kind: Network) -> io::Result<Slot> {
        let channel = self.channel.lock().await;
        channel.send(&kind, &[]).await?;
        let Some((_, descriptors)) = channel.receive::<u32>().await? else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let [netns, runtime_api, door] = descriptors
            .try_into()
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Slot {
            netns,
            runtime_api: runtime_api.into(),
            door: door.into(),
        })
    }
}

pub(crate) fn preparer_main(line: OwnedFd, _options: NetworkOptions) {
    while let Ok(Some((_kind, _))) = channel::receive::<Network>(line.as_fd()) {
        let made = || -> io::Result<[OwnedFd; 3]> {
            crate::sys::unshare(libc::CLONE_NEWNET)?;
            let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
            // SAFETY: the structure is plain data and valid for the call.
            unsafe {
                let mut request: libc::ifreq = std::mem::zeroed();
                request.ifr_name[0] = b'l' as libc::c_char;
                request.ifr_name[1] = b'o' as libc::c_char;
                request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
                if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &request) == -1 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok([
                std::fs::File::open("/proc/self/ns/net")?.into(),
                TcpListener::bind("127.0.0.1:9001")?.into(),
                TcpListener::bind("127.0.0.1:9002")?.into(),
            ])
        };
        let Ok(made) = made() else { return };
        if channel::send(line.as_fd(), &0_u32, &made.each_ref().map(AsFd::as_fd)).is_err() {
            return;
        }
    }
}
