//! How sandboxes end, and that nothing is left of them whoever dies first.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use hearth_sandbox::{Exit, LaunchError, Launcher, StartError};
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{
    World, groups_of, is_alive, is_root, marker, options, parent_of, processes_with,
};

crate::tests![
    exit_codes_and_signals_are_told_apart,
    a_program_that_cannot_be_executed_is_the_functions_fault,
    a_wrong_specification_is_the_callers_fault,
    all_processes_end_with_the_main_one,
    kill_ends_everything_and_many_may_wait,
    destroy_leaves_nothing,
    a_dropped_sandbox_is_killed,
    a_cancelled_launch_is_undone,
    launches_overlap,
    sandboxes_die_with_the_launcher,
    sandboxes_die_with_the_main_process,
    weak_walls_must_be_allowed,
];

/// Makes this program the victim of `sandboxes_die_with_the_main_process`.
const VICTIM: &str = "--play-victim";

fn exit_codes_and_signals_are_told_apart() {
    let world = World::new();
    assert_eq!(world.sh("exit 0").exit, Exit::Code(0));
    assert_eq!(world.sh("exit 255").exit, Exit::Code(255));
    assert_eq!(world.sh("kill -SEGV $$").exit, Exit::Signal(11));
    assert_eq!(world.sh("kill -TERM $$").exit, Exit::Signal(15));
    assert_eq!(world.sh("kill -KILL $$").exit, Exit::Signal(9));
}

fn a_program_that_cannot_be_executed_is_the_functions_fault() {
    let world = World::new();
    world.code("plain.txt", "not a program");
    for (program, expected) in [
        ("/var/task/absent", 2),
        ("/var/task/plain.txt", 13),
        ("/var/task", 13),
    ] {
        let failed = world
            .wait(world.launcher.launch(world.spec(&[program])))
            .unwrap_err();
        assert!(
            matches!(&failed, LaunchError::Exec { errno, .. } if *errno == expected),
            "{failed}"
        );
    }
}

fn a_wrong_specification_is_the_callers_fault() {
    let world = World::new();
    let wrong = |spec| {
        let refused = world.wait(world.launcher.launch(spec)).unwrap_err();
        assert!(matches!(refused, LaunchError::Spec(_)), "{refused}");
    };
    wrong(world.spec(&[]));
    wrong(world.spec(&["sh"]));
    wrong(world.spec(&["/bin/sh", "a\0b"]));
    let mut spec = world.script("true");
    spec.env.push(("A=B".to_owned(), String::new()));
    wrong(spec);
    let mut spec = world.script("true");
    spec.env.push(("LARGE".to_owned(), "x".repeat(200_000)));
    wrong(spec);
    let mut spec = world.script("true");
    spec.code = world.folder.path().join("absent");
    let failed = world.wait(world.launcher.launch(spec)).unwrap_err();
    assert!(
        matches!(&failed, LaunchError::Setup(reason) if reason.contains("absent")),
        "{failed}"
    );
    assert_eq!(world.sh("echo fine").stdout, "fine\n");
}

fn all_processes_end_with_the_main_one() {
    let world = World::new();
    let marker = marker();
    let script = format!("(setsid sleep {marker} >/dev/null 2>&1 &); exit 6");
    assert_eq!(world.sh(&script).exit, Exit::Code(6));
    assert!(processes_with(&marker).is_empty());
}

fn kill_ends_everything_and_many_may_wait() {
    let world = World::new();
    let marker = marker();
    let sandbox = world.launch(world.script(&format!("sleep {marker} & sleep {marker}")));
    sandbox.kill();
    sandbox.kill();
    let exits = world.wait(async { tokio::join!(sandbox.wait(), sandbox.wait()) });
    assert_eq!(exits, (Exit::Signal(9), Exit::Signal(9)));
    assert_eq!(world.wait(sandbox.wait()), Exit::Signal(9));
    assert!(processes_with(&marker).is_empty());
}

fn destroy_leaves_nothing() {
    let world = World::new();
    let marker = marker();
    let sandbox =
        world.launch(world.script(&format!("sleep {marker} & trap '' TERM; sleep {marker}")));
    let (pid, groups) = (sandbox.pid(), groups_of(sandbox.pid()));
    assert_eq!(
        groups.is_empty(),
        !world.launcher.host().weaknesses().is_empty()
    );
    let launcher = parent_of(pid);
    world.wait(sandbox.destroy());
    assert!(!is_alive(pid));
    assert!(processes_with(&marker).is_empty());
    world.until("the cgroups are removed", || {
        !groups.iter().any(|group| group.exists())
    });
    world.wait(world.launcher.shutdown());
    assert!(!is_alive(launcher));
    assert!(!groups.iter().any(|group| group.parent().unwrap().exists()));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(world.folder.path().to_str().unwrap()));
    let gone = world
        .wait(world.launcher.launch(world.script("true")))
        .unwrap_err();
    assert!(
        matches!(gone, LaunchError::Gone | LaunchError::Network(_)),
        "{gone}"
    );
}

fn a_dropped_sandbox_is_killed() {
    let world = World::new();
    let marker = marker();
    let sandbox = world.launch(world.script(&format!("sleep {marker}")));
    let groups = groups_of(sandbox.pid());
    assert!(!processes_with(&marker).is_empty());
    drop(sandbox);
    world.until("its processes are gone", || {
        processes_with(&marker).is_empty()
    });
    world.until("its cgroups are gone", || {
        !groups.iter().any(|group| group.exists())
    });
}

fn a_cancelled_launch_is_undone() {
    let world = World::new();
    let marker = marker();
    let spec = || world.script(&format!("sleep {marker}"));
    for polls in 0..16 {
        world.wait(async {
            let mut launch = Box::pin(world.launcher.launch(spec()));
            for _ in 0..polls {
                tokio::select! {
                    biased;
                    _ = &mut launch => break,
                    () = tokio::task::yield_now() => {}
                }
            }
        });
    }
    // Requests are served in their order.
    world.wait(world.launch(spec()).destroy());
    world.until("no process is left", || processes_with(&marker).is_empty());
}

fn launches_overlap() {
    let world = World::new();
    let specs: Vec<_> = (0..12)
        .map(|number| world.script(&format!("exit {number}")))
        .collect();
    let exits = world.wait(async {
        let runs = specs.into_iter().map(|spec| {
            let launcher = world.launcher.clone();
            tokio::spawn(async move { launcher.launch(spec).await.unwrap().wait().await })
        });
        let mut exits = Vec::new();
        for run in runs.collect::<Vec<_>>() {
            exits.push(run.await.unwrap());
        }
        exits
    });
    assert_eq!(exits, (0..12).map(Exit::Code).collect::<Vec<_>>());
}

fn kill_9(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

fn sandboxes_die_with_the_launcher() {
    let world = World::new();
    let marker = marker();
    let sandbox = world.launch(world.script(&format!("sleep {marker}")));
    let groups = groups_of(sandbox.pid());
    kill_9(parent_of(sandbox.pid()));
    assert_eq!(world.wait(sandbox.wait()), Exit::Signal(9));
    world.until("its processes are gone", || {
        processes_with(&marker).is_empty()
    });
    let gone = world
        .wait(world.launcher.launch(world.script("true")))
        .unwrap_err();
    assert!(
        matches!(gone, LaunchError::Gone | LaunchError::Network(_)),
        "{gone}"
    );
    // It could not remove its cgroups: the next launcher does.
    let next = world
        .wait(Launcher::start(options(world.folder.path())))
        .unwrap();
    assert!(!groups.iter().any(|group| group.parent().unwrap().exists()));
    world.wait(next.shutdown());
}

/// In the victim's process: runs one sandbox until killed.
pub(crate) fn play_victim_if_asked() -> bool {
    let mut arguments = std::env::args().skip(1);
    let asked = arguments.next().is_some_and(|argument| argument == VICTIM);
    if asked {
        let world = World::new();
        let sandbox = world.launch(world.script(&format!("sleep {}", arguments.next().unwrap())));
        println!("{} {}", sandbox.pid(), parent_of(sandbox.pid()));
        for group in groups_of(sandbox.pid()) {
            println!("{}", group.display());
        }
        println!();
        std::thread::park();
    }
    asked
}

fn sandboxes_die_with_the_main_process() {
    let marker = marker();
    let world = World::new();
    // What the victim cannot remove any more goes with this test's own folder.
    let mut victim = Command::new("/proc/self/exe")
        .args([VICTIM, &marker])
        .env("TMPDIR", world.folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let first = lines.next().unwrap();
    let pids: Vec<u32> = first.split(' ').map(|pid| pid.parse().unwrap()).collect();
    let groups: Vec<PathBuf> = lines
        .take_while(|line| !line.is_empty())
        .map(PathBuf::from)
        .collect();
    assert_eq!(groups.is_empty(), !is_root());
    assert_eq!(pids.len(), 2);
    victim.kill().unwrap();
    victim.wait().unwrap();
    world.until("sandbox and launcher are gone", || {
        !pids.iter().any(|pid| is_alive(*pid))
    });
    world.until("the function is gone", || {
        processes_with(&format!("sleep\0{marker}")).is_empty()
    });
    assert!(!groups.iter().any(|group| group.parent().unwrap().exists()));
}

fn weak_walls_must_be_allowed() {
    let world = World::new();
    let mut strict = options(world.folder.path());
    strict.allow_weak_walls = false;
    match world.wait(Launcher::start(strict)) {
        Ok(strong) => assert!(strong.host().weaknesses().is_empty()),
        Err(StartError::Weak(reasons)) => {
            assert!(!world.launcher.host().weaknesses().is_empty());
            assert!(
                reasons.iter().any(|reason| reason.contains("cgroup")),
                "{reasons:?}"
            );
        }
        Err(other) => panic!("{other}"),
    }
}
