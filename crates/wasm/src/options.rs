//! How the wall is set up. Everything comes in as a value (INV-6).

use std::path::PathBuf;
use std::time::Duration;

use hearth_egress::Outside;

/// How the wall is set up.
#[derive(Clone, Debug)]
pub struct WallOptions {
    /// Folder of compiled components: the wall's own, made if it is not there.
    pub cache_dir: PathBuf,
    /// Bound on what compiled components take of the disk, bytes; those that nobody uses go first.
    pub cache_bytes: u64,
    /// What only this node knows: compiled components are native code, and only those that carry a tag made with it
    /// are loaded. A new secret makes the cache worthless, and nothing else.
    pub secret: [u8; 32],
    /// Components that are compiled at the same time, at least 1.
    pub parallel_compilations: usize,
    /// Programs that stay loaded though no [`crate::Function`] holds them: each takes a file descriptor and a few
    /// mappings, of which Linux grants a process 65,530 (`vm.max_map_count`).
    pub loaded_programs: usize,
    /// Bound on the compiled code of programs that stay loaded though no [`crate::Function`] holds them, bytes. It is
    /// mapped from the cache's files: address space for certain, memory as far as it was touched.
    pub loaded_bytes: u64,
    /// Instances that there can be at the same time: slots of the pooling allocator.
    pub instances: u32,
    /// Bound on the linear memory, tables and `/tmp` of all instances together, bytes.
    pub memory_bytes: u64,
    /// Longest that a call waits for an instance, if its deadline does not come first.
    pub wait: Duration,
    /// How far guests' requests reach.
    pub outside: Outside,
}
