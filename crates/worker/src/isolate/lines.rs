//! What `console` writes, as lines of a function's log: in the form of Lambda's own JavaScript runtime.

use hearth_isolates::Line;
use hearth_types::function::{LogFormat, Logging};
use hearth_types::invoke::RequestId;
use hearth_types::time::Timestamp;
use serde::Serialize;

/// Levels from the least (developer guide, "Log level filtering").
const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'a> {
    timestamp: &'a str,
    level: &'a str,
    request_id: &'a RequestIdText<'a>,
    message: &'a str,
}

#[derive(Serialize)]
#[serde(transparent)]
struct RequestIdText<'a>(&'a str);

/// One line, with its end; `None` if its level is below what the function asks for.
pub(super) fn line(line: &Line, request_id: &RequestId, logging: &Logging) -> Option<String> {
    let level = match line.level.as_str() {
        "trace" => "TRACE",
        "debug" => "DEBUG",
        "warn" => "WARN",
        "error" => "ERROR",
        _ => "INFO",
    };
    let time = Timestamp::from_millis(line.timestamp).to_iso_string();
    match logging.format {
        // One entry whatever is in the text.
        LogFormat::Text => Some(format!(
            "{time}\t{request_id}\t{level}\t{}\n",
            line.text.replace('\n', "\r")
        )),
        LogFormat::Json => {
            let rank = |level: &str| LEVELS.iter().position(|known| *known == level);
            let least = logging.application_level.as_deref().and_then(rank);
            if rank(level) < least {
                return None;
            }
            let json = Json {
                timestamp: &time,
                level,
                request_id: &RequestIdText(request_id.as_str()),
                message: &line.text,
            };
            // Strings always have a JSON form.
            let mut text = serde_json::to_string(&json).unwrap_or_default();
            text.push('\n');
            Some(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_lambdas_runtime_writes_them() {
        let id = RequestId::from_random([0; 16]);
        let said = |level: &str| Line {
            timestamp: 0,
            level: level.to_owned(),
            text: "a\nb".to_owned(),
        };
        let text = Logging::default();
        assert_eq!(
            line(&said("log"), &id, &text).unwrap(),
            format!("1970-01-01T00:00:00.000Z\t{id}\tINFO\ta\rb\n")
        );
        let json = Logging {
            format: LogFormat::Json,
            application_level: Some("WARN".to_owned()),
            ..Logging::default()
        };
        assert_eq!(line(&said("info"), &id, &json), None);
        assert_eq!(
            line(&said("error"), &id, &json).unwrap(),
            format!(
                "{{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"level\":\"ERROR\",\"requestId\":\"{id}\",\"message\":\"a\\nb\"}}\n"
            )
        );
    }
}
