//! The functions of `examples/` that an empty node deploys, so that a newcomer has something to call.

use crate::package;

/// A sample function.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) runtime: &'static str,
    pub(crate) handler: &'static str,
    /// File name within the package, content, executable.
    files: &'static [(&'static str, &'static [u8], bool)],
}

/// One for each kind of runtime.
pub(crate) const SAMPLES: [Sample; 3] = [
    Sample {
        name: "python-hello",
        runtime: package::DEFAULT_PYTHON,
        handler: "lambda_function.lambda_handler",
        files: &[(
            "lambda_function.py",
            include_bytes!("../../../examples/python-hello/lambda_function.py"),
            false,
        )],
    },
    Sample {
        name: "node-hello",
        runtime: package::DEFAULT_NODE,
        handler: "index.handler",
        files: &[(
            "index.mjs",
            include_bytes!("../../../examples/node-hello/index.mjs"),
            false,
        )],
    },
    Sample {
        name: "rust-hello",
        runtime: package::DEFAULT_PROVIDED,
        handler: "bootstrap",
        files: &[(
            "bootstrap",
            include_bytes!(concat!(env!("OUT_DIR"), "/bootstrap")),
            true,
        )],
    },
];

impl Sample {
    /// The package, as `hearth deploy` would make it.
    pub(crate) fn zip(&self) -> anyhow::Result<Vec<u8>> {
        let mut zip = package::Zip::new();
        for (name, content, executable) in self.files {
            zip.file(name, content, *executable)?;
        }
        zip.finish()
    }
}
