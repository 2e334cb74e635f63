//! The machine and the internet of the tests.
//!
//! This process's own namespace is the "host": 203.0.113.2 and the private 10.9.0.5 on `eth0`, a service on all of its
//! addresses. Behind its default route is the "internet": a namespace with every address that is worth trying, public,
//! private and metadata, and real servers on all of them. It has no way back to functions' own addresses: what it
//! answers has come through address translation.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// The copy of this program that "nobody" may run.
pub(crate) const PROGRAM: &str = "/mnt/test";

/// The host's public address.
pub(crate) const HOST: &str = "203.0.113.2";

/// The host's private address.
pub(crate) const HOST_PRIVATE: &str = "10.9.0.5";

/// A public server: greets at 8080 with the address that it sees, answers DNS at 53, sends elsewhere at 8090.
pub(crate) const PUBLIC: &str = "203.0.113.10";

/// Servers that functions must not reach, one in each closed range that the host can reach.
pub(crate) const CLOSED: &[&str] = &[
    "10.9.9.9",
    "172.16.9.9",
    "192.168.9.9",
    "100.64.9.9",
    "192.0.0.192",
    "198.18.9.9",
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
];

/// A group that the internet's first host is in.
const GROUP: &str = "239.255.255.250";

static HEARD: AtomicUsize = AtomicUsize::new(0);
static INTERNET: OnceLock<OwnedFd> = OnceLock::new();

/// Moves this process, single-threaded until now, into the world that it builds.
pub(crate) fn build() -> io::Result<()> {
    #[allow(
        unsafe_code,
        reason = "rustix asks for it: descriptors must not become unshared unawares"
    )]
    // SAFETY: no UnshareFlags::FILES: descriptors stay shared as they are.
    unsafe {
        rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS)?;
    }
    // In namespaces of our own from here on.
    sh("mount --make-rprivate /
        mount -t tmpfs -o mode=755,dev tmpfs /mnt
        touch /mnt/test && mount --bind /proc/self/fd/9 /mnt/test 9</proc/$PPID/exe
        mkdir -p /dev/net
        mknod /mnt/tun c 10 200 && chmod 666 /mnt/tun
        touch /dev/net/tun && mount --bind /mnt/tun /dev/net/tun
        ip link set lo up
        ip link add eth0 type veth peer name internet0
        ip address add 203.0.113.2/24 dev eth0
        ip address add 10.9.0.5/32 dev eth0
        ip link set eth0 up")?;
    let internet = inside_new(|| {
        sh("ip link set lo up")?;
        rustix_current()
    })?;
    let pass = internet.try_clone()?;
    let mut moving = Command::new("sh");
    moving
        .arg("-c")
        .arg("nsenter --net=/proc/self/fd/0 true && ip link set internet0 netns /proc/self/fd/0")
        .stdin(Stdio::from(pass));
    checked(&mut moving)?;
    sh("ip route add default via 203.0.113.1")?;
    let mut setup = "ip link set internet0 up
        ip address add 203.0.113.1/24 dev internet0
        ip address add 203.0.113.10/24 dev internet0
        ip route add 224.0.0.0/4 dev internet0\n"
        .to_owned();
    for address in CLOSED {
        setup.push_str(&format!("ip address add {address}/32 dev lo\n"));
    }
    inside(&internet, move || {
        sh(&setup)?;
        greet_tcp(TcpListener::bind("0.0.0.0:8080")?, |peer| peer);
        greet_tcp(TcpListener::bind("0.0.0.0:8090")?, |_| {
            "169.254.169.254:8080".to_owned()
        });
        // One socket an address: an answer must come from where the question went.
        for address in CLOSED.iter().chain([&PUBLIC]) {
            greet_udp(UdpSocket::bind((*address, 8080))?);
        }
        let group = UdpSocket::bind("0.0.0.0:8084")?;
        group.join_multicast_v4(
            &GROUP.parse().map_err(io::Error::other)?,
            &Ipv4Addr::new(203, 0, 113, 10),
        )?;
        count_heard(group);
        dns()
    })?;
    greet_tcp(TcpListener::bind("0.0.0.0:8081")?, |_| "host".to_owned());
    for address in [HOST, HOST_PRIVATE, "127.0.0.1"] {
        host_service(address)?;
    }
    count_heard(UdpSocket::bind("0.0.0.0:8084")?);
    INTERNET
        .set(internet)
        .map_err(|_| io::Error::other("built twice"))
}

/// What was made for environments and is still there.
pub(crate) fn left() -> Vec<String> {
    let mut left = Vec::new();
    let run = |words: &[&str]| {
        let output = Command::new(words[0]).args(&words[1..]).output();
        output.map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    };
    left.extend(
        run(&["ip", "-br", "link"])
            .lines()
            .filter(|line| line.starts_with("hth"))
            .map(str::to_owned),
    );
    left.extend(run(&["nft", "list", "tables"]).lines().map(str::to_owned));
    left.extend(pastas().iter().map(|pid| format!("pasta {pid}")));
    for interface in ["all", "eth0"] {
        let path = format!("/proc/sys/net/ipv4/conf/{interface}/forwarding");
        if fs::read_to_string(&path).is_ok_and(|text| text.trim() != "0") {
            left.push(path);
        }
    }
    left
}

/// That nothing is left of environments, their router and their rules.
pub(crate) fn nothing_left() -> Result<(), String> {
    match left() {
        left if left.is_empty() => Ok(()),
        left => Err(format!("left behind: {left:?}")),
    }
}

/// The running `pasta` processes of this world.
pub(crate) fn pastas() -> Vec<String> {
    let own = fs::read_link("/proc/self/ns/net").ok();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            let state = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            (name.starts_with("pasta") || name.starts_with("passt"))
                && !state.contains(") Z ")
                && fs::read_link(entry.path().join("ns/net")).ok() == own
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

/// The names of functions' interfaces on the host.
pub(crate) fn cables() -> Vec<String> {
    left()
        .into_iter()
        .filter(|line| line.starts_with("hth"))
        .collect()
}

pub(crate) fn sh(script: &str) -> io::Result<()> {
    checked(Command::new("sh").args(["-ec", script]))
}

fn checked(command: &mut Command) -> io::Result<()> {
    let output = command.stderr(Stdio::piped()).output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ))
    }
}

/// Runs `action` on a thread inside a namespace; processes that it starts are born there.
pub(crate) fn inside<T: Send + 'static>(
    netns: &impl AsFd,
    action: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let netns = netns.as_fd().try_clone_to_owned()?;
    let thread = std::thread::spawn(move || {
        rustix::thread::move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        action()
    });
    thread.join().map_err(|_| io::Error::other("panicked"))?
}

fn inside_new<T: Send + 'static>(
    action: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let thread = std::thread::spawn(move || {
        #[allow(unsafe_code, reason = "as in `build`")]
        // SAFETY: no UnshareFlags::FILES.
        unsafe {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)?;
        }
        action()
    });
    thread.join().map_err(|_| io::Error::other("panicked"))?
}

fn rustix_current() -> io::Result<OwnedFd> {
    Ok(fs::File::open("/proc/thread-self/ns/net")?.into())
}

fn greet_tcp(listener: TcpListener, say: impl Fn(String) -> String + Send + 'static) {
    std::thread::spawn(move || {
        while let Ok((mut stream, peer)) = listener.accept() {
            let _ = stream.write_all(say(peer.ip().to_string()).as_bytes());
        }
    });
}

fn greet_udp(socket: UdpSocket) {
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(peer.ip().to_string().as_bytes(), peer);
        }
    });
}

/// Lets the host answer at an address of its own that it has by now.
pub(crate) fn host_service(address: &str) -> io::Result<()> {
    greet_udp(UdpSocket::bind((address, 8081))?);
    Ok(())
}

/// How many packets came to port 8084 of the host and of the internet's first host, by whatever address.
pub(crate) fn heard() -> usize {
    HEARD.load(Ordering::SeqCst)
}

fn count_heard(socket: UdpSocket) {
    std::thread::spawn(move || {
        while socket.recv_from(&mut [0; 512]).is_ok() {
            HEARD.fetch_add(1, Ordering::SeqCst);
        }
    });
}

/// A server for names: `10-9-9-9.example` is 10.9.9.9.
fn dns() -> io::Result<()> {
    let udp = UdpSocket::bind((PUBLIC, 53))?;
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
            let _ = udp.send_to(&named(&buffer[..length]), peer);
        }
    });
    let tcp = TcpListener::bind((PUBLIC, 53))?;
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = tcp.accept() {
            let mut length = [0; 2];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            if stream.read_exact(&mut query).is_ok() {
                let answer = named(&query);
                let length = u16::try_from(answer.len()).unwrap_or_default();
                let _ = stream.write_all(&[&length.to_be_bytes()[..], &answer].concat());
            }
        }
    });
    Ok(())
}

fn named(query: &[u8]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    let label = usize::from(query[12]);
    let name = String::from_utf8_lossy(&query[13..13 + label]).replace('-', ".");
    let Ok(address) = name.parse::<Ipv4Addr>() else {
        answer[3] |= 3;
        return answer;
    };
    answer[7] = 1;
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
    answer.extend(address.octets());
    answer
}
