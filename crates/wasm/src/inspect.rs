//! What a file is, before anything is compiled: a component that can be called and linked, or why not.
//!
//! The first reader of what a stranger uploaded (INV-8). It reads structure alone, in time and memory that grow with the
//! file's size, and bounds what is compiled, linked and kept in memory. Whether functions' bodies are valid is the
//! compiler's to say.

use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::TypesRef;
use wasmparser::{Encoding, Parser, Payload, ValidPayload, Validator, WasmFeatures};
use wasmtime::Engine;

use crate::engines::{Engines, Model};
use crate::imports::{Import, missing};
use crate::program::{Refusal, Shape};

/// Bytes of a component. The largest seen are those of `componentize-py` with numerical libraries, about 50 MB.
pub(crate) const COMPONENT_BYTES: u64 = 96 << 20;

/// Functions of all core modules together. `componentize-js` has 25 thousand, CPython with libraries 60 thousand.
const FUNCTIONS: u64 = 300_000;

/// Core modules, and components, nested at any depth, each. `componentize-py` links one module for each native library.
const NESTED: u64 = 256;

/// Functions that are lifted, lowered or built in, at any depth: for each, the compiler makes an adapter.
const CANONICAL_FUNCTIONS: u64 = 10_000;

/// Imports of a component, which are interfaces as a rule. WASI 0.2 and 0.3 have 60 together.
const IMPORTS: usize = 500;

/// What lets calls of a component overlap.
const OVERLAP: WasmFeatures = WasmFeatures::CM_ASYNC
    .union(WasmFeatures::CM_ASYNC_STACKFUL)
    .union(WasmFeatures::CM_MORE_ASYNC_BUILTINS)
    .union(WasmFeatures::CM_THREADING);

/// Names that one sentence lists before it says how many more there are.
const NAMED: usize = 12;

/// Checks that `bytes` are a component that can be called, that one of `engines` has what it imports, and that compiling
/// it is bounded; says which.
///
/// # Errors
/// What it is instead, or what is missing, and what to do about it: always its author's to mend.
pub(crate) fn inspect(bytes: &[u8], engines: &Engines) -> Result<Model, Refusal> {
    if bytes.len() as u64 > COMPONENT_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    if !Parser::is_component(bytes) {
        return Err(Refusal::Invalid(not_a_component(bytes)));
    }
    let outline = Outline::read(bytes)?;
    if !outline.exports.iter().any(|name| is_wanted(name)) {
        return Err(Refusal::Invalid(not_callable(&outline.exports)));
    }
    if outline.imports.len() > IMPORTS {
        return Err(Refusal::Invalid(format!(
            "The component has {} imports, of at most {IMPORTS}.",
            outline.imports.len()
        )));
    }
    let missing = |model| missing(&engines.of(model).linker, &outline.imports);
    if outline.sequential && missing(Model::Sequential).is_empty() {
        return Ok(Model::Sequential);
    }
    let missing = missing(Model::Concurrent);
    if missing.is_empty() {
        return Ok(Model::Concurrent);
    }
    Err(Refusal::Invalid(format!(
        "The component imports what is not offered here: {}. Leave it out, or build the component for interfaces that \
         are offered (WASI 0.2 and 0.3: `wasi:cli`, `wasi:clocks`, `wasi:filesystem`, `wasi:http`, `wasi:io`, \
         `wasi:random`).",
        listed(&missing, "; ")
    )))
}

/// Why a file of `bytes` is not even read.
pub(crate) fn too_large(bytes: u64) -> Refusal {
    Refusal::Invalid(format!(
        "The component is too large: {bytes} bytes, of at most {COMPONENT_BYTES}. Strip its debug information \
         (`wasm-tools strip`) and build it with optimisation."
    ))
}

/// The part of a component that decides whether it can be run.
struct Outline {
    imports: Vec<Import>,
    exports: Vec<String>,
    /// It has nothing that lets calls overlap.
    sequential: bool,
}

impl Outline {
    fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        // Everything that any engine could have turned on: which features guests may use is the engine's to say, with a
        // sentence of its own.
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let mut sequential = Some(Validator::new_with_features(
            WasmFeatures::all().difference(OVERLAP),
        ));
        let mut counts = Counts::default();
        let mut exports = Vec::new();
        let mut imports = Vec::new();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|error| damaged(&error))?;
            counts.add(&payload)?;
            match &payload {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    counts.begin(*encoding);
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section.clone() {
                        exports.push(
                            export
                                .map_err(|error| damaged(&error))?
                                .name
                                .name
                                .to_owned(),
                        );
                    }
                }
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section.clone() {
                        imports.push(
                            import
                                .map_err(|error| damaged(&error))?
                                .name
                                .name
                                .to_owned(),
                        );
                    }
                }
                Payload::End(_) => depth -= 1,
                _ => {}
            }
            sequential = sequential
                .and_then(|mut validator| validator.payload(&payload).is_ok().then_some(validator));
            let valid = validator
                .payload(&payload)
                .map_err(|error| damaged(&error))?;
            if depth == 0
                && let ValidPayload::End(types) = valid
            {
                let types = types.as_ref();
                let imports = imports.into_iter().map(|name| import(types, name));
                return Ok(Self {
                    imports: imports.collect(),
                    exports,
                    sequential: sequential.is_some(),
                });
            }
        }
        // The parser ends with the component's end or with an error.
        Err(Refusal::Invalid("The component has no end.".to_owned()))
    }
}

/// An import with the names of the functions that it asks of an interface.
fn import(types: TypesRef<'_>, name: String) -> Import {
    let functions = match types.component_item_for_import(&name).map(|item| item.ty) {
        Some(ComponentEntityType::Instance(instance)) => types[instance]
            .exports
            .iter()
            .filter(|(_, item)| matches!(item.ty, ComponentEntityType::Func(_)))
            .map(|(name, _)| name.clone())
            .collect(),
        // A type says what others are made of: there is nothing to offer.
        Some(ComponentEntityType::Type { .. }) => return Import::of_type(name),
        _ => return Import::of_item(name),
    };
    Import::of_interface(name, functions)
}

/// What costs time and memory whenever a component is loaded, counted while the file is read.
#[derive(Default)]
struct Counts {
    modules: u64,
    components: u64,
    functions: u64,
    canonical: u64,
}

impl Counts {
    fn begin(&mut self, encoding: Encoding) {
        match encoding {
            Encoding::Module => self.modules += 1,
            Encoding::Component => self.components += 1,
        }
    }

    fn add(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::CodeSectionStart { count, .. } => self.functions += u64::from(*count),
            Payload::ComponentCanonicalSection(section) => {
                self.canonical += u64::from(section.count());
            }
            _ => {}
        }
        for (found, most, what) in [
            (self.modules, NESTED, "core modules"),
            (self.components, NESTED, "components, one in another,"),
            (self.functions, FUNCTIONS, "functions"),
            (
                self.canonical,
                CANONICAL_FUNCTIONS,
                "functions between components",
            ),
        ] {
            if found > most {
                return Err(Refusal::Invalid(format!(
                    "The component is too large: it has {found} {what} or more, of at most {most}."
                )));
            }
        }
        Ok(())
    }
}

/// What `bytes` are instead of a component, and what to do.
fn not_a_component(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(&bytes[..bytes.len().min(1024)])
        .map(str::trim_start)
        .unwrap_or_default();
    if bytes.is_empty() {
        "The file is empty: it must be a WebAssembly component.".to_owned()
    } else if Parser::is_core_wasm(bytes) {
        "This is a core WebAssembly module, not a component: build it for `wasm32-wasip2`, or wrap it with `wasm-tools \
         component new`."
            .to_owned()
    } else if bytes.starts_with(b"\0asm") {
        "This is WebAssembly of a version that is not known here: build the component with current tools.".to_owned()
    } else if text.starts_with("(component")
        || text.starts_with("(module")
        || text.starts_with(";;")
    {
        "This is WebAssembly text, not a component: assemble it with `wasm-tools parse`.".to_owned()
    } else if Engine::detect_precompiled(bytes).is_some() {
        "This is compiled code of Wasmtime, not a component: upload the component it was made from; native code is \
         never taken from outside."
            .to_owned()
    } else if bytes.starts_with(b"\x7fELF") {
        "This is a Linux program, not a WebAssembly component: deploy it under `provided.al2023`, or build it for \
         `wasm32-wasip2`."
            .to_owned()
    } else if bytes.starts_with(b"PK\x03\x04") {
        "This is a zip file, not a component: the package must be a component, or a zip file with one at its root."
            .to_owned()
    } else {
        "This is not WebAssembly: the package must be a component, or a zip file with one at its root. A component \
         begins with the bytes 00 61 73 6d 0d 00 01 00."
            .to_owned()
    }
}

fn damaged(error: &wasmparser::BinaryReaderError) -> Refusal {
    Refusal::Invalid(format!(
        "The component is damaged or was cut short: {} (at byte {:#x}). Build and upload it again.",
        error.message(),
        error.offset()
    ))
}

/// Whether an export is one of [`Shape::EXPORTS`], in whatever compatible version.
fn is_wanted(name: &str) -> bool {
    Shape::EXPORTS.iter().any(|(wanted, _)| {
        // A patch release changes nothing for a caller; a draft (`0.3.0-rc-…`) is another interface.
        let compatible = wanted.trim_end_matches('0');
        name.strip_prefix(compatible)
            .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()))
    })
}

fn not_callable(exports: &[String]) -> String {
    let found = if exports.is_empty() {
        "nothing".to_owned()
    } else {
        let quoted: Vec<_> = exports.iter().map(|name| quoted(name)).collect();
        listed(&quoted, ", ")
    };
    format!(
        "The component can't be called: it exports {found}. It must export `wasi:http/incoming-handler@0.2.x`, \
         `wasi:http/handler@0.3.x`, or `wasi:cli/run` of 0.2 or 0.3."
    )
}

/// A name of a stranger's choice, short enough for a sentence.
pub(crate) fn quoted(name: &str) -> String {
    /// Characters. The longest names of WASI have 60.
    const MOST: usize = 120;
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("`{}…`", &name[..end]),
        None => format!("`{name}`"),
    }
}

fn listed(items: &[String], separator: &str) -> String {
    let mut list = items[..items.len().min(NAMED)].join(separator);
    if items.len() > NAMED {
        list.push_str(&format!("{separator}and {} more", items.len() - NAMED));
    }
    list
}

#[cfg(test)]
mod tests;
