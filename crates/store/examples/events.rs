//! How many events a second the store accepts, and leads through a lease to their end, with an empty queue and with a
//! long one.
//!
//! ```sh
//! cargo run --release -p hearth-store --example events -- FOLDER [BACKLOG]
//! ```
//!
//! The folder must be on the disk that is meant. Each event has 100 bytes. `fsync` is what the disk gives a single writer.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_store::events::{Event, EventStore as _, Step};
use hearth_store::{EventOptions, SqliteEventStore};
use hearth_types::invoke::RequestId;
use hearth_types::name::FunctionKey;
use hearth_types::time::Timestamp;

type Error = Box<dyn std::error::Error + Send + Sync>;

const ROUND: Duration = Duration::from_secs(4);

static NEXT: AtomicU64 = AtomicU64::new(0);

fn event(function: &FunctionKey, due: i64) -> Event {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Event {
        id: RequestId::from_random(bytes),
        function: function.clone(),
        qualifier: None,
        payload: Bytes::from(vec![b'1'; 100]),
        client_context: None,
        trace_id: "Root=1-5759e988-bd862e3fe1be46a994272793".to_owned(),
        accepted: Timestamp::from_millis(0),
        due: Timestamp::from_millis(due),
    }
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("which folder?")?;
    let backlog: u64 = arguments.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let folder = tempfile::tempdir_in(folder)?;
    println!("fsync: {:.0} a second", fsyncs(folder.path())?);
    let runtime = tokio::runtime::Runtime::new()?;
    let store = SqliteEventStore::open(folder.path().join("events.db"), EventOptions::default())?;
    runtime.block_on(measure(Arc::new(store), backlog))?;
    let opening = Instant::now();
    let path = folder.path().join("events.db");
    drop(SqliteEventStore::open(path, EventOptions::default())?);
    println!("opened again in {:.2} s", opening.elapsed().as_secs_f64());
    Ok(())
}

async fn measure(store: Arc<SqliteEventStore>, backlog: u64) -> Result<(), Error> {
    let key = |name: &str| -> Result<FunctionKey, Error> {
        Ok(FunctionKey {
            account: "000000000000".parse()?,
            region: "us-east-1".parse()?,
            name: name.parse()?,
        })
    };
    let (function, waiting) = (key("f")?, key("waiting")?);
    for queued in [0, backlog] {
        let have = store
            .counts()
            .await?
            .iter()
            .map(|(_, counts)| counts.queued)
            .sum::<u64>();
        let mut filling = tokio::task::JoinSet::new();
        for n in have..queued {
            let (store, waiting) = (Arc::clone(&store), waiting.clone());
            // Due in any order: as retries are.
            let due = 1_000_000 + (n.wrapping_mul(0x9e37_79b9) % 1_000_000) as i64;
            filling.spawn(async move { store.accept(event(&waiting, due)).await });
            if filling.len() >= 2_000
                && let Some(accepted) = filling.join_next().await
            {
                accepted??;
            }
        }
        while let Some(accepted) = filling.join_next().await {
            accepted??;
        }
        println!("{queued} queued: {:.0} MiB of memory", resident_mib());
        for callers in [1, 16, 256] {
            let rate = accepting(&store, &function, callers).await?;
            println!("{queued} queued: {callers} callers, {rate:.0} accepted a second");
            let rate = draining(&store, &function).await?;
            println!("{queued} queued: {rate:.0} leased and settled a second");
        }
    }
    Ok(())
}

async fn accepting(
    store: &Arc<SqliteEventStore>,
    function: &FunctionKey,
    callers: usize,
) -> Result<f64, Error> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..callers {
        let (store, function) = (Arc::clone(store), function.clone());
        tasks.spawn(async move {
            let mut accepted = 0_u64;
            while start.elapsed() < ROUND {
                store.accept(event(&function, 0)).await?;
                accepted += 1;
            }
            Ok::<_, Error>(accepted)
        });
    }
    let mut accepted = 0;
    while let Some(own) = tasks.join_next().await {
        accepted += own??;
    }
    Ok(accepted as f64 / start.elapsed().as_secs_f64())
}

/// Leases all that is due, as the dispatcher does, and settles each event on its own.
async fn draining(store: &Arc<SqliteEventStore>, function: &FunctionKey) -> Result<f64, Error> {
    let start = Instant::now();
    let mut settled = 0_u64;
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let taken = store.take(function, Timestamp::from_millis(0), 64).await?;
        if taken.events.is_empty() || start.elapsed() > 4 * ROUND {
            break;
        }
        for leased in taken.events {
            let store = Arc::clone(store);
            tasks.spawn(async move { store.settle(leased.lease, Step::Done).await });
        }
        while tasks.len() > 64 {
            if let Some(done) = tasks.join_next().await {
                done??;
                settled += 1;
            }
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
        settled += 1;
    }
    Ok(settled as f64 / start.elapsed().as_secs_f64())
}

fn fsyncs(folder: &Path) -> Result<f64, Error> {
    let mut file = File::create(folder.join("probe"))?;
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < ROUND / 4 {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

/// What the process has in memory.
fn resident_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.map_or(0.0, |pages: u32| {
        f64::from(pages) * 4096.0 / f64::from(1 << 20)
    })
}
