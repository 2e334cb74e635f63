//! The network: sockets, which nobody has, and requests, which only some hosts may get.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, Method, OutgoingRequest, Scheme};

/// What each way to the network came to.
pub(crate) fn sockets(address: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut note = |name: &str, result: std::io::Result<String>| {
        lines.push(match result {
            Ok(text) => format!("{name}=ok {text}"),
            Err(error) => format!("{name}=refused {error}"),
        });
    };
    note(
        "tcp connect",
        TcpStream::connect(address).and_then(|mut stream| {
            let mut first = [0; 1];
            stream.read_exact(&mut first).map(|()| format!("{first:?}"))
        }),
    );
    note(
        "tcp listen",
        TcpListener::bind("127.0.0.1:0").map(|_| String::new()),
    );
    note(
        "udp bind",
        UdpSocket::bind("127.0.0.1:0").map(|_| String::new()),
    );
    note(
        "udp send",
        UdpSocket::bind("0.0.0.0:0")
            .and_then(|socket| socket.send_to(b"x", address))
            .map(|sent| sent.to_string()),
    );
    note(
        "resolve",
        "localhost:80"
            .to_socket_addrs()
            .map(|found| format!("{:?}", found.collect::<Vec<_>>())),
    );
    lines
}

/// Asks a host, and says what came back: a status and the beginning of the body, or the error's name.
pub(crate) fn fetch(url: &[u8]) -> Vec<String> {
    match ask(&String::from_utf8_lossy(url)) {
        Ok(lines) => lines,
        Err(error) => vec![format!("error={error}")],
    }
}

fn ask(url: &str) -> Result<Vec<String>, String> {
    let (scheme, rest) = url.split_once("://").ok_or("no scheme")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_owned()),
    };
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(&Method::Get).map_err(|()| "method")?;
    request.set_scheme(Some(&scheme)).map_err(|()| "scheme")?;
    request
        .set_authority(Some(authority))
        .map_err(|()| "authority")?;
    request
        .set_path_with_query(Some(if path.is_empty() { "/" } else { path }))
        .map_err(|()| "path")?;
    let text = |error| format!("{error:?}");
    let future = outgoing_handler::handle(request, None).map_err(text)?;
    future.subscribe().block();
    let response = future
        .get()
        .ok_or("not there yet")?
        .map_err(|()| "taken")?
        .map_err(text)?;
    let body = response.consume().map_err(|()| "body")?;
    let stream = body.stream().map_err(|()| "stream")?;
    let first = stream.blocking_read(4096).unwrap_or_default();
    Ok(vec![
        format!("status={}", response.status()),
        format!("body={}", String::from_utf8_lossy(&first)),
    ])
}
