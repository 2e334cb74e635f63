//! What the host keeps for one instance: the data of its store.

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::hooks::Hooks;
use crate::limits::Limits;

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
