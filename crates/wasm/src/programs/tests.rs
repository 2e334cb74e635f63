use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

use tempfile::TempDir;

use super::*;
use crate::program::Shape;

fn options(dir: &TempDir) -> WallOptions {
    WallOptions {
        cache_dir: dir.path().join("cache"),
        cache_bytes: u64::MAX,
        secret: [3; 32],
        parallel_compilations: 2,
        loaded_programs: 100,
        loaded_bytes: u64::MAX,
        instances: 2,
        memory_bytes: 1 << 30,
        wait: std::time::Duration::from_secs(1),
        outside: hearth_egress::Outside::default(),
    }
}

/// What a process has when it starts.
fn programs(options: &WallOptions) -> Programs {
    let engines = Engines::new(options.instances).expect("engines");
    Programs::new(Arc::new(engines), options).expect("programs")
}

/// The file of a command that is like no other.
fn command(dir: &TempDir, name: usize) -> PathBuf {
    let text = format!(
        r#"(component
            (core module $main (func (export "run") (result i32) i32.const {name} drop i32.const 0))
            (core instance $main (instantiate $main))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.3" (instance $exported)))"#
    );
    let path = dir.path().join(format!("{name}.wasm"));
    fs::write(&path, wat::parse_str(text).expect("a component")).expect("written");
    path
}

/// Asks for a digest; answers what came of it and whether the source was asked for.
async fn ask(programs: &Programs, digest: Digest, file: PathBuf) -> (Outcome, bool) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let outcome = programs
        .of_digest(digest, move || async move {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(file)
        })
        .await;
    (outcome, asked.load(Ordering::Relaxed) == 1)
}

fn cached_files(options: &WallOptions) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(&options.cache_dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn the_next_process_loads_what_this_one_compiled() {
    let dir = tempfile::tempdir().expect("a folder");
    let (options, file) = (options(&dir), command(&dir, 1));
    let first = programs(&options);
    let digest = digest(&file).expect("a digest");
    assert!(first.loaded(&digest).is_none());
    let (program, compiled) = ask(&first, digest, file.clone()).await;
    let program = program.expect("a program");
    assert!(compiled);
    assert_eq!(program.shape(), Shape::Command);
    // Once loaded, it is that one for all.
    assert!(Arc::ptr_eq(
        &program,
        &first.loaded(&digest).expect("loaded")
    ));
    assert!(Arc::ptr_eq(
        &program,
        &first.of_file(&file).await.expect("a program")
    ));

    let (program, compiled) = ask(&programs(&options), digest, file).await;
    program.expect("a program");
    assert!(!compiled);
}

#[tokio::test]
async fn a_damaged_file_is_made_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let (options, file) = (options(&dir), command(&dir, 1));
    programs(&options).of_file(&file).await.expect("a program");
    let [kept] = cached_files(&options).try_into().expect("one file");
    let whole = fs::read(&kept).expect("a file");
    let digest = digest(&file).expect("a digest");
    for damage in [&whole[..whole.len() / 2], b"", b"\x7fELF"] {
        fs::write(&kept, damage).expect("written");
        let (program, compiled) = ask(&programs(&options), digest, file.clone()).await;
        assert_eq!(program.expect("a program").shape(), Shape::Command);
        assert!(compiled);
        let (_, compiled) = ask(&programs(&options), digest, file.clone()).await;
        assert!(!compiled, "it was not kept");
    }
}

#[tokio::test]
async fn without_room_on_the_disk_a_program_runs_all_the_same() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = command(&dir, 1);
    let mut options = options(&dir);
    // No room that the operator gives.
    options.cache_bytes = 10;
    programs(&options).of_file(&file).await.expect("a program");
    assert_eq!(cached_files(&options), Vec::<PathBuf>::new());
    // No folder any more: every write fails.
    options.cache_bytes = u64::MAX;
    let programs = programs(&options);
    fs::remove_dir_all(&options.cache_dir).expect("removed");
    let program = programs.of_file(&file).await.expect("a program");
    assert_eq!(program.shape(), Shape::Command);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_asks_at_the_same_time_shares_one_compilation() {
    let dir = tempfile::tempdir().expect("a folder");
    let (options, file) = (options(&dir), command(&dir, 1));
    let digest = digest(&file).expect("a digest");
    let programs = programs(&options);
    let asking: Vec<_> = (0..32)
        .map(|_| {
            let (programs, file) = (programs.clone(), file.clone());
            tokio::spawn(async move { ask(&programs, digest, file).await })
        })
        .collect();
    let mut compiled = 0;
    let mut all = Vec::new();
    for asked in asking {
        let (program, was_asked) = asked.await.expect("an answer");
        all.push(program.expect("a program"));
        compiled += usize::from(was_asked);
    }
    assert_eq!(compiled, 1);
    assert!(all.iter().all(|program| Arc::ptr_eq(program, &all[0])));
    assert!(programs.flights().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_share_a_folder_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = options(&dir);
    let files: Vec<_> = (0..4).map(|name| command(&dir, name)).collect();
    let processes = [programs(&options), programs(&options)];
    let mut asking = Vec::new();
    for process in &processes {
        for file in files.clone() {
            let process = process.clone();
            asking.push(tokio::spawn(async move { process.of_file(&file).await }));
        }
    }
    for asked in asking {
        asked.await.expect("an answer").expect("a program");
    }
    assert_eq!(cached_files(&options).len(), files.len());
    let third = programs(&options);
    for file in files {
        let digest = digest(&file).expect("a digest");
        assert!(!ask(&third, digest, file).await.1);
    }
}

#[tokio::test]
async fn an_asker_that_goes_away_leaves_the_compilation_to_the_next() {
    let dir = tempfile::tempdir().expect("a folder");
    let (options, file) = (options(&dir), command(&dir, 1));
    let digest = digest(&file).expect("a digest");
    let programs = programs(&options);
    {
        let mut asking = std::pin::pin!(ask(&programs, digest, file.clone()));
        std::future::poll_fn(|cx| {
            let _ = asking.as_mut().poll(cx);
            std::task::Poll::Ready(())
        })
        .await;
    }
    let (program, asked) = ask(&programs, digest, file).await;
    program.expect("a program");
    assert!(!asked);
}

#[tokio::test]
async fn a_refusal_reaches_all_who_wait_and_is_not_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let (options, file) = (options(&dir), command(&dir, 1));
    let digest = digest(&file).expect("a digest");
    let programs = programs(&options);
    let lost = dir.path().join("lost.wasm");
    match ask(&programs, digest, lost).await.0 {
        Err(Refusal::Internal(said)) => assert!(said.contains("lost.wasm"), "{said}"),
        other => panic!("{other:?}"),
    }
    let core = dir.path().join("core.wasm");
    fs::write(&core, wat::parse_str("(module)").expect("a module")).expect("written");
    match programs.of_file(&core).await {
        Err(Refusal::Invalid(said)) => assert!(said.contains("core WebAssembly module"), "{said}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(cached_files(&options), Vec::<PathBuf>::new());
    ask(&programs, digest, file).await.0.expect("a program");
}

#[tokio::test]
async fn what_fits_no_instance_is_refused_with_the_bound_and_not_kept() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = options(&dir);
    let file = dir.path().join("large.wasm");
    let text = r#"(component
        (core module $main (table 1000000 funcref) (func (export "run") (result i32) i32.const 0))
        (core instance $main (instantiate $main))
        (func $run (result (result)) (canon lift (core func $main "run")))
        (instance $exported (export "run" (func $run)))
        (export "wasi:cli/run@0.2.3" (instance $exported)))"#;
    fs::write(&file, wat::parse_str(text).expect("a component")).expect("written");
    match programs(&options).of_file(&file).await {
        Err(Refusal::Invalid(said)) => {
            assert!(said.contains("more than one instance may have"), "{said}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(cached_files(&options), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn of_those_that_nobody_holds_the_least_recently_used_are_unloaded() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut options = options(&dir);
    options.loaded_programs = 2;
    let programs = programs(&options);
    let mut held = Vec::new();
    let mut digests = Vec::new();
    for name in 0..3 {
        let file = command(&dir, name);
        digests.push(digest(&file).expect("a digest"));
        held.push(programs.of_file(&file).await.expect("a program"));
    }
    // All of them are held: the bound is for those that are not.
    assert!(
        digests
            .iter()
            .all(|digest| programs.loaded(digest).is_some())
    );
    held.truncate(1);
    let file = command(&dir, 3);
    programs.of_file(&file).await.expect("a program");
    let left: Vec<_> = digests
        .iter()
        .map(|digest| programs.loaded(digest).is_some())
        .collect();
    assert_eq!(left, [true, false, false]);
    // It comes back from the disk.
    let file = dir.path().join("1.wasm");
    let (program, compiled) = ask(&programs, digests[1], file).await;
    program.expect("a program");
    assert!(!compiled);
}
