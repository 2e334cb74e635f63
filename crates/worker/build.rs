//! Embeds the bootstraps of `runtimes/python` and `runtimes/node`: one table of names and contents each.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The languages, and which files of their folders run inside an environment.
const LANGUAGES: [(&str, &str, &[&str]); 2] = [
    ("PYTHON", "python", &["py"]),
    ("NODEJS", "node", &["js", "mjs", "cjs"]),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../runtimes");
    println!("cargo::rerun-if-changed=build.rs");
    let mut table = String::new();
    for (name, folder, kinds) in LANGUAGES {
        let folder = root.join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        if folder.is_dir() {
            collect(&folder, &folder, kinds, &mut files)?;
        }
        files.sort();
        writeln!(table, "pub(super) const {name}: &[(&str, &[u8])] = &[")?;
        for (relative, path) in files {
            writeln!(
                table,
                "    ({relative:?}, include_bytes!({:?})),",
                path.canonicalize()?
            )?;
        }
        writeln!(table, "];")?;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("bootstraps.rs");
    std::fs::write(out, table)?;
    Ok(())
}

fn collect(
    root: &Path,
    folder: &Path,
    kinds: &[&str],
    files: &mut Vec<(String, PathBuf)>,
) -> Result<(), Box<dyn std::error::Error>> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            if name != "tests" && name != "test" && name != "node_modules" && name != "__pycache__"
            {
                collect(root, &path, kinds, files)?;
            }
        } else if path
            .extension()
            .and_then(|kind| kind.to_str())
            .is_some_and(|kind| kinds.contains(&kind))
        {
            let relative = path.strip_prefix(root)?.to_string_lossy().into_owned();
            files.push((relative, path));
        }
    }
    Ok(())
}
