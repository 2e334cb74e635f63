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

const DISPATCHER: &str = include_str!("../../../runtimes/workerd/dispatcher.js");

/// Writes the folder's files; `secret` is a word without quotes.
///
/// # Errors
/// If it can't be written.
pub(crate) fn write(folder: &Path, secret: &str) -> io::Result<()> {
    for (name, text) in [(FILE, text(secret).as_str()), ("dispatcher.js", DISPATCHER)] {
        let file = folder.join(name);
        std::fs::write(&file, text)?;
        // Whatever the process's mask is: the sandbox reads it as another user.
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

fn text(secret: &str) -> String {
    format!(
        r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "dispatcher", worker = (
      modules = [(name = "dispatcher.js", esModule = embed "dispatcher.js")],
      compatibilityDate = "{DISPATCHER_DATE}",
      bindings = [
        (name = "LOADER", workerLoader = ()),
        (name = "NODE", service = "node"),
        (name = "SECRET", text = "{secret}"),
      ],
      globalOutbound = "nothing",
    )),
    (name = "nothing", network = (allow = [])),
    (name = "node", external = (address = "127.0.0.1:{DOOR_PORT}", http = ())),
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
