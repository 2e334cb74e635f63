//! What a function sees: its code, its own processes, and nothing of the host.

use std::fs;

use hearth_sandbox::{Exit, LaunchError, Mount};

use crate::world::{World, is_root, read_line, write};

crate::tests![
    nothing_but_tmp_can_be_written,
    code_layers_and_mounts_are_at_their_places,
    mounts_go_only_where_they_belong,
    the_hosts_files_are_not_there,
    the_user_inside_is_nobody,
    every_sandbox_is_another_user_of_the_host,
    the_environment_is_the_given_one,
    only_three_descriptors_are_open,
    only_own_processes_can_be_seen,
    pid_1_cannot_be_killed_from_inside,
    output_can_be_opened_by_name,
    tmp_belongs_to_one_sandbox,
    the_runtime_api_is_reached_from_inside needs "/bin/bash",
    host_reports_name_every_part,
    a_masked_proc_is_empty_inside needs "/usr/bin/unshare",
];

fn nothing_but_tmp_can_be_written() {
    let world = World::new();
    let folders = "/ /usr /usr/lib /etc /var /var/task /opt /dev /proc /var/lang /var/runtime";
    let ran = world.sh(&format!(
        "for folder in {folders}; do touch $folder/x 2>&- && echo wrote to $folder; done; touch /tmp/x && echo tmp"
    ));
    assert_eq!((ran.stdout.as_str(), ran.exit), ("tmp\n", Exit::Code(0)));
    let options = world.sh("while read -r _ _ _ _ place options _; do echo $place $options; done </proc/self/mountinfo");
    for mount in options.stdout.lines() {
        assert!(mount.contains("nosuid"), "{mount}");
        assert!(
            mount.starts_with("/dev/") || mount.contains("nodev"),
            "{mount}"
        );
        assert!(
            mount.starts_with("/tmp ") || mount.starts_with("/proc ") || mount.contains(" ro,"),
            "{mount}"
        );
    }
    assert!(options.stdout.lines().count() > 5, "{}", options.stdout);
}

fn code_layers_and_mounts_are_at_their_places() {
    let world = World::new();
    let folder = world.folder.path();
    world.code("handler.txt", "code ");
    write(&folder.join("layers/lib/l.txt"), "layer ");
    write(&folder.join("interpreter/v.txt"), "language ");
    write(&folder.join("bootstrap/b.txt"), "runtime");
    let mut spec = world.script(
        "cat handler.txt /var/task/handler.txt /opt/lib/l.txt /var/lang/v.txt /var/runtime/b.txt",
    );
    spec.layers = Some(folder.join("layers"));
    let mount = |source: &str, target: &str| Mount {
        source: folder.join(source),
        target: target.into(),
    };
    spec.mounts = vec![
        mount("interpreter", "/var/lang"),
        mount("bootstrap", "/var/runtime"),
    ];
    let ran = world.run(spec);
    assert_eq!(ran.stdout, "code code layer language runtime", "{ran:?}");
}

fn mounts_go_only_where_they_belong() {
    let world = World::new();
    for target in ["/etc", "/usr/../etc", "/tmp", "/proc", "relative", "/"] {
        let mut spec = world.script("true");
        spec.mounts = vec![Mount {
            source: world.folder.path().join("code"),
            target: target.into(),
        }];
        let refused = world.wait(world.launcher.launch(spec)).unwrap_err();
        assert!(
            matches!(refused, LaunchError::Spec(_)),
            "{target}: {refused}"
        );
    }
}

fn the_hosts_files_are_not_there() {
    let world = World::new();
    let secret = world.folder.path().join("secret");
    fs::write(&secret, "").unwrap();
    let paths = format!(
        "/root /home /etc/shadow /etc/ssh /sys /run /boot /dev/kmsg /dev/vda {}",
        secret.display()
    );
    let ran = world.sh(&format!(
        "for path in {paths}; do [ -e $path ] && echo $path; done; hostname; cat /etc/hosts"
    ));
    assert_eq!(
        ran.stdout,
        "sandbox\n127.0.0.1 localhost sandbox\n::1 localhost\n"
    );
}

fn the_user_inside_is_nobody() {
    let world = World::new();
    let ran =
        world.sh("id -u; id -g; id -un; grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status");
    let mut lines = ran.stdout.lines();
    assert_eq!(lines.next(), Some("993"));
    assert_eq!(lines.next(), Some("990"));
    assert_eq!(lines.next(), Some("sbx_user1051"));
    let status: Vec<_> = lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .collect();
    assert_eq!(status.len(), 7, "{ran:?}");
    for line in status {
        let expected = match line[0] {
            "NoNewPrivs:" => "1",
            "Seccomp:" => "2",
            _ => "0000000000000000",
        };
        assert_eq!(line[1], expected, "{}", line[0]);
    }
}

fn every_sandbox_is_another_user_of_the_host() {
    let world = World::new();
    let sandboxes = [
        world.launch(world.script("sleep 1000")),
        world.launch(world.script("sleep 1000")),
    ];
    let users = sandboxes.each_ref().map(|sandbox| {
        let status = fs::read_to_string(format!("/proc/{}/status", sandbox.pid())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .unwrap()
            .to_owned();
        line.split_whitespace()
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    });
    if is_root() {
        assert_ne!(users[0], users[1]);
        assert!(users.iter().all(|user| *user >= 0x7f00_0000), "{users:?}");
    } else {
        assert_eq!(users, [rustix::process::geteuid().as_raw(); 2]);
    }
}

fn the_environment_is_the_given_one() {
    let world = World::new();
    let mut spec = world.spec(&["/usr/bin/env"]);
    spec.env = vec![
        ("_HANDLER".to_owned(), "a.b".to_owned()),
        ("EMPTY".to_owned(), String::new()),
    ];
    assert_eq!(world.run(spec).stdout, "_HANDLER=a.b\nEMPTY=\n");
}

fn only_three_descriptors_are_open() {
    let world = World::new();
    // A second sandbox whose pipes must not be inherited.
    let _other = world.launch(world.script("sleep 1000"));
    let ran = world.sh("i=0; while [ $i -lt 1024 ]; do [ -e /proc/$$/fd/$i ] && echo $i; i=$((i+1)); done; ulimit -n");
    assert_eq!(ran.stdout, "0\n1\n2\n1024\n");
}

fn only_own_processes_can_be_seen() {
    let world = World::new();
    let ran = world.sh("echo $$; cd /proc; echo [0-9]*; cat /proc/1/environ 2>&- || echo hidden");
    assert_eq!(ran.stdout, "2\n2\nhidden\n", "{ran:?}");
}

fn pid_1_cannot_be_killed_from_inside() {
    let world = World::new();
    let ran = world.sh("kill -9 1; kill -15 1; echo $?; exit 5");
    assert_eq!(ran.exit, Exit::Code(5), "{ran:?}");
}

fn output_can_be_opened_by_name() {
    let world = World::new();
    let ran = world.sh("echo out >/dev/stdout; echo err >/dev/stderr; cat </dev/null; head -c 4 /dev/urandom | wc -c");
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("out\n4\n", "err\n")
    );
}

fn tmp_belongs_to_one_sandbox() {
    let world = World::new();
    let mut first = world.launch(world.script("echo canary >/tmp/x; echo written; sleep 1000"));
    let stdout = first.take_stdout().unwrap();
    assert_eq!(world.wait(read_line(stdout)), "written");
    let second = world.sh("ls -A /tmp /dev/shm /var/tmp 2>&-");
    assert_eq!(second.stdout, "/tmp:\n");
}

fn the_runtime_api_is_reached_from_inside() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new();
    for port in [hearth_sandbox::RUNTIME_API_PORT, hearth_sandbox::DOOR_PORT] {
        let call = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo ping >&3; cat <&3");
        let mut sandbox = world.launch(world.spec(&["/bin/bash", "-c", &call]));
        let (api, door) = (
            sandbox.take_runtime_api().unwrap(),
            sandbox.take_door().unwrap(),
        );
        world.wait(async {
            let listener = if port == hearth_sandbox::RUNTIME_API_PORT {
                api
            } else {
                door
            };
            let (mut stream, _) = tokio::net::TcpListener::from_std(listener)
                .unwrap()
                .accept()
                .await
                .unwrap();
            let mut request = [0; 5];
            stream.read_exact(&mut request).await.unwrap();
            assert_eq!(&request, b"ping\n");
            stream.write_all(b"pong").await.unwrap();
        });
        assert_eq!(world.finish(sandbox).stdout, "pong");
    }
}

fn host_reports_name_every_part() {
    let world = World::new();
    let report = world
        .wait(hearth_sandbox::probe(&crate::world::options(
            world.folder.path(),
        )))
        .unwrap();
    let names: Vec<_> = report.parts.iter().map(|part| part.name.as_str()).collect();
    let expected = [
        "user namespace",
        "read-only root",
        "landlock",
        "seccomp",
        "cgroup",
        "namespaces",
        "/proc",
        "outgoing network",
    ];
    assert_eq!(names, expected);
    assert!(report.obstacles().is_empty(), "{report:?}");
    assert_eq!(
        report.weaknesses().is_empty(),
        world.launcher.host().weaknesses().is_empty()
    );
    assert!(
        report
            .parts
            .iter()
            .all(|part| part.available == part.advice.is_empty() && !part.detail.is_empty())
    );
}

/// Makes this program the one that `a_masked_proc_is_empty_inside` starts where /proc is masked.
const MASKED: &str = "--play-masked";

pub(crate) fn play_masked_if_asked() -> bool {
    let asked = std::env::args()
        .nth(1)
        .is_some_and(|argument| argument == MASKED);
    if asked {
        // In a user namespace root has no cgroups either.
        let world = World::start(true);
        let host = world.launcher.host();
        let missing: Vec<_> = host
            .parts
            .iter()
            .filter(|part| !part.available)
            .map(|part| &*part.name)
            .collect();
        let ran = world.sh("ls -A /proc; echo $(id -u) >/tmp/x; cat /tmp/x");
        println!("{} {}", missing.contains(&"/proc"), ran.stdout.trim());
    }
    asked
}

fn a_masked_proc_is_empty_inside() {
    // As containers do it: something of /proc is covered.
    let program = std::env::current_exe().unwrap();
    let script = format!(
        "mount -t tmpfs none /proc/sys/kernel && exec {} {MASKED}",
        program.display()
    );
    let mut unshare = std::process::Command::new("/usr/bin/unshare");
    if !is_root() {
        unshare.arg("--map-root-user");
    }
    let ran = unshare
        .args(["--mount", "/bin/sh", "-c", &script])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(
        said,
        "true 993\n",
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
