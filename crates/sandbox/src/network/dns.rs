//! Answers the resolver on 127.0.0.1:53 inside a namespace, by asking the host's resolvers from the host's own network.
//!
//! The function's query and the server's answer pass as they are. What is checked: that a query is one, that an answer
//! comes from the server that was asked (the socket is connected to it) and carries the id and the question asked. Every
//! query has a deadline, and each namespace a bounded number of them at once (INV-3). What a name resolves to is not
//! looked at: an address that is closed stays closed by whatever name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Resolver;
use super::options::DNS_PORT;

/// Queries in flight for one environment; more are dropped, as by any busy server, and asked again by the client.
const MAX_QUERIES: usize = 64;

/// TCP connections at once for one environment.
const MAX_CONNECTIONS: usize = 16;

/// How long one server may take before the next is asked. Clients try again after 5 s (resolv.conf(5), `timeout`).
const SERVER_PATIENCE: Duration = Duration::from_millis(1500);

/// How long a query may take in all.
const DEADLINE: Duration = Duration::from_secs(5);

/// The largest UDP message in bytes: servers that keep to EDNS send less (RFC 6891, section 6.2.5).
const MAX_DATAGRAM: usize = 4096;

/// The header of a message, RFC 1035, section 4.1.1.
const HEADER: usize = 12;

/// Asks for all environments.
#[derive(Clone, Debug)]
pub(super) struct Relay {
    servers: Arc<[SocketAddr]>,
}

/// The servers to ask: the operator's, or the host's.
pub(super) fn upstreams(chosen: &[Resolver]) -> Vec<SocketAddr> {
    if chosen.is_empty() {
        of_host(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
    } else {
        chosen.iter().map(|resolver| resolver.0).collect()
    }
}

/// The servers that a resolv.conf(5) names: at most three (`MAXNS`), the local one if there is none.
fn of_host(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver"))
                .then(|| words.next())
                .flatten()
        })
        .filter_map(|address| address.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, DNS_PORT))
        .take(3)
        .collect();
    if servers.is_empty() {
        servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, DNS_PORT)));
    }
    servers
}

impl Relay {
    /// Asks `servers`, in this order.
    pub(super) fn new(servers: Vec<SocketAddr>) -> Self {
        Self {
            servers: servers.into(),
        }
    }

    /// Serves a namespace's two sockets until the returned tasks are dropped. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the sockets cannot be watched.
    pub(super) fn serve(
        &self,
        udp: std::net::UdpSocket,
        tcp: std::net::TcpListener,
    ) -> io::Result<JoinSet<()>> {
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let udp = UdpSocket::from_std(udp)?;
        let tcp = TcpListener::from_std(tcp)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().datagrams(udp));
        tasks.spawn(self.clone().connections(tcp));
        Ok(tasks)
    }

    async fn datagrams(self, socket: UdpSocket) {
        let socket = Arc::new(socket);
        let room = Arc::new(Semaphore::new(MAX_QUERIES));
        // Dropped with this task, and all queries with it.
        let mut queries = JoinSet::new();
        let mut buffer = [0; MAX_DATAGRAM];
        loop {
            while queries.try_join_next().is_some() {}
            // Errors are those of earlier answers, which their client did not wait for.
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            let query = buffer.get(..length).unwrap_or_default();
            let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                continue;
            };
            if is_query(query) {
                let asking =
                    self.clone()
                        .answer(query.to_vec(), Arc::clone(&socket), client, permit);
                queries.spawn(asking);
            }
        }
    }

    async fn answer(
        self,
        query: Vec<u8>,
        socket: Arc<UdpSocket>,
        client: SocketAddr,
        _permit: OwnedSemaphorePermit,
    ) {
        let asking = async {
            for server in &*self.servers {
                if let Ok(Ok(answer)) = timeout(SERVER_PATIENCE, ask(*server, &query)).await {
                    return Some(answer);
                }
            }
            None
        };
        if let Ok(Some(answer)) = timeout(DEADLINE, asking).await {
            let _ = socket.send_to(&answer, client).await;
        }
    }

    async fn connections(self, listener: TcpListener) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let relay = self.clone();
                    connections.spawn(async move {
                        // Ends with either side, an error or the deadline: all the same to the client.
                        let _ = relay.conversation(stream).await;
                        drop(permit);
                    });
                }
                // Out of descriptors, mostly: let others end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// One query after the other over TCP, each with its own deadline.
    async fn conversation(&self, mut client: TcpStream) -> io::Result<()> {
        loop {
            let query = timeout(DEADLINE, read_message(&mut client)).await??;
            if !is_query(&query) {
                return Ok(());
            }
            let asking = async {
                for server in &*self.servers {
                    if let Ok(Ok(answer)) = timeout(SERVER_PATIENCE, ask_tcp(*server, &query)).await
                    {
                        return Ok(answer);
                    }
                }
                Err(io::Error::from(io::ErrorKind::TimedOut))
            };
            let answer = timeout(DEADLINE, asking).await??;
            timeout(DEADLINE, write_message(&mut client, &answer)).await??;
        }
    }
}

async fn ask(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    // A new port for every query, chosen by the kernel: an answer cannot be forged without a guess at it.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(buffer.get(..length).unwrap_or_default(), query) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_message(&mut stream, query).await?;
    let answer = read_message(&mut stream).await?;
    if answers(&answer, query) {
        Ok(answer)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Two bytes of length, then the message: RFC 1035, section 4.2.2.
async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// Whether a message is a question: the `QR` bit is clear and one question follows.
fn is_query(message: &[u8]) -> bool {
    message.len() > HEADER && message[2] & 0x80 == 0 && message[4..6] == [0, 1]
}

/// Whether a message answers `query`: the same id, the `QR` bit, the same question. A server that refuses may leave the
/// question out.
fn answers(message: &[u8], query: &[u8]) -> bool {
    if message.len() < HEADER || message[..2] != query[..2] || message[2] & 0x80 == 0 {
        return false;
    }
    if message[4..6] == [0, 0] {
        return true;
    }
    match (question(message), question(query)) {
        (Some(asked), Some(own)) => asked.eq_ignore_ascii_case(own),
        _ => false,
    }
}

/// The bytes of the first question: name, type, class.
fn question(message: &[u8]) -> Option<&[u8]> {
    let mut at = HEADER;
    loop {
        match usize::from(*message.get(at)?) {
            0 => return message.get(HEADER..at + 5),
            // A pointer: there is nothing before the first question to point to.
            length if length > 63 => return None,
            length => at += length + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for the address of `name`.
    fn query(id: u16, name: &str) -> Vec<u8> {
        let mut message = id.to_be_bytes().to_vec();
        message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label.as_bytes());
        }
        message.extend([0, 0, 1, 0, 1]);
        message
    }

    fn answer_to(query: &[u8]) -> Vec<u8> {
        let mut message = query.to_vec();
        message[2] |= 0x80;
        message
    }

    #[test]
    fn only_questions_are_asked_and_only_their_answers_come_back() {
        let own = query(7, "example.com");
        assert!(
            is_query(&own)
                && !is_query(&answer_to(&own))
                && !is_query(&own[..HEADER])
                && !is_query(&[])
        );
        assert!(answers(&answer_to(&own), &own));
        assert!(
            answers(&answer_to(&query(7, "EXAMPLE.com")), &own),
            "case is the server's choice"
        );
        for wrong in [
            query(8, "example.com"),
            query(7, "example.org"),
            query(7, "example.com.au"),
        ] {
            assert!(!answers(&answer_to(&wrong), &own));
        }
        assert!(!answers(&own, &own), "an echo is no answer");
        assert!(!answers(&answer_to(&own)[..HEADER + 3], &own));
    }

    #[test]
    fn questions_that_never_end_are_none() {
        for tail in [&[63_u8][..], &[0xc0, 12], &[1, b'a'], &[0, 0]] {
            let mut message = query(1, "a")[..HEADER].to_vec();
            message.extend(tail);
            assert_eq!(question(&message), None, "{tail:?}");
        }
    }

    #[test]
    fn the_hosts_servers_are_read_and_bounded() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 \n\
                    nameserver fe80::1%eth0\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameservers 192.0.2.4\n";
        let servers: Vec<_> = of_host(text).iter().map(ToString::to_string).collect();
        assert_eq!(
            servers,
            ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.2:53"]
        );
        assert_eq!(of_host("")[0].to_string(), "127.0.0.1:53");
    }

    /// A relay on free ports before one server, and a client's socket.
    async fn relay(servers: Vec<SocketAddr>) -> (SocketAddr, SocketAddr, UdpSocket, JoinSet<()>) {
        let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let places = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
        let tasks = Relay::new(servers).serve(udp, tcp).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        (places.0, places.1, client, tasks)
    }

    #[tokio::test]
    async fn datagrams_pass_and_forged_answers_do_not() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (place, _, client, _tasks) = relay(vec![server.local_addr().unwrap()]).await;
        client.send_to(b"nonsense", place).await.unwrap();
        let own = query(7, "example.com");
        client.send_to(&own, place).await.unwrap();
        let mut buffer = [0; 512];
        let (length, asker) = server.recv_from(&mut buffer).await.unwrap();
        assert_eq!(
            buffer[..length],
            own,
            "what is not a query is not passed on"
        );

        let elsewhere = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut forged = answer_to(&own);
        forged.push(1);
        elsewhere.send_to(&forged, asker).await.unwrap();
        server
            .send_to(&answer_to(&query(8, "example.com")), asker)
            .await
            .unwrap();
        server.send_to(&answer_to(&own), asker).await.unwrap();
        let (length, _) = client.recv_from(&mut buffer).await.unwrap();
        assert_eq!(buffer[..length], answer_to(&own));
    }

    #[tokio::test]
    async fn the_next_server_is_asked_when_one_is_not_there() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let closed = std::net::UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let (place, _, client, _tasks) = relay(vec![closed, server.local_addr().unwrap()]).await;
        client.send_to(&query(1, "a.example"), place).await.unwrap();
        let mut buffer = [0; 512];
        let (length, asker) = server.recv_from(&mut buffer).await.unwrap();
        let answer = answer_to(&buffer[..length]);
        server.send_to(&answer, asker).await.unwrap();
        assert_eq!(client.recv_from(&mut buffer).await.unwrap().0, answer.len());
    }

    #[tokio::test]
    async fn several_queries_pass_over_one_connection() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (_, place, _, _tasks) = relay(vec![server.local_addr().unwrap()]).await;
        let serving = tokio::spawn(async move {
            for _ in 0..2 {
                let (mut stream, _) = server.accept().await.unwrap();
                let asked = read_message(&mut stream).await.unwrap();
                write_message(&mut stream, &answer_to(&asked))
                    .await
                    .unwrap();
            }
        });
        let mut client = TcpStream::connect(place).await.unwrap();
        for id in [1, 2] {
            let own = query(id, "large.example");
            write_message(&mut client, &own).await.unwrap();
            assert_eq!(read_message(&mut client).await.unwrap(), answer_to(&own));
        }
        serving.await.unwrap();
        write_message(&mut client, b"nonsense").await.unwrap();
        read_message(&mut client).await.unwrap_err();
    }

    #[tokio::test]
    async fn everything_ends_with_the_tasks() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (_, place, _, tasks) = relay(vec![server.local_addr().unwrap()]).await;
        let mut open = TcpStream::connect(place).await.unwrap();
        drop(tasks);
        assert!(matches!(
            open.read_u8().await.map_err(|error| error.kind()),
            Err(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
        ));
    }
}
