//! Figures, for a person: `cargo test -p hearth-worker --test environments -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::rig::{Body, Rig, invocation};
use hearth_types::invoke::Invoker as _;

const ROUNDS: usize = 2_000;

pub(crate) fn report() -> Body {
    Box::pin(async {
        let rig = Rig::new(|_| {}).await;
        for (runtime, file, source) in [
            (
                "python3.11",
                "app.py",
                "def handler(event, context): return event",
            ),
            (
                "nodejs20.x",
                "app.js",
                "exports.handler = async (event) => event;",
            ),
        ] {
            let mut cold = Vec::new();
            for _ in 0..10 {
                let function = rig.deploy(runtime, &[(file, source)], |_| {}).await;
                rig.worker.prepare(function.clone()).await.unwrap();
                let began = Instant::now();
                rig.result(&function, json!({})).await;
                cold.push(began.elapsed());
            }
            let function = rig.deploy(runtime, &[(file, source)], |_| {}).await;
            rig.result(&function, json!({})).await;
            let mut warm = Vec::with_capacity(ROUNDS);
            let mut inside = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                let invocation = invocation(&function, json!({"hello": "world"}));
                let began = Instant::now();
                let outcome = rig.worker.invoke(invocation).await.unwrap();
                warm.push(began.elapsed());
                inside.push(outcome.report.duration);
            }
            println!(
                "{runtime}: cold {}; warm, invoke() to outcome {}; of it handed over to answered {}",
                shown(&mut cold),
                shown(&mut warm),
                shown(&mut inside)
            );
            for callers in [1_usize, 16, 64] {
                let began = Instant::now();
                let each = 6_400 / callers;
                let tasks: Vec<_> = (0..callers)
                    .map(|_| {
                        let (worker, function) = (rig.worker.clone(), function.clone());
                        tokio::spawn(async move {
                            for _ in 0..each {
                                worker
                                    .invoke(invocation(&function, json!({})))
                                    .await
                                    .unwrap();
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                let rate = (each * callers) as f64 / began.elapsed().as_secs_f64();
                println!(
                    "{runtime}: {callers} callers: {rate:.0}/s; {:?}",
                    rig.stats()
                );
            }
        }
        rig.end().await;
    })
}

fn shown(times: &mut [Duration]) -> String {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    format!("p50 {:?} p99 {:?}", at(50), at(99))
}
