use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;
use wasmtime::Store;
use wasmtime::component::Linker;

use super::*;
use crate::engines::Model;

const DIGEST: Digest = [7; 32];
const SECRET: [u8; 32] = [1; 32];

/// A base, and compiled code of a component that answers 42, as the linker of nothing needs it.
fn compiled() -> &'static (Base, Vec<u8>) {
    static COMPILED: OnceLock<(Base, Vec<u8>)> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let base = Base::new(Model::Sequential, 4).expect("an engine");
        let component = wat::parse_str(
            r#"(component
                (core module $main
                    (memory 1)
                    (data (i32.const 0) "\2a\00\00\00")
                    (func (export "answer") (result i32) (i32.load (i32.const 0))))
                (core instance $main (instantiate $main))
                (func (export "answer") (result u32) (canon lift (core func $main "answer"))))"#,
        )
        .expect("a component");
        let artefact = base.engine.precompile_component(&component);
        (base, artefact.expect("compiled"))
    })
}

fn open(dir: &TempDir, bound: u64) -> Cache {
    Cache::open(dir.path(), bound, &SECRET).expect("a cache")
}

/// A cache with the file of [`DIGEST`].
fn stored() -> (TempDir, Cache) {
    let dir = tempfile::tempdir().expect("a folder");
    let cache = open(&dir, u64::MAX);
    store(&cache, &DIGEST);
    (dir, cache)
}

fn store(cache: &Cache, digest: &Digest) {
    cache
        .store(&compiled().0, digest, &compiled().1, &HashSet::new())
        .expect("stored");
}

fn path(cache: &Cache, digest: &Digest) -> PathBuf {
    cache.path(&compiled().0, digest)
}

fn is_loaded(cache: &Cache) -> bool {
    cache.load(&compiled().0, &DIGEST).is_some()
}

async fn answer(component: &Component) -> u32 {
    let mut store = Store::new(&compiled().0.engine, ());
    store.set_epoch_deadline(1_000_000);
    let instance = Linker::new(&compiled().0.engine)
        .instantiate_async(&mut store, component)
        .await
        .expect("an instance");
    let function = instance
        .get_typed_func::<(), (u32,)>(&mut store, "answer")
        .expect("a function");
    function
        .call_async(&mut store, ())
        .await
        .expect("an answer")
        .0
}

#[tokio::test]
async fn what_was_stored_runs() {
    let (dir, cache) = stored();
    let mapped = cache.load(&compiled().0, &DIGEST).expect("loaded");
    assert_eq!(mapped.bytes, compiled().1.len() as u64);
    // Also after its file is gone.
    drop(dir);
    assert_eq!(answer(&mapped.component).await, 42);
}

#[test]
fn the_folder_and_its_files_are_for_this_user_alone() {
    let (dir, cache) = stored();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(dir.path()), 0o700);
    assert_eq!(mode(&path(&cache, &DIGEST)), 0o600);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("changed");
    open(&dir, u64::MAX);
    assert_eq!(mode(dir.path()), 0o700);
}

#[test]
fn a_file_with_any_bit_changed_is_not_trusted() {
    let (_dir, cache) = stored();
    let path = path(&cache, &DIGEST);
    let whole = fs::read(&path).expect("a file");
    let code = whole.len() - TRAILER_BYTES;
    // All of the trailer, the first page and the last, and of the rest a byte now and then, at no regular distance.
    let offsets = (0..code)
        .step_by(463)
        .chain(0..64)
        .chain(code - 16..whole.len());
    for at in offsets {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).expect("written");
        assert!(!is_loaded(&cache), "byte {at} of {}", whole.len());
    }
    fs::write(&path, &whole).expect("written");
    assert!(is_loaded(&cache));
}

#[test]
fn a_file_of_another_length_is_not_trusted() {
    let (_dir, cache) = stored();
    let path = path(&cache, &DIGEST);
    let whole = fs::read(&path).expect("a file");
    let lengths = (0..whole.len())
        .step_by(997)
        .chain(whole.len() - TRAILER_BYTES - 2..whole.len());
    for length in lengths {
        fs::write(&path, &whole[..length]).expect("written");
        assert!(!is_loaded(&cache), "{length} of {}", whole.len());
    }
    for more in [1, TRAILER_BYTES, 4096] {
        let mut longer = whole.clone();
        longer.resize(whole.len() + more, 0);
        fs::write(&path, &longer).expect("written");
        assert!(!is_loaded(&cache), "{more} more");
    }
    // A whole trailer at the end of what is not whole.
    let mut shorter = whole[..4096].to_vec();
    shorter.extend_from_slice(&whole[whole.len() - TRAILER_BYTES..]);
    fs::write(&path, &shorter).expect("written");
    assert!(!is_loaded(&cache));
}

#[test]
fn a_file_of_another_component_engine_or_node_is_not_trusted() {
    let (dir, cache) = stored();
    let file = fs::read(path(&cache, &DIGEST)).expect("a file");

    let other = [8; 32];
    fs::write(path(&cache, &other), &file).expect("written");
    assert!(cache.load(&compiled().0, &other).is_none());

    let mut changed = Base::new(Model::Sequential, 1).expect("an engine");
    changed.fingerprint[31] ^= 1;
    assert_eq!(cache.path(&changed, &DIGEST), path(&cache, &DIGEST));
    assert!(cache.load(&changed, &DIGEST).is_none());
    changed.fingerprint[0] ^= 1;
    fs::write(cache.path(&changed, &DIGEST), &file).expect("written");
    assert!(cache.load(&changed, &DIGEST).is_none());

    let node = Cache::open(dir.path(), u64::MAX, &[2; 32]).expect("a cache");
    assert!(!is_loaded(&node));
    assert!(is_loaded(&cache));
}

#[test]
fn engines_that_compile_otherwise_have_other_fingerprints() {
    let mut config = wasmtime::Config::new();
    let one = fingerprint(&Engine::new(&config).expect("an engine"));
    let same = fingerprint(&Engine::new(&config).expect("an engine"));
    config.epoch_interruption(true);
    let other = fingerprint(&Engine::new(&config).expect("an engine"));
    assert_eq!(one, same);
    assert_ne!(one, other);
}

#[test]
fn what_is_not_a_file_is_not_trusted() {
    let (_dir, cache) = stored();
    fs::remove_file(path(&cache, &DIGEST)).expect("removed");
    assert!(!is_loaded(&cache));
    fs::create_dir(path(&cache, &DIGEST)).expect("made");
    assert!(!is_loaded(&cache));
}

#[test]
fn leftovers_are_removed_and_files_being_written_are_not() {
    let (dir, cache) = stored();
    let left = dir.path().join("new-left");
    let written = dir.path().join("new-written");
    fs::write(&left, "half").expect("written");
    let writer = File::create(&written).expect("made");
    writer.lock_shared().expect("locked");
    open(&dir, u64::MAX);
    assert!(!left.exists());
    assert!(written.exists());
    assert!(is_loaded(&cache));
    drop(writer);
    open(&dir, u64::MAX);
    assert!(!written.exists());
}

#[test]
fn those_that_were_not_used_for_the_longest_time_go_first() {
    let dir = tempfile::tempdir().expect("a folder");
    let one = (compiled().1.len() + TRAILER_BYTES) as u64;
    let cache = open(&dir, 3 * one);
    let day = Duration::from_secs(86_400);
    let begin = SystemTime::UNIX_EPOCH + 1000 * day;
    for name in 0..3 {
        store(&cache, &[name; 32]);
        // The first is the oldest.
        let file = File::open(path(&cache, &[name; 32])).expect("a file");
        file.set_modified(begin + day * u32::from(name))
            .expect("set");
    }
    // A load is a use.
    assert!(cache.load(&compiled().0, &[0; 32]).is_some());
    store(&cache, &[3; 32]);
    let left = |name: u8| path(&cache, &[name; 32]).exists();
    assert!(left(0) && !left(1) && left(2) && left(3));
    // What is loaded goes after all that is not, whenever its file was read.
    let loaded = HashSet::from([[2; 32]]);
    cache
        .store(&compiled().0, &[4; 32], &compiled().1, &loaded)
        .expect("stored");
    assert!(left(2) && left(4));
    assert!(!left(0) || !left(3));
}

#[test]
fn what_is_larger_than_the_cache_is_not_stored_and_removes_nothing() {
    let (dir, _) = stored();
    let cache = open(&dir, compiled().1.len() as u64);
    assert!(
        cache
            .store(&compiled().0, &[9; 32], &compiled().1, &HashSet::new())
            .is_err()
    );
    assert!(is_loaded(&cache));
}
