//! A quorum queue of RabbitMQ, whose messages are confirmed to the publisher: they are on the disk then.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::process::Command;

use crate::load::{self, Sample};
use crate::peers::Running;
use crate::process;

/// How its lines are named.
pub(super) const NAME: &str = "RabbitMQ, quorum queue, confirmed";

const QUEUE: &str = "events";
/// Messages that are kept (basic.properties of AMQP 0-9-1).
const PERSISTENT: u8 = 2;
/// Callers that share a connection: one connection is one process of the broker.
const CHANNELS: usize = 16;

/// Where Debian puts it: the program on the PATH wants to change its user.
const PROGRAM: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A server that runs, until it is dropped.
pub(crate) struct Server {
    uri: String,
    payload: Arc<[u8]>,
    _broker: Running,
    /// What its nodes register with.
    _names: Running,
    _data: tempfile::TempDir,
}

/// Starts a server; `None` if there is no program.
pub(super) async fn start(payload: &str) -> anyhow::Result<Option<Server>> {
    let program = PathBuf::from(PROGRAM);
    let (Some(epmd), true) = (process::find("epmd"), program.is_file()) else {
        return Ok(None);
    };
    let data = tempfile::tempdir().context("make a data folder")?;
    let [address, names, distribution] = free_addresses()?;
    let port = names.port().to_string();
    let names = Running::start(
        Command::new(epmd).args(["-port", &port, "-address", "127.0.0.1"]),
        names,
    )
    .await?;
    let folder = |name: &str| data.path().join(name);
    let mut command = Command::new(program);
    command
        .env("HOME", data.path())
        .env("ERL_EPMD_PORT", &port)
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env(
            "RABBITMQ_NODENAME",
            format!("bench{}@localhost", address.port()),
        )
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", address.port().to_string())
        .env("RABBITMQ_DIST_PORT", distribution.port().to_string())
        .env("RABBITMQ_MNESIA_BASE", folder("mnesia"))
        .env("RABBITMQ_LOG_BASE", folder("log"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder("plugins"))
        .env("RABBITMQ_CONFIG_FILE", folder("rabbitmq"))
        .env(
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1}",
        );
    let broker = Running::start(&mut command, address).await?;
    let server = Server {
        uri: format!("amqp://guest:guest@{address}/%2f"),
        payload: payload.as_bytes().into(),
        _broker: broker,
        _names: names,
        _data: data,
    };
    let channel = server.connect().await?.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    let declare = channel.queue_declare(QUEUE.into(), QueueDeclareOptions::durable(), arguments);
    declare.await.context("declare a queue")?;
    Ok(Some(server))
}

fn free_addresses() -> anyhow::Result<[SocketAddr; 3]> {
    Ok([
        process::free_address()?,
        process::free_address()?,
        process::free_address()?,
    ])
}

impl Server {
    async fn connect(&self) -> anyhow::Result<Connection> {
        let connection = Connection::connect(&self.uri, ConnectionProperties::default());
        connection.await.context("connect to RabbitMQ")
    }

    /// Has `callers` send, each on a channel of its own.
    pub(super) async fn send(&self, callers: usize, duration: Duration) -> anyhow::Result<Sample> {
        let (mut connections, mut senders) = (Vec::new(), Vec::with_capacity(callers));
        for caller in 0..callers {
            if caller % CHANNELS == 0 {
                connections.push(self.connect().await?);
            }
            let connection = &connections[caller / CHANNELS];
            let channel = connection
                .create_channel()
                .await
                .context("open a channel")?;
            let confirm = channel.confirm_select(ConfirmSelectOptions::default());
            confirm.await.context("ask for confirms")?;
            senders.push(Sender {
                channel,
                payload: self.payload.clone(),
            });
        }
        load::run_senders(senders, duration).await
    }
}

struct Sender {
    channel: Channel,
    payload: Arc<[u8]>,
}

impl load::Sender for Sender {
    async fn send(&mut self) -> anyhow::Result<()> {
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let options = BasicPublishOptions::default();
        let published = self
            .channel
            .basic_publish("".into(), QUEUE.into(), options, &self.payload, properties)
            .await?;
        let confirmed = published.await?;
        anyhow::ensure!(confirmed.is_ack(), "RabbitMQ answers {confirmed:?}");
        Ok(())
    }
}
