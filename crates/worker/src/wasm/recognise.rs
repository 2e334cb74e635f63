//! Which file of a package is the component, if the package is for one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use hearth_types::function::Deployment;
use hearth_types::walls::Isolation;

use super::load::Unready;

/// How a WebAssembly binary begins: magic, version, layer (component-model repository, `design/mvp/Binary.md`).
const MAGIC: &[u8; 4] = b"\0asm";
const COMPONENT: &[u8; 8] = b"\0asm\x0d\x00\x01\x00";

/// What a file of WebAssembly is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Component,
    /// A core module, or a component of a version that nobody knows: the wall says which.
    Other,
}

/// The component in the package that is unpacked in `code`; `None` if the package is for the process wall. With the
/// runtime `wasm` there must be one; with `provided.*` there is one if the package has no `bootstrap`, itself or in
/// `layers`, and exactly one component at its root. Blocks on the disk.
///
/// # Errors
/// What is wrong with the package, or with its tags or layers for what it is.
pub(super) fn component(
    deployment: &Deployment,
    code: &Path,
    layers: Option<&Path>,
) -> Result<Option<PathBuf>, Unready> {
    let runtime = deployment.configuration.runtime.isolation();
    let found = match runtime {
        Some(Isolation::Process | Isolation::Isolate) => None,
        None if has_bootstrap(code) || layers.is_some_and(has_bootstrap) => None,
        None => {
            let mut found = candidates(code)?;
            found.retain(|(_, kind)| *kind == Kind::Component);
            match found.as_slice() {
                [(file, _)] => Some(file.clone()),
                _ => None,
            }
        }
        Some(Isolation::Wasm) => Some(the_only(candidates(code)?)?),
    };
    let wall = match found {
        Some(_) => Isolation::Wasm,
        None => Isolation::Process,
    };
    fits(deployment, wall)?;
    Ok(found)
}

/// Whether a deployment can be behind `wall` with the tags and layers that it has.
///
/// # Errors
/// What does not fit.
pub(super) fn fits(deployment: &Deployment, wall: Isolation) -> Result<(), Unready> {
    deployment.walls.check(wall).map_err(Unready::Refused)?;
    if wall == Isolation::Wasm && !deployment.configuration.layers.is_empty() {
        return Err(Unready::Refused(
            "A WebAssembly component holds all that it needs: it can't have layers. Leave Layers empty.".to_owned(),
        ));
    }
    if wall == Isolation::Wasm && !deployment.configuration.folders.is_empty() {
        return Err(Unready::Refused(
            "Folders are mounted for processes: a WebAssembly component can't have them. Leave FileSystemConfigs empty."
                .to_owned(),
        ));
    }
    Ok(())
}

fn has_bootstrap(folder: &Path) -> bool {
    fs::symlink_metadata(folder.join("bootstrap")).is_ok_and(|found| !found.is_dir())
}

/// Files of WebAssembly at the root, in order of their names.
fn candidates(folder: &Path) -> Result<Vec<(PathBuf, Kind)>, Unready> {
    let unreadable =
        |error: io::Error| Unready::Internal(format!("read a package's root: {error}"));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_type().map_err(unreadable)?.is_file()
            && let Some(kind) = kind(&entry.path()).map_err(unreadable)?
        {
            found.push((entry.path(), kind));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn kind(file: &Path) -> io::Result<Option<Kind>> {
    let mut head = [0; COMPONENT.len()];
    match File::open(file)?.read_exact(&mut head) {
        Ok(()) if head == *COMPONENT => Ok(Some(Kind::Component)),
        Ok(()) if head.starts_with(MAGIC) => Ok(Some(Kind::Other)),
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The one file to run: the only component, else the only other one, of which the wall will say what it is.
fn the_only(found: Vec<(PathBuf, Kind)>) -> Result<PathBuf, Unready> {
    let components = || found.iter().filter(|(_, kind)| *kind == Kind::Component);
    let mut candidates: Vec<_> = components().collect();
    if candidates.is_empty() {
        candidates = found.iter().collect();
    }
    match candidates.as_slice() {
        [(file, _)] => Ok(file.clone()),
        [] => Err(Unready::Refused(
            "The package has no WebAssembly component at its root. Put one there, or send the component itself as the \
             package."
                .to_owned(),
        )),
        several => {
            let names: Vec<_> = several
                .iter()
                .take(5)
                .filter_map(|(file, _)| file.file_name())
                .map(|name| name.to_string_lossy().into_owned())
                .collect();
            Err(Unready::Refused(format!(
                "The package has {} WebAssembly files at its root ({}, …): leave the one that is to run.",
                several.len(),
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hearth_types::function::{LayerUse, Runtime};
    use hearth_types::walls::Walls;

    use super::*;
    use crate::testing::deployment;

    const CORE: &[u8] = b"\0asm\x01\0\0\0";

    fn runs(
        runtime: &str,
        tags: &[(&str, &str)],
        files: &[(&str, &[u8])],
        layers: Option<&[&str]>,
    ) -> Result<Option<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let mut deployment = deployment(runtime.parse::<Runtime>().unwrap());
        let tags = tags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        deployment.walls = Walls::from_tags(&tags).unwrap();
        let code = dir.path().join("code");
        let opt = dir.path().join("opt");
        if layers.is_some() {
            deployment.configuration.layers = vec![LayerUse {
                arn: "arn:aws:lambda:us-east-1:000000000000:layer:l:1"
                    .parse()
                    .unwrap(),
                package: deployment.configuration.code,
            }];
        }
        fs::create_dir_all(&code).unwrap();
        fs::create_dir_all(&opt).unwrap();
        for (name, bytes) in files {
            fs::create_dir_all(code.join(name).parent().unwrap()).unwrap();
            fs::write(code.join(name), bytes).unwrap();
        }
        for name in layers.unwrap_or_default() {
            fs::write(opt.join(name), "").unwrap();
        }
        let deployment = Arc::new(deployment);
        match component(&deployment, &code, layers.map(|_| opt.as_path())) {
            Ok(found) => Ok(found.map(|file| {
                let name = file.file_name().unwrap();
                name.to_string_lossy().into_owned()
            })),
            Err(Unready::Refused(why)) => Err(why),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_content_decides_under_provided() {
        let component: (&str, &[u8]) = ("app.wasm", COMPONENT);
        let bootstrap: (&str, &[u8]) = ("bootstrap", b"#!/bin/sh");
        let run = |files: &[(&str, &[u8])]| runs("provided.al2023", &[], files, None).unwrap();
        assert_eq!(run(&[component]).as_deref(), Some("app.wasm"));
        assert_eq!(
            run(&[("any-name", COMPONENT), ("readme", b"x")]).as_deref(),
            Some("any-name")
        );
        assert_eq!(run(&[component, bootstrap]), None);
        assert_eq!(run(&[component, ("b.wasm", COMPONENT)]), None);
        assert_eq!(run(&[("core.wasm", CORE)]), None);
        assert_eq!(
            run(&[component, ("core.wasm", CORE)]).as_deref(),
            Some("app.wasm")
        );
        assert_eq!(run(&[("lib/app.wasm", COMPONENT)]), None);
        assert_eq!(runs("python3.12", &[], &[component], None), Ok(None));
        let layer = runs("provided", &[], &[component], Some(&["bootstrap"]));
        assert_eq!(layer, Ok(None));
        let layer = runs("provided", &[], &[component], Some(&["lib.so"]));
        assert!(layer.unwrap_err().contains("layers"));
    }

    #[test]
    fn tags_must_fit_what_the_content_is() {
        let component: (&str, &[u8]) = ("app.wasm", COMPONENT);
        let bootstrap: (&str, &[u8]) = ("bootstrap", b"#!/bin/sh");
        let run = |tag, files: &[(&str, &[u8])]| runs("provided", &[tag], files, None);
        assert!(run(("hearth:isolation", "process"), &[component]).is_err());
        assert!(run(("hearth:isolation", "wasm"), &[component]).is_ok());
        assert!(run(("hearth:isolation", "wasm"), &[bootstrap]).is_err());
        assert!(run(("hearth:allowed-hosts", "a.example"), &[bootstrap]).is_err());
        assert!(run(("hearth:allowed-hosts", "a.example"), &[component]).is_ok());
    }

    #[test]
    fn the_runtime_wasm_needs_one() {
        let run = |files: &[(&str, &[u8])]| runs("wasm", &[], files, None);
        assert_eq!(
            run(&[("a.wasm", COMPONENT), ("core.wasm", CORE)]),
            Ok(Some("a.wasm".to_owned()))
        );
        // Handed to the wall, which says what it is.
        assert_eq!(
            run(&[("core.wasm", CORE)]),
            Ok(Some("core.wasm".to_owned()))
        );
        assert!(
            run(&[("a.txt", b"x")])
                .unwrap_err()
                .contains("no WebAssembly")
        );
        let two = run(&[("a.wasm", COMPONENT), ("b.wasm", COMPONENT)]);
        assert!(two.unwrap_err().contains("a.wasm, b.wasm"));
    }
}
