//! A function that misbehaves in the way that its path names: what the wall's tests are made of.
//!
//! Answers are lines of `name=value`, so that a test reads them without a parser here.

mod answers;
mod files;
mod hosts;
mod resources;

use std::sync::atomic::{AtomicU32, Ordering};

use wasip2::http::types::{ErrorCode, IncomingRequest, ResponseOutparam};

use answers::Answer;

struct Abuse;

wasip2::http::proxy::export!(Abuse);

/// Requests that this instance has served.
static SERVED: AtomicU32 = AtomicU32::new(0);

/// A path and its query.
pub(crate) struct Target(String);

impl Target {
    fn path(&self) -> &str {
        self.0.split_once('?').map_or(&self.0, |(path, _)| path)
    }

    /// A value of the query as it stands there, or nothing.
    pub(crate) fn text(&self, name: &str) -> &str {
        let query = self.0.split_once('?').map_or("", |(_, query)| query);
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    }

    /// A value of the query with its percent escapes resolved.
    pub(crate) fn decoded(&self, name: &str) -> Vec<u8> {
        let mut decoded = Vec::new();
        let mut rest = self.text(name).as_bytes();
        while let [first, tail @ ..] = rest {
            let escaped = tail
                .get(..2)
                .filter(|_| *first == b'%')
                .and_then(|digits| std::str::from_utf8(digits).ok());
            match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(byte) => {
                    decoded.push(byte);
                    rest = &tail[2..];
                }
                None => {
                    decoded.push(*first);
                    rest = tail;
                }
            }
        }
        decoded
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }
}

impl wasip2::exports::http::incoming_handler::Guest for Abuse {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
        let target = Target(request.path_with_query().unwrap_or_default());
        match target.path() {
            // Ends without an answer.
            "/trap" => core::arch::wasm32::unreachable(),
            "/panic" => panic!("this is what it says when it panics"),
            "/loop" => resources::spin(),
            "/loop-in-host" => resources::ask_the_host_for_ever(),
            "/stack" => println!("{}", resources::dig(1)),
            "/gobble" => resources::gobble(),
            "/no-response" => {}
            "/respond-error" => ResponseOutparam::set(
                out,
                Err(ErrorCode::InternalError(Some("on purpose".to_owned()))),
            ),
            "/exit" => std::process::exit(target.number("code") as i32),
            // Answers that are not what they seem.
            "/big" => answers::big(out, target.number("mib")),
            "/unfinished" => answers::unfinished(out),
            "/never-finish" => answers::never_finish(out),
            "/late-trap" => answers::late_trap(out),
            "/after" => answers::loop_after_the_answer(out),
            "/length" => answers::wrong_length(out, target.number("say"), target.number("write")),
            "/head" => {
                let name = String::from_utf8_lossy(&target.decoded("name")).into_owned();
                answers::head(out, &name, &target.decoded("value"));
            }
            "/many-headers" => {
                answers::many_headers(out, target.number("count"), target.number("bytes"))
            }
            "/status" => answers::status(out, target.number("code") as u16),
            "/echo" => answers::echo(&request, out),
            // What is left of the host.
            "/headers" => Answer::of(answers::headers(&request)).send(out),
            "/env" => Answer::of(std::env::vars().map(|(name, value)| format!("{name}={value}")))
                .send(out),
            "/args" => Answer::of(std::env::args()).send(out),
            "/tmp" => Answer::of(files::try_everything()).send(out),
            "/fill-tmp" => Answer::of(files::fill()).send(out),
            "/sockets" => Answer::of(hosts::sockets(target.text("address"))).send(out),
            "/fetch" => Answer::of(hosts::fetch(&target.decoded("url"))).send(out),
            // What takes a share of the host.
            "/grow" => Answer::of(resources::grow(target.number("mib"))).send(out),
            "/handles" => Answer::of(resources::handles(target.text("kind"))).send(out),
            "/random" => Answer::of(resources::random(target.number("bytes"))).send(out),
            "/clock" => Answer::of(resources::clock()).send(out),
            "/sleep" => Answer::of(resources::sleep(target.number("ms"))).send(out),
            "/log" => Answer::of(resources::log(
                target.number("lines"),
                target.number("bytes"),
            ))
            .send(out),
            "/counter" => Answer::of([served.to_string()]).send(out),
            _ => Answer::with_status(404, ["no such path".to_owned()]).send(out),
        }
    }
}
