//! How the wall is set up. Everything comes in as a value (INV-6).

use std::path::PathBuf;

use hearth_types::network::Prefix;
use std::time::Duration;

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

/// How far guests' requests reach. Which hosts a guest may ask for is its grant; this is about addresses.
#[derive(Clone, Debug)]
pub struct Outside {
    /// Private ranges that are open all the same: as `allowed_private` of the process wall. Addresses of this host,
    /// loopback and metadata services stay closed inside of them.
    pub allowed_private: Vec<Prefix>,
    /// Ranges that are closed whatever else is said: addresses that the process wall gives to its sandboxes.
    pub closed: Vec<Prefix>,
    /// Requests of all guests at the same time, at least 1; more wait. Each has a connection and so a descriptor.
    pub requests: usize,
    /// Whether this host itself can be reached.
    pub this_host: ThisHost,
}

impl Default for Outside {
    fn default() -> Self {
        Self {
            allowed_private: Vec::new(),
            closed: Vec::new(),
            // Half of the descriptors that a process has where nobody raised its limit (`ulimit -n`: 1024).
            requests: 512,
            this_host: ThisHost::Closed,
        }
    }
}

/// Whether guests reach the host that they run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThisHost {
    /// By none of its addresses.
    #[default]
    Closed,
    /// By all of them: for tests, whose servers listen on loopback.
    Open,
}
