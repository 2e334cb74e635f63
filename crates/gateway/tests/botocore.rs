//! The service's own Python client, which knows the model's shapes, errors, paging and waiters.

#![allow(clippy::unwrap_used, reason = "code of tests")]

mod node;

use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;
use node::{ACCOUNT, Node, python_client, scope};

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_does_the_whole_life_of_a_function() {
    python_client("botocore_client.py", write_log).await;
}

async fn write_log(node: &Node) {
    let key = FunctionKey {
        account: ACCOUNT.parse().unwrap(),
        region: scope().region,
        name: "f".parse().unwrap(),
    };
    let stream = |name: &str| {
        node.logs
            .stream(&key, &format!("2026/01/02/[$LATEST]{name}"))
    };
    let (a, b) = (stream("a"), stream("b"));
    for (second, (stream, line)) in [
        (&a, "line 1"),
        (&b, "line 2"),
        (&a, "line 3"),
        (&b, "line 4"),
        (&a, "line 5"),
        (&b, "another"),
    ]
    .into_iter()
    .enumerate()
    {
        let at = i64::try_from(second).unwrap() * 1_000 + 1_000;
        stream.write(Timestamp::from_millis(at), line.as_bytes());
    }
    node.logs.flush().await;
}
