//! The wall's handle: the engine, its pool, the cache of compiled components.

use std::path::Path;
use std::sync::Arc;

use crate::function::Function;
use crate::grants::Grants;
use crate::options::WallOptions;
use crate::program::{Program, Refusal};

/// The wall. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Wall {
    options: Arc<WallOptions>,
}

impl Wall {
    /// Sets the engine and its pool up. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the cache folder can't be made, or the host can't give the address space of the pool.
    pub fn new(options: WallOptions) -> std::io::Result<Self> {
        Ok(Self {
            options: Arc::new(options),
        })
    }

    /// The program of the component in `file`: from memory, from the cache, or compiled now. Never on a request's way
    /// unless the cache was lost.
    ///
    /// # Errors
    /// Why it can't be run.
    pub async fn program(&self, file: &Path) -> Result<Arc<Program>, Refusal> {
        let _ = (file, &self.options);
        Err(Refusal::Internal("not there yet".to_owned()))
    }

    /// A program with what it is granted.
    pub fn function(&self, program: Arc<Program>, grants: Grants) -> Function {
        Function::new(self.clone(), program, grants)
    }
}
