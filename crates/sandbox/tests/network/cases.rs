//! What holds for every way out.

use std::future::Future;
use std::io;
use std::os::unix::process::CommandExt;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hearth_sandbox::network::{Network, NetworkOptions, Preparer, Slot, Uplink};

use crate::world::{self, CLOSED, HOST, HOST_PRIVATE, PROGRAM, PUBLIC};

/// Who functions are here: neither "nobody", who owns the unprivileged preparer's user namespace and so may do anything
/// in it from outside, nor anybody else.
const FUNCTION: u32 = 65533;

type Outcome = Result<(), Box<dyn std::error::Error>>;
/// One test.
pub(crate) type Case = fn(Mode) -> Pin<Box<dyn Future<Output = Outcome>>>;

/// How the preparer runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Root,
    Rootless,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Root => "root",
            Mode::Rootless => "rootless",
        }
    }
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) const ALL: &[(&str, Case)] = &[$((stringify!($name), |mode| Box::pin($name(mode)))),*];
    };
}

cases![
    the_outside_is_reached_through_translation,
    names_are_resolved_through_the_relay,
    nothing_closed_is_reached_by_any_trick,
    the_host_is_not_reached_at_any_of_its_addresses,
    addresses_that_the_host_gets_later_are_closed_too,
    environments_do_not_reach_each_other,
    a_function_cannot_change_its_network,
    an_opened_range_is_reached_and_only_that,
    without_a_network_only_the_doors_answer,
    a_dropped_network_is_cut_though_a_process_is_left_in_it,
    a_killed_preparer_leaves_nothing_for_long,
    the_way_out_comes_back_when_its_process_dies,
    wrong_options_are_reported_and_never_served,
    two_instances_live_side_by_side,
    instances_that_end_together_leave_the_host_as_it_was,
];

/// A preparer and the process that it runs in.
struct Running {
    preparer: Preparer,
    process: Child,
}

impl Running {
    fn start(mode: Mode, options: &NetworkOptions) -> io::Result<Self> {
        let (near, far) = crate::line()?;
        let mut words: Vec<&str> = Vec::new();
        if mode == Mode::Rootless {
            words.extend([
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
            ]);
            words.extend(["unshare", "--user", "--map-root-user"]);
        }
        words.extend([PROGRAM, crate::PREPARER]);
        let process = Command::new(words[0])
            .args(&words[1..])
            .arg(serde_json::to_string(options)?)
            .stdin(Stdio::from(far))
            .spawn()?;
        let preparer = Preparer::connect(near, options)?;
        Ok(Self { preparer, process })
    }

    async fn egress(&self) -> io::Result<Slot> {
        self.preparer
            .take(Network::Egress)
            .await
            .map_err(io::Error::other)
    }

    /// Ends it in order.
    async fn end(mut self) -> Outcome {
        self.preparer.close().await;
        let status = self.process.wait()?;
        if !status.success() {
            return Err(format!("the preparer ended with {status}").into());
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a failure it may still run.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn options() -> NetworkOptions {
    NetworkOptions {
        resolvers: PUBLIC.parse().into_iter().collect(),
        pool_size: 1,
        ..NetworkOptions::default()
    }
}

/// Tries things as a function would: without privileges, inside.
async fn probe(slot: &Slot, attempts: &[String]) -> io::Result<Vec<String>> {
    let netns = slot.netns.try_clone()?;
    let attempts = attempts.to_vec();
    // The resolver's relay runs in this thread's runtime meanwhile.
    tokio::task::spawn_blocking(move || {
        world::inside(&netns, move || {
            let output = Command::new(PROGRAM)
                .arg(crate::PROBE)
                .args(&attempts)
                .uid(FUNCTION)
                .gid(FUNCTION)
                .stderr(Stdio::inherit())
                .output()?;
            Ok(String::from_utf8_lossy(&output.stdout)
                .lines()
                .map(str::to_owned)
                .collect())
        })
    })
    .await?
}

/// The same from the host, which must work: otherwise a failure inside shows nothing.
async fn control(attempts: &[String]) -> io::Result<Vec<String>> {
    let attempts = attempts.to_vec();
    tokio::task::spawn_blocking(move || {
        let output = Command::new(PROGRAM)
            .arg(crate::PROBE)
            .args(&attempts)
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect())
    })
    .await?
}

fn all_reached(attempts: &[String], results: &[String]) -> Outcome {
    let missed: Vec<_> = attempts
        .iter()
        .zip(results)
        .filter(|(_, result)| !result.starts_with("ok"))
        .collect();
    if !missed.is_empty() || attempts.len() != results.len() {
        return Err(format!(
            "not reached: {missed:?} ({} of {})",
            results.len(),
            attempts.len()
        )
        .into());
    }
    Ok(())
}

fn none_reached(attempts: &[String], results: &[String]) -> Outcome {
    let reached: Vec<_> = attempts
        .iter()
        .zip(results)
        .filter(|(_, result)| !result.starts_with("no"))
        .collect();
    if !reached.is_empty() || attempts.len() != results.len() {
        return Err(format!(
            "reached: {reached:?} ({} of {})",
            results.len(),
            attempts.len()
        )
        .into());
    }
    Ok(())
}

fn owned(attempts: &[&str]) -> Vec<String> {
    attempts
        .iter()
        .map(|attempt| (*attempt).to_owned())
        .collect()
}

/// Waits for what another process does in its own time; the bound is for a failing test only.
async fn until(what: &str, mut done: impl FnMut() -> bool) -> Outcome {
    let start = Instant::now();
    while !done() {
        if start.elapsed() > Duration::from_secs(10) {
            return Err(format!("{what}: not within 10 s; left are {:?}", world::left()).into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn the_outside_is_reached_through_translation(mode: Mode) -> Outcome {
    let running = Running::start(mode, &options())?;
    let expected = match mode {
        Mode::Root => Uplink::Veth,
        Mode::Rootless => Uplink::Pasta,
    };
    assert_eq!(running.preparer.report().await.uplink, expected);
    let slot = running.egress().await?;
    let attempts = owned(&[
        "tcp@203.0.113.10:8080",
        "udp@203.0.113.10:8080",
        "tcp@[::ffff:203.0.113.10]:8080",
    ]);
    let results = probe(&slot, &attempts).await?;
    assert_eq!(
        results,
        vec![format!("ok {HOST}"); 3],
        "the server saw the host's address"
    );
    drop(slot);
    running.end().await
}

async fn names_are_resolved_through_the_relay(mode: Mode) -> Outcome {
    let running = Running::start(mode, &options())?;
    let slot = running.egress().await?;
    let attempts = owned(&[
        "name@192-0-2-7.example",
        "name-tcp@192-0-2-8.example",
        "by-name@203-0-113-10.example:8080",
    ]);
    let results = probe(&slot, &attempts).await?;
    assert_eq!(
        results,
        [
            "ok 192.0.2.7".to_owned(),
            "ok 192.0.2.8".to_owned(),
            format!("ok {HOST}")
        ]
    );
    let results = probe(&slot, &owned(&["name@nowhere.example"])).await?;
    assert_eq!(
        results,
        ["no no such name"],
        "an answer of the server, and not silence"
    );
    drop(slot);
    running.end().await
}

async fn nothing_closed_is_reached_by_any_trick(mode: Mode) -> Outcome {
    let running = Running::start(mode, &options())?;
    let slot = running.egress().await?;
    let mut plain = Vec::new();
    for address in CLOSED {
        for how in ["tcp", "udp"] {
            plain.push(format!("{how}@{address}:8080"));
        }
        plain.push(format!("tcp@[::ffff:{address}]:8080"));
    }
    // 169.254.169.254 and 10.9.9.9, spelt as `inet_aton` knows; by redirect; by group and broadcast.
    plain.extend(owned(&[
        "tcp@2852039166:8080",
        "tcp@0xa9fea9fe:8080",
        "tcp@0251.0376.0251.0376:8080",
        "tcp@10.592137:8080",
        "redirected@203.0.113.10:8090",
    ]));
    all_reached(&plain, &control(&plain).await?)?;
    let heard = world::heard();
    control(&owned(&["udp@239.255.255.250:8084"])).await?;
    let heard_before = world::heard();
    assert_ne!(heard, heard_before, "the host reaches the group");
    let refused = probe(&slot, &plain[..3]).await?;
    assert!(
        refused
            .iter()
            .all(|result| result.contains("Permission denied")),
        "at once: {refused:?}"
    );
    let mut attempts = plain;
    for address in CLOSED {
        attempts.push(format!("tcp-bound@{address}:8080"));
        attempts.push(format!("udp-bound@{address}:8080"));
        attempts.push(format!(
            "by-name@{}.example:8080",
            address.replace('.', "-")
        ));
    }
    attempts.extend(owned(&[
        "udp@239.255.255.250:8084",
        "udp-bound@239.255.255.250:8084",
        "udp-bound@224.0.0.1:8084",
        "udp-bound@255.255.255.255:8084",
        "tcp@[64:ff9b::a9fe:a9fe]:8080",
        "tcp@[fd00:ec2::254]:8080",
        "tcp@[ff02::1%eth0]:8080",
    ]));
    none_reached(&attempts, &probe(&slot, &attempts).await?)?;
    assert_eq!(world::heard(), heard_before, "a packet to many got out");
    // The same place at the same time still reaches what is open.
    all_reached(
        &owned(&["x"]),
        &probe(&slot, &owned(&["tcp-bound@203.0.113.10:8080"])).await?,
    )?;
    drop(slot);
    running.end().await
}

/// Every address by which a function might mean the host, at a port where the host listens on all of them.
fn host_attempts() -> Vec<String> {
    let mut attempts = Vec::new();
    for address in [HOST, HOST_PRIVATE] {
        for how in ["tcp", "udp", "tcp-bound", "udp-bound"] {
            attempts.push(format!("{how}@{address}:8081"));
        }
    }
    attempts
}

async fn the_host_is_not_reached_at_any_of_its_addresses(mode: Mode) -> Outcome {
    let options = NetworkOptions {
        allowed_private: "10.0.0.0/8".parse().into_iter().collect(),
        ..options()
    };
    let running = Running::start(mode, &options)?;
    let slot = running.egress().await?;
    let reachable = owned(&[
        "tcp@127.0.0.1:8081",
        "tcp@203.0.113.2:8081",
        "udp@203.0.113.2:8081",
        "tcp@10.9.0.5:8081",
        "udp@10.9.0.5:8081",
    ]);
    all_reached(&reachable, &control(&reachable).await?)?;
    let mut attempts = [reachable, host_attempts()].concat();
    // The router's side of all cables that there can be here, first of all this one's.
    for last in 0..8 {
        attempts.push(format!("tcp@100.127.0.{last}:8081"));
        attempts.push(format!("udp-bound@100.127.0.{last}:8084"));
    }
    attempts.extend(owned(&[
        "tcp@127.0.0.1:8080",
        "tcp@0.0.0.0:8081",
        "tcp@[::1]:8081",
        "udp-bound@255.255.255.255:8084",
    ]));
    let heard = world::heard();
    none_reached(&attempts, &probe(&slot, &attempts).await?)?;
    assert_eq!(world::heard(), heard, "the host heard a packet");
    drop(slot);
    running.end().await
}

async fn addresses_that_the_host_gets_later_are_closed_too(mode: Mode) -> Outcome {
    let running = Running::start(mode, &options())?;
    let slot = running.egress().await?;
    // Services stay: each mode has its own.
    let address = match mode {
        Mode::Root => "203.0.113.77",
        Mode::Rootless => "203.0.113.78",
    };
    world::sh(&format!("ip address add {address}/24 dev eth0"))?;
    world::host_service(address)?;
    let attempts = ["tcp", "udp"].map(|how| format!("{how}@{address}:8081"));
    let controlled = control(&attempts).await?;
    // The preparer hears of it in its own time.
    let start = Instant::now();
    let outcome = loop {
        let outcome = none_reached(&attempts, &probe(&slot, &attempts).await?);
        if outcome.is_ok() || start.elapsed() > Duration::from_secs(10) {
            break outcome;
        }
    };
    world::sh(&format!("ip address del {address}/24 dev eth0"))?;
    outcome?;
    all_reached(&attempts, &controlled)?;
    drop(slot);
    running.end().await
}

/// A process that listens inside, until dropped.
struct Listening(Child);

impl Listening {
    fn start(slot: &Slot) -> io::Result<Self> {
        let mut child = world::inside(&slot.netns, || {
            Command::new(PROGRAM)
                .args([crate::PROBE, crate::probe::SERVE])
                .uid(FUNCTION)
                .gid(FUNCTION)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
        })?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            io::BufRead::read_line(&mut io::BufReader::new(output), &mut line)?;
        }
        assert_eq!(line, "listening\n");
        Ok(Self(child))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The addresses of environments' interfaces.
fn own_address(slot: &Slot) -> io::Result<String> {
    let text = world::inside(&slot.netns, || {
        Ok(Command::new("ip")
            .args(["-br", "-4", "address", "show", "eth0"])
            .output()?
            .stdout)
    })?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let address = text
        .split_whitespace()
        .find_map(|word| word.split_once('/'));
    Ok(address
        .map(|(address, _)| address.to_owned())
        .unwrap_or_default())
}

async fn environments_do_not_reach_each_other(mode: Mode) -> Outcome {
    let running = Running::start(mode, &options())?;
    let (one, other) = (running.egress().await?, running.egress().await?);
    let _listening = Listening::start(&other)?;
    let place = own_address(&other)?;
    assert!(place.starts_with("100.127."), "{place}");
    let own = owned(&[&format!("tcp@{place}:8082")]);
    all_reached(&own, &probe(&other, &own).await?)?;
    let attempts: Vec<_> = ["tcp", "tcp-bound"]
        .iter()
        .map(|how| format!("{how}@{place}:8082"))
        .collect();
    none_reached(&attempts, &probe(&one, &attempts).await?)?;
    drop((one, other));
    running.end().await
}

async fn a_function_cannot_change_its_network(mode: Mode) -> Outcome {
    let running = Running::start(mode, &options())?;
    let slot = running.egress().await?;
    let attempts = owned(&[
        "change@route del prohibit 10.0.0.0/8",
        "change@route add 10.9.9.9/32 dev eth0",
        "change@address add 100.127.0.99/32 dev eth0",
        "change@link set eth0 down",
        "change@rule add from all lookup local priority 1",
    ]);
    none_reached(&attempts, &probe(&slot, &attempts).await?)?;
    drop(slot);
    running.end().await
}

async fn an_opened_range_is_reached_and_only_that(mode: Mode) -> Outcome {
    let options = NetworkOptions {
        allowed_private: "10.9.8.0/22".parse().into_iter().collect(),
        ..options()
    };
    let running = Running::start(mode, &options)?;
    let slot = running.egress().await?;
    let results = probe(&slot, &owned(&["tcp@10.9.9.9:8080", "udp@10.9.9.9:8080"])).await?;
    assert_eq!(results, vec![format!("ok {HOST}"); 2]);
    let closed: Vec<_> = CLOSED[1..]
        .iter()
        .map(|address| format!("tcp-bound@{address}:8080"))
        .collect();
    let attempts = [closed, host_attempts()].concat();
    none_reached(&attempts, &probe(&slot, &attempts).await?)?;
    drop(slot);
    running.end().await
}

async fn without_a_network_only_the_doors_answer(mode: Mode) -> Outcome {
    let running = Running::start(mode, &options())?;
    let slot = running.preparer.take(Network::None).await?;
    let attempts = owned(&[
        "tcp@203.0.113.10:8080",
        "udp@203.0.113.10:8080",
        "tcp@203.0.113.2:8081",
        "tcp@127.0.0.1:8081",
        "name@192-0-2-7.example",
        "tcp@10.9.9.9:8080",
    ]);
    none_reached(&attempts, &probe(&slot, &attempts).await?)?;
    for (door, place) in [
        (&slot.runtime_api, "127.0.0.1:9001"),
        (&slot.door, "127.0.0.1:9002"),
    ] {
        let door = tokio::net::TcpListener::from_std(door.try_clone()?)?;
        let answering = tokio::spawn(async move {
            let (mut stream, _) = door.accept().await?;
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"door").await
        });
        assert_eq!(
            probe(&slot, &owned(&[&format!("tcp@{place}")])).await?,
            ["ok door"]
        );
        answering.await??;
    }
    drop(slot);
    running.end().await
}

async fn a_dropped_network_is_cut_though_a_process_is_left_in_it(mode: Mode) -> Outcome {
    let running = Running::start(
        mode,
        &NetworkOptions {
            pool_size: 0,
            ..options()
        },
    )?;
    let slot = running.egress().await?;
    let netns = slot.netns.try_clone()?;
    let listening = Listening::start(&slot)?;
    drop(slot);
    until("the cable is cut", || {
        own_interfaces(&netns) == ["lo"] && world::cables().is_empty()
    })
    .await?;
    drop(listening);
    running.end().await
}

fn own_interfaces(netns: &std::os::fd::OwnedFd) -> Vec<String> {
    let listed = world::inside(netns, || {
        Ok(Command::new("ip").args(["-br", "link"]).output()?.stdout)
    });
    let listed = String::from_utf8_lossy(&listed.unwrap_or_default()).into_owned();
    listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

async fn a_killed_preparer_leaves_nothing_for_long(mode: Mode) -> Outcome {
    let mut running = Running::start(mode, &options())?;
    let slot = running.egress().await?;
    if mode == Mode::Root {
        assert!(!world::cables().is_empty());
        assert!(
            world::left().iter().any(|left| left.contains("hearth")),
            "the rules are there"
        );
    } else {
        assert_eq!(world::pastas().len(), 1);
    }
    running.process.kill()?;
    running.process.wait()?;
    // The one that prepared is gone, and the function with it; who comes next cleans up.
    let error = loop {
        match running.preparer.take(Network::Egress).await {
            Ok(stored) => drop(stored),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("is gone"), "{error}");
    drop(slot);
    drop(running);
    until("pasta ends with its parent", || world::pastas().is_empty()).await?;
    let next = Running::start(
        mode,
        &NetworkOptions {
            pool_size: 0,
            ..options()
        },
    )?;
    next.preparer.report().await;
    assert_eq!(world::cables(), Vec::<String>::new());
    next.end().await
}

async fn the_way_out_comes_back_when_its_process_dies(mode: Mode) -> Outcome {
    if mode == Mode::Root {
        // The kernel is the way.
        return Ok(());
    }
    let running = Running::start(mode, &options())?;
    let slot = running.egress().await?;
    let [first] = &world::pastas()[..] else {
        return Err("no pasta runs".into());
    };
    world::sh(&format!("kill -9 {first}"))?;
    until(
        "another one runs",
        || matches!(&world::pastas()[..], [other] if other != first),
    )
    .await?;
    // It runs a little before the way is complete.
    let start = Instant::now();
    loop {
        let results = probe(&slot, &owned(&["tcp@203.0.113.10:8080"])).await?;
        if results == [format!("ok {HOST}")] {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{results:?}");
    }
    drop(slot);
    running.end().await
}

async fn wrong_options_are_reported_and_never_served(mode: Mode) -> Outcome {
    let options = NetworkOptions {
        allowed_private: "169.254.169.254".parse().into_iter().collect(),
        ..options()
    };
    let running = Running::start(mode, &options)?;
    let Uplink::Unavailable { why, .. } = running.preparer.report().await.uplink else {
        return Err("not reported".into());
    };
    assert!(why.contains("metadata"), "{why}");
    let slot = running.egress().await?;
    let attempts = owned(&["tcp@203.0.113.10:8080", "tcp@169.254.169.254:8080"]);
    none_reached(&attempts, &probe(&slot, &attempts).await?)?;
    drop(slot);
    running.end().await
}

async fn two_instances_live_side_by_side(mode: Mode) -> Outcome {
    let (first, second) = (
        Running::start(mode, &options())?,
        Running::start(mode, &options())?,
    );
    let slot = first.egress().await?;
    let other = second.egress().await?;
    let attempts = owned(&["tcp@203.0.113.10:8080"]);
    all_reached(&attempts, &probe(&slot, &attempts).await?)?;
    all_reached(&attempts, &probe(&other, &attempts).await?)?;
    let _listening = Listening::start(&other)?;
    let across = owned(&[&format!("tcp-bound@{}:8082", own_address(&other)?)]);
    if mode == Mode::Root {
        assert_ne!(own_address(&slot)?, own_address(&other)?);
        none_reached(&across, &probe(&slot, &across).await?)?;
    }
    // The end of one takes nothing from the other.
    drop(slot);
    first.end().await?;
    all_reached(&attempts, &probe(&other, &attempts).await?)?;
    drop(other);
    second.end().await
}

async fn instances_that_end_together_leave_the_host_as_it_was(mode: Mode) -> Outcome {
    for _ in 0..3 {
        let running: Vec<_> = (0..6)
            .map(|_| Running::start(mode, &options()))
            .collect::<Result<_, _>>()?;
        for one in &running {
            assert!(!matches!(
                one.preparer.report().await.uplink,
                Uplink::Unavailable { .. }
            ));
        }
        let closing: Vec<_> = running
            .iter()
            .map(|one| one.preparer.clone())
            .map(|preparer| tokio::spawn(async move { preparer.close().await }))
            .collect();
        for one in closing {
            one.await?;
        }
        for one in running {
            one.end().await?;
        }
        world::nothing_left()?;
    }
    Ok(())
}

/// Prints how long preparing and taking last; run with `--ignored --exact root::measure`.
pub(crate) fn measure(mode: Mode) -> Pin<Box<dyn Future<Output = Outcome>>> {
    Box::pin(async move {
        for (name, kind, pool_size) in [
            ("prepare none", Network::None, 0),
            ("prepare egress", Network::Egress, 0),
            ("take none from the store", Network::None, 4),
            ("take egress from the store", Network::Egress, 4),
        ] {
            let start = Instant::now();
            let running = Running::start(
                mode,
                &NetworkOptions {
                    pool_size,
                    ..options()
                },
            )?;
            running.preparer.report().await;
            let started = start.elapsed();
            let mut times = Vec::new();
            let mut kept = Vec::new();
            kept.push(running.preparer.take(kind).await?);
            for _ in 0..40 {
                if pool_size > 0 {
                    // Long enough for the store to fill again.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let start = Instant::now();
                kept.push(running.preparer.take(kind).await?);
                times.push(start.elapsed());
            }
            times.sort();
            println!(
                "{} {name}: p50 {:?}, worst {:?}; start {started:?}",
                mode.name(),
                times[20],
                times[39]
            );
            drop(kept);
            running.end().await?;
        }
        Ok(())
    })
}
