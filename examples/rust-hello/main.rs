//! A Lambda function without a single dependency: it speaks the Runtime API itself.
//!
//! The API is three lines of HTTP: ask for an invocation, post its result, repeat.

use std::env;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;

fn main() -> Result<()> {
    let api = env::var("AWS_LAMBDA_RUNTIME_API").map_err(Error::other)?;
    let version = env::var("AWS_LAMBDA_FUNCTION_VERSION").unwrap_or_default();
    let stream = TcpStream::connect(&api)?;
    stream.set_nodelay(true)?;
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);

    let next = format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {api}\r\n\r\n");
    writer.write_all(next.as_bytes())?;
    loop {
        let invocation = Answer::read(&mut reader)?;
        let id = invocation.request_id;
        let result = greet(&invocation.body, &version, &id);
        // The result and the next question travel in one write; the answers come in the same order.
        let post = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: {api}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{result}{next}",
            result.len()
        );
        writer.write_all(post.as_bytes())?;
        Answer::read(&mut reader)?;
    }
}

/// The function itself: JSON in, JSON out.
fn greet(event: &str, version: &str, id: &str) -> String {
    let name = string_field(event, "name").unwrap_or("world");
    format!(
        r#"{{"message": "Hello, {name}!", "runtime": "Rust", "functionVersion": "{version}", "requestId": "{id}"}}"#
    )
}

/// The string under `key`, still escaped as it stands in the JSON. Enough for a greeting; real functions use a parser.
fn string_field<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let after_key = json.split_once(&format!("\"{key}\""))?.1;
    let value = after_key.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let mut escaped = false;
    let end = value.find(|c| {
        let is_end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        is_end
    })?;
    Some(&value[..end])
}

/// What a function needs of the Runtime API's answers.
struct Answer {
    request_id: String,
    body: String,
}

impl Answer {
    fn read(reader: &mut impl BufRead) -> Result<Self> {
        let (mut request_id, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the Runtime API closed the connection"));
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            match name.to_ascii_lowercase().as_str() {
                "lambda-runtime-aws-request-id" => request_id = value.trim().to_owned(),
                "content-length" => length = value.trim().parse().map_err(Error::other)?,
                _ => {}
            }
        }
        let mut body = String::new();
        reader.by_ref().take(length).read_to_string(&mut body)?;
        Ok(Self { request_id, body })
    }
}
