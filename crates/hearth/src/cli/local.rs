//! A function of a node, on a node of its own on this machine: the same code, settings and wall, and nothing else that it
//! could reach or change.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::{output, wait_until_ready};
use crate::client::{CallError, Client, encode};
use crate::config::{Config, Destinations, Events, Storage};
use crate::node::Node;

/// What a function is made with anew; the rest says how it is called, and not how it runs.
const SETTINGS: [&str; 8] = [
    "FunctionName",
    "Runtime",
    "Handler",
    "Role",
    "MemorySize",
    "Timeout",
    "Environment",
    "EphemeralStorage",
];

/// A node that has one function.
pub(super) struct Local {
    node: Node,
    pub(super) client: Client,
    /// Removed with it.
    _data: tempfile::TempDir,
}

impl Local {
    /// Starts a node that runs functions as `config` says, as `account`; it takes part in nothing else.
    pub(super) async fn start(
        config: &Config,
        account: &str,
        region: &str,
    ) -> anyhow::Result<Self> {
        let data = tempfile::tempdir().context("make a data folder")?;
        let config = Config {
            data: data.path().to_owned(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            account: account.parse().context("read the account")?,
            tls: None,
            packages: None,
            object_store: None,
            storage: Storage::default(),
            destinations: Destinations::default(),
            events: Events::default(),
            brokers: BTreeMap::new(),
            ..config.clone()
        };
        let node = Node::start(&config).await?;
        let endpoint = format!("http://{}", node.address());
        let client = Client::new(&endpoint, region, node.root_key())?;
        Ok(Self {
            node,
            client,
            _data: data,
        })
    }

    /// Makes the function that `function` describes, as GetFunction answers of it at `from`, of this code.
    pub(super) async fn create(
        &self,
        from: &Client,
        function: &Value,
        code: Vec<u8>,
    ) -> Result<(), CallError> {
        let configuration = &function["Configuration"];
        let mut body: Map<String, Value> = SETTINGS
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), configuration.get(name)?.clone())))
            .collect();
        let zip = base64::engine::general_purpose::STANDARD.encode(code);
        body.insert("Code".to_owned(), json!({ "ZipFile": zip }));
        if let Some(tags) = function.get("Tags") {
            body.insert("Tags".to_owned(), tags.clone());
        }
        let mut layers = Vec::new();
        for layer in configuration["Layers"].as_array().into_iter().flatten() {
            layers.push(self.copy_layer(from, &output::member(layer, "Arn")).await?);
        }
        if !layers.is_empty() {
            body.insert("Layers".to_owned(), json!(layers));
        }
        let target = "/2015-03-31/functions".to_owned();
        self.client
            .lambda("POST", target, Some(&Value::Object(body)))
            .await?;
        let name = output::member(configuration, "FunctionName");
        let path = format!("/2015-03-31/functions/{}", encode(&name));
        wait_until_ready(&self.client, &path).await.map(drop)
    }

    /// Publishes a layer version here as well; gives its ARN here.
    async fn copy_layer(&self, from: &Client, arn: &str) -> Result<String, CallError> {
        let target = format!("/2018-10-31/layers?find=LayerVersion&Arn={}", encode(arn));
        let layer = from.lambda("GET", target, None).await?;
        let zip = from
            .download(&output::member(&layer["Content"], "Location"))
            .await?;
        let zip = base64::engine::general_purpose::STANDARD.encode(zip);
        // arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION
        let name = arn.split(':').nth(6).context("read a layer's name")?;
        let published = self
            .client
            .lambda(
                "POST",
                format!("/2018-10-31/layers/{}/versions", encode(name)),
                Some(&json!({ "Content": { "ZipFile": zip } })),
            )
            .await?;
        Ok(output::member(&published, "LayerVersionArn"))
    }

    /// Stops the node and removes what it has kept.
    pub(super) async fn stop(self) {
        self.node.stop(std::time::Duration::ZERO).await;
    }
}
