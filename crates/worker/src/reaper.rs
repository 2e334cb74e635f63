//! Ends environments that nobody needs: idle for too long, too old, or in the way of others.
//!
//! One task, off the way of requests: it looks at all pools at intervals, and when a start finds no room.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::Pool;
use crate::shared::Shared;

/// How often pools are looked at: a fraction of the time that idle environments are kept, within these bounds.
const FRACTION: u32 = 4;
const LEAST_INTERVAL: Duration = Duration::from_millis(20);
const GREATEST_INTERVAL: Duration = Duration::from_secs(2);

/// Works until it is dropped.
pub(crate) async fn reap(shared: Arc<Shared>) {
    let keep_warm = shared.options.keep_warm;
    let mut ticks =
        tokio::time::interval((keep_warm / FRACTION).clamp(LEAST_INTERVAL, GREATEST_INTERVAL));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => sweep(&shared, keep_warm),
            () = shared.capacity.pressed() => make_room(&shared),
        }
    }
}

fn sweep(shared: &Shared, keep_warm: Duration) {
    let now = Instant::now();
    if let Some(idle_since) = now.checked_sub(keep_warm) {
        shared.components.expire(idle_since);
        shared.workers.loaded.expire(idle_since);
    }
    for pool in shared.pools().values() {
        pool.expire(now, now.checked_sub(keep_warm));
        if pool.close_if_empty() {
            shared.forget_closed(pool);
        }
    }
}

/// Evicts idle environments, the least recently used of all deployments first, until those that wait for room will
/// have it or nothing is idle.
fn make_room(shared: &Shared) {
    while shared.capacity.short() {
        let pools = shared.pools();
        let Some(pool) = pools
            .values()
            .filter_map(|pool| Some((pool.least_recently_used()?, pool)))
            .min_by_key(|(since, _)| *since)
            .map(|(_, pool): (Instant, &Arc<Pool>)| pool)
        else {
            return;
        };
        if pool.evict() {
            shared
                .capacity
                .expect(u64::from(pool.deployment.configuration.memory_mib));
        }
    }
}
