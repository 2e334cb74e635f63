//! An engine: how components are compiled and where their instances live.
//!
//! Everything that changes compiled code is set in [`config`] and nowhere else, so that
//! `Engine::precompile_compatibility_hash` tells one set of artefacts from another. Every limit of the pool is set here
//! by its own line, with where the figure comes from: what is not bounded by the pool is not bounded at all.
//!
//! A *slot* is what one instance may take of the pool. [`slots`] says how many a component needs, so that the wall's
//! semaphore, not an error in the middle of an instantiation, tells a caller to wait.

use std::num::NonZeroUsize;

use wasmtime::component::{Component, Linker};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    ResourcesRequired,
};

use crate::engines::Model;
use crate::environment;
use crate::host;
use crate::state::State;

/// Linear memory that a module can address, bytes: all of a 32-bit memory. A function's own limit is far lower and held
/// by [`crate::limits`]; what is reserved here is address space alone, and saves a bounds check on every access.
const MEMORY_BYTES: u64 = 4 << 30;

/// Unmapped bytes after each linear memory: Wasmtime's default, enough that Cranelift leaves the check of a constant
/// offset out as well.
const GUARD_BYTES: u64 = 32 << 20;

/// Core instances of one component. `componentize-py` links CPython from about 25 modules, `componentize-js` 5, Rust 4.
const CORE_INSTANCES_PER_SLOT: u32 = 64;

/// Tables of one slot. Rust, Python and JavaScript components have one or two each.
const TABLES_PER_SLOT: u32 = 4;

/// Linear memories of one component. All language tools make one; composed components have one for each part.
const MEMORIES_PER_COMPONENT: u32 = 16;

/// Elements of one table, 8 bytes each. SpiderMonkey as `componentize-js` ships it has 20 thousand, CPython 12 thousand.
const TABLE_ELEMENTS: usize = 64 * 1024;

/// What Wasmtime keeps on the heap for one component instance with all its core instances, bytes. Wasmtime's default;
/// CPython needs about 400 KiB.
const INSTANCE_BYTES: usize = 1 << 20;

/// Stack of a guest, bytes. CPython's recursion limit of 1,000 frames needs more than Wasmtime's default of 512 KiB.
const WASM_STACK_BYTES: usize = 1 << 20;

/// Stack of a guest with the host calls it makes on the same stack, bytes: 1 MiB is left to the host.
const STACK_BYTES: usize = 2 << 20;

/// Stacks for each slot: a 0.2 guest has one; a 0.3 guest has one for each call between its components that waits.
const STACKS_PER_SLOT: u32 = 2;

/// Slots that nobody uses but that stay mapped to their last module, so that its next instance costs no `mmap`. What a
/// slot keeps of the machine's memory is bounded by [`KEEP_BYTES`].
const WARM_SLOTS: u32 = 256;

/// Bytes of one memory or table that are cleaned by writing over them when an instance ends, rather than by giving the
/// pages back and taking a fault for each again. A small Rust guest dirties about 100 KiB a request.
const KEEP_BYTES: usize = 512 << 10;

/// Memories whose pages are given back to the kernel together: fewer flushes of other processors' TLBs.
const DECOMMIT_BATCH: usize = 8;

/// Frames in the text of a trap: where it happened and who called it.
const BACKTRACE_FRAMES: usize = 16;

/// What compiles and runs guests of a model, with room for `instances` of them.
///
/// # Errors
/// If the host can't give the address space of the pool.
pub(crate) fn engine(model: Model, instances: u32) -> wasmtime::Result<Engine> {
    let mut config = config(model);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
    Engine::new(&config)
}

/// How guests are compiled.
fn config(model: Model) -> Config {
    let mut config = Config::new();
    let overlap = model == Model::Concurrent;

    // What guests may use. Defaults are named where a guest would gain by them, so that a release of Wasmtime that
    // turns something on doesn't widen the wall unseen.
    config
        .wasm_component_model(true)
        .wasm_component_model_async(overlap)
        .wasm_memory64(false)
        .wasm_simd(true)
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        .wasm_stack_switching(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .concurrency_support(overlap);

    // How memory is reached. Reservation and guard are part of compiled code.
    config
        .memory_reservation(MEMORY_BYTES)
        .memory_guard_size(GUARD_BYTES)
        .memory_may_move(false)
        .guard_before_linear_memory(true)
        .memory_init_cow(true)
        .signals_based_traps(true)
        .table_lazy_init(true);

    // How a guest is stopped.
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .async_stack_size(STACK_BYTES)
        .async_stack_zeroing(false);

    // What a trap can tell. Wasmtime walks stacks by frame pointers: unwind tables would only make artefacts larger.
    config
        .wasm_backtrace_max_frames(NonZeroUsize::new(BACKTRACE_FRAMES))
        .generate_address_map(true)
        .native_unwind_info(false)
        .debug_info(false)
        .cranelift_opt_level(OptLevel::Speed);
    config
}

/// Room for `instances` slots.
fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_SLOT))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(TABLES_PER_SLOT))
        .total_stacks(instances.saturating_mul(STACKS_PER_SLOT))
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .max_core_instances_per_component(CORE_INSTANCES_PER_SLOT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(MEMORIES_PER_COMPONENT * TABLES_PER_SLOT)
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .max_tables_per_module(MEMORIES_PER_COMPONENT)
        .max_memory_size(MEMORY_BYTES as usize)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(instances.min(WARM_SLOTS))
        .decommit_batch_size(DECOMMIT_BATCH)
        .linear_memory_keep_resident(KEEP_BYTES)
        .table_keep_resident(KEEP_BYTES)
        .async_stack_keep_resident(0)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// What a guest of a model can import: WASI 0.2 with `wasi:http`, and 0.3 where calls may overlap; backed by [`State`].
///
/// # Errors
/// Never for what a guest did: two definitions of one name.
pub(crate) fn linker(model: Model, engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if model == Model::Concurrent {
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    }
    environment::add_to_linker(model, &mut linker)?;
    host::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Slots that an instance of `component` takes; `None` if it can't be known, or if it is more than an instance may have.
pub(crate) fn slots(component: &Component) -> Option<u32> {
    component.resources_required().and_then(slots_of)
}

fn slots_of(required: ResourcesRequired) -> Option<u32> {
    let slots = required
        .num_memories
        .max(required.num_tables.div_ceil(TABLES_PER_SLOT))
        .max(1);
    (slots <= MEMORIES_PER_COMPONENT).then_some(slots)
}
