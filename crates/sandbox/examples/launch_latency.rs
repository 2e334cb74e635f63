//! Measures what a sandbox costs: launch (until the program is executed), until its first output, and destroy.
//!
//! `cargo run -p hearth-sandbox --example launch_latency -- [COUNT] [PROGRAM ARGUMENT…]`

#![allow(
    clippy::unwrap_used,
    reason = "a measurement that fails has nothing to say"
)]

use std::time::{Duration, Instant};

use hearth_sandbox::{Launcher, LauncherOptions, Network, Spec, StartCpu};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

fn main() {
    hearth_sandbox::run_launcher_if_asked();
    tokio::runtime::Runtime::new().unwrap().block_on(measure());
}

async fn measure() {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(200, |count| count.parse().unwrap());
    let mut argv: Vec<String> = arguments.collect();
    if argv.is_empty() {
        argv = ["/bin/echo", "started"].map(str::to_owned).to_vec();
    }
    let folder = tempfile::tempdir().unwrap();
    let code = folder.path().join("code");
    std::fs::create_dir(&code).unwrap();
    let options = LauncherOptions {
        run_dir: folder.path().join("run"),
        allow_weak_walls: true,
        network: Default::default(),
    };
    let begin = Instant::now();
    let launcher = Launcher::start(options).await.unwrap();
    println!("launcher ready      {:8.2} ms", millis(begin.elapsed()));
    let (mut launches, mut outputs, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let spec = Spec {
            name: "measure".to_owned(),
            code: code.clone(),
            layers: None,
            mounts: Vec::new(),
            folders: Vec::new(),
            argv: argv.clone(),
            env: Vec::new(),
            memory_mib: 256,
            tmp_mib: 512,
            network: Network::None,
            start_cpu: StartCpu::Boost,
        };
        let begin = Instant::now();
        let mut sandbox = launcher.launch(spec).await.unwrap();
        launches.push(begin.elapsed());
        let mut stdout = Receiver::from_owned_fd(sandbox.take_stdout().unwrap()).unwrap();
        let _ = stdout.read_u8().await;
        outputs.push(begin.elapsed());
        let begin = Instant::now();
        sandbox.destroy().await;
        ends.push(begin.elapsed());
    }
    for (name, mut times) in [
        ("launch", launches),
        ("first output", outputs),
        ("destroy", ends),
    ] {
        times.sort_unstable();
        let at = |percent: usize| millis(times[(times.len() - 1) * percent / 100]);
        println!("{name:14} p50 {:8.2} ms  p99 {:8.2} ms", at(50), at(99));
    }
    launcher.shutdown().await;
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
