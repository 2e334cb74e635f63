//! Compiles the sample `examples/rust-hello` for embedding: `hearth up` deploys it on machines that have no
//! compiler. One dependency-free file, so the compiler that builds Hearth is all that it takes.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    let source = "../../examples/rust-hello/main.rs";
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-changed=build.rs");
    let variable =
        |name: &str| std::env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    let output = PathBuf::from(variable("OUT_DIR")).join("bootstrap");
    let status = Command::new(variable("RUSTC"))
        .args([
            "--edition",
            "2024",
            "--crate-name",
            "bootstrap",
            "-O",
            "-C",
            "strip=symbols",
            "-C",
            "panic=abort",
        ])
        .arg("--target")
        .arg(variable("TARGET"))
        .arg("-o")
        .arg(&output)
        .arg(source)
        .status();
    assert!(
        matches!(&status, Ok(status) if status.success()),
        "compile {source}: {status:?}"
    );
}
