//! The wall's handle: the engines, their pools, the cache of compiled components.

use std::path::Path;
use std::sync::Arc;

use crate::either::Function;
use crate::function::LocalFunction;
use crate::grants::Grants;
use crate::host;
use crate::machine::Machine;
use crate::options::WallOptions;
use crate::process::{Reach, Remote};
use crate::program::{Program, Refusal};
use crate::programs::Programs;

/// The wall. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Wall {
    machine: Arc<Machine>,
    programs: Programs,
}

impl Wall {
    /// Sets the engines and their pools up. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// If the cache folder can't be made, or the host can't give the address space of the pool.
    pub fn new(options: WallOptions) -> std::io::Result<Self> {
        let machine = Machine::new(&options)?;
        let programs = Programs::new(Arc::clone(&machine.engines), &options)?;
        Ok(Self { machine, programs })
    }

    /// The program of the component in `file`: from memory, from the cache, or compiled now. Reads and hashes the whole
    /// file: for those who have its digest, there are [`Wall::loaded_program`] and [`Wall::program_of`].
    ///
    /// # Errors
    /// Why it can't be run. Whoever asks for the same component at the same time gets the same error; it is not kept.
    ///
    /// # Cancel safety
    /// A compilation that was begun goes on, for the next who asks.
    pub async fn program(&self, file: &Path) -> Result<Arc<Program>, Refusal> {
        self.programs.of_file(file).await
    }

    /// The program of a SHA-256, if it is loaded: takes no lock, and as long for ten programs as for ten thousand.
    pub fn loaded_program(&self, digest: &[u8; 32]) -> Option<Arc<Program>> {
        self.programs.loaded(digest)
    }

    /// The program of the SHA-256 of a component or of a package that holds it: from memory, from the cache, or compiled
    /// now of the file that `source` leads to. `source` is called at most once, and only if there is something to
    /// compile; what it gives is dropped when the file was read. It must lead to the same component whenever it is given
    /// with the same digest.
    ///
    /// # Errors
    /// As [`Wall::program`], and those of `source`.
    ///
    /// # Cancel safety
    /// As [`Wall::program`].
    pub async fn program_of<P, F>(
        &self,
        digest: [u8; 32],
        source: impl FnOnce() -> F + Send + 'static,
    ) -> Result<Arc<Program>, Refusal>
    where
        P: AsRef<Path> + Send + 'static,
        F: Future<Output = Result<P, Refusal>> + Send,
    {
        self.programs.of_digest(digest, source).await
    }

    /// Whether guests can have a `/tmp` ([`Grants::tmp_bytes`]): it is a file system of its own, which only a privileged
    /// process can make.
    ///
    /// # Errors
    /// Why not.
    pub fn tmp(&self) -> std::io::Result<()> {
        host::probe_tmp()
    }

    /// A program with what it is granted, whose guests run here.
    pub fn function(&self, program: Arc<Program>, grants: Grants) -> Function {
        let machine = Arc::clone(&self.machine);
        Function::here(LocalFunction::new(machine, program, grants))
    }

    /// A program with what it is granted, whose guests run in the process that `reach` gives. It is made ready there by
    /// its first call, and again after the process was replaced.
    pub fn function_in_process(
        &self,
        program: Arc<Program>,
        grants: Grants,
        reach: Reach,
    ) -> Function {
        Function::in_process(Remote::new(
            program,
            grants,
            Arc::clone(&self.machine.egress),
            reach,
        ))
    }
}
