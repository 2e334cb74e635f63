//! `/tmp`: what is in it, what it is bound to, and that it leads nowhere.

use super::*;

/// Making a file system is for privileged processes: without, there is nothing to test but that it is refused.
fn can_be_had() -> bool {
    match SHARED.1.tmp() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("not tested: a /tmp can't be had here: {error}");
            false
        }
    }
}

#[test]
fn without_a_grant_there_are_no_files() {
    run(async {
        let function = function("abuse.wasm", |_| {}).await;
        let said = text(&function, "/tmp").await;
        for line in said.lines().filter(|line| !line.starts_with("preopens=")) {
            assert!(line.contains("=refused"), "{line}");
        }
        assert!(said.contains("preopens=ok \n"), "{said}");
    });
}

#[test]
fn a_tmp_is_the_guests_own_and_leads_nowhere() {
    if !can_be_had() {
        return;
    }
    run(async {
        let function = function("abuse.wasm", |grants| grants.tmp_bytes = Some(1 << 20)).await;
        let said = text(&function, "/tmp").await;
        for line in [
            "preopens=ok /tmp",
            "read=ok mine",
            "list=ok own",
            "remove=ok ",
        ] {
            assert!(said.lines().any(|said| said == line), "{line}: {said}");
        }
        for line in said.lines() {
            assert!(!line.contains("root:"), "a file of this host: {line}");
            let own = ["preopens=", "write=", "read=", "list=", "remove="];
            if !own.iter().any(|own| line.starts_with(own)) {
                assert!(line.contains("=refused"), "{line}");
            }
        }
    });
}

#[test]
fn a_tmp_has_a_bound_on_bytes_and_on_files() {
    if !can_be_had() {
        return;
    }
    run(async {
        let function = function("abuse.wasm", |grants| grants.tmp_bytes = Some(4 << 20)).await;
        for round in 0..2 {
            let said = text(&function, "/fill-tmp").await;
            // Each instance has an empty one.
            assert!(said.contains("mib=4\n"), "round {round}: {said}");
            let files = said.split_once("files=Some(").expect("an end").1;
            let files: u32 = files
                .trim()
                .trim_end_matches(')')
                .parse()
                .expect("a number");
            assert!((64..=512).contains(&files), "{said}");
        }
    });
}
