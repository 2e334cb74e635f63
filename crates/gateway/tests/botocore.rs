//! The service's own Python client, which knows the model's shapes, errors, paging and waiters.

#![allow(clippy::unwrap_used, reason = "code of tests")]

mod node;

use std::path::Path;

use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;
use node::{ACCOUNT, KEY_ID, Node, REGION, SECRET, scope};

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_does_the_whole_life_of_a_function() {
    let Ok(python) = std::env::var("HEARTH_TEST_PYTHON") else {
        eprintln!("skipped: HEARTH_TEST_PYTHON names no Python that has boto3");
        return;
    };
    let node = Node::start().await;
    write_log(&node).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/botocore_client.py");
    let output = tokio::process::Command::new(python)
        .arg(script)
        .arg(format!("http://{}", node.address))
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_DEFAULT_REGION", REGION)
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_PROFILE")
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(output.stdout, b"done\n");
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
