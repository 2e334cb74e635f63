//! A broker of MQTT that knows version 3.1.1 alone, and one that is hostile: played byte by byte (MQTT 3.1.1, chapters 2 and 3).

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::time::Duration;

use hearth_brokers::{Brokers, End, Server, Subscription, Tls};
use hearth_types::source::{BrokerSource, Origin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Longest that anything may take.
const LONG: Duration = Duration::from_secs(60);

/// A listener, and a mapping's share of whoever listens there.
async fn share() -> (TcpListener, Subscription) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server {
        name: "hall".parse().unwrap(),
        url: format!("mqtt://127.0.0.1:{port}").parse().unwrap(),
        more: Vec::new(),
        username: None,
        password: None,
        tls: Tls::default(),
    };
    let source = BrokerSource {
        arn: Some("arn:aws:mqtt:eu-west-1:123456789012:topic:hall/t".to_owned()),
        broker: "hall".parse().unwrap(),
        origin: Origin::Mqtt {
            filter: "t".to_owned(),
        },
    };
    let share = Brokers::new([server]).subscribe(&source, "m").unwrap();
    (listener, share)
}

/// Reads a packet that is shorter than 128 bytes: its first byte, and what follows its length.
async fn packet(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut header = [0; 2];
    stream.read_exact(&mut header).await.unwrap();
    let mut rest = vec![0; header[1].into()];
    stream.read_exact(&mut rest).await.unwrap();
    (header[0], rest)
}

/// Refuses version 5, takes 3.1.1, and answers to its subscription.
async fn begin(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let (kind, connect) = packet(&mut stream).await;
    assert_eq!((kind, &connect[..7]), (0x10, &b"\0\x04MQTT\x05"[..]));
    // Not this version.
    stream.write_all(&[0x20, 2, 0, 1]).await.unwrap();
    drop(stream);
    let (mut stream, _) = listener.accept().await.unwrap();
    let (_, connect) = packet(&mut stream).await;
    // A session that is kept.
    assert_eq!(&connect[..8], b"\0\x04MQTT\x04\0");
    assert!(connect.ends_with(b"\0\x08hearth-m"));
    stream.write_all(&[0x20, 2, 0, 0]).await.unwrap();
    let (kind, subscribe) = packet(&mut stream).await;
    assert_eq!((kind, &subscribe[2..]), (0x82, &b"\0\x01t\x01"[..]));
    let answer = [0x90, 3, subscribe[0], subscribe[1], 1];
    stream.write_all(&answer).await.unwrap();
    stream
}

/// A message of topic `t` that is to be acknowledged by `number`.
fn message(number: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(5 + payload.len()).unwrap();
    [&[0x32, length, 0, 1, b't', 0, number], payload].concat()
}

#[tokio::test]
async fn a_broker_that_knows_version_3_1_1_alone_is_spoken_with() {
    let (listener, share) = share().await;
    let broker = tokio::spawn(async move {
        let mut stream = begin(&listener).await;
        stream.write_all(&message(1, b"one")).await.unwrap();
        stream.write_all(&message(2, b"two")).await.unwrap();
        let mut acknowledged = Vec::new();
        while acknowledged.len() < 2 {
            match packet(&mut stream).await {
                // Everything has come that was sent before.
                (0xC0, _) => stream.write_all(&[0xD0, 0]).await.unwrap(),
                (0x40, number) => acknowledged.push(number[1]),
                other => panic!("{other:?}"),
            }
        }
        acknowledged
    });
    let taken = async {
        share.first().await.unwrap();
        let taken = share.take(10, 1_000).await.unwrap();
        let tags: Vec<_> = taken.deliveries.iter().map(|one| one.tag.clone()).collect();
        let [one, two] = tags.try_into().unwrap();
        // In the order in which they came.
        taken.settle(vec![two], End::Done).await.unwrap();
        taken.settle(vec![one.clone()], End::Again).await.unwrap();
        let again = share.take(10, 1_000).await.unwrap();
        let again: Vec<_> = again.deliveries.into_iter().map(|one| one.tag).collect();
        taken.settle(again, End::Done).await.unwrap();
        broker.await.unwrap()
    };
    let acknowledged = tokio::time::timeout(LONG, taken).await.unwrap();
    assert_eq!(acknowledged, [1, 2]);
}

#[tokio::test]
async fn a_packet_that_says_it_is_huge_ends_the_connection() {
    let (listener, share) = share().await;
    let broker = tokio::spawn(async move {
        let mut stream = begin(&listener).await;
        // 256 MB are to follow.
        stream
            .write_all(&[0x32, 0xFF, 0xFF, 0xFF, 0x7F])
            .await
            .unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let first = tokio::time::timeout(LONG, share.first()).await.unwrap();
    let why = first.unwrap_err().to_string();
    assert!(why.contains("PacketTooLarge"), "{why}");
    broker.await.unwrap();
}
