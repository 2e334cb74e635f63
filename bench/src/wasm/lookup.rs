//! Look-up: what a request costs on a node with few functions and on one with many, asked in turn.

use std::time::Duration;

use super::functions::{self, Package};
use super::{EXPECTED, Suite};
use crate::hearth::Hearth;
use crate::load;
use crate::report::Lines;

/// Functions of the smaller node: all of them are asked in turn, and as many of the larger one.
pub(crate) const FEW: u32 = 10;
/// How many callers ask at the same time.
pub(crate) const CALLERS: [usize; 2] = [1, 16];
/// How the lines are named.
pub(crate) const GROUP: &str = "look-up";
pub(crate) const SMALL: &str = "few functions";
pub(crate) const LARGE: &str = "many functions";

/// More rounds than elsewhere, as the sides should be equal and the machine's moods are larger than their difference.
const ROUNDS: usize = 9;

pub(crate) async fn measure(suite: &Suite<'_>) -> anyhow::Result<Lines> {
    let many = suite.options.functions;
    let package = Package::read(&suite.component("hello.wasm"))?;
    let mut sides = Vec::new();
    for (name, count) in [(SMALL, FEW), (LARGE, many)] {
        eprintln!("look-up: deploy {count} functions");
        let node = Hearth::start(&suite.options.places.hearth).await?;
        functions::deploy_many(&node, "f", 0..count, &package, false).await?;
        sides.push((name, node, count));
    }
    let duration = Duration::from_secs_f64(suite.options.seconds / 2.0);
    let mut lines = Lines::default();
    for _ in 0..ROUNDS {
        for callers in CALLERS {
            for (name, node, count) in &sides {
                let spread = (0..FEW).map(|number| {
                    let name = format!("f-{}", number * (count / FEW));
                    node.invocation(&name, "{}", EXPECTED)
                });
                let targets = spread.collect::<anyhow::Result<Vec<_>>>()?;
                load::run_all(&targets, callers, duration / 4).await?;
                let sample = load::run_all(&targets, callers, duration).await?;
                lines.add(GROUP, name, callers, sample);
            }
            sides.reverse();
        }
    }
    for (_, node, _) in sides {
        node.stop().await?;
    }
    lines.0.sort_by_key(|line| line.callers);
    Ok(lines)
}
