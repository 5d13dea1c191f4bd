//! Containers by libcrun, through mission-runner: each way from state to state, what a mission may do, and what is left.

mod ground;

use ground::{Ground, assert_nothing_left, cgroups, is_alive, may_make_containers, start, wait_until};
use mission_wire::{Exit, Signal, Status};
use rustix::process::{Pid, Signal as Posix, kill_process};
use std::fs;
use twinhelm_linux::network::Namespace;
use twinhelm_mission::runner::RunnerEvent;

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
    kill_process(pid, Posix::KILL).expect("it runs");
}

/// Returns the worker below a guard.
fn worker_of(guard: u32) -> u32 {
    let children = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).expect("a guard");
    let children: Vec<u32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
    let is_worker =
        |pid: &&u32| fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("worker"));
    *children.iter().find(is_worker).expect("a worker")
}

#[test]
fn a_container_goes_from_state_to_state_and_leaves_nothing() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    assert!(ground.runner().libcrun().starts_with("1.8."));
    let id = ground.id("life");
    let (created, mut output) = ground.create(&id, "echo begun; exec sleep 1000");
    let created = created.expect("it is made");
    let pid = created.pid();
    assert_eq!(created.status().expect("a state"), Status::Created);
    let running = created.start().expect("it starts");
    assert_eq!(output.line(), "begun");
    assert_eq!(running.status().expect("a state"), Status::Running);
    let budget = format!("/sys/fs/cgroup/cpu/twinhelm-{id}/cpu.rt_runtime_us");
    // A kernel without groups of real-time threads has no such file, and no need of it.
    let budget = fs::read_to_string(budget).unwrap_or_else(|_| "100000".to_owned());
    assert_eq!(budget.trim(), "100000", "microseconds of each second for real-time threads");
    let paused = running.pause().expect("it freezes");
    assert_eq!(paused.status().expect("a state"), Status::Paused);
    let running = paused.resume().expect("it goes on");
    assert_eq!(running.status().expect("a state"), Status::Running);
    running.kill(Signal::Kill).expect("it is there");
    assert_eq!(ground.end_of(&id), Exit::Signal(9));
    assert_eq!(running.status().expect("a state"), Status::Stopped);
    running.delete().expect("it goes");
    assert_nothing_left(ground.folder.path(), &id, Some(pid));
}

#[test]
fn a_pause_is_done_when_every_process_is_frozen() {
    if !may_make_containers() {
        return;
    }
    let mut ground = Ground::new();
    // What dead processes had is freed later than others begin: the usual allowance was seen to be too small on a busy machine.
    ground.allowance.memory_bytes = 1 << 30;
    let id = ground.id("busy");
    // So busy that some of them are in the middle of something when they are to freeze.
    let busy = "sh -c 'while true; do /bin/true; done' & ".repeat(4);
    let (created, mut output) =
        ground.create(&id, &format!("{busy} echo begun; while true; do wait; sleep 1; done"));
    let mut running = created.expect("it is made").start().expect("it starts");
    assert_eq!(output.line(), "begun");
    for round in 0..100 {
        let paused = running.pause().expect("it freezes");
        assert_eq!(paused.status().expect("a state"), Status::Paused, "round {round}");
        running = paused.resume().expect("it goes on");
    }
    running.delete().expect("it goes");
}

#[test]
fn a_budget_of_real_time_is_free_again_at_once() {
    if !may_make_containers() {
        return;
    }
    let mut ground = Ground::new();
    // Two of these do not fit beside each other.
    ground.allowance.realtime_us = 500_000;
    for number in 0..8 {
        let id = ground.id(&format!("budget-{number}"));
        let (created, _output) = ground.create(&id, "exit 0");
        created.expect("its budget is there").delete().expect("it goes");
    }
}

#[test]
fn a_container_that_exits_at_once_tells_its_status() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let id = ground.id("exit");
    let (created, output) = ground.create(&id, "echo why >&2; exit 7");
    let running = created.expect("it is made").start().expect("it starts");
    assert_eq!(ground.end_of(&id), Exit::Status(7));
    assert_eq!(output.all(), "why\n");
    running.delete().expect("it goes");
    assert_nothing_left(ground.folder.path(), &id, None);
}

#[test]
fn a_container_that_ignores_sigterm_is_removed_all_the_same() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let id = ground.id("deaf");
    let (created, mut output) = ground.create(&id, "trap '' TERM; echo deaf; while :; do sleep 1000; done");
    let running = created.expect("it is made").start().expect("it starts");
    assert_eq!(output.line(), "deaf");
    running.kill(Signal::Term).expect("it is sent");
    assert_eq!(running.status().expect("a state"), Status::Running);
    let pid = running.pid();
    running.delete().expect("it goes");
    assert_nothing_left(ground.folder.path(), &id, Some(pid));
}

#[test]
fn a_frozen_container_is_removed() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let id = ground.id("frozen");
    let running = ground.up(&id);
    let paused = running.pause().expect("it freezes");
    let pid = paused.pid();
    paused.delete().expect("it goes");
    assert_nothing_left(ground.folder.path(), &id, Some(pid));
}

#[test]
fn a_mission_gets_what_it_needs_and_no_more() {
    if !may_make_containers() {
        return;
    }
    let mut ground = Ground::new();
    ground.allowance.devices = vec!["/dev/full".into()];
    let id = ground.id("caps");
    let line = "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; id -u; \
                echo x 2>&1 >/x; mount -t proc proc /proc 2>&1; echo $$; \
                ls -l /dev/full | cut -c1; \
                cat /dev/mem 2>&1; ls /proc/1/root >/dev/null && echo alone";
    let (created, output) = ground.create(&id, line);
    let running = created.expect("it is made").start().expect("it starts");
    ground.end_of(&id);
    running.delete().expect("it goes");
    let text = output.all();
    // CAP_IPC_LOCK is 14, CAP_SYS_NICE is 23.
    let only = format!("{:016x}", (1 << 14) | (1 << 23));
    assert!(text.contains(&format!("CapEff:\t{only}")) && text.contains(&format!("CapBnd:\t{only}")), "{text}");
    assert!(text.contains("NoNewPrivs:\t1"), "{text}");
    assert!(text.contains("\n65532\n") && text.contains("Read-only file system"), "{text}");
    assert!(text.contains("mount: permission denied"), "{text}");
    assert!(text.contains("\n1\n"), "its first process counts from one: {text}");
    assert!(text.contains("\nc\n"), "the named device is there: {text}");
    assert!(text.contains("can't open '/dev/mem'"), "{text}");
}

#[test]
fn a_mission_has_no_more_processes_and_memory_than_it_may() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    let id = ground.id("limits");
    let (created, output) =
        ground.create(&id, "for i in 1 2 3 4 5 6 7 8 9 0 a b c d e f g h i; do sleep 1000 & done; wait");
    let running = created.expect("it is made").start().expect("it starts");
    // The shell gives up when it cannot fork.
    ground.end_of(&id);
    running.delete().expect("it goes");
    assert!(output.all().contains("can't fork"), "pids are limited");

    let id = ground.id("memory");
    let (created, _output) = ground.create(&id, "exec tail -c 200m /dev/zero");
    let running = created.expect("it is made").start().expect("it starts");
    assert_eq!(ground.end_of(&id), Exit::Signal(9), "the kernel kills what takes more memory than it may");
    running.delete().expect("it goes");
}

#[test]
fn a_container_lives_in_the_named_network() {
    if !may_make_containers() {
        return;
    }
    let mut ground = Ground::new();
    let network = Namespace::new().expect("a namespace");
    ground.allowance.network = Some(network.path());
    let id = ground.id("network");
    let (created, output) = ground.create(&id, "tail -n +3 /proc/net/dev | cut -d: -f1");
    let running = created.expect("it is made").start().expect("it starts");
    ground.end_of(&id);
    running.delete().expect("it goes");
    assert_eq!(output.all().trim(), "lo");
}

#[test]
fn a_container_that_cannot_be_made_says_why_and_leaves_nothing() {
    if !may_make_containers() {
        return;
    }
    let ground = Ground::new();
    fs::remove_dir(ground.folder.path().join("run")).expect("the folder is ours");
    let id = ground.id("broken");
    let (created, _output) = ground.create(&id, "true");
    let error = created.expect_err("the shared folder is gone").to_string();
    assert!(error.starts_with(&format!("container {id}: create: ")) && error.contains("/run"), "{error}");
    assert_nothing_left(ground.folder.path(), &id, None);

    let id = ground.id("absent");
    fs::create_dir(ground.folder.path().join("run")).expect("the folder is ours");
    let bundle = ground.bundle(&id, &["/bin/absent"]);
    let nothing = fs::File::open("/dev/null").expect("nothing to read");
    let stdio = [std::os::fd::AsFd::as_fd(&nothing); 3];
    let created = twinhelm_mission::container::Container::create(ground.runner(), id.clone(), &bundle, stdio);
    let error = created.expect_err("there is no such program").to_string();
    assert!(error.contains("/bin/absent"), "{error}");
    assert_nothing_left(ground.folder.path(), &id, None);
}

#[test]
fn a_runner_that_is_killed_leaves_nothing() {
    if !may_make_containers() {
        return;
    }
    for kill_guard in [false, true] {
        let mut ground = Ground::new();
        let id = ground.id(if kill_guard { "guard" } else { "worker" });
        let running = ground.up(&id);
        let pid = running.pid();
        drop(running);
        let guard = ground.runner().pid();
        let worker = worker_of(guard);
        kill(if kill_guard { guard } else { worker });
        ground.wait_until_gone();
        wait_until("both processes end", || !is_alive(guard) && !is_alive(worker));
        assert_nothing_left(ground.folder.path(), &id, Some(pid));
    }
}

#[test]
fn what_a_runner_left_that_was_killed_altogether_is_removed_by_the_next() {
    if !may_make_containers() {
        return;
    }
    let mut ground = Ground::new();
    let id = ground.id("orphan");
    let running = ground.up(&id);
    let pid = running.pid();
    drop(running);
    let guard = ground.runner().pid();
    let worker = worker_of(guard);
    // Stopped first, so that neither has time to remove anything.
    for process in [guard, worker] {
        kill_process(Pid::from_raw(process.cast_signed()).expect("a process"), Posix::STOP).expect("it runs");
    }
    kill(guard);
    kill(worker);
    ground.wait_until_gone();
    assert!(is_alive(pid) && !cgroups(&id).is_empty(), "the container is left alone");
    let (next, _events) = start(ground.folder.path());
    wait_until("its process ends", || !is_alive(pid));
    assert_nothing_left(ground.folder.path(), &id, Some(pid));
    drop(next);
}

#[test]
fn a_runner_whose_caller_lets_go_removes_everything() {
    if !may_make_containers() {
        return;
    }
    let mut ground = Ground::new();
    let id = ground.id("left");
    let running = ground.up(&id);
    let pid = running.pid();
    drop(running);
    drop(ground.runner.take());
    assert_eq!(ground.events.recv().expect("the end is told"), RunnerEvent::Gone);
    assert_nothing_left(ground.folder.path(), &id, Some(pid));
}
