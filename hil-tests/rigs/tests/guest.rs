//! What this machine's kernel lacks, tried in a guest kernel: the tests whose names begin with `inside` run there, as root,
//! in this very program, and this machine starts a guest for each.

#![allow(clippy::unwrap_used)] // All of this file is a test.

#[path = "guest/can.rs"]
mod can;
#[path = "guest/conformance.rs"]
mod conformance;
#[path = "guest/gpio.rs"]
mod gpio;

use std::ffi::OsStr;
use std::time::Duration;
use twinhelm_rigs::guest::{Guest, GuestError};

/// A guest needs some seconds; a busy machine makes more of them.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the ignored test `name` of this program in a guest of Debian's kernel.
fn in_the_guest(name: &str) {
    run_in(&Guest::find().unwrap(), name);
}

/// The same in the kernel that has GPIO and a watchdog, if it was built.
fn in_the_guest_with_gpio(name: &str) {
    match Guest::find_with_gpio() {
        Ok(guest) => run_in(&guest, name),
        Err(GuestError::NoGpio) => println!("skipped: {}", GuestError::NoGpio),
        Err(error) => panic!("{error}"),
    }
}

fn run_in(guest: &Guest, name: &str) {
    let verdict = guest.run_own_test(name, PATIENCE).unwrap();
    println!("{}\nfrom boot to verdict: {:.2} s", verdict.log, verdict.took.as_secs_f64());
    assert_eq!(verdict.code, 0, "{name} fails in the guest");
    assert!(verdict.log.contains("1 passed"), "{name} is no test of this program");
}

#[test]
fn a_command_that_fails_in_the_guest_is_a_verdict() {
    let command = ["sh", "-c", "uname -r; exit 7"].map(OsStr::new);
    let verdict = Guest::find().unwrap().run(&command, PATIENCE, |_window| ()).unwrap();
    assert_eq!(verdict.code, 7);
    assert!(verdict.log.starts_with("6."), "{}", verdict.log);
}

#[test]
fn a_guest_that_does_not_end_is_killed() {
    let command = ["busybox", "sleep", "1000"].map(OsStr::new);
    let error = Guest::find().unwrap().run(&command, Duration::from_secs(8), |_window| ()).unwrap_err();
    assert!(error.to_string().contains("did not end within 8s"), "{error}");
}

#[test]
fn socketcan_conforms_in_classic_can_and_in_fd() {
    in_the_guest("conformance::inside_socketcan_conforms");
}

#[test]
fn an_interface_that_is_absent_down_or_gone_is_told_and_found_again() {
    in_the_guest("can::inside_an_interface_that_is_absent_down_or_gone_is_told_and_found_again");
}

#[test]
fn a_full_queue_costs_the_frame_and_nothing_else() {
    in_the_guest("can::inside_a_full_queue_costs_the_frame_and_nothing_else");
}

#[test]
fn a_device_wakes_only_for_what_it_wants() {
    in_the_guest("can::inside_a_device_wakes_only_for_what_it_wants");
}

#[test]
fn a_listener_hears_the_bus_and_knows_when_it_does_not() {
    in_the_guest("can::inside_a_listener_hears_the_bus_and_knows_when_it_does_not");
}

#[test]
fn the_controllers_errors_become_its_confinement() {
    in_the_guest("can::inside_the_controllers_errors_become_its_confinement");
}

#[test]
fn the_kernel_says_when_a_frame_came() {
    in_the_guest("can::inside_the_kernel_says_when_a_frame_came");
}

#[test]
fn candump_and_cansend_see_and_inject() {
    in_the_guest("can::inside_candump_and_cansend_see_and_inject");
}

#[test]
fn lines_are_driven_and_read_and_one_that_is_taken_is_named() {
    in_the_guest_with_gpio("gpio::inside_lines_are_driven_and_read_and_one_that_is_taken_is_named");
}

#[test]
fn a_watchdog_is_fed_by_one_and_busy_for_another() {
    in_the_guest_with_gpio("gpio::inside_a_watchdog_is_fed_by_one_and_busy_for_another");
}

#[test]
fn edges_come_with_the_kernels_time_and_make_way_and_speed() {
    in_the_guest_with_gpio("gpio::inside_edges_come_with_the_kernels_time_and_make_way_and_speed");
}

#[test]
fn registers_go_over_an_adapter_that_knows_smbus_alone_and_who_does_not_answer_is_named() {
    in_the_guest_with_gpio(
        "gpio::inside_registers_go_over_an_adapter_that_knows_smbus_alone_and_who_does_not_answer_is_named",
    );
}

#[test]
fn device_files_of_others_say_how_to_be_allowed() {
    in_the_guest_with_gpio("gpio::inside_device_files_of_others_say_how_to_be_allowed");
}
