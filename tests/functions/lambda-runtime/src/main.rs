//! Echoes its event with the request's identifier. `"meet"` is answered when as many of them run at the same time as an
//! environment may have.

use std::sync::Arc;

use lambda_runtime::{Error, LambdaEvent, run_concurrent, service_fn};
use serde_json::{Value, json};
use tokio::sync::Barrier;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let most = std::env::var("AWS_LAMBDA_MAX_CONCURRENCY").map_or(Ok(1), |most| most.parse())?;
    let all = Arc::new(Barrier::new(most));
    run_concurrent(service_fn(move |event: LambdaEvent<Value>| {
        let all = Arc::clone(&all);
        async move {
            if event.payload == "meet" {
                all.wait().await;
            }
            Ok::<_, Error>(json!({
                "ric": event.payload,
                "id": event.context.request_id,
                "stream": event.context.env_config.log_stream,
            }))
        }
    }))
    .await
}
