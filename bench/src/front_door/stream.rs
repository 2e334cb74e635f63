//! Streams: how long the first byte of a response takes that goes on after it. A bare server, the same server behind a
//! function URL, and a function that writes the same.

use super::servers::{Bare, deploy};
use super::{Asked, Plan, Suite, rounds};
use crate::function_url::Mode;
use crate::load::Until;
use crate::report::Lines;

/// How many callers ask at the same time.
pub(super) const CALLERS: [usize; 2] = [1, 16];
/// How the lines are named.
pub(super) const FIRST_BYTE: &str = "first byte";
const WHOLE: &str = "whole";
pub(super) const BARE: &str = "bare server";
pub(super) const SERVER: &str = "Hearth, web server";
pub(super) const FUNCTION: &str = "Hearth, function that streams";

/// What the last piece says.
const LAST: &str = "World!";

pub(super) async fn measure(suite: &Suite<'_>) -> anyhow::Result<Lines> {
    let node = &suite.node;
    let source = suite.options.places.root.join("bench/functions/stream");
    let bare = Bare::start("node server.js", &source).await?;
    let server = ["--web", "--handler", "server.js"];
    let server = deploy(node, "stream-server", &source, &server, Mode::Buffered).await?;
    let function = ["--handler", "function.handler"];
    let function = deploy(node, "stream-function", &source, &function, Mode::Streamed).await?;
    let mut lines = Lines::default();
    for (group, until) in [(FIRST_BYTE, Until::FirstByte), (WHOLE, Until::Whole)] {
        let plan = Plan {
            group,
            callers: &CALLERS,
            rounds: suite.options.rounds,
            duration: suite.options.duration(),
            until,
        };
        let asked = vec![
            Asked::new(BARE, bare.target(LAST)),
            Asked::new(SERVER, server.target(node, "/", LAST)),
            Asked::new(FUNCTION, function.target(node, "/", LAST)),
        ];
        rounds(&plan, asked, &mut lines).await?;
    }
    Ok(lines)
}
