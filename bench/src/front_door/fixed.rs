//! Routes that answer by themselves, beside a bare server that says the same: what the front door costs.

use super::{Asked, Plan, Suite, rounds};
use crate::floor::{FLOOR, Floor, HELLO};
use crate::load::Until;
use crate::report::Lines;
use crate::route;

/// How many callers ask at the same time.
pub(super) const CALLERS: [usize; 3] = [1, 16, 64];
/// How the lines are named.
pub(super) const GROUP: &str = "fixed answer";
pub(super) const ROUTE: &str = "Hearth, route";

pub(super) async fn measure(suite: &Suite<'_>) -> anyhow::Result<Lines> {
    let access = &suite.node.access;
    route::fixed(&mut access.api().await?, "fixed", "/fixed", HELLO).await?;
    let floor = Floor::start().await?;
    let asked = vec![
        Asked::new(FLOOR, floor.target.clone()).of_process(floor.id()?),
        Asked::new(ROUTE, route::target(access, "/fixed", HELLO)).of_process(suite.node.id()?),
    ];
    let plan = Plan {
        group: GROUP,
        callers: &CALLERS,
        rounds: suite.options.rounds,
        duration: suite.options.duration(),
        until: Until::Whole,
    };
    let mut lines = Lines::default();
    rounds(&plan, asked, &mut lines).await?;
    Ok(lines)
}
