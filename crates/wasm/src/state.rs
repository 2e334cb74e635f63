//! What the host keeps for one instance: the data of its store.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::call::{Failure, Output};
use crate::grants::Grants;
use crate::hooks::Hooks;
use crate::host::{self, Outgoing};
use crate::limits::Limits;
use crate::machine::Machine;
use crate::stdio::{Input, Sink};

/// Handles of host resources (streams, bodies, header maps, pollables) that an instance may hold at the same time. A
/// request that fans out holds about 8 for each outgoing request. Together with the sizes in [`crate::hooks`] and
/// [`FIELDS_BYTES`] this bounds what a guest can make the host keep.
const HANDLES: usize = 1024;

/// Size of one header map as the host counts it, names and values and bookkeeping, bytes. What front ends take of a
/// client is 8 to 32 KiB.
const FIELDS_BYTES: usize = 64 << 10;

/// Most random bytes of one call. Larger needs are met by several calls: the host's thread is not held for longer.
const RANDOM_BYTES: u64 = 64 << 10;

/// A guest's standard streams.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(crate) stdin: Option<Input>,
    pub(crate) stdout: Sink,
    pub(crate) stderr: Sink,
}

/// What the host keeps for one instance.
pub(crate) struct State {
    /// What the guest holds handles of.
    pub(crate) table: ResourceTable,
    /// WASI's part.
    pub(crate) wasi: WasiCtx,
    /// The part of `wasi:http`.
    pub(crate) http: WasiHttpCtx,
    /// What `wasi:http` asks of us, with outgoing requests.
    pub(crate) hooks: Hooks,
    /// What it may take of the machine.
    pub(crate) limits: Limits,
    /// What it was granted.
    pub(crate) grants: Arc<Grants>,
    /// Where it is told what was denied.
    pub(crate) log: Arc<dyn Output>,
}

impl State {
    /// The state of an instance that has what is granted and nothing else.
    ///
    /// # Errors
    /// [`Failure::NoRoom`] if there is no memory for a `/tmp` that was granted, [`Failure::Internal`] if it can't be made.
    pub(crate) fn new(
        grants: &Arc<Grants>,
        machine: &Machine,
        streams: Streams,
        log: Arc<dyn Output>,
    ) -> Result<Self, Failure> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);

        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(streams.stdout)
            .stderr(streams.stderr)
            .max_random_size(RANDOM_BYTES)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        if let Some(stdin) = streams.stdin {
            wasi.stdin(stdin);
        }

        let mut limits = Limits::new(grants.memory_bytes, Arc::clone(&machine.budget));
        if let Some(bytes) = grants.tmp_bytes {
            // All of it may be written, and is memory then.
            if !limits.reserve(bytes) {
                return Err(Failure::NoRoom);
            }
            host::give_tmp(&mut wasi, bytes)
                .map_err(|error| Failure::Internal(format!("can't make a /tmp: {error}")))?;
        }

        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(FIELDS_BYTES);

        let outgoing = Outgoing::new(
            Arc::clone(&machine.egress),
            Arc::clone(grants),
            Arc::clone(&log),
        );
        Ok(Self {
            table,
            wasi: wasi.build(),
            http,
            hooks: Hooks::new(outgoing),
            limits,
            grants: Arc::clone(grants),
            log,
        })
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

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}
