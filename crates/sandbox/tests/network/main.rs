//! The network of sandboxes, against a small internet of the tests' own.
//!
//! Everything happens in network and mount namespaces that end with this process: nothing of the machine's own network
//! is touched. It needs root to build them; the unprivileged mode is tested by a preparer that runs as "nobody".

mod cases;
mod probe;
mod world;

use std::io;
use std::os::fd::OwnedFd;

use libtest_mimic::{Arguments, Failed, Trial};

use cases::Mode;
use hearth_sandbox::network;

/// The name under which this program is what a preparer runs in.
const PREPARER: &str = "preparer";

/// The name under which this program is a function that tries things.
const PROBE: &str = "probe";

fn main() -> io::Result<()> {
    hearth_sandbox::run_launcher_if_asked();
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some(PREPARER) => {
            let options = serde_json::from_str(&arguments[2])?;
            let line = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
            network::preparer_main(line, options);
            Ok(())
        }
        Some(PROBE) => probe::main(&arguments[2..]),
        _ => test(),
    }
}

fn test() -> io::Result<()> {
    let mut arguments = Arguments::from_args();
    // They share the one internet, and count what is left in it.
    arguments.test_threads = Some(1);
    let able = rustix::process::geteuid().is_root() && !arguments.list;
    if able {
        world::build()?;
    } else if !arguments.list {
        println!("not root: the tests of the network are skipped");
    }
    let mut trials = Vec::new();
    for mode in [Mode::Root, Mode::Rootless] {
        for (name, case) in cases::ALL {
            let trial = Trial::test(format!("{}::{name}", mode.name()), move || run(mode, *case));
            trials.push(trial.with_ignored_flag(!able));
        }
        let measure = Trial::test(format!("{}::measure", mode.name()), move || {
            run(mode, cases::measure)
        });
        trials.push(measure.with_ignored_flag(true));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn run(mode: Mode, case: cases::Case) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(case(mode))?;
    world::nothing_left().map_err(Failed::from)
}

/// Both ends of a line to a preparer.
fn line() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}
