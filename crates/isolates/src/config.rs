//! What an engine's folder holds: its configuration and the dispatcher.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hearth_sandbox::DOOR_PORT;

/// Where the engine listens inside of its sandbox.
pub(crate) const PORT: u16 = 8080;

/// The header field by which the node speaks to the dispatcher. The engine takes it away before the request is handed
/// on, whoever sent it.
pub(crate) const ORDER: &str = "x-hearth-order";

/// The header field by which the dispatcher says that there is no response.
pub(crate) const FAILED: &str = "x-hearth-failed";

/// The configuration's file name.
pub(crate) const FILE: &str = "engine.capnp";

/// The dispatcher's own compatibility date: what it was written for.
const DISPATCHER_DATE: &str = "2026-11-01";

/// The dispatcher's modules, the main one first.
const DISPATCHER: [(&str, &str); 4] = [
    (
        "dispatcher.js",
        include_str!("../../../runtimes/workerd/dispatcher.js"),
    ),
    (
        "keyvalue.js",
        include_str!("../../../runtimes/workerd/keyvalue.js"),
    ),
    (
        "outside.js",
        include_str!("../../../runtimes/workerd/outside.js"),
    ),
    (
        "queue.js",
        include_str!("../../../runtimes/workerd/queue.js"),
    ),
];

/// Writes the folder's files; `secret` is a word without quotes.
///
/// # Errors
/// If it can't be written.
pub(crate) fn write(folder: &Path, secret: &str) -> io::Result<()> {
    let configuration = text(secret);
    for (name, text) in DISPATCHER
        .into_iter()
        .chain([(FILE, configuration.as_str())])
    {
        let file = folder.join(name);
        std::fs::write(&file, text)?;
        // Whatever the process's mask is: the sandbox reads it as another user.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

fn text(secret: &str) -> String {
    let modules =
        DISPATCHER.map(|(name, _)| format!(r#"(name = "{name}", esModule = embed "{name}")"#));
    let modules = modules.join(", ");
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "dispatcher", worker = (
      modules = [{modules}],
      compatibilityDate = "{DISPATCHER_DATE}",
      bindings = [
        (name = "LOADER", workerLoader = ()),
        (name = "NODE", service = "node"),
        (name = "OUTSIDE", service = "outside"),
        (name = "SECRET", text = "{secret}"),
      ],
      globalOutbound = "nothing",
    )),
    (name = "nothing", network = (allow = [])),
    (name = "node", external = (address = "127.0.0.1:{DOOR_PORT}", http = ())),
    (name = "outside", external = (address = "127.0.0.1:{DOOR_PORT}", http = (style = proxy))),
  ],
  sockets = [(
    name = "requests",
    address = "127.0.0.1:{PORT}",
    http = (cfBlobHeader = "{ORDER}", forwardedProtoHeader = "x-forwarded-proto"),
    service = "dispatcher",
  )],
);
"#
    )
}
