//! `hearth-bench-instance COMPONENT`: what the wall adds to Wasmtime itself, in one process and without a network.
//!
//! Both sides run the same component in the same turn; the bare side holds nothing back and records nothing: a store,
//! an instance from its `InstancePre`, a call. A program of its own, because it holds all of Wasmtime, which the rest of
//! the benchmarks need not link. Prints one JSON object: for each measurement p50 and p99, nanoseconds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use serde_json::json;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// A part of every right answer.
const EXPECTED: &str = "Hello, World!";

/// Turns, and calls of one side in each.
const TURNS: usize = 20;
const CALLS: usize = 250;

/// What one call took.
struct Took {
    start: Duration,
    request: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let component = PathBuf::from(std::env::args_os().nth(1).context("name a component")?);
    let cache = tempfile::tempdir().context("make a folder")?;
    let ours = Ours::new(cache.path(), &component).await?;
    let bare = wasmtime(Bare::new(&component))?;
    let (mut of_ours, mut of_bare) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        for _ in 0..CALLS {
            // As a server's task does between requests: the runtime gives a task that never waits no more turns.
            tokio::task::yield_now().await;
            let took = ours.call().await?;
            // The first turn warms slots and caches.
            if turn > 0 {
                of_ours.push(took);
            }
        }
        for _ in 0..CALLS {
            tokio::task::yield_now().await;
            let took = bare.call().await?;
            if turn > 0 {
                of_bare.push(took);
            }
        }
    }
    let figures = json!({
        "start": percentiles(&of_ours, |took| took.start),
        "start_bare": percentiles(&of_bare, |took| took.start),
        "request": percentiles(&of_ours, |took| took.request),
        "request_bare": percentiles(&of_bare, |took| took.request),
    });
    println!("{figures}");
    Ok(())
}

/// p50 and p99, nanoseconds.
fn percentiles(took: &[Took], of: fn(&Took) -> Duration) -> [u64; 2] {
    let mut durations: Vec<Duration> = took.iter().map(of).collect();
    durations.sort_unstable();
    [50, 99].map(|percent| {
        let at = durations.get(durations.len() * percent / 100);
        at.map_or(0, |duration| duration.as_nanos() as u64)
    })
}

fn request() -> anyhow::Result<
    Request<http_body_util::combinators::UnsyncBoxBody<Bytes, std::convert::Infallible>>,
> {
    let body = Empty::new().boxed_unsync();
    Ok(Request::get("http://localhost/").body(body)?)
}

async fn read<B>(response: Response<B>) -> anyhow::Result<()>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let body = response.into_body().collect().await;
    let body = body
        .map_err(|error| anyhow::anyhow!("read the answer: {error:?}"))?
        .to_bytes();
    ensure!(body.starts_with(EXPECTED.as_bytes()), "a wrong answer");
    Ok(())
}

/// The wall.
struct Ours {
    function: hearth_wasm::Function,
}

/// A log that nobody reads.
struct Silence;

impl hearth_wasm::Output for Silence {
    fn write(&self, _: hearth_wasm::OutputStream, _: &[u8]) {}
}

impl Ours {
    async fn new(cache: &Path, component: &Path) -> anyhow::Result<Self> {
        let wall = hearth_wasm::Wall::new(hearth_wasm::WallOptions {
            cache_dir: cache.to_owned(),
            cache_bytes: 1 << 30,
            secret: [1; 32],
            parallel_compilations: 1,
            loaded_programs: 16,
            loaded_bytes: 1 << 30,
            instances: 128,
            memory_bytes: 1 << 30,
            wait: Duration::from_secs(1),
            outside: hearth_egress::Outside::default(),
        })?;
        let program = wall.program(component).await?;
        let grants = hearth_wasm::Grants {
            memory_bytes: 128 << 20,
            reuse: 1,
            output_bytes: 1 << 20,
            ..hearth_wasm::Grants::default()
        };
        Ok(Self {
            function: wall.function(program, grants),
        })
    }

    async fn call(&self) -> anyhow::Result<Took> {
        let init = Arc::new(Mutex::new(None));
        let told = init.clone();
        let call = hearth_wasm::Call {
            output: Arc::new(Silence),
            deadline: Instant::now() + Duration::from_secs(3),
            ended: Box::new(move |ending| {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = ending.usage.init;
            }),
        };
        let request = request()?;
        let begin = Instant::now();
        read(self.function.request(request, call).await?).await?;
        let took = begin.elapsed();
        let init = *init.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Took {
            start: init.context("the call made an instance")?,
            request: took,
        })
    }
}

/// Wasmtime's errors are of a type of their own.
fn wasmtime<T>(result: wasmtime::Result<T>) -> anyhow::Result<T> {
    result.map_err(|error| anyhow::anyhow!("{error:?}"))
}

/// Wasmtime and nothing else.
struct Bare {
    pre: ProxyPre<Host>,
}

struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
}

/// Nobody here sends requests.
struct Hooks;

/// What a request that is sent comes back with: a response, and what drives its connection.
type Sent = (
    Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        _: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}

impl Bare {
    fn new(component: &Path) -> wasmtime::Result<Self> {
        let mut pool = PoolingAllocationConfig::new();
        pool.linear_memory_keep_resident(512 << 10)
            .table_keep_resident(512 << 10);
        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .epoch_interruption(true)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
        let component = Component::from_file(&engine, component)?;
        Ok(Self {
            pre: ProxyPre::new(linker.instantiate_pre(&component)?)?,
        })
    }

    async fn call(&self) -> anyhow::Result<Took> {
        let request = request()?;
        let begin = Instant::now();
        let host = Host {
            wasi: WasiCtx::builder().build(),
            http: WasiHttpCtx::new(),
            hooks: Hooks,
            table: ResourceTable::new(),
        };
        let mut store = Store::new(self.pre.engine(), host);
        store.set_epoch_deadline(1);
        let instance = wasmtime(self.pre.instantiate_async(&mut store).await)?;
        let start = begin.elapsed();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let request = wasmtime(
            store
                .data_mut()
                .http()
                .new_incoming_request(Scheme::Http, request),
        )?;
        let out = wasmtime(store.data_mut().http().new_response_outparam(sender))?;
        // The guest goes on after its response began: the body comes from there.
        let guest = tokio::spawn(async move {
            let handler = instance.wasi_http_incoming_handler();
            handler.call_handle(&mut store, request, out).await
        });
        let response = receiver.await.context("wait for the response")??;
        read(response).await?;
        wasmtime(guest.await.context("wait for the guest")?)?;
        Ok(Took {
            start,
            request: begin.elapsed(),
        })
    }
}
