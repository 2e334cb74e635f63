//! How long a call takes, beside what Wasmtime alone takes for an instance.
//!
//! ```sh
//! cargo run --release -p hearth-wasm --example pace -- tests/fixtures/wasm/hello.wasm
//! ```
//!
//! Figures are microseconds for each of many calls one after another, by the clock and of processor time, and calls a
//! second of all threads together. `pool` as a second argument compares settings of Wasmtime's pool instead.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hearth_egress::Outside;
use hearth_wasm::{Call, Function, Grants, Output, OutputStream, Wall, WallOptions};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store,
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
    WasiHttpView,
};

type Error = Box<dyn std::error::Error + Send + Sync>;

const ROUNDS: u32 = 20_000;

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let component = PathBuf::from(arguments.next().ok_or("which component?")?);
    let runtime = tokio::runtime::Runtime::new()?;
    if arguments.next().as_deref() == Some("pool") {
        for (name, change) in variants() {
            let bare = runtime.block_on(bare(&component, change))?;
            println!("bare, {name}: {bare}");
        }
        return Ok(());
    }
    let bare = runtime.block_on(bare(&component, |_, _| {}))?;
    println!("bare instance, Wasmtime's defaults: {bare}");
    let folder = tempfile::tempdir()?;
    let wall = {
        let _inside = runtime.enter();
        Wall::new(options(folder.path()))?
    };
    for reuse in [1, 128] {
        let function = runtime.block_on(function(&wall, &component, reuse))?;
        let (whole, init) = runtime.block_on(one_after_another(&function))?;
        println!(
            "reuse {reuse}: a call {whole}; its instance {} us",
            micros(init)
        );
        for tasks in [1, 16, 64] {
            let rate = at_once(&runtime, &function, tasks)?;
            println!("reuse {reuse}: {tasks} at once, {rate:.0} calls a second");
        }
    }
    Ok(())
}

type Change = fn(&mut Config, &mut PoolingAllocationConfig);

fn variants() -> [(&'static str, Change); 9] {
    [
        ("defaults", |_, _| {}),
        ("epochs", |config, _| {
            config.epoch_interruption(true);
        }),
        ("keep 512K", |_, pool| {
            pool.linear_memory_keep_resident(512 << 10)
                .table_keep_resident(512 << 10);
        }),
        ("keep 512K, scan", |_, pool| {
            pool.linear_memory_keep_resident(512 << 10)
                .table_keep_resident(512 << 10)
                .pagemap_scan(Enabled::Auto);
        }),
        ("keep 512K, scan, batch 8", |_, pool| {
            pool.linear_memory_keep_resident(512 << 10)
                .table_keep_resident(512 << 10)
                .pagemap_scan(Enabled::Auto)
                .decommit_batch_size(8);
        }),
        ("batch 8", |_, pool| {
            pool.decommit_batch_size(8);
        }),
        ("batch 64", |_, pool| {
            pool.decommit_batch_size(64);
        }),
        ("no concurrency", |config, _| {
            config.concurrency_support(false);
        }),
        ("stacks cleaned", |config, pool| {
            config.async_stack_zeroing(true);
            pool.async_stack_keep_resident(64 << 10);
        }),
    ]
}

fn micros(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e6 / f64::from(ROUNDS))
}

/// Time by the clock, and of all processors for this process.
#[derive(Clone, Copy)]
struct Spent {
    clock: Instant,
    passed: Duration,
    processor: Duration,
}

impl Spent {
    fn now() -> Self {
        Self {
            clock: Instant::now(),
            passed: Duration::ZERO,
            processor: processor_time().unwrap_or_default(),
        }
    }

    fn since(self) -> Self {
        Self {
            passed: self.clock.elapsed(),
            processor: processor_time().unwrap_or_default() - self.processor,
            ..self
        }
    }
}

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (passed, processor) = (micros(self.passed), micros(self.processor));
        write!(f, "{passed} us, {processor} us of processors")
    }
}

/// `proc_pid_stat(5)`: the 14th and 15th field, hundredths of a second.
fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((next()? + next()?) * 10))
}

#[derive(Default)]
struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: NoWayOut,
}

#[derive(Default)]
struct NoWayOut;

type Sent = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), HttpError>> + Send>,
);

impl WasiHttpHooks for NoWayOut {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, HttpError>> + Send> {
        Box::new(async { Err(HttpError::HttpRequestDenied) })
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

/// Instances made and dropped, and nothing else.
async fn bare(component: &Path, change: Change) -> Result<Spent, Error> {
    let mut config = Config::new();
    let mut pool = PoolingAllocationConfig::new();
    change(&mut config, &mut pool);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = Engine::new(&config)?;
    let component = Component::from_file(&engine, component)?;
    let mut linker = Linker::<State>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    let pre = linker.instantiate_pre(&component)?;
    let mut begin = Spent::now();
    for round in 0..ROUNDS + 1000 {
        if round == 1000 {
            begin = Spent::now();
        }
        let mut store = Store::new(&engine, State::default());
        store.set_epoch_deadline(1_000_000);
        pre.instantiate_async(&mut store).await?;
    }
    Ok(begin.since())
}

fn options(folder: &Path) -> WallOptions {
    WallOptions {
        cache_dir: folder.to_owned(),
        cache_bytes: 1 << 30,
        secret: [0; 32],
        parallel_compilations: 2,
        loaded_programs: 16,
        loaded_bytes: 1 << 30,
        instances: 1000,
        memory_bytes: 8 << 30,
        wait: Duration::from_secs(10),
        outside: Outside::default(),
    }
}

async fn function(wall: &Wall, component: &Path, reuse: u32) -> Result<Function, Error> {
    let program = wall.program(component).await?;
    Ok(wall.function(
        program,
        Grants {
            memory_bytes: 128 << 20,
            reuse,
            output_bytes: 6 << 20,
            ..Grants::default()
        },
    ))
}

struct Silent;

impl Output for Silent {
    fn write(&self, _: OutputStream, _: &[u8]) {}
}

async fn call(function: &Function, init: Arc<std::sync::Mutex<Duration>>) -> Result<(), Error> {
    let call = Call {
        output: Arc::new(Silent),
        deadline: Instant::now() + Duration::from_secs(10),
        ended: Box::new(move |ending| {
            if let (Some(took), Ok(mut init)) = (ending.usage.init, init.lock()) {
                *init += took;
            }
        }),
    };
    let request = Request::get("/")
        .header("host", "localhost")
        .body(Full::<Bytes>::default())?;
    let response = function.request(request, call).await?;
    response.into_body().collect().await?;
    Ok(())
}

async fn one_after_another(function: &Function) -> Result<(Spent, Duration), Error> {
    let init = Arc::default();
    for _ in 0..1000 {
        call(function, Arc::default()).await?;
    }
    let begin = Spent::now();
    for _ in 0..ROUNDS {
        call(function, Arc::clone(&init)).await?;
    }
    let whole = begin.since();
    let init = *init.lock().map_err(|_| "poisoned")?;
    Ok((whole, init))
}

fn at_once(
    runtime: &tokio::runtime::Runtime,
    function: &Function,
    tasks: u32,
) -> Result<f64, Error> {
    let begin = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let function = function.clone();
            runtime.spawn(async move {
                for _ in 0..ROUNDS / tasks {
                    call(&function, Arc::default()).await?;
                    // As a connection does, whose next request is not there yet.
                    tokio::task::yield_now().await;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await??;
        }
        Ok::<_, Error>(())
    })?;
    Ok(f64::from(ROUNDS) / begin.elapsed().as_secs_f64())
}
