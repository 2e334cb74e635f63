//! How the wall is set up. Everything comes in as a value (INV-6).

use std::path::PathBuf;

/// How the wall is set up.
#[derive(Clone, Debug)]
pub struct WallOptions {
    /// Folder of compiled components: the wall's own, made if it is not there.
    pub cache_dir: PathBuf,
    /// Bound on what compiled components take of the disk, bytes; those that nobody uses go first.
    pub cache_bytes: u64,
    /// Components that are compiled at the same time.
    pub parallel_compilations: usize,
    /// Instances that there can be at the same time: slots of the pooling allocator.
    pub instances: u32,
    /// Bound on the linear memory and tables of all instances together, bytes.
    pub memory_bytes: u64,
}
