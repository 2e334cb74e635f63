use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::*;

fn compiler(parallel: usize) -> Compiler {
    let engines = Engines::new(1).expect("engines");
    Compiler::new(Arc::new(engines), parallel)
}

#[tokio::test]
async fn no_more_compile_at_once_than_may() {
    let compiler = compiler(2);
    let first = compiler.turn().await.expect("a turn");
    let _second = compiler.turn().await.expect("a turn");
    let mut third = pin!(compiler.turn());
    let waits = poll_fn(|cx| Poll::Ready(third.as_mut().poll(cx).is_pending())).await;
    assert!(waits);
    // What was compiled keeps its turn until whoever asked is done with it.
    let component = wat::parse_str("(component)").expect("a component");
    let (first, artefact) = compiler
        .compile(first, Model::Sequential, component)
        .await
        .expect("compiled");
    assert!(!artefact.bytes().is_empty());
    let waits = poll_fn(|cx| Poll::Ready(third.as_mut().poll(cx).is_pending())).await;
    assert!(waits);
    drop(first);
    third.await.expect("a turn");
}

#[tokio::test]
async fn a_compilation_that_nobody_waits_for_gives_its_turn_back() {
    let compiler = compiler(1);
    let turn = compiler.turn().await.expect("a turn");
    let component = wat::parse_str("(component)").expect("a component");
    {
        let mut compilation = pin!(compiler.compile(turn, Model::Sequential, component));
        poll_fn(|cx| {
            let _ = compilation.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    }
    compiler.turn().await.expect("a turn");
}

#[tokio::test]
async fn a_function_that_is_not_valid_is_its_authors_to_mend() {
    let compiler = compiler(1);
    let turn = compiler.turn().await.expect("a turn");
    let component = wat::parse_str("(component (core module (func (result i32))))")
        .expect("text that can be assembled");
    match compiler.compile(turn, Model::Sequential, component).await {
        Err(Refusal::Invalid(said)) => assert!(said.contains("type mismatch"), "{said}"),
        Err(Refusal::Internal(said)) => panic!("the node is blamed: {said}"),
        Ok(_) => panic!("it was compiled"),
    }
}

#[test]
fn a_panic_of_the_compiler_is_the_nodes_fault_and_not_its_end() {
    let threads = ThreadPoolBuilder::new().build().expect("threads");
    let refusal = guarded(|| threads.install(|| panic!("a bug at {}", 7)));
    match refusal {
        Err(Refusal::Internal(said)) => assert!(said.contains("a bug at 7"), "{said}"),
        _ => panic!("not refused"),
    }
    // And the threads go on.
    assert_eq!(threads.install(|| 1), 1);
}

#[test]
fn the_compilers_threads_give_way() {
    let nice = threads()
        .expect("threads")
        .install(|| rustix::process::getpriority_process(None));
    assert!(nice.expect("a niceness") >= NICENESS);
}
