//! The functions of `examples/` that an empty node deploys, so that a newcomer has something to call.

use crate::package;

/// A sample function.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) runtime: &'static str,
    /// `None` where the runtime has no use for one.
    pub(crate) handler: Option<&'static str>,
    pub(crate) tags: &'static [(&'static str, &'static str)],
    pub(crate) asked: Asked,
    /// File name within the package, content, executable.
    files: &'static [(&'static str, &'static [u8], bool)],
}

/// How a sample is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// By Invoke.
    Invoke,
    /// At a function URL whose responses stream.
    StreamingUrl,
}

/// What `examples/wasm-rust` builds.
const COMPONENT: &[u8] = include_bytes!("../../../examples/wasm-rust/prebuilt.wasm");

/// One for each kind of runtime (that of workers where their engine is there), one whose response streams, a web server, and one for each way in which instances of a
/// component can serve: a fresh one for every request, and one for many.
pub(crate) const SAMPLES: [Sample; 8] = [
    Sample {
        name: "python-hello",
        runtime: package::DEFAULT_PYTHON,
        handler: Some("lambda_function.lambda_handler"),
        tags: &[],
        asked: Asked::Invoke,
        files: &[(
            "lambda_function.py",
            include_bytes!("../../../examples/python-hello/lambda_function.py"),
            false,
        )],
    },
    Sample {
        name: "node-hello",
        runtime: package::DEFAULT_NODE,
        handler: Some("index.handler"),
        tags: &[],
        asked: Asked::Invoke,
        files: &[(
            "index.mjs",
            include_bytes!("../../../examples/node-hello/index.mjs"),
            false,
        )],
    },
    Sample {
        name: "node-stream",
        runtime: package::DEFAULT_NODE,
        handler: Some("index.handler"),
        tags: &[],
        asked: Asked::StreamingUrl,
        files: &[(
            "index.mjs",
            include_bytes!("../../../examples/node-stream/index.mjs"),
            false,
        )],
    },
    Sample {
        name: "rust-hello",
        runtime: package::DEFAULT_PROVIDED,
        handler: Some("bootstrap"),
        tags: &[],
        asked: Asked::Invoke,
        files: &[(
            "bootstrap",
            include_bytes!(concat!(env!("OUT_DIR"), "/bootstrap")),
            true,
        )],
    },
    Sample {
        name: "web-hello",
        runtime: package::DEFAULT_PYTHON,
        handler: Some("server.py"),
        tags: &[("hearth:web", "on")],
        asked: Asked::Invoke,
        files: &[(
            "server.py",
            include_bytes!("../../../examples/python-web/server.py"),
            false,
        )],
    },
    Sample {
        name: "wasm-hello",
        runtime: package::WASM,
        handler: None,
        tags: &[],
        asked: Asked::Invoke,
        files: &[("hello.wasm", COMPONENT, false)],
    },
    Sample {
        name: "wasm-hello-reuse",
        runtime: package::WASM,
        handler: None,
        tags: &[("hearth:wasm-reuse", "128")],
        asked: Asked::Invoke,
        files: &[("hello.wasm", COMPONENT, false)],
    },
    Sample {
        name: "worker-hello",
        runtime: package::WORKER,
        handler: None,
        tags: &[],
        asked: Asked::Invoke,
        files: &[
            (
                "worker.js",
                include_bytes!("../../../examples/worker-hello/worker.js"),
                false,
            ),
            (
                "wrangler.toml",
                include_bytes!("../../../examples/worker-hello/wrangler.toml"),
                false,
            ),
        ],
    },
];

impl Sample {
    /// The wall behind which it runs, on a node whose processes run behind `processes`.
    pub(crate) fn wall<'a>(&self, processes: &'a str) -> &'a str {
        match self.runtime {
            package::WASM => "wasm",
            package::WORKER => "isolate",
            _ => processes,
        }
    }

    /// The package, as `hearth deploy` would make it.
    pub(crate) fn zip(&self) -> anyhow::Result<Vec<u8>> {
        let mut zip = package::Zip::new();
        for (name, content, executable) in self.files {
            zip.file(name, content, *executable)?;
        }
        zip.finish()
    }
}
