//! Compilations in processes of their own: this program is started again for each, hence its own `main`.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hearth_egress::Outside;
use hearth_wasm::{Refusal, Shape, Wall, WallOptions};
use libtest_mimic::{Arguments, Trial};

fn main() {
    hearth_wasm::run_compiler_if_asked();
    let tests: [(&str, fn()); 6] = [
        ("a_component_is_compiled", a_component_is_compiled),
        (
            "what_is_not_valid_is_its_authors_to_mend",
            what_is_not_valid_is_its_authors_to_mend,
        ),
        ("processor_time_is_bounded", processor_time_is_bounded),
        ("memory_is_bounded", memory_is_bounded),
        ("it_ends_with_the_node", it_ends_with_the_node),
        (
            "it_answers_only_what_it_was_given_whole",
            it_answers_only_what_it_was_given_whole,
        ),
    ];
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit()
}

/// A command that has a function with this body besides.
fn command(function: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module (memory 10) {function})
            (core module $main (func (export "run") (result i32) i32.const 0))
            (core instance $main (instantiate $main))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $exported)))"#
    );
    wat::parse_str(text).expect("a component")
}

/// A small component whose compilation takes minutes: all of its values are alive at once.
fn endless() -> Vec<u8> {
    const VALUES: usize = 60_000;
    let mut loads = String::new();
    for at in 0..VALUES {
        write!(loads, "(i64.load offset={} (local.get 0))", at * 8).expect("text");
    }
    let products = "(i64.mul)".repeat(VALUES - 1);
    command(&format!(
        "(func (param i32) (result i64) {loads} {products})"
    ))
}

/// What the wall makes of a component.
fn program(component: &[u8]) -> Result<Shape, Refusal> {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("component.wasm");
    std::fs::write(&file, component).expect("written");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let wall = Wall::new(WallOptions {
            cache_dir: dir.path().join("cache"),
            cache_bytes: 1 << 30,
            secret: [7; 32],
            parallel_compilations: 1,
            loaded_programs: 1,
            loaded_bytes: 1 << 30,
            instances: 1,
            memory_bytes: 1 << 30,
            wait: Duration::from_secs(60),
            outside: Outside::default(),
        })
        .expect("a wall");
        Ok(wall.program(&file).await?.shape())
    })
}

/// A compiler with these bounds.
fn compiler(seconds: u64, bytes: u64) -> Child {
    Command::new("/proc/self/exe")
        .args([
            "--hearth-wasm-compile",
            &seconds.to_string(),
            &bytes.to_string(),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a compiler")
}

/// Gives a compiler the length of a component and the bytes.
fn give(compiler: &mut Child, length: usize, component: &[u8]) {
    let input = compiler.stdin.as_mut().expect("an input");
    input
        .write_all(&(length as u64).to_le_bytes())
        .expect("written");
    input.write_all(component).expect("written");
}

fn a_component_is_compiled() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/wasm");
    let hello = std::fs::read(fixtures.join("hello.wasm")).expect("a component");
    assert_eq!(program(&hello), Ok(Shape::Http02));
}

fn what_is_not_valid_is_its_authors_to_mend() {
    match program(&command("(func (result i32))")) {
        Err(Refusal::Invalid(said)) => assert!(said.contains("type mismatch"), "{said}"),
        other => panic!("{other:?}"),
    }
}

fn processor_time_is_bounded() {
    let component = endless();
    let mut compiler = compiler(1, 2 << 30);
    give(&mut compiler, component.len(), &component);
    // Waiting closes the input, unless somebody has it.
    let _input = compiler.stdin.take();
    let end = compiler.wait().expect("an end");
    /// SIGXCPU on Linux, signal(7).
    const XCPU: i32 = 24;
    assert_eq!(end.signal(), Some(XCPU), "{end}");
}

fn memory_is_bounded() {
    let component = endless();
    let mut compiler = compiler(60, 40 << 20);
    give(&mut compiler, component.len(), &component);
    let mut said = String::new();
    let mut errors = compiler.stderr.take().expect("an output");
    errors.read_to_string(&mut said).expect("text");
    let end = compiler.wait().expect("an end");
    assert!(said.contains("memory allocation of"), "{end}: {said}");
}

fn it_ends_with_the_node() {
    let component = endless();
    let mut compiler = compiler(60, 2 << 30);
    give(&mut compiler, component.len(), &component);
    drop(compiler.stdin.take());
    let end = compiler.wait().expect("an end");
    assert_eq!(end.code(), Some(1), "{end}");
}

fn it_answers_only_what_it_was_given_whole() {
    let component = command("");
    let mut compiler = compiler(60, 2 << 30);
    give(&mut compiler, component.len() + 1, &component);
    let end = compiler.wait_with_output().expect("an end");
    assert_eq!(end.status.code(), Some(1));
    assert_eq!(end.stdout, b"");
}
