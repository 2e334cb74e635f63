//! `wasi:cli/environment`, 0.2 and 0.3: read from the grants when a guest asks.
//!
//! WASI's own context would take a copy of every variable for each instance, most of which never look.

use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::{p2, p3};

use crate::engines::Model;
use crate::state::State;

/// What a guest was granted, as `wasi:cli/environment` reads it. There are no arguments and there is no folder.
struct Environment<'a>(&'a [(String, String)]);

struct HasEnvironment;

impl HasData for HasEnvironment {
    type Data<'a> = Environment<'a>;
}

fn of(state: &mut State) -> Environment<'_> {
    Environment(&state.grants.environment)
}

/// Puts these in place of WASI's.
///
/// # Errors
/// Never for what a guest did.
pub(crate) fn add_to_linker(model: Model, linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    p2::bindings::cli::environment::add_to_linker::<_, HasEnvironment>(linker, of)?;
    if model == Model::Concurrent {
        p3::bindings::cli::environment::add_to_linker::<_, HasEnvironment>(linker, of)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

impl p2::bindings::cli::environment::Host for Environment<'_> {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.0.to_vec())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}

impl p3::bindings::cli::environment::Host for Environment<'_> {
    fn get_environment(&mut self) -> wasmtime::Result<Vec<(String, String)>> {
        Ok(self.0.to_vec())
    }

    fn get_arguments(&mut self) -> wasmtime::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn get_initial_cwd(&mut self) -> wasmtime::Result<Option<String>> {
        Ok(None)
    }
}
