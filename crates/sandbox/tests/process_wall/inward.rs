//! The way in: the node connects to ports inside of a sandbox.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use hearth_sandbox::{Network, Sandbox};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, read_line};

crate::tests!(
    a_port_inside_is_reached needs "/usr/bin/python3",
    many_connections_at_once needs "/usr/bin/python3",
    each_network_has_ports_of_its_own needs "/usr/bin/python3",
    nobody_listens,
    nothing_is_left_to_connect_to,
);

/// Says where it listens, then greets whoever connects with its argument and what they send. Small stacks: without
/// cgroups a thread's whole stack counts against the bound of a process (`RLIMIT_DATA`), 8 MiB each by default.
const SERVER: &str = r#"
import socket, sys, threading
threading.stack_size(256 * 1024)
listener = socket.create_server(("127.0.0.1", 8080), backlog=128)
print("listening", flush=True)
def serve(connection):
    connection.sendall(sys.argv[1].encode() + b":" + connection.recv(100))
    connection.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],)).start()
"#;

fn server(world: &World, network: Network, name: &str) -> Sandbox {
    world.code("server.py", SERVER);
    let mut spec = world.spec(&["/usr/bin/python3", "/var/task/server.py", name]);
    spec.network = network;
    let mut sandbox = world.launch(spec);
    let line = world.wait(read_line(sandbox.take_stdout().unwrap()));
    assert_eq!(line, "listening");
    sandbox
}

async fn greet(sandbox: &Sandbox, text: &str) -> String {
    let mut stream = sandbox.connect(8080).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn a_port_inside_is_reached() {
    let world = World::new();
    let sandbox = server(&world, Network::None, "a");
    assert_eq!(world.wait(greet(&sandbox, "hello")), "a:hello");
    world.wait(sandbox.destroy());
}

fn many_connections_at_once() {
    let world = World::new();
    let sandbox = server(&world, Network::None, "a");
    // More than one request for sockets gives; all are open before the first one is answered.
    world.wait(async {
        let mut streams = Vec::new();
        for _ in 0..50 {
            streams.push(sandbox.connect(8080).await.unwrap());
        }
        // All of them are with a thread of the server, whose program is the child of the sandbox's first process.
        let first = sandbox.pid();
        let child = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        let status = format!("/proc/{}/status", child.trim());
        while !fs::read_to_string(&status)
            .unwrap()
            .contains("Threads:\t51\n")
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        for (at, mut stream) in streams.into_iter().enumerate() {
            stream.write_all(at.to_string().as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, format!("a:{at}"));
        }
    });
    world.wait(sandbox.destroy());
}

fn each_network_has_ports_of_its_own() {
    let world = World::new();
    let first = server(&world, Network::None, "first");
    let second = server(&world, Network::Egress, "second");
    assert_eq!(world.wait(greet(&second, "x")), "second:x");
    assert_eq!(world.wait(greet(&first, "x")), "first:x");
    world.wait(first.destroy());
    world.wait(second.destroy());
}

fn nobody_listens() {
    let world = World::new();
    let sandbox = world.launch(world.script("sleep 1000"));
    // Each try takes a socket: more tries than one request for sockets gives.
    for _ in 0..20 {
        let error = world.wait(sandbox.connect(8080)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    world.wait(sandbox.destroy());
}

fn nothing_is_left_to_connect_to() {
    let world = World::new();
    let sandbox = world.launch(world.script("exit 0"));
    world.wait(sandbox.wait());
    let error = world.wait(sandbox.connect(8080)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}
