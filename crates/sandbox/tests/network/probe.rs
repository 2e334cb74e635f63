//! What a hostile function tries: each argument is one attempt, all are made at once, each answers with one line.
//!
//! An attempt is `how@place`, with the text that the server sent after `ok`, or after `no` why nothing came.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

/// How long silence means "dropped"; answers here take less than a millisecond.
const SILENCE: Duration = Duration::from_millis(1200);

/// What [`main`] is told to wait for before it ends, when it listens itself.
pub(crate) const SERVE: &str = "serve";

pub(crate) fn main(attempts: &[String]) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if attempts.first().map(String::as_str) == Some(SERVE) {
            return serve().await;
        }
        let running: Vec<_> = attempts
            .iter()
            .cloned()
            .map(|attempt| tokio::spawn(tried(attempt)))
            .collect();
        for one in running {
            println!("{}", one.await?);
        }
        Ok(())
    })
}

async fn tried(attempt: String) -> String {
    let outcome = tokio::time::timeout(SILENCE, attempted(&attempt))
        .await
        .unwrap_or_else(|_| Err(io::Error::other("silence")));
    match outcome {
        Ok(said) => format!("ok {said}"),
        Err(error) => format!("no {error}"),
    }
}

async fn attempted(attempt: &str) -> io::Result<String> {
    let (how, place) = attempt.split_once('@').ok_or(io::ErrorKind::InvalidInput)?;
    match how {
        "tcp" => tcp(resolved(place)?, None).await,
        "tcp-bound" => tcp(resolved(place)?, Some("eth0")).await,
        "udp" => udp(resolved(place)?, None).await,
        "udp-bound" => udp(resolved(place)?, Some("eth0")).await,
        // A name, as the resolver of the namespace answers for it.
        "name" => Ok(lookup(place, false).await?.to_string()),
        "name-tcp" => Ok(lookup(place, true).await?.to_string()),
        "by-name" => {
            let (name, port) = place.split_once(':').ok_or(io::ErrorKind::InvalidInput)?;
            let address = lookup(name, false).await?;
            let port = port.parse().map_err(io::Error::other)?;
            tcp(SocketAddr::new(address.into(), port), None).await
        }
        // What the server says is where to go next.
        "redirected" => {
            let next = tcp(resolved(place)?, None).await?;
            tcp(resolved(&next)?, None).await
        }
        "change" => change(place),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// As `getaddrinfo` reads it, which knows `2852039166` and `0x7f.1` for addresses.
fn resolved(place: &str) -> io::Result<SocketAddr> {
    place
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::other("no address"))
}

async fn tcp(place: SocketAddr, device: Option<&str>) -> io::Result<String> {
    let socket = if place.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.bind_device(device.map(str::as_bytes))?;
    let mut stream = socket.connect(place).await?;
    let mut said = String::new();
    stream.read_to_string(&mut said).await?;
    Ok(said)
}

async fn udp(place: SocketAddr, device: Option<&str>) -> io::Result<String> {
    let any: IpAddr = if place.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        std::net::Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.set_broadcast(true)?;
    socket.bind_device(device.map(str::as_bytes))?;
    socket.send_to(b"hello", place).await?;
    let mut buffer = [0; 512];
    let (length, _) = socket.recv_from(&mut buffer).await?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// Asks 127.0.0.1:53 for an address.
async fn lookup(name: &str, stream: bool) -> io::Result<Ipv4Addr> {
    let query = query(name);
    let mut answer = vec![0; 512];
    if stream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 53)).await?;
        stream
            .write_u16(u16::try_from(query.len()).map_err(io::Error::other)?)
            .await?;
        stream.write_all(&query).await?;
        answer.truncate(usize::from(stream.read_u16().await?));
        stream.read_exact(&mut answer).await?;
    } else {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect((Ipv4Addr::LOCALHOST, 53)).await?;
        socket.send(&query).await?;
        let length = socket.recv(&mut answer).await?;
        answer.truncate(length);
    }
    // The tests' server puts the address last.
    match answer.last_chunk::<4>() {
        Some(address) if answer.len() > query.len() => Ok(Ipv4Addr::from(*address)),
        _ => Err(io::Error::other("no such name")),
    }
}

fn query(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or(0));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// Tries to change the namespace with iproute2's `ip`.
fn change(words: &str) -> io::Result<String> {
    let output = std::process::Command::new("/usr/sbin/ip")
        .args(words.split(' '))
        .output()?;
    if output.status.success() {
        Ok("changed".to_owned())
    } else {
        Err(io::Error::other(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

/// Listens as a careless function would, says so, and ends with its standard input.
async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("0.0.0.0:8082").await?;
    println!("listening");
    tokio::task::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"environment").await;
        }
    });
    tokio::task::spawn_blocking(|| io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}
