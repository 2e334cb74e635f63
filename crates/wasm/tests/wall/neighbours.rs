//! A guest that loops does not keep others from running.

use std::time::Duration;

use hearth_wasm::Failure;

use crate::{call, function, get, text};

#[test]
fn others_go_on_beside_a_loop_on_the_same_thread() {
    // One thread: it is the loop's, too, until the loop gives it back.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (abuse, hello) = crate::run(async {
        tokio::join!(
            function("abuse.wasm", |_| {}),
            function("hello.wasm", |_| {})
        )
    });
    runtime.block_on(async {
        let (looping, mut watch) = call(Duration::from_secs(2));
        let looping = abuse.request(get("/loop"), looping);
        let others = async {
            for _ in 0..100 {
                assert_eq!(text(&hello, "/").await, "Hello, World!\n");
            }
            // The loop is still at it.
            assert!(watch.ended.try_recv().is_err());
        };
        let (looped, ()) = tokio::join!(looping, others);
        assert_eq!(looped.err(), Some(Failure::Timeout));
    });
}
