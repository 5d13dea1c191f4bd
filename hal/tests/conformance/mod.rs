//! What an actuator does wherever it runs. The simulated vehicle, pins, the gate program and the firmware each go through this one suite,
//! with a [`Place`] of their own.

#![allow(clippy::expect_used)]

use core::fmt::Debug;
use twinhelm_hal::actuator::{Action, Ramp, Release, SafeSignal, SafeState};
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::frame::{CommandFrame, Frame};
use twinhelm_hal::gate::Timing;
use twinhelm_hal::signals::table::{Signal, Table};
use twinhelm_hal::signals::{Layout, Signals};
use twinhelm_hal::term::Term;
use twinhelm_hal::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const PERIOD: Duration = Duration::from_millis(10);
/// The gate's timing in each place.
pub const TIMING: Timing = Timing {
    period: PERIOD,
    margin: Duration::from_millis(2),
    gate_lease: Duration::from_millis(30),
    command_timeout: Duration::from_millis(50),
};
/// What a command may be in each place.
pub static LAYOUT: Layout = Layout::of(&Table::of(&[
    Signal::of_counts("First", [-5_000, 5_000]),
    Signal::of_counts("Second", [-6_000, 4_000]),
]));
const COMMAND: Signals = Signals::of_16_bits([2_000, 1_000]);
const BRAKE: i64 = -3_000;
const BRAKING: [i64; 2] = [2_000, BRAKE];
const BRAKES_FOR: Duration = Duration::from_millis(300);

/// Returns the counts of two signals of 16 bits, read by hand: what a place shows is not checked by the code that shows it.
fn counts_of(signals: &Signals) -> [i64; 2] {
    let bytes = signals.bytes();
    [[bytes[0], bytes[1]], [bytes[2], bytes[3]]].map(|bytes| i16::from_le_bytes(bytes).into())
}

/// An actuator, where it runs.
pub trait Place {
    /// What there is to see of what the actuators are told.
    type Shown: PartialEq + Debug;
    /// Whether it has an encoder.
    const MEASURES_SPEED: bool;

    /// It hears a frame.
    fn hear(&mut self, now: Instant, frame: &Frame);
    /// Its loop goes round.
    fn turn(&mut self, now: Instant);
    /// Its e-stop line is pressed, or not; its loop has to go round before it counts.
    fn press(&mut self, pressed: bool);
    /// The speed that is measured from now on; ignored where there is no encoder.
    fn measure(&mut self, speed_mm_s: i16);
    /// What the actuators are told; `None`: nothing.
    fn shown(&self) -> Option<Self::Shown>;
    /// What is to be seen when they are told `signals`, which have these counts.
    fn expected(&self, signals: Signals, counts: [i64; 2]) -> Self::Shown;
}

/// A place, and what time it is there.
struct Run<P: Place> {
    place: P,
    now: Instant,
    cycle: u64,
}

impl<P: Place> Run<P> {
    fn new(place: P) -> Self {
        let mut run = Self { place, now: Instant::from_nanos(1_000_000_000), cycle: 0 };
        run.pass(MS);
        run
    }

    /// Follows the left device's [`COMMAND`] for as long as it takes to be believed.
    fn following(place: P, speed_mm_s: i16) -> Self {
        let mut run = Self::new(place);
        run.place.measure(speed_mm_s);
        for _ in 0..3 {
            run.command(4, COMMAND);
            run.pass(PERIOD);
        }
        run.command(4, COMMAND);
        run.assert_told(COMMAND, "an open gate passes the command on");
        run
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.now += MS;
            self.place.turn(self.now);
        }
    }

    fn hear(&mut self, frame: &Frame) {
        self.place.hear(self.now, frame);
    }

    fn frame(&self, term: u32, signals: Signals, estop: bool) -> Frame {
        let slot = Term::new(term).slot();
        let cycle = Cycle::new(self.cycle).to_wire();
        CommandFrame { slot, term: Term::new(term).to_wire(), cycle, probe: false, estop, signals }.encode()
    }

    fn command(&mut self, term: u32, signals: Signals) {
        self.cycle += 1;
        let frame = self.frame(term, signals, false);
        self.hear(&frame);
    }

    fn assert_told(&self, signals: Signals, what: &str) {
        assert_eq!(self.place.shown(), Some(self.place.expected(signals, counts_of(&signals))), "{what}");
    }

    fn assert_rest(&self, what: &str) {
        assert_eq!(self.place.shown(), None, "{what}");
    }

    fn assert_brakes(&self, what: &str) {
        self.assert_told(LAYOUT.pack(&BRAKING), what);
    }
}

/// Goes through all that an actuator does; `make` puts an actuator with a safe state there.
pub fn check<P: Place>(make: impl Fn(SafeState) -> P) {
    let safe = SafeState::hold_and_brake(BRAKE, BRAKES_FOR);
    moves_by_two_consistent_commands_alone(Run::new(make(safe)));
    is_moved_by_nothing_else(Run::following(make(safe), 0));
    silence_is_the_safe_state_and_then_rest(Run::following(make(safe), 0));
    without_time_it_rests_at_once(Run::following(make(SafeState::hold_and_brake(BRAKE, Duration::ZERO)), 0));
    stops_by_its_line_and_by_a_frame(Run::following(make(safe), 0), Run::following(make(safe), 0));
    a_higher_term_ends_the_safe_state(Run::following(make(safe), 0));
    if P::MEASURES_SPEED {
        the_safe_state_goes_by_the_speed(make);
    }
}

fn the_safe_state_goes_by_the_speed<P: Place>(make: impl Fn(SafeState) -> P) {
    let release = |value| Release { value, slower_than_mm_s: 20, at_latest: None };
    let safe = SafeState::of(
        &[
            SafeSignal {
                delay: Duration::ZERO,
                action: Action::HoldUntilSlower(500, Ramp { to: 0, counts_per_s: Some(10_000) }),
                release: release(None),
            },
            SafeSignal {
                delay: Duration::ZERO,
                action: Action::Ramp(Ramp { to: BRAKE, counts_per_s: None }),
                release: release(Some(0)),
            },
        ],
        3_000,
    );
    let mut run = Run::following(make(safe), 700);
    run.pass(400 * MS);
    run.assert_brakes("at speed it holds the first signal");
    run.place.measure(450);
    run.pass(400 * MS);
    run.assert_told(LAYOUT.pack(&[0, BRAKE]), "slower, it lets it go to its value");
    run.place.measure(0);
    run.pass(300 * MS);
    run.assert_rest("it ends at a standstill");

    let mut run = Run::following(make(safe), 2_500);
    run.pass(40 * MS);
    run.place.measure(0);
    run.pass(500 * MS);
    run.assert_brakes("an encoder that says at once that it stands is not believed");
}

fn moves_by_two_consistent_commands_alone<P: Place>(mut run: Run<P>) {
    run.assert_rest("nothing is told before the first command");
    run.command(4, COMMAND);
    run.assert_rest("one command opens no gate");
    run.pass(PERIOD);
    run.command(4, COMMAND);
    run.assert_told(COMMAND, "two do");
    let next = Signals::of_16_bits([-1_000, 500]);
    run.pass(PERIOD);
    run.command(4, next);
    run.assert_told(next, "and then each");
}

fn is_moved_by_nothing_else<P: Place>(mut run: Run<P>) {
    let other = Signals::of_16_bits([-2_000, -1_000]);
    let again = run.frame(4, other, false);
    let lower = run.frame(0, other, false);
    let mut damaged = run.frame(4, other, false);
    damaged.data[3] ^= 0x10;
    let beyond = run.frame(4, Signals::of_16_bits([5_001, 0]), false);
    let stranger = Frame { id: 0x7FF, ..again };
    for (frame, what) in [
        (again, "a cycle that was acted on"),
        (lower, "a lower term"),
        (damaged, "a damaged frame"),
        (beyond, "a command beyond the limits"),
        (stranger, "somebody else's frame"),
    ] {
        run.hear(&frame);
        run.assert_told(COMMAND, what);
    }
}

fn silence_is_the_safe_state_and_then_rest<P: Place>(mut run: Run<P>) {
    run.pass(49 * MS);
    run.assert_told(COMMAND, "until the command timeout");
    run.pass(2 * MS);
    run.assert_brakes("then the safe state");
    run.pass(BRAKES_FOR - 3 * MS);
    run.assert_brakes("for as long as it says");
    run.pass(5 * MS);
    run.assert_rest("and then nothing");
    run.pass(10 * PERIOD);
    run.assert_rest("for good");
}

fn without_time_it_rests_at_once<P: Place>(mut run: Run<P>) {
    run.pass(51 * MS);
    run.assert_rest("with no time to brake it is let go at once");
}

fn stops_by_its_line_and_by_a_frame<P: Place>(mut by_line: Run<P>, mut by_frame: Run<P>) {
    by_line.place.press(true);
    by_line.pass(3 * MS);
    by_line.assert_brakes("the line stops it");
    by_line.place.press(false);
    by_frame.cycle += 1;
    let frame = by_frame.frame(4, COMMAND, true);
    by_frame.hear(&frame);
    by_frame.assert_brakes("the flag stops it");
    for mut run in [by_line, by_frame] {
        for _ in 0..60 {
            run.pass(PERIOD);
            run.command(5, COMMAND);
        }
        run.assert_rest("a higher term opens no gate that was stopped");
    }
}

fn a_higher_term_ends_the_safe_state<P: Place>(mut run: Run<P>) {
    run.pass(100 * MS);
    run.assert_brakes("the safe state");
    run.cycle += 8;
    run.command(5, COMMAND);
    run.pass(PERIOD);
    run.command(5, COMMAND);
    run.assert_told(COMMAND, "a takeover ends it");
}
