//! The main process's side of the launcher: starting it, asking it for sandboxes, ending it.

mod line;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use line::Orders;
use line::{END_TIMEOUT, Hearer, Outgoing, SharedTable, lock};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};

use crate::channel::{self, Channel};
use crate::error::{LaunchError, StartError};
use crate::helper::MARKER;
use crate::network::{NetworkOptions, Preparer};
use crate::protocol::{Event, Order, Request};
use crate::report::{HostReport, Part};
use crate::sandbox::Sandbox;
use crate::spec::Spec;

/// The longest that setting up walls may take; usually it is milliseconds.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest that the launcher may take to examine the host.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How to start a [`Launcher`].
#[derive(Clone, Debug)]
pub struct LauncherOptions {
    /// A folder of Hearth's own for a mount point; made if absent.
    pub run_dir: PathBuf,
    /// Run functions even where the host lacks a part of the wall that [`HostReport::weaknesses`] names.
    pub allow_weak_walls: bool,
    /// How sandboxes reach the outside.
    pub network: NetworkOptions,
}

/// Starts sandboxes. Cheap to clone. All clones and their sandboxes speak to the same launcher process, which ends with
/// the last of them.
#[derive(Clone, Debug)]
pub struct Launcher {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: HostReport,
    orders: Orders,
    table: SharedTable,
    next: AtomicU64,
    preparer: Preparer,
    /// True once the launcher process has ended.
    ended: watch::Receiver<bool>,
}

impl Launcher {
    /// Starts the launcher process, lets it examine the host and prepare the read-only root. Must be called inside a tokio
    /// runtime, in a program whose `main` calls [`run_launcher_if_asked`](crate::run_launcher_if_asked) first.
    ///
    /// # Errors
    /// [`StartError`]: the host's or the configuration's fault; the same again until that is changed.
    pub async fn start(options: LauncherOptions) -> Result<Self, StartError> {
        let (near, far) = channel::pair().map_err(StartError::helper)?;
        let preparer = Preparer::new(
            Channel::new(near).map_err(StartError::helper)?,
            &options.network,
        );
        let (channel, child, mut host) = begin(&options, far).await?;
        let sentences = |parts: Vec<&Part>| -> Vec<String> {
            parts
                .into_iter()
                .map(|part| format!("{}: {} ({})", part.name, part.detail, part.advice))
                .collect()
        };
        let (obstacles, weaknesses) = (sentences(host.obstacles()), sentences(host.weaknesses()));
        if !obstacles.is_empty() {
            return Err(StartError::Refused(obstacles));
        }
        host.parts.push(preparer.report().await.part());
        if !weaknesses.is_empty() {
            if !options.allow_weak_walls {
                return Err(StartError::Weak(weaknesses));
            }
            tracing::warn!(?weaknesses, "functions run behind weak walls, as allowed");
        }
        let (queue, outgoing) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(false);
        let table = SharedTable::default();
        let channel = Arc::new(channel);
        let orders = Orders(queue);
        tokio::spawn(line::write(
            Arc::clone(&channel),
            outgoing,
            Arc::clone(&table),
        ));
        let hearer = Hearer {
            channel,
            table: Arc::clone(&table),
            orders: orders.0.downgrade(),
        };
        tokio::spawn(hearer.run(child, end));
        let shared = Shared {
            host,
            orders,
            table,
            next: AtomicU64::new(1),
            preparer,
            ended,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// What this host offers.
    #[must_use]
    pub fn host(&self) -> &HostReport {
        &self.shared.host
    }

    /// Runs a program behind the wall; returns once it has been executed. Cancel safe: a launch that nobody waits for
    /// any more is undone.
    ///
    /// # Errors
    /// [`LaunchError`], which says whose fault it is and what is safe to retry.
    pub async fn launch(&self, spec: Spec) -> Result<Sandbox, LaunchError> {
        let order = order(&spec)?;
        let shared = &self.shared;
        let slot = shared
            .preparer
            .take(spec.network)
            .await
            .map_err(|error| LaunchError::Network(error.to_string()))?;
        let setup = |error: std::io::Error| LaunchError::Setup(error.to_string());
        let (stdout, stdout_inside) = output().map_err(setup)?;
        let (stderr, stderr_inside) = output().map_err(setup)?;
        let descriptors = vec![
            slot.netns.try_clone().map_err(setup)?,
            stdout_inside,
            stderr_inside,
        ];
        let listener = |listener: &std::net::TcpListener| {
            let own = listener.try_clone()?;
            own.set_nonblocking(true)?;
            Ok(own)
        };
        let runtime_api = listener(&slot.runtime_api).map_err(setup)?;
        let door = listener(&slot.door).map_err(setup)?;

        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        {
            let mut table = lock(&shared.table);
            if table.closed {
                return Err(LaunchError::Gone);
            }
            table.waiting.insert(id, tell);
        }
        let undo = Undo { id, shared };
        let request = Outgoing::Request(Request::Launch { id, order }, descriptors);
        shared
            .orders
            .0
            .send(request)
            .map_err(|_| LaunchError::Gone)?;
        let answer = tokio::time::timeout(LAUNCH_TIMEOUT, told)
            .await
            .map_err(|_| LaunchError::Timeout)?;
        // Answered: dropping the `Life` is what undoes the launch from here on.
        std::mem::forget(undo);
        match answer {
            Ok(Ok(life)) => {
                life.keep(slot);
                Ok(Sandbox::new(
                    life,
                    shared.orders.clone(),
                    [runtime_api, door],
                    [stdout, stderr],
                    shared.preparer.clone(),
                ))
            }
            Ok(Err(failure)) => Err(LaunchError::from_failure(failure, &spec)),
            Err(_) => Err(LaunchError::Gone),
        }
    }

    /// Waits until the launcher process is gone, be it by [`Launcher::shutdown`] or by accident: every sandbox has then
    /// ended, and only a new launcher can start more. Cancel safe.
    pub async fn ended(&self) {
        let mut ended = self.shared.ended.clone();
        // An error means that the task that would tell is gone, and the line with it: the launcher is leaving.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Ends every sandbox and the launcher process, and waits until what they had is removed.
    pub async fn shutdown(&self) {
        // While the launcher lives: its end is the preparer's end too, cleaned up or not.
        let _ = tokio::time::timeout(END_TIMEOUT, self.shared.preparer.close()).await;
        let _ = self.shared.orders.0.send(Outgoing::HangUp);
        let _ = tokio::time::timeout(END_TIMEOUT, self.ended()).await;
    }
}

/// Asks the host what it offers for the process wall; needs no running node, and leaves nothing behind.
///
/// # Errors
/// [`StartError::Helper`] when the launcher process cannot be started.
pub async fn probe(options: &LauncherOptions) -> Result<HostReport, StartError> {
    let (near, far) = channel::pair().map_err(StartError::helper)?;
    let near = Channel::new(near).map_err(StartError::helper)?;
    let preparer = Preparer::new(near, &options.network);
    let (channel, mut child, mut host) = begin(options, far).await?;
    if host.obstacles().is_empty() {
        host.parts.push(preparer.report().await.part());
        let _ = tokio::time::timeout(END_TIMEOUT, preparer.close()).await;
    }
    drop(channel);
    let _ = tokio::time::timeout(END_TIMEOUT, child.wait()).await;
    Ok(host)
}

/// Starts the process and hears its report.
async fn begin(
    options: &LauncherOptions,
    preparer: OwnedFd,
) -> Result<(Channel, Child, HostReport), StartError> {
    let run_dir = std::path::absolute(&options.run_dir).map_err(StartError::helper)?;
    std::fs::create_dir_all(&run_dir).map_err(StartError::helper)?;
    let (near, far) = channel::pair().map_err(StartError::helper)?;
    let channel = Channel::new(near).map_err(StartError::helper)?;
    let child = Command::new("/proc/self/exe")
        .arg0("hearth-launcher")
        .arg(MARKER)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(far))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(StartError::helper)?;
    let start = Request::Start {
        run_dir,
        network: options.network.clone(),
    };
    channel
        .send(&start, &[preparer.as_fd()])
        .await
        .map_err(StartError::helper)?;
    match tokio::time::timeout(START_TIMEOUT, channel.receive::<Event>()).await {
        Ok(Ok(Some((Event::Ready { host }, _)))) => Ok((channel, child, host)),
        Ok(Ok(_)) => Err(StartError::Helper(
            "it left without a report; does main call run_launcher_if_asked first?".to_owned(),
        )),
        Ok(Err(error)) => Err(StartError::helper(error)),
        Err(_) => Err(StartError::Helper(format!(
            "no report within {} s",
            START_TIMEOUT.as_secs()
        ))),
    }
}

/// Checks a specification and takes what the launcher needs of it.
fn order(spec: &Spec) -> Result<Order, LaunchError> {
    let wrong = |reason: &str| Err(LaunchError::Spec(reason.to_owned()));
    if !spec
        .argv
        .first()
        .is_some_and(|program| program.starts_with('/'))
    {
        return wrong("argv must begin with an absolute path");
    }
    if spec.memory_mib == 0 || spec.tmp_mib == 0 {
        return wrong("memory_mib and tmp_mib must be at least 1");
    }
    if spec
        .env
        .iter()
        .any(|(name, _)| name.is_empty() || name.contains('='))
    {
        return wrong("the name of an environment variable is empty or holds an equals sign");
    }
    let sources = spec
        .mounts
        .iter()
        .map(|mount| &mount.source)
        .chain(spec.folders.iter().map(|folder| &folder.source))
        .chain([&spec.code])
        .chain(&spec.layers);
    if sources.into_iter().any(|source| !source.is_absolute()) {
        return wrong("folders to mount must be absolute paths");
    }
    Ok(Order {
        code: spec.code.clone(),
        layers: spec.layers.clone(),
        mounts: spec.mounts.clone(),
        folders: spec.folders.clone(),
        argv: spec.argv.clone(),
        env: spec.env.clone(),
        memory_mib: spec.memory_mib,
        tmp_mib: spec.tmp_mib,
        start_cpu: spec.start_cpu,
    })
}

/// A pipe: our end, non-blocking, and the function's.
fn output() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = std::io::pipe()?;
    rustix::io::ioctl_fionbio(&ours, true)?;
    Ok((ours.into(), theirs.into()))
}

/// Takes a launch back whose caller stopped waiting.
struct Undo<'a> {
    id: u64,
    shared: &'a Shared,
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        lock(&self.shared.table).waiting.remove(&self.id);
        self.shared.orders.send(Request::Kill { id: self.id });
    }
}
