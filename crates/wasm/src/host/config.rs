//! `wasi:config/store@0.2.0-rc.1`: the environment's variables, read when a guest asks.

use wasmtime::component::{HasData, Linker};

use crate::state::State;

#[allow(missing_docs, unreachable_pub, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/config",
        world: "imports",
        imports: { default: trappable },
    });
}

use bindings::wasi::config::store;

/// What a guest was granted, as `wasi:config` reads it. Looking something up never fails.
struct Config<'a>(&'a [(String, String)]);

struct HasConfig;

impl HasData for HasConfig {
    type Data<'a> = Config<'a>;
}

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasConfig>(linker, |state| Config(&state.grants.environment))
}

impl store::Host for Config<'_> {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        let found = self.0.iter().find(|(name, _)| *name == key);
        Ok(Ok(found.map(|(_, value)| value.clone())))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        Ok(Ok(self.0.to_vec()))
    }
}
