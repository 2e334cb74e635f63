use super::*;

/// What the wall says of a component; nothing if it takes it.
fn says(bytes: &[u8]) -> Option<String> {
    let engines = Engines::new(1).expect("engines");
    inspect(bytes, &engines).err().map(|refusal| match refusal {
        Refusal::Invalid(sentence) => sentence,
        Refusal::Internal(sentence) => panic!("the node is blamed: {sentence}"),
    })
}

fn says_of(text: &str) -> Option<String> {
    says(&wat::parse_str(text).expect("text of a component"))
}

/// A command, with more in it.
fn command(more: &str) -> String {
    format!(
        r#"(component
            {more}
            (core module $main (func (export "run") (result i32) i32.const 0))
            (core instance $main (instantiate $main))
            (func $run (result (result)) (canon lift (core func $main "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.3" (instance $exported)))"#
    )
}

#[test]
fn each_thing_that_is_no_component_is_named_with_what_to_do() {
    let core = wat::parse_str("(module)").expect("a module");
    let mut future = core.clone();
    future[4] = 9;
    let engines = Engines::new(1).expect("engines");
    let native = engines
        .of(Model::Sequential)
        .engine
        .precompile_component(&wat::parse_str("(component)").expect("a component"))
        .expect("compiled code");
    for (bytes, expected) in [
        (&b""[..], "The file is empty"),
        (&core, "`wasm-tools component new`"),
        (&future, "of a version that is not known here"),
        (b"  (component)", "`wasm-tools parse`"),
        (b"(module (func))", "`wasm-tools parse`"),
        (&native, "native code is never taken"),
        (b"\x7fELF\x02\x01\x01\0", "This is a Linux program"),
        (b"PK\x03\x04\x14\0", "This is a zip file"),
        (b"export default {}", "This is not WebAssembly"),
        (b"\xff\xfe\x00", "This is not WebAssembly"),
        (b"\0asm", "of a version that is not known here"),
    ] {
        let said = says(bytes).expect("refused");
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_component_that_is_cut_short_anywhere_is_refused() {
    let mut whole = wat::parse_str(command("")).expect("a component");
    assert_eq!(says(&whole), None);
    // Names for debuggers come after the last export; without them it is whole, too.
    let last = b"wasi:cli/run@0.2.3";
    let at = whole.windows(last.len()).rposition(|part| part == last);
    whole.truncate(at.expect("the export's name") + last.len() + b"\x05\x00\x00".len());
    assert_eq!(says(&whole), None);
    let engines = Engines::new(1).expect("engines");
    for length in 0..whole.len() {
        assert!(inspect(&whole[..length], &engines).is_err(), "{length}");
    }
    let said = says(&whole[..whole.len() - 3]).expect("refused");
    assert!(said.contains("damaged or was cut short"), "{said}");
}

#[test]
fn a_component_that_is_too_large_is_refused_by_its_size() {
    let mut bytes = wat::parse_str(command("")).expect("a component");
    bytes.resize(COMPONENT_BYTES as usize + 1, 0);
    let said = says(&bytes).expect("refused");
    assert!(
        said.contains("100663297 bytes, of at most 100663296"),
        "{said}"
    );
}

#[test]
fn a_component_of_too_many_parts_is_refused() {
    for (text, expected) in [
        (
            command(&"(core module)".repeat(256)),
            "257 core modules or more",
        ),
        (
            command(&"(component)".repeat(256)),
            "257 components, one in another, or more",
        ),
        (
            command(&"(core func (canon task.cancel))".repeat(10_001)),
            "10001 functions between components or more",
        ),
        (
            command(&format!("(core module {})", "(func)".repeat(300_001))),
            "300001 functions or more",
        ),
    ] {
        let said = says_of(&text).expect("refused");
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn all_missing_imports_are_named_with_what_there_is_in_their_place() {
    let said = says_of(&command(
        r#"
        (import "acme:vault/secrets@1.0.0" (instance (export "read" (func))))
        (import "log" (func))
        (import "wasi:cli/stdout@0.4.0" (instance (export "get-stdout" (func))))
        (import "wasi:cli/stderr@0.2.0-rc-2023-11-10" (instance (export "get-stderr" (func))))
        (import "wasi:random/random@0.2.1" (instance
            (export "get-random-u64" (func (result u64)))
            (export "get-random-joke" (func (result string)))))
        (import "wasi:clocks/wall-clock@0.2.99" (instance))
        "#,
    ))
    .expect("refused");
    for expected in [
        "`acme:vault/secrets@1.0.0`;",
        "`log`;",
        "`wasi:cli/stdout@0.4.0` (offered: version 0.2.",
        "0.3.0);",
        "`wasi:cli/stderr@0.2.0-rc-2023-11-10` (offered: version 0.2.",
        "function `get-random-joke` of `wasi:random/random@0.2.1` (which is offered as `wasi:random/random@0.2.",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    assert!(!said.contains("get-random-u64"), "{said}");
    assert!(!said.contains("wall-clock"), "{said}");
}

#[test]
fn a_long_list_of_missing_imports_is_cut() {
    let imports: String = (0..40)
        .map(|at| format!(r#"(import "acme:vault/i{at}" (instance (export "f" (func))))"#))
        .collect();
    let said = says_of(&command(&imports)).expect("refused");
    assert!(said.contains("`acme:vault/i11`; and 28 more."), "{said}");
    let long = format!(r#"(import "{}" (func))"#, "long-".repeat(200) + "name");
    let said = says_of(&command(&long)).expect("refused");
    assert!(said.len() < 600, "{said}");
    let many: String = (0..501)
        .map(|at| format!(r#"(import "acme:vault/i{at}" (instance))"#))
        .collect();
    let said = says_of(&command(&many)).expect("refused");
    assert!(said.contains("501 imports, of at most 500"), "{said}");
}

#[test]
fn a_component_without_a_known_export_is_told_what_it_exports_and_what_it_must() {
    let said = says_of("(component)").expect("refused");
    assert!(said.contains("it exports nothing"), "{said}");
    for (name, taken) in [
        ("wasi:cli/run@0.2.0", true),
        ("wasi:cli/run@0.2.17", true),
        ("wasi:cli/run@0.3.1", true),
        ("wasi:http/incoming-handler@0.2.0", true),
        ("wasi:http/handler@0.3.0", true),
        ("wasi:http/handler@0.3.0-rc-2026-01-01", false),
        ("wasi:http/handler@0.2.0", false),
        ("wasi:cli/run@0.4.0", false),
        ("wasi:cli/run", false),
    ] {
        let text = command("").replace("wasi:cli/run@0.2.3", name);
        match says_of(&text) {
            None => assert!(taken, "{name}"),
            Some(said) => {
                assert!(!taken, "{said}");
                assert!(
                    said.contains(&format!("it exports `{name}`. It must export")),
                    "{said}"
                );
            }
        }
    }
}

#[test]
fn only_a_component_whose_calls_overlap_gets_the_engine_for_that() {
    let engines = Engines::new(1).expect("engines");
    let model = |more: &str| {
        let component = wat::parse_str(command(more)).expect("text of a component");
        inspect(&component, &engines).expect("a component")
    };
    assert_eq!(model(""), Model::Sequential);
    for more in [
        // A function that waits, a stream, a task's own means.
        "(type (func async))",
        "(type (stream u8))",
        "(core func (canon backpressure.inc))",
        // An interface that only the other engine has.
        r#"(import "wasi:cli/environment@0.3.0" (instance
            (export "get-arguments" (func (result (list string))))))"#,
    ] {
        assert_eq!(model(more), Model::Concurrent, "{more}");
    }
}
