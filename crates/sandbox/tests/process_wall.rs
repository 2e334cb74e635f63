//! The process wall, tried on real processes.
fn main() {
    hearth_sandbox::run_launcher_if_asked();
    let dir = tempfile::tempdir().unwrap();
    let rt = tokio::runtime::Runtime::new().unwrap();
    rt.block_on(async {
        let options = hearth_sandbox::LauncherOptions { run_dir: dir.path().join("run"), allow_weak_walls: true, network: Default::default() };
        let launcher = match hearth_sandbox::Launcher::start(options.clone()).await { Ok(l) => l, Err(e) => { eprintln!("{e}"); return } };
        eprintln!("{:#?}", launcher.host());
        let code = dir.path().join("code"); std::fs::create_dir(&code).unwrap();
        std::fs::write(code.join("x"), "hello").unwrap();
        let script = std::env::args().nth(1).unwrap_or("id; cat /proc/self/status | grep -E 'Cap|Secc|NoNew'; ls -la / /var/task /tmp /proc /dev; cat /proc/self/mountinfo; env; ls -l /proc/self/fd; cat /proc/self/cgroup; ulimit -a; echo err > /dev/stderr; exit 3".into());
        let t = std::time::Instant::now();
        let spec = hearth_sandbox::Spec { name: "x".into(), code, layers: None, mounts: vec![], argv: vec!["/bin/sh".into(), "-c".into(), script], env: vec![("A".into(), "b".into())],
            memory_mib: 128, tmp_mib: 16, network: hearth_sandbox::Network::None, start_cpu: Default::default() };
        let mut s = launcher.launch(spec).await.unwrap();
        eprintln!("launched in {:?}", t.elapsed());
        for fd in [s.take_stdout().unwrap(), s.take_stderr().unwrap()] {
            let mut r = tokio::net::unix::pipe::Receiver::from_owned_fd(fd).unwrap();
            let mut out = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut r, &mut out).await.unwrap();
            println!("{out}");
        }
        println!("{:?} {:?}", s.wait().await, s.usage());
        launcher.shutdown().await;
    });
}
