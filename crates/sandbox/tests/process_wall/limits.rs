//! What a function may use, and what happens when it wants more.

use std::fs;

use hearth_sandbox::{Exit, StartCpu};

use crate::world::{World, groups_of, is_alive};

crate::tests![
    tmp_has_a_size,
    tmp_has_a_number_of_files,
    memory_has_a_limit,
    memory_of_many_processes_counts_together,
    files_in_tmp_count_as_memory,
    a_fork_bomb_stops_at_the_limit,
    the_processor_share_follows_the_memory,
    use_is_measured,
];

fn tmp_has_a_size() {
    let world = World::new();
    let mut spec = world.script(
        "head -c 3m /dev/zero >/tmp/a && echo fits; head -c 3m /dev/zero >/tmp/b || echo full",
    );
    spec.tmp_mib = 4;
    let ran = world.run(spec);
    assert_eq!(ran.stdout, "fits\nfull\n");
    assert!(ran.stderr.contains("No space left"), "{ran:?}");
}

fn tmp_has_a_number_of_files() {
    let world = World::new();
    let mut spec = world.script("i=0; while : >/tmp/$i; do i=$((i+1)); done; echo never");
    spec.tmp_mib = 1;
    let ran = world.run(spec);
    assert!(ran.stderr.contains("No space left"), "{ran:?}");
    assert_eq!(ran.stdout, "");
}

fn memory_has_a_limit() {
    let world = World::new();
    // Keeps the last line, which has no end.
    let mut spec = world.spec(&["/usr/bin/tail", "/dev/zero"]);
    spec.memory_mib = 64;
    let sandbox = world.launch(spec);
    let exit = world.wait(sandbox.wait());
    let peak = sandbox.usage().peak_memory_bytes >> 20;
    if world.launcher.host().weaknesses().is_empty() {
        assert_eq!(exit, Exit::OutOfMemory);
        assert!((32..=64).contains(&peak), "{peak}");
    } else {
        // Without cgroups malloc fails first, and the program gives up. Its own text counts as well.
        assert_eq!(exit, Exit::Code(1));
        assert!((32..=72).contains(&peak), "{peak}");
    }
}

fn memory_of_many_processes_counts_together() {
    let world = World::new();
    // Each within its own bound of a process; ends by itself only if a process was killed.
    let mut spec =
        world.script("for i in 1 2 3 4; do (head -c 40m /dev/zero; sleep 1000) | tail -c 40m & done; wait; exit 9");
    spec.memory_mib = 96;
    let sandbox = world.launch(spec);
    if world.launcher.host().weaknesses().is_empty() {
        // The kernel kills the largest process and no more than it has to: the main one lives.
        let groups = groups_of(sandbox.pid());
        let killed = |file: &str| {
            let files = groups
                .iter()
                .filter_map(|group| fs::read_to_string(group.join(file)).ok());
            files.into_iter().any(|text| {
                text.lines()
                    .any(|line| line.starts_with("oom_kill ") && line != "oom_kill 0")
            })
        };
        world.until("a process is killed for want of memory", || {
            killed("memory.events") || killed("memory.oom_control")
        });
        assert!(is_alive(sandbox.pid()));
    } else {
        assert_eq!(world.wait(sandbox.wait()), Exit::OutOfMemory);
    }
}

fn files_in_tmp_count_as_memory() {
    let world = World::new();
    if !world.launcher.host().weaknesses().is_empty() {
        return;
    }
    let mut spec = world.spec(&["/bin/cp", "/dev/zero", "/tmp/x"]);
    (spec.memory_mib, spec.tmp_mib) = (32, 512);
    let sandbox = world.launch(spec);
    assert_eq!(world.wait(sandbox.wait()), Exit::OutOfMemory);
}

fn a_fork_bomb_stops_at_the_limit() {
    let world = World::new();
    let mut spec = world.script("while :; do sleep 1000 & done");
    (spec.memory_mib, spec.start_cpu) = (1769, StartCpu::Boost);
    let ran = world.run(spec);
    assert_eq!(ran.exit, Exit::Code(2), "{ran:?}");
    assert!(ran.stderr.contains("fork"), "{ran:?}");
    assert_eq!(world.sh("echo alive").stdout, "alive\n");
}

fn the_processor_share_follows_the_memory() {
    let world = World::new();
    if !world.launcher.host().weaknesses().is_empty() {
        return;
    }
    let quota = |pid: u32| {
        let read = |file: &str| {
            groups_of(pid)
                .into_iter()
                .find_map(|group| fs::read_to_string(group.join(file)).ok())
        };
        read("cpu.cfs_quota_us")
            .or_else(|| read("cpu.max"))
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .to_owned()
    };
    let mut spec = world.script("sleep 1000");
    (spec.memory_mib, spec.start_cpu) = (128, StartCpu::Share);
    let slow = world.launch(spec.clone());
    // 128 / 1769 of each 20 ms.
    assert_eq!(quota(slow.pid()), "1447");
    spec.start_cpu = StartCpu::Boost;
    let boosted = world.launch(spec.clone());
    assert_eq!(quota(boosted.pid()), "40000");
    boosted.limit_cpu();
    // Requests are served in their order: once this one is, so is the one before.
    let _after = world.launch(spec);
    assert_eq!(quota(boosted.pid()), "1447");
}

fn use_is_measured() {
    let world = World::new();
    let mut sandbox = world
        .launch(world.script("head -c 48m /dev/zero | tail -c 48m >/dev/null; echo; sleep 1000"));
    let stdout = sandbox.take_stdout().unwrap();
    world.wait(crate::world::read_line(stdout));
    if world.launcher.host().weaknesses().is_empty() {
        let usage = sandbox.usage();
        assert!(usage.peak_memory_bytes > 48 << 20, "{usage:?}");
        assert!(!usage.cpu.is_zero());
    }
    sandbox.kill();
    world.wait(sandbox.wait());
    let last = sandbox.usage();
    assert_eq!(last, sandbox.usage());
}
