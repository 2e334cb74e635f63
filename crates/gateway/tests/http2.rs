//! HTTP/2 with prior knowledge: many requests on one connection.

mod node;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use node::{INVOKE, Node, Request};

#[tokio::test]
async fn requests_share_a_connection() {
    let node = Node::start().await;
    let stream = tokio::net::TcpStream::connect(node.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let calls = (0..100).map(|n| {
        let (mut sender, address) = (sender.clone(), node.address);
        tokio::spawn(async move {
            let body = n.to_string();
            let signed = Request::new("POST", INVOKE, &[], body.as_bytes()).signed(address);
            let mut request = hyper::Request::builder()
                .method("POST")
                .uri(format!("http://{address}{INVOKE}"));
            // The signed host travels as `:authority`.
            for (name, value) in signed.headers.iter().filter(|(name, _)| name != "host") {
                request = request.header(name, value);
            }
            let request = request.body(Full::new(Bytes::from(body.clone()))).unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let answer = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(answer, body);
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    let mut sender = sender.clone();
    let unsigned = hyper::Request::builder()
        .method("POST")
        .uri(format!("http://{}{INVOKE}", node.address))
        .body(Full::new(Bytes::from(vec![b' '; 1 << 20])))
        .unwrap();
    assert_eq!(sender.send_request(unsigned).await.unwrap().status(), 403);
}
