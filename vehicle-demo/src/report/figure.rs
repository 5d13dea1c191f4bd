//! From the log to the picture: what gate 0 acted on, who had which role, where the vehicle was.

use super::analysis::Setting;
use super::device_name;
use super::log::{Event, Log};
use crate::course::Course;
use crate::plot::{CommandPoint, DeviceRoles, Figure, PathPoint, RoleSpan};
use crate::signals::Command;
use twinhelm_hal::gate::How;
use twinhelm_hal::signals::Command as _;
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::Instant;

/// How a device that does not run is named.
const DOWN: &str = "down";

/// Returns the picture of the run that `log` tells of; `title` is the line above all.
#[must_use]
pub fn figure(log: &Log, setting: &Setting, course: &Course, title: &str) -> Figure {
    let mut drawing = Drawing::new(setting);
    for (at, event) in &log.events {
        drawing.on(*at, event);
    }
    let mut figure = drawing.finish();
    title.clone_into(&mut figure.title);
    figure.course_xy = course.outline().collect();
    figure
}

/// A device's roles so far.
#[derive(Default)]
struct Band {
    spans: Vec<RoleSpan>,
    /// What it was when it went down: a process that is stopped and goes on may still be that.
    before: Option<String>,
}

impl Band {
    fn is_down(&self) -> bool {
        self.spans.last().is_some_and(|span| span.role == DOWN)
    }

    fn begin(&mut self, t_s: f64, role: String) {
        if let Some(last) = self.spans.last_mut() {
            if last.role == role {
                return;
            }
            last.to_s = t_s;
        }
        self.spans.push(RoleSpan { from_s: t_s, to_s: t_s, role });
    }
}

struct Drawing<'a> {
    setting: &'a Setting,
    figure: Figure,
    bands: [Band; SLOTS as usize],
    last: Option<(Instant, Slot)>,
}

impl<'a> Drawing<'a> {
    fn new(setting: &'a Setting) -> Self {
        let milliseconds = |span: std::time::Duration| span.as_secs_f64() * 1e3;
        let figure = Figure {
            period_ms: milliseconds(setting.config.period),
            command_timeout_ms: milliseconds(setting.config.command_timeout),
            ..Figure::default()
        };
        Self { setting, figure, bands: Default::default(), last: None }
    }

    fn t_s(&self, at: Instant) -> f64 {
        at.seconds_after(self.setting.zero)
    }

    fn on(&mut self, at: Instant, event: &Event) {
        let t_s = self.t_s(at);
        match event {
            Event::Acted { gate: 0, how, slot, signals, .. } => {
                let Command { steering_rad, drive_mps2 } = Command::decode(signals);
                self.figure.commands.push(CommandPoint { t_s, slot: slot.number(), steering_rad, drive_mps2 });
                if let Some((before, holder)) = self.last {
                    self.figure.gaps.push((t_s, at.since(before).as_secs_f64() * 1e3));
                    if matches!(how, How::Takeover | How::Opening) && *slot != holder {
                        self.figure.handovers.push(t_s);
                    }
                }
                // A cover's sender does not hold the wheel.
                let holder = self.last.filter(|_| *how == How::Cover).map_or(*slot, |(_, holder)| holder);
                self.last = Some((at, holder));
            }
            Event::Truth { x_m, y_m, cross_track_m, .. } => {
                self.figure.path.push(PathPoint { t_s, x_m: *x_m, y_m: *y_m, cross_track_m: *cross_track_m });
            }
            Event::Role { slot, role } => self.bands[slot.index()].begin(t_s, role.to_string()),
            Event::Ready { slot, .. } => {
                let band = &mut self.bands[slot.index()];
                if let Some(role) = band.before.take().filter(|_| band.is_down()) {
                    band.begin(t_s, role);
                }
            }
            Event::Down { slot } => {
                let band = &mut self.bands[slot.index()];
                if !band.is_down() {
                    band.before = band.spans.last().map(|span| span.role.clone());
                    band.begin(t_s, DOWN.to_owned());
                }
            }
            Event::Fault { label, slot, .. } => {
                let what = label.split_once('@').map_or(label.as_str(), |(what, _)| what);
                let whom = slot.map_or(String::new(), |slot| format!(" {}", device_name(slot)));
                self.figure.faults.push((t_s, format!("{what}{whom}")));
            }
            Event::Acted { .. }
            | Event::Dropped { .. }
            | Event::Closed { .. }
            | Event::Restarted { .. }
            | Event::EStopped { .. }
            | Event::Followed { .. }
            | Event::Offered { .. }
            | Event::Told { .. }
            | Event::FaultEnded { .. }
            | Event::Wrong { .. }
            | Event::Stalled { .. }
            | Event::Phase { .. } => {}
        }
    }

    fn finish(mut self) -> Figure {
        let end_s = self.t_s(self.setting.end);
        // A gap that nobody ended is one as well, once it is longer than an ordinary cycle.
        let open_gap = self.last.map(|(last, _)| self.setting.end.since(last));
        if let Some(gap) = open_gap.filter(|gap| *gap > 2 * self.setting.config.period) {
            self.figure.gaps.push((end_s, gap.as_secs_f64() * 1e3));
        }
        // The pair in any case, a spare when there was one; the drawing counts slots from 0.
        let count = self.bands.iter().rposition(|band| !band.spans.is_empty()).map_or(2, |last| (last + 1).max(2));
        for (slot, mut band) in (0..).map(Slot::from_low_bits).zip(self.bands).take(count) {
            if let Some(last) = band.spans.last_mut() {
                last.to_s = end_s;
            }
            self.figure.roles.push(DeviceRoles { device: device_name(slot).to_owned(), spans: band.spans });
        }
        self.figure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use twinhelm_hal::cycle::Cycle;
    use twinhelm_hal::signals::Signals;
    use twinhelm_hal::term::Term;
    use twinhelm_standby::{Config, NotReady, Parameters, RoleName};

    fn at(ms: u64) -> Instant {
        Instant::from_nanos((1_000 + ms) * 1_000_000)
    }

    fn ms(t_s: f64) -> u64 {
        (t_s * 1e3).round() as u64
    }

    fn acted(ms: u64, slot: Slot, how: How) -> (Instant, Event) {
        let term = Term::next_of(slot, None);
        let signals = Signals::of_16_bits([100, -1_000]);
        let cycle = Cycle::new(1);
        (at(ms), Event::Acted { gate: 0, how, slot, term, adopted: term, cycle, signals, age: None })
    }

    fn draw(events: Vec<(Instant, Event)>) -> Figure {
        let setting = Setting {
            rig: "sim".to_owned(),
            seed: 1,
            machine: String::new(),
            standby: "hot".to_owned(),
            config: Config::new(Parameters::at_period(Duration::from_millis(10))).unwrap(),
            zero: at(0),
            end: at(500),
            course_length_m: 1.0,
            watcher_stall_ms: None,
            notes: Vec::new(),
        };
        figure(&Log { events }, &setting, &Course::harbour(), "a run")
    }

    #[test]
    fn commands_gaps_faults_and_handovers_are_those_of_gate_0() {
        let fault = Event::Fault { label: "kill@0.105s".to_owned(), slot: Some(Slot::LEFT), request: false };
        let figure = draw(vec![
            acted(90, Slot::LEFT, How::Opening),
            acted(100, Slot::LEFT, How::Holder),
            (at(105), fault),
            acted(112, Slot::RIGHT, How::Cover),
            acted(122, Slot::RIGHT, How::Takeover),
        ]);
        assert_eq!(figure.commands.iter().map(|command| command.slot).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert!((figure.commands[0].steering_rad - 0.01).abs() < 1e-9);
        assert!((figure.commands[0].drive_mps2 + 1.0).abs() < 1e-9);
        let faults: Vec<_> = figure.faults.iter().map(|(t_s, what)| (ms(*t_s), what.as_str())).collect();
        assert_eq!(faults, [(105, "kill left")]);
        assert_eq!(figure.handovers.iter().map(|t_s| ms(*t_s)).collect::<Vec<_>>(), [122]);
        let gaps: Vec<_> = figure.gaps.iter().map(|(_, ms)| (ms * 10.0).round() / 10.0).collect();
        assert_eq!(gaps, [10.0, 12.0, 10.0, 378.0]);
    }

    #[test]
    fn a_device_that_was_stopped_goes_on_in_its_role() {
        let role = |ms, role| (at(ms), Event::Role { slot: Slot::RIGHT, role });
        let figure = draw(vec![
            role(10, RoleName::Joining),
            role(50, RoleName::Standby),
            (at(100), Event::Down { slot: Slot::RIGHT }),
            (at(120), Event::Ready { slot: Slot::RIGHT, ready: Err(NotReady::NotJudged) }),
        ]);
        let spans = figure.roles[1].spans.iter();
        let spans: Vec<_> = spans.map(|span| (ms(span.from_s), ms(span.to_s), span.role.as_str())).collect();
        assert_eq!(spans, [(10, 50, "joining"), (50, 100, "standby"), (100, 120, "down"), (120, 500, "standby")]);
        assert_eq!((figure.roles.len(), figure.roles[0].device.as_str()), (2, "left"));
    }
}
