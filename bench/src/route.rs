//! Routes of a node, all of one host: made through the API.

use serde_json::{Value, json};

use crate::api::{Access, Api};
use crate::load::Target;

/// The host of every route here.
const HOST: &str = "bench.example.com";

/// Makes a route that leads to a function, which sees what comes after `path`.
pub(crate) async fn to_function(
    access: &Access,
    name: &str,
    path: &str,
    function: &str,
) -> anyhow::Result<()> {
    let mut api = access.api().await?;
    let route = json!({
        "Hosts": [HOST],
        "Path": path,
        "Target": { "FunctionName": function },
        "Rewrite": { "StripPrefix": path },
    });
    put(&mut api, name, &route).await
}

/// Makes a route that answers by itself.
pub(crate) async fn fixed(api: &mut Api, name: &str, path: &str, text: &str) -> anyhow::Result<()> {
    let route = json!({
        "Hosts": [HOST],
        "Path": path,
        "Target": { "Response": { "StatusCode": 200, "Body": text } },
    });
    put(api, name, &route).await
}

async fn put(api: &mut Api, name: &str, route: &Value) -> anyhow::Result<()> {
    let operation = format!("/hearth/2026-11-01/routes/{name}");
    api.call("PUT", &operation, Some(route)).await?;
    Ok(())
}

/// A request at a route.
pub(crate) fn target(access: &Access, path: &str, expected: &str) -> Target {
    Target::get_at(HOST, access.address, path, expected)
}
