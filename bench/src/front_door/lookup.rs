//! Look-up: what a request at a route costs on a node with few routes and on one with many, ten of which are asked in turn.

use anyhow::Context as _;

use super::{Asked, Plan, Suite, rounds};
use crate::api::Access;
use crate::floor::HELLO;
use crate::hearth::Hearth;
use crate::load::Until;
use crate::report::Lines;
use crate::route;

/// Routes of the smaller node: all of them are asked in turn, and as many of the larger one.
const FEW: u32 = 10;
/// How many callers ask at the same time.
pub(super) const CALLERS: [usize; 2] = [1, 16];
/// How the lines are named.
pub(super) const GROUP: &str = "look-up";
pub(super) const SMALL: &str = "few routes";
pub(super) const LARGE: &str = "many routes";

/// How many connections make routes at the same time.
const MAKERS: u32 = 8;
/// More rounds than elsewhere, as the sides should be equal and the machine's moods are larger than their difference.
const ROUNDS: usize = 9;

pub(super) async fn measure(suite: &Suite<'_>) -> anyhow::Result<Lines> {
    let (mut nodes, mut asked) = (Vec::new(), Vec::new());
    for (name, count) in [(SMALL, FEW), (LARGE, suite.options.routes.max(FEW))] {
        eprintln!("look-up: make {count} routes");
        let node = Hearth::start(&suite.options.places.hearth).await?;
        make(&node.access, count).await?;
        let targets = (0..FEW).map(|number| {
            let path = format!("/service-{}/items/42", number * (count / FEW));
            route::target(&node.access, &path, HELLO)
        });
        asked.push(Asked {
            name,
            targets: targets.collect(),
            server: Some(node.id()?),
        });
        nodes.push(node);
    }
    let plan = Plan {
        group: GROUP,
        callers: &CALLERS,
        rounds: ROUNDS,
        duration: suite.options.duration() / 2,
        until: Until::Whole,
    };
    let mut lines = Lines::default();
    rounds(&plan, asked, &mut lines).await?;
    for node in nodes {
        node.stop().await?;
    }
    lines.0.sort_by_key(|line| line.callers);
    Ok(lines)
}

async fn make(access: &Access, count: u32) -> anyhow::Result<()> {
    let makers: Vec<_> = (0..MAKERS)
        .map(|maker| {
            let access = access.clone();
            tokio::spawn(async move {
                let mut api = access.api().await?;
                for number in (maker..count).step_by(MAKERS as usize) {
                    let path = format!("/service-{number}/items/{{id}}");
                    route::fixed(&mut api, &format!("r-{number}"), &path, HELLO).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for maker in makers {
        maker.await.context("make routes")??;
    }
    Ok(())
}
