//! A component, compiled, checked and linked: what many instances are made from.

use wasmtime::component::Component;

use crate::engine;
use crate::engines::{Base, Model};
use crate::entry::Entry;
use crate::signature;

/// What identifies a component: the SHA-256 of its bytes or of a package that holds it.
pub(crate) type Digest = [u8; 32];

/// What a component exports, and so how it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `wasi:http/incoming-handler@0.2`.
    Http02,
    /// `wasi:http/handler@0.3`.
    Http03,
    /// `wasi:cli/run` of 0.2 or 0.3: the event on standard input, the result on standard output.
    Command,
}

impl Shape {
    /// Exports that are called, those that are preferred first. Patch releases are compatible with each other.
    pub(crate) const EXPORTS: [(&str, Self); 4] = [
        ("wasi:http/handler@0.3.0", Self::Http03),
        ("wasi:http/incoming-handler@0.2.0", Self::Http02),
        ("wasi:cli/run@0.3.0", Self::Command),
        ("wasi:cli/run@0.2.0", Self::Command),
    ];

    /// The preferred of a component's exports, and what it makes of the component.
    fn of(component: &Component) -> Option<(&'static str, Self)> {
        Self::EXPORTS
            .into_iter()
            .find(|(export, _)| component.get_export_index(None, export).is_some())
    }
}

/// Why a component can't be run: its author's fault unless it is [`Refusal::Internal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The component is not one, or asks for what the wall does not have. A sentence for its author.
    #[error("{0}")]
    Invalid(String),
    /// The node could not do its part. A sentence for the operator.
    #[error("{0}")]
    Internal(String),
}

/// A component, compiled, checked and linked. Shared by all functions with the same bytes.
#[derive(Debug)]
pub struct Program {
    pub(crate) model: Model,
    pub(crate) shape: Shape,
    pub(crate) entry: Entry,
    /// Of the pool, that one instance takes.
    pub(crate) slots: u32,
    compiled_bytes: u64,
}

impl Program {
    /// Links a component of `compiled_bytes` bytes of code, which `base`'s engine loaded.
    ///
    /// # Errors
    /// If `base` does not offer what it imports, or it has no export that is called.
    pub(crate) fn link(
        (model, base): (Model, &Base),
        component: &Component,
        compiled_bytes: u64,
    ) -> Result<Self, Refusal> {
        let slots = engine::slots(component).ok_or_else(|| {
            Refusal::Invalid(
                "The component needs more linear memories or tables than one instance may have."
                    .to_owned(),
            )
        })?;
        let unfit = |error: wasmtime::Error| {
            Refusal::Invalid(format!(
                "The component does not fit what is offered here: {error:#}."
            ))
        };
        let (export, shape) = Shape::of(component).ok_or_else(|| {
            Refusal::Invalid("The component has no export that is called.".to_owned())
        })?;
        if !signature::fits(component, export, shape) {
            return Err(Refusal::Invalid(format!(
                "The component exports {export}, but not with the function that this interface has; build it against the \
                 interface's own definition."
            )));
        }
        let pre = base.linker.instantiate_pre(component).map_err(unfit)?;
        let entry = Entry::new(shape, pre).map_err(unfit)?;
        // What instances' memories begin as is set up now rather than by the first request.
        component
            .initialize_copy_on_write_image()
            .map_err(|error| Refusal::Internal(format!("map a component's memory: {error:#}")))?;
        Ok(Self {
            model,
            shape,
            entry,
            slots,
            compiled_bytes,
        })
    }

    /// Writes its compiled code to a file that everybody can read.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn write_artefact(&self, file: &std::path::Path) -> std::io::Result<()> {
        let code = self.entry.component().serialize();
        std::fs::write(file, code.map_err(std::io::Error::other)?)
    }

    /// How it is called.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Compiled code that is mapped, bytes.
    pub fn compiled_bytes(&self) -> u64 {
        self.compiled_bytes
    }
}
