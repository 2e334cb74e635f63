//! Packets of MQTT, in the words of both versions.

use mqtt_protocol_core::mqtt::Version;
use mqtt_protocol_core::mqtt::packet::{
    Packet, Qos, RetainHandling, SessionExpiryInterval, SubEntry, SubOpts, v3_1_1, v5_0,
};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, ConnectReturnCode, MqttError};

use crate::mqtt_ledger::Message;

/// Seconds after which a broker that has heard nothing may take the node to be gone. It is told of every such time.
const KEEP_ALIVE_S: u16 = 30;
/// The session is kept until it is ended (MQTT 5, section 3.1.2.11.2).
const FOR_EVER: u32 = u32::MAX;

/// Who connects.
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// Whether the broker is to forget the session, at once and when the connection ends.
    pub(crate) is_last: bool,
}

/// What a packet says.
pub(crate) enum Said {
    Connected,
    /// The broker does not speak this version.
    NotThis,
    Subscribed,
    Message(Message),
    Alive,
    /// Whatever needs no answer.
    Nothing,
}

pub(crate) fn connect(version: Version, client: &Client) -> Result<Packet, MqttError> {
    if version == Version::V3_1_1 {
        let mut connect = v3_1_1::Connect::builder()
            .client_id(client.id.as_str())?
            .clean_session(client.is_last)
            .keep_alive(KEEP_ALIVE_S);
        if let Some(username) = &client.username {
            connect = connect.user_name(username.as_str())?;
        }
        if let Some(password) = &client.password {
            connect = connect.password(password.as_str())?;
        }
        return Ok(connect.build()?.into());
    }
    let mut properties = Vec::new();
    if !client.is_last {
        properties.push(SessionExpiryInterval::new(FOR_EVER)?.into());
    }
    let mut connect = v5_0::Connect::builder()
        .client_id(client.id.as_str())?
        .clean_start(client.is_last)
        .keep_alive(KEEP_ALIVE_S)
        .props(properties);
    if let Some(username) = &client.username {
        connect = connect.user_name(username.as_str())?;
    }
    if let Some(password) = &client.password {
        connect = connect.password(password.as_str())?;
    }
    Ok(connect.build()?.into())
}

/// Asks for what is published at least once. Version 5 gives what is retained to a subscription that is new, 3.1.1 to every
/// connection.
pub(crate) fn subscribe(version: Version, packet: u16, filter: &str) -> Result<Packet, MqttError> {
    let options = SubOpts::new().set_qos(Qos::AtLeastOnce);
    if version == Version::V3_1_1 {
        let subscribe = v3_1_1::Subscribe::builder()
            .packet_id(packet)
            .entries(vec![SubEntry::new(filter, options)?]);
        return Ok(subscribe.build()?.into());
    }
    let options = options
        .set_rh(RetainHandling::SendRetainedIfNotExists)
        .set_rap(true);
    let subscribe = v5_0::Subscribe::builder()
        .packet_id(packet)
        .entries(vec![SubEntry::new(filter, options)?]);
    Ok(subscribe.build()?.into())
}

pub(crate) fn acknowledge(version: Version, packet: u16) -> Result<Packet, MqttError> {
    Ok(match version {
        Version::V3_1_1 => v3_1_1::Puback::builder().packet_id(packet).build()?.into(),
        _ => v5_0::Puback::builder().packet_id(packet).build()?.into(),
    })
}

pub(crate) fn ping(version: Version) -> Result<Packet, MqttError> {
    Ok(match version {
        Version::V3_1_1 => v3_1_1::Pingreq::builder().build()?.into(),
        _ => v5_0::Pingreq::builder().build()?.into(),
    })
}

pub(crate) fn disconnect(version: Version) -> Result<Packet, MqttError> {
    Ok(match version {
        Version::V3_1_1 => v3_1_1::Disconnect::builder().build()?.into(),
        _ => v5_0::Disconnect::builder().build()?.into(),
    })
}

/// Reads what the broker says.
///
/// # Errors
/// What it refuses.
pub(crate) fn read(packet: Packet) -> Result<Said, String> {
    Ok(match packet {
        Packet::V3_1_1Connack(answer) => match answer.return_code() {
            ConnectReturnCode::Accepted => Said::Connected,
            ConnectReturnCode::UnacceptableProtocolVersion => Said::NotThis,
            refused => return Err(format!("it refuses the connection: {refused}")),
        },
        Packet::V5_0Connack(answer) => match answer.reason_code() {
            ConnectReasonCode::Success => Said::Connected,
            ConnectReasonCode::UnsupportedProtocolVersion => Said::NotThis,
            refused => return Err(format!("it refuses the connection: {refused}")),
        },
        Packet::V3_1_1Suback(answer) => match answer.return_codes().first() {
            Some(code) if code.is_success() => Said::Subscribed,
            Some(code) => return Err(format!("it refuses the subscription: {code}")),
            None => return Err("it answers to no subscription".to_owned()),
        },
        Packet::V5_0Suback(answer) => match answer.reason_codes().first() {
            Some(code) if code.is_success() => Said::Subscribed,
            Some(code) => return Err(format!("it refuses the subscription: {code}")),
            None => return Err("it answers to no subscription".to_owned()),
        },
        Packet::V3_1_1Publish(message) => Said::Message(Message {
            topic: message.topic_name().to_owned(),
            payload: message.payload().clone(),
            packet: message.packet_id(),
            is_again: message.dup(),
        }),
        Packet::V5_0Publish(message) => Said::Message(Message {
            topic: message.topic_name().to_owned(),
            payload: message.payload().clone(),
            packet: message.packet_id(),
            is_again: message.dup(),
        }),
        Packet::V5_0Disconnect(end) => {
            return Err(match end.reason_code() {
                Some(why) => format!("it ends the connection: {why}"),
                None => "it ends the connection".to_owned(),
            });
        }
        Packet::V3_1_1Pingresp(_) | Packet::V5_0Pingresp(_) => Said::Alive,
        _ => Said::Nothing,
    })
}
