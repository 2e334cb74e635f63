//! Links to packages: what `GetFunction` gives, anything that fetches URLs can fetch.

mod node;

use node::{Answer, Node, Request};

async fn fetch(node: &Node, method: &str, target: &str) -> Answer {
    let mut wire = node.connect().await;
    wire.send(&Request::new(method, target, &[("host", "a")], b"").to_bytes())
        .await;
    wire.answer().await
}

#[tokio::test]
async fn a_link_opens_its_package_and_nothing_else() {
    let node = Node::start().await;
    let answer = node.call("GET", "/2015-03-31/functions/f", &[], b"").await;
    let link = answer.json()["Code"]["Location"]
        .as_str()
        .unwrap()
        .to_owned();
    let target = link
        .strip_prefix(&format!("http://{}", node.address))
        .unwrap();
    assert!(target.starts_with("/_hearth/packages/"), "{target}");
    let package = fetch(&node, "GET", target).await;
    assert_eq!((package.status, &package.body[..]), (200, &node::zip()[..]));
    assert_eq!(package.header("content-type"), Some("application/zip"));
    for method in ["POST", "PUT", "DELETE"] {
        assert_eq!(fetch(&node, method, target).await.status, 405, "{method}");
    }
    let (path, query) = target.split_once('?').unwrap();
    let other = "0".repeat(64);
    for target in [
        path.to_owned(),
        format!("/_hearth/packages/{other}?{query}"),
        format!("{path}?{}", query.replace("Expires=600", "Expires=6000")),
        format!("/_hearth/packages/..%2Fhearth.db?{query}"),
        "/_hearth/packages/".to_owned(),
    ] {
        fetch(&node, "GET", &target)
            .await
            .expect(403, "AccessDeniedException");
    }
}
