//! Queues, as the service's own Python client sees them: it knows the model's shapes and errors, and checks digests.

#![allow(clippy::unwrap_used, reason = "code of tests")]

mod node;

use std::path::Path;

use node::{KEY_ID, Node, REGION, SECRET};

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_finds_queues_as_the_service_has_them() {
    let Ok(python) = std::env::var("HEARTH_TEST_PYTHON") else {
        eprintln!("skipped: HEARTH_TEST_PYTHON names no Python that has boto3");
        return;
    };
    let node = Node::start().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/queues_client.py");
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
