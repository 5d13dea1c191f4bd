//! V11: probes, and what they prove.

use super::*;

#[test]
fn a_standby_sends_a_probe_every_twenty_periods() {
    let mut flight = Flight::of(1);
    let probed: Vec<u64> = (0..=100).filter(|n| flight.follow(*n).probed).collect();
    assert_eq!(probed, [3, 23, 43, 63, 83]);
}

#[test]
fn a_probe_carries_no_term_of_its_sender_and_no_signals() {
    let mut probe = Probe::new(slot(1));
    let frame = probe.due(ms(0.0), Duration::from_millis(10)).expect("the first is due at once");
    let CommandFrame { probe, cycle, signals, estop, .. } = CommandFrame::decode(&frame).expect("a frame");
    assert_eq!((probe, cycle, signals, estop), (true, 1, Signals::default(), false));
}

#[test]
fn probe_numbers_wrap_without_zero() {
    let mut probe = Probe::new(slot(1));
    let period = Duration::from_millis(10);
    let number = |frame: Frame| CommandFrame::decode(&frame).expect("a frame").cycle;
    let numbers: Vec<u16> =
        (0..130).filter_map(|n| probe.due(ms(f64::from(n) * 200.0), period)).map(number).collect();
    assert!(numbers.iter().all(|number| (1..=63).contains(number)));
    assert_eq!(numbers[62..65], [63, 1, 2]);
}

#[test]
fn a_primary_and_a_claimer_send_no_probes() {
    let mut flight = Flight::primary();
    for n in 14..60 {
        assert!(!flight.turn(n as f64 * 10.0 + 2.0).probed);
    }
}

#[test]
fn a_cover_takes_the_place_of_a_probe() {
    let mut flight = Flight::of(1);
    for n in 0..=22 {
        flight.follow(n);
    }
    // A probe is due with cycle 23; the holder left it empty.
    let did = flight.turn(232.0);
    assert_eq!((did.sent, did.probed), (Some((OURS, 23)), false));
}

#[test]
fn an_echo_of_another_slots_probe_proves_nothing() {
    let mut flight = Flight::of(1);
    flight.echoes = false;
    for n in 0..=10_u64 {
        let at = n as f64 * 10.0;
        flight.command(at, THEIRS, n);
        let status = StatusFrame {
            gate: 0,
            term: 0,
            cycle: Cycle::new(n).to_wire(),
            open: true,
            term_known: true,
            safe_state: false,
            estop: false,
            echo: Some(Echo { slot: slot(0), number: 1 }),
            speed_mm_s: 0,
        };
        flight.hear(at + 0.5, status.encode());
        flight.receive_state(at + 1.0, n);
        flight.turn(at + 2.0);
    }
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::OutputPath));
}

#[test]
fn each_live_gate_must_echo() {
    let mut flight = Flight::standby();
    flight.echoes = false;
    flight.gate(109.0, 1, open(THEIRS, 10));
    flight.echoes = true;
    flight.follow(11);
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::OutputPath), "gate 1 echoed nothing");
    flight.gate(119.0, 1, open(THEIRS, 11));
    flight.follow(12);
    assert_eq!(flight.node.takeover_ready(), Ok(()));
}

#[test]
fn a_proof_is_a_second_old_at_most() {
    let mut flight = Flight::standby();
    // The probe that is echoed was sent at 32 ms; the gate hears none of the later ones.
    let echo = flight.echo;
    for n in 11..=103 {
        flight.follow(n);
        flight.echo = echo;
    }
    assert_eq!(flight.node.takeover_ready(), Ok(()));
    flight.follow(104);
    assert_eq!(flight.node.takeover_ready(), Err(NotReady::OutputPath));
}

#[test]
fn a_proof_of_a_second_ago_counts_and_a_moment_later_it_does_not() {
    let judged_at = |at: f64| {
        let mut flight = Flight::standby();
        let echo = flight.echo;
        for n in 11..=102 {
            flight.follow(n);
            flight.echo = echo;
        }
        // The probe that is echoed was sent when the law had computed, at 32.02 ms.
        flight.command(1_030.0, THEIRS, 103);
        flight.gate(1_030.5, 0, open(THEIRS, 103));
        flight.receive_state(1_031.0, 103);
        flight.turn(at);
        flight.node.takeover_ready()
    };
    assert_eq!(judged_at(1_032.02), Ok(()));
    assert_eq!(judged_at(1_032.03), Err(NotReady::OutputPath));
}

#[test]
fn an_own_command_acted_on_proves_the_output_path_like_an_echo() {
    let mut flight = Flight::primary();
    flight.echoes = false;
    // Driving for more than a second; no probe of that time exists.
    for n in 14..=150 {
        let at = n as f64 * 10.0 + 2.0;
        flight.turn(at);
        flight.gate(at + 0.5, 0, open(OURS, n));
    }
    flight.peer_is(1_503.0, 150, RoleName::Standby, Ok(()));
    flight.switchover(1_503.5).expect("the peer is ready");
    flight.command(1_514.0, HIGHER, 151);
    flight.gate(1_514.5, 0, open(OURS, 151));
    flight.turn(1_516.0);
    assert_eq!(flight.node.takeover_ready(), Ok(()));
}
