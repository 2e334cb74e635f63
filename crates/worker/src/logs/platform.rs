//! The platform's own lines in a function's log, as text or as JSON, worded as Lambda words them.

use std::fmt::{self, Write as _};
use std::time::Duration;

use hearth_types::function::{Configuration, LogFormat};
use hearth_types::invoke::{Report, RequestId};
use hearth_types::name::Version;
use hearth_types::time::Timestamp;
use serde_json::json;

/// In which phase an environment's Init ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitPhase {
    /// On its own.
    Init,
    /// Again, within the first invocation.
    Invoke,
}

impl InitPhase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Invoke => "invoke",
        }
    }
}

/// How an invocation or an Init ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status<'a> {
    /// The runtime answered.
    Success,
    /// The time was up.
    Timeout,
    /// It ended badly; the text is the error's type.
    Error(&'a str),
}

impl Status<'_> {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Timeout => "timeout",
            Self::Error(_) => "error",
        }
    }

    fn suffix(&self, line: &mut String) -> fmt::Result {
        match self {
            Self::Success => Ok(()),
            Self::Timeout => line.write_str("Status: timeout"),
            Self::Error(kind) => write!(line, "Status: error\tError Type: {kind}"),
        }
    }
}

/// An event that the platform writes into the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// An environment starts.
    InitStart {
        /// What runs: `python:3.11.7`, with a note if it is not what was asked for.
        runtime: &'a str,
    },
    /// An environment's Init went wrong.
    InitReport {
        phase: InitPhase,
        duration: Duration,
        status: Status<'a>,
    },
    /// An invocation starts.
    Start {
        request_id: &'a RequestId,
        version: Version,
    },
    /// Why an invocation ended badly, for a person.
    Note {
        request_id: &'a RequestId,
        kind: &'a str,
        text: &'a str,
    },
    /// An invocation has ended.
    End { request_id: &'a RequestId },
    /// What an invocation used.
    Report {
        request_id: &'a RequestId,
        report: &'a Report,
        status: Status<'a>,
    },
}

impl Event<'_> {
    /// The invocation that it is about.
    pub(super) const fn request_id(&self) -> Option<&RequestId> {
        match self {
            Self::InitStart { .. } | Self::InitReport { .. } => None,
            Self::Start { request_id, .. }
            | Self::Note { request_id, .. }
            | Self::End { request_id }
            | Self::Report { request_id, .. } => Some(request_id),
        }
    }
}

/// The levels of `SystemLogLevel`, most detailed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Debug,
    Info,
    Warn,
}

/// Words the platform's lines for one function.
#[derive(Clone, Debug)]
pub(crate) struct Wording {
    format: LogFormat,
    least: Level,
    memory_mib: u32,
}

impl Wording {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        let least = match configuration.logging.system_level.as_deref() {
            Some("DEBUG") => Level::Debug,
            Some("WARN") => Level::Warn,
            _ => Level::Info,
        };
        Self {
            format: configuration.logging.format,
            least,
            memory_mib: configuration.memory_mib,
        }
    }

    /// Appends the line for `event` at `now`; nothing if this function's configuration leaves it out.
    pub(crate) fn line(&self, line: &mut String, now: Timestamp, event: &Event<'_>) {
        // Writing to a text does not fail.
        let _ = match self.format {
            LogFormat::Text => self.text(line, now, event),
            LogFormat::Json => match self.json(now, event) {
                Some(json) => write!(line, "{json}"),
                None => Ok(()),
            },
        };
    }

    fn text(&self, line: &mut String, now: Timestamp, event: &Event<'_>) -> fmt::Result {
        match event {
            Event::InitStart { runtime } => write!(line, "INIT_START Runtime Version: {runtime}"),
            Event::InitReport {
                phase,
                duration,
                status,
            } => {
                write!(
                    line,
                    "INIT_REPORT Init Duration: {} ms\tPhase: {}\t",
                    Milliseconds(*duration),
                    phase.as_str(),
                )?;
                status.suffix(line)
            }
            Event::Start {
                request_id,
                version,
            } => {
                line.push_str("START RequestId: ");
                line.push_str(request_id.as_str());
                line.push_str(" Version: ");
                match version {
                    Version::Latest => line.write_str("$LATEST"),
                    Version::Number(number) => write!(line, "{number}"),
                }
            }
            // The time limit's line begins with its time, the others' with the id; that is how they come.
            Event::Note {
                request_id,
                kind: "Sandbox.Timedout",
                text,
            } => {
                write!(line, "{} {request_id} {text}", iso(now))
            }
            Event::Note {
                request_id,
                kind,
                text,
            } => write!(line, "RequestId: {request_id} Error: {text}\r{kind}"),
            Event::End { request_id } => {
                line.push_str("END RequestId: ");
                line.write_str(request_id.as_str())
            }
            Event::Report {
                request_id,
                report,
                status,
            } => self.report(line, request_id, report, status),
        }
    }

    /// Written piece by piece: this line is written for every invocation, and formatting is slow.
    fn report(
        &self,
        line: &mut String,
        request_id: &RequestId,
        report: &Report,
        status: &Status<'_>,
    ) -> fmt::Result {
        line.push_str("REPORT RequestId: ");
        line.push_str(request_id.as_str());
        write!(
            line,
            "\tDuration: {} ms\tBilled Duration: {} ms\tMemory Size: {} MB\tMax Memory Used: {} MB\t",
            Milliseconds(report.duration),
            report.billed_ms(),
            self.memory_mib,
            report.max_memory_mib,
        )?;
        if let Some(init) = report.init {
            write!(line, "Init Duration: {} ms\t", Milliseconds(init))?;
        }
        status.suffix(line)
    }

    fn json(&self, now: Timestamp, event: &Event<'_>) -> Option<String> {
        let failed = |status: &Status<'_>| *status != Status::Success;
        let (level, kind, record) = match event {
            Event::InitStart { runtime } => (
                Level::Info,
                "platform.initStart",
                json!({"initializationType": "on-demand", "phase": "init", "runtimeVersion": runtime}),
            ),
            Event::InitReport {
                phase,
                duration,
                status,
            } => (
                Level::Warn,
                "platform.initReport",
                with_error(
                    json!({"initializationType": "on-demand", "phase": phase.as_str(), "status": status.as_str(),
                           "metrics": {"durationMs": rounded(*duration)}}),
                    status,
                ),
            ),
            Event::Start {
                request_id,
                version,
            } => (
                Level::Info,
                "platform.start",
                json!({"requestId": request_id.as_str(), "version": version.to_string()}),
            ),
            // What it says is in the report's status and error type.
            Event::Note { .. } | Event::End { .. } => return None,
            Event::Report {
                request_id,
                report,
                status,
            } => {
                let mut metrics = json!({
                    "durationMs": rounded(report.duration),
                    "billedDurationMs": report.billed_ms(),
                    "memorySizeMB": self.memory_mib,
                    "maxMemoryUsedMB": report.max_memory_mib,
                });
                if let (Some(init), Some(metrics)) = (report.init, metrics.as_object_mut()) {
                    metrics.insert("initDurationMs".to_owned(), json!(rounded(init)));
                }
                (
                    if failed(status) {
                        Level::Warn
                    } else {
                        Level::Info
                    },
                    "platform.report",
                    with_error(
                        json!({"requestId": request_id.as_str(), "metrics": metrics, "status": status.as_str()}),
                        status,
                    ),
                )
            }
        };
        (level >= self.least)
            .then(|| json!({"time": iso(now), "type": kind, "record": record}).to_string())
    }
}

fn with_error(mut record: serde_json::Value, status: &Status<'_>) -> serde_json::Value {
    if let (Status::Error(kind), Some(record)) = (status, record.as_object_mut()) {
        record.insert("errorType".to_owned(), json!(kind));
    }
    record
}

/// Milliseconds with two digits after the point, rounded to the nearest, as the text lines have them.
struct Milliseconds(Duration);

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.0.as_nanos() + 5_000) / 10_000;
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

/// Milliseconds with three digits after the point, as the JSON lines have them.
fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

fn iso(now: Timestamp) -> String {
    now.to_lambda_string().replace("+0000", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wording(format: LogFormat, least: Level) -> Wording {
        Wording {
            format,
            least,
            memory_mib: 128,
        }
    }

    fn line(wording: &Wording, event: &Event<'_>) -> String {
        let mut line = String::new();
        wording.line(&mut line, NOW, event);
        line
    }

    const NOW: Timestamp = Timestamp::from_millis(1_767_323_045_678);
    const REPORT: Report = Report {
        duration: Duration::from_micros(3_010),
        init: Some(Duration::from_micros(110_100)),
        max_memory_mib: 36,
    };

    #[test]
    fn text_lines_read_as_on_lambda() {
        let id = RequestId::from_random([0; 16]);
        let wording = wording(LogFormat::Text, Level::Info);
        let line = |event| line(&wording, &event);
        assert_eq!(
            line(Event::Start {
                request_id: &id,
                version: Version::Latest
            }),
            "START RequestId: 00000000-0000-4000-8000-000000000000 Version: $LATEST"
        );
        let report = |status| {
            line(Event::Report {
                request_id: &id,
                report: &REPORT,
                status,
            })
        };
        let common = "REPORT RequestId: 00000000-0000-4000-8000-000000000000\tDuration: 3.01 ms\t\
                      Billed Duration: 114 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 110.10 ms\t";
        assert_eq!(report(Status::Success), common);
        assert_eq!(report(Status::Timeout), format!("{common}Status: timeout"));
        assert_eq!(
            report(Status::Error("Runtime.ExitError")),
            format!("{common}Status: error\tError Type: Runtime.ExitError")
        );
        assert_eq!(
            line(Event::Note {
                request_id: &id,
                kind: "Sandbox.Timedout",
                text: "Task timed out after 3.00 seconds"
            }),
            "2026-01-02T03:04:05.678Z 00000000-0000-4000-8000-000000000000 Task timed out after 3.00 seconds"
        );
    }

    #[test]
    fn json_lines_are_objects_and_obey_the_level() {
        let id = RequestId::from_random([0; 16]);
        let event = |status| Event::Report {
            request_id: &id,
            report: &REPORT,
            status,
        };
        let info = wording(LogFormat::Json, Level::Info);
        let text = line(&info, &event(Status::Error("Runtime.ExitError")));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["type"], "platform.report");
        assert_eq!(line["time"], "2026-01-02T03:04:05.678Z");
        assert_eq!(line["record"]["status"], "error");
        assert_eq!(line["record"]["errorType"], "Runtime.ExitError");
        assert_eq!(line["record"]["metrics"]["durationMs"], 3.01);
        assert_eq!(line["record"]["metrics"]["initDurationMs"], 110.1);

        let warn = wording(LogFormat::Json, Level::Warn);
        let line = |status| self::line(&warn, &event(status));
        assert_eq!(line(Status::Success), "");
        assert!(!line(Status::Timeout).is_empty());
    }
}
