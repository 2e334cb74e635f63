//! Queues, as the service's own Python client sees them: it knows the model's shapes and errors, and checks digests.

#![allow(clippy::unwrap_used, reason = "code of tests")]

mod node;

use node::python_client;

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_finds_queues_as_the_service_has_them() {
    python_client("queues_client.py", async |_| {}).await;
}
