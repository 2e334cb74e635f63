//! What an engine's folder holds: its configuration and the dispatcher.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use hearth_sandbox::DOOR_PORT;

use crate::linked::Linked;

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

/// The ports of workers that are parts of an engine's configuration, in their order: each has this one for requests, and
/// the next one for the node's orders.
pub(crate) fn linked_ports() -> impl Iterator<Item = u16> {
    (PORT + 1..).step_by(2)
}

/// Writes the folder's files. `linked` are the workers that are parts of the configuration.
///
/// # Errors
/// If it can't be written.
pub(crate) fn write(folder: &Path, linked: &[Linked]) -> io::Result<()> {
    let mut configuration = Parts::default();
    for (worker, port) in linked.iter().zip(linked_ports()) {
        worker.write(folder, port, &mut configuration)?;
    }
    for (name, text) in DISPATCHER
        .into_iter()
        .chain([(FILE, text(&configuration).as_str())])
    {
        put(&folder.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// Takes all files of an engine that listens away: it has read them, and variables of its workers may be secrets.
///
/// # Errors
/// If they can't be removed.
pub(crate) fn withdraw(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a file that the sandbox reads as another user, whatever the process's mask is.
pub(crate) fn put(file: &Path, content: &[u8]) -> io::Result<()> {
    std::fs::write(file, content)?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644))
}

/// What the configuration has besides the dispatcher.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) services: String,
    pub(crate) sockets: String,
}

/// A socket of the engine that leads to a service, as the configuration names it.
pub(crate) fn socket(service: &str, port: u16) -> String {
    format!(
        r#"(name = "p{port}", address = "127.0.0.1:{port}", service = {service},
      http = (cfBlobHeader = "{ORDER}", forwardedProtoHeader = "x-forwarded-proto")),
    "#
    )
}

fn text(parts: &Parts) -> String {
    let modules =
        DISPATCHER.map(|(name, _)| format!(r#"(name = "{name}", esModule = embed "{name}")"#));
    let modules = modules.join(", ");
    let Parts { services, sockets } = parts;
    // The last one: when it listens, all do.
    let dispatcher = socket(r#""dispatcher""#, PORT);
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
      ],
      globalOutbound = "nothing",
    )),
    (name = "nothing", network = (allow = [])),
    (name = "node", external = (address = "127.0.0.1:{DOOR_PORT}", http = ())),
    (name = "outside", external = (address = "127.0.0.1:{DOOR_PORT}", http = (style = proxy))),
    {services}
  ],
  sockets = [
    {sockets}{dispatcher}
  ],
);
"#
    )
}
