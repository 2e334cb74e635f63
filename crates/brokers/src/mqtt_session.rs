//! A connection of MQTT: what is read and written, and when. The library keeps the protocol's rules.
//!
//! Nothing is read while nobody wants messages: what the broker goes on to send stays in the buffers of the network, and then
//! with the broker. Meanwhile the broker is told that the node is there, and what is settled is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::{GenericPacketTrait as _, Packet};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use mqtt_protocol_core::mqtt::{Connection, Version, role};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::connection::{ANSWER, answered};
use crate::error::BrokerError;
use crate::mqtt_ledger::Ledger;
use crate::mqtt_packets::{self as packets, Client, Said};
use crate::server::Server;
use crate::tls;

/// Ports that brokers listen on if a URL names none (IANA: mqtt, secure-mqtt).
const PORT: u16 = 1_883;
const TLS_PORT: u16 = 8_883;
/// Most bytes of a packet, which a broker of version 5 is told: functions are given 6 MB, so that what is somewhat larger can
/// be said to be too large.
const MOST_BYTES: u32 = 16 << 20;
/// Bytes that are read at a time.
const CHUNK: usize = 16 << 10;

/// What a session is asked to do.
pub(crate) enum Order {
    /// To acknowledge packets, and to say that it has told the broker.
    Acknowledge(Vec<u16>, oneshot::Sender<()>),
    /// To say when everything has come that the broker had sent before it was asked.
    CatchUp(oneshot::Sender<()>),
    /// To look again at how much is wanted.
    Read,
}

pub(crate) struct Session {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    version: Version,
    protocol: Connection<role::Client>,
    ledger: Arc<Ledger>,
    /// When the broker is to be told that the node is there.
    ping_at: Option<Instant>,
    /// When a broker that is read from and was asked has to have said something.
    silent_at: Option<Instant>,
    pings: u64,
    answers: u64,
    /// Whom to tell when how many pings are answered.
    catch_up: Option<(u64, oneshot::Sender<()>)>,
    is_connected: bool,
    is_subscribed: bool,
}

/// Why a session has ended, or does not begin.
enum Failure {
    /// The broker says that it does not speak this version.
    NotThis,
    /// It refuses.
    Refused(String),
    /// It has gone, or can't be understood.
    Lost(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Lost(why)
    }
}

impl From<MqttError> for Failure {
    fn from(error: MqttError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

impl Failure {
    fn why(self) -> String {
        match self {
            Self::NotThis => "it speaks neither version 5 nor 3.1.1".to_owned(),
            Self::Refused(why) | Self::Lost(why) => why,
        }
    }
}

impl Session {
    /// Connects: by version 5, and by 3.1.1 with brokers that know no other.
    pub(crate) async fn connect(
        server: &Server,
        client: &Client,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, BrokerError> {
        let attempt = async |version| {
            let stream = open(server).await?;
            let mut session = Self::new(stream, version, Arc::clone(ledger));
            match tokio::time::timeout(ANSWER, session.begin(client)).await {
                Ok(begun) => Ok(begun.map(|()| session)),
                Err(_) => Err(server.failed("connect to", "no answer to who connects")),
            }
        };
        let mut begun = attempt(Version::V5_0).await?;
        // A broker that knows no version 5 says so in words of its own version, or ends the connection.
        if matches!(begun, Err(Failure::NotThis | Failure::Lost(_))) {
            begun = attempt(Version::V3_1_1).await?;
        }
        begun.map_err(|failure| server.failed("connect to", failure.why()))
    }

    fn new(
        stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
        version: Version,
        ledger: Arc<Ledger>,
    ) -> Self {
        let options = ConnectionOptions::new().maximum_packet_size_recv(MOST_BYTES);
        Self {
            stream,
            version,
            protocol: Connection::with_options(version, options),
            ledger,
            ping_at: None,
            silent_at: None,
            pings: 0,
            answers: 0,
            catch_up: None,
            is_connected: false,
            is_subscribed: false,
        }
    }

    async fn begin(&mut self, client: &Client) -> Result<(), Failure> {
        self.send(packets::connect(self.version, client)?).await?;
        while !self.is_connected {
            self.read().await?;
        }
        Ok(())
    }

    /// Subscribes. Messages of a session that the broker has kept may come first.
    pub(crate) async fn subscribe(
        &mut self,
        server: &Server,
        filter: &str,
    ) -> Result<(), BrokerError> {
        let subscribed = async {
            let packet = self.protocol.acquire_packet_id()?;
            self.send(packets::subscribe(self.version, packet, filter)?)
                .await?;
            while !self.is_subscribed {
                self.read().await?;
            }
            Ok(())
        };
        answered(server, "subscribe at", async {
            subscribed.await.map_err(Failure::why)
        })
        .await
    }

    /// Says that the connection ends because it is meant to.
    pub(crate) async fn disconnect(&mut self, server: &Server) -> Result<(), BrokerError> {
        let ended = async {
            // The library takes it that the connection is over then, which is no failure here.
            let packet = packets::disconnect(self.version)?.to_continuous_buffer();
            self.stream.write_all(&packet).await?;
            self.stream.shutdown().await?;
            Ok(())
        };
        answered(server, "leave", async { ended.await.map_err(Failure::why) }).await
    }

    /// Keeps the connection until it ends, or nobody has orders any more.
    pub(crate) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let end = Ending(Arc::clone(&self.ledger));
        if let Err(failure) = self.follow(&mut orders).await {
            end.0.end(failure.why());
        }
    }

    async fn follow(&mut self, orders: &mut mpsc::Receiver<Order>) -> Result<(), Failure> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let is_reading = self.ledger.has_room();
            if !is_reading {
                self.silent_at = None;
            }
            let (ping_at, silent_at) = (self.ping_at, self.silent_at);
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await?,
                    None => return Ok(()),
                },
                read = self.stream.read(&mut chunk), if is_reading => {
                    self.silent_at = None;
                    self.take_in(&chunk[..read?]).await?;
                }
                () = at(ping_at), if ping_at.is_some() => {
                    let events = self.protocol.notify_timer_fired(TimerKind::PingreqSend);
                    self.handle(events).await?;
                }
                () = at(silent_at), if silent_at.is_some() => {
                    return Err(format!("it has said nothing for {} s", ANSWER.as_secs()).into());
                }
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Result<(), Failure> {
        match order {
            Order::Acknowledge(due, done) => {
                for packet in due {
                    self.send(packets::acknowledge(self.version, packet)?)
                        .await?;
                }
                self.stream.flush().await?;
                // Whoever does not wait any more need not be told.
                let _ = done.send(());
            }
            Order::CatchUp(done) => {
                self.send(packets::ping(self.version)?).await?;
                self.catch_up = Some((self.pings, done));
            }
            Order::Read => {}
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let mut chunk = vec![0; CHUNK];
        let read = self.stream.read(&mut chunk).await?;
        self.take_in(&chunk[..read]).await
    }

    async fn take_in(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if bytes.is_empty() {
            return Err("it has ended the connection".to_owned().into());
        }
        let mut cursor = Cursor::new(bytes);
        while (cursor.position() as usize) < bytes.len() {
            let events = self.protocol.recv(&mut cursor);
            self.handle(events).await?;
        }
        Ok(())
    }

    async fn send(&mut self, packet: Packet) -> Result<(), Failure> {
        let events = self.protocol.send(packet);
        self.handle(events).await
    }

    /// Does what the protocol asks for.
    async fn handle(&mut self, events: Vec<Event>) -> Result<(), Failure> {
        let mut is_over = false;
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    if matches!(packet, Packet::V3_1_1Pingreq(_) | Packet::V5_0Pingreq(_)) {
                        self.pings += 1;
                        self.silent_at.get_or_insert(Instant::now() + ANSWER);
                    }
                    let bytes = packet.to_continuous_buffer();
                    let written = tokio::time::timeout(ANSWER, self.stream.write_all(&bytes));
                    written.await.map_err(|_| "it takes nothing".to_owned())??;
                }
                Event::NotifyPacketReceived(packet) => self.hear(packet)?,
                Event::RequestTimerReset {
                    kind: TimerKind::PingreqSend,
                    duration_ms,
                } => {
                    self.ping_at = Some(Instant::now() + Duration::from_millis(duration_ms));
                }
                Event::RequestTimerCancel(TimerKind::PingreqSend) => self.ping_at = None,
                Event::NotifyError(error) => return Err(error.into()),
                Event::RequestClose => is_over = true,
                _ => {}
            }
        }
        if is_over {
            return Err("the connection is over".to_owned().into());
        }
        Ok(())
    }

    fn hear(&mut self, packet: Packet) -> Result<(), Failure> {
        match packets::read(packet).map_err(Failure::Refused)? {
            Said::Connected => self.is_connected = true,
            Said::NotThis => return Err(Failure::NotThis),
            Said::Subscribed => self.is_subscribed = true,
            Said::Message(message) => self.ledger.add(message),
            Said::Alive => {
                self.answers += 1;
                let is_due = |(pings, _): &mut (u64, _)| *pings <= self.answers;
                if let Some((_, done)) = self.catch_up.take_if(is_due) {
                    let _ = done.send(());
                }
            }
            Said::Nothing => {}
        }
        Ok(())
    }
}

/// Tells of a session's end, whatever it is: a library may panic.
struct Ending(Arc<Ledger>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end("the connection was lost".to_owned());
    }
}

/// Waits until then.
async fn at(then: Option<Instant>) {
    if let Some(then) = then {
        tokio::time::sleep_until(then).await;
    }
}

/// Opens the connection, with TLS if the URL says so.
async fn open(
    server: &Server,
) -> Result<Either<TcpStream, Box<TlsStream<TcpStream>>>, BrokerError> {
    let tls = match server.url.scheme() {
        "mqtts" => Some(tls::connector(server).await?),
        _ => None,
    };
    let port = if tls.is_some() { TLS_PORT } else { PORT };
    let port = server.url.port().unwrap_or(port);
    answered(server, "connect to", async {
        let stream = TcpStream::connect((server.host(), port)).await?;
        stream.set_nodelay(true)?;
        std::io::Result::Ok(match tls {
            None => Either::Left(stream),
            Some((connector, name)) => {
                Either::Right(Box::new(connector.connect(name, stream).await?))
            }
        })
    })
    .await
}
