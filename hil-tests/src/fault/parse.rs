//! Reads a fault as people write it, and says what to write instead.

use super::{Cut, Fault, Kind, Lateness, Lost, Target};
use std::time::Duration;
use twinhelm_hal::ports::Confinement;
use twinhelm_vehicle::sensors::SensorFault;

/// Why a fault cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault `{text}`: {what}; {instead}")]
pub struct FaultError {
    text: String,
    what: String,
    instead: String,
}

const FORM: &str = "write KIND[=AMOUNT]@TIME[:DURATION][:DEVICE], as in kill@5s or hang@5s:2s:left";

/// Every KIND as it may be written, and what it is: for the help, and for whoever writes one that there is not. What follows a `=`
/// stands for itself or for an amount of that form.
pub const KINDS: &[(&str, &str)] = &[
    ("kill", "the device's process is killed, and started again after the duration"),
    ("exit", "it ends by itself, and says farewell to its peer"),
    ("hang", "it is stopped, and goes on after the duration"),
    ("power", "all of the device dies at once, its cables with it"),
    ("link-cut[=tx|=rx]", "the link between the devices is cut, in one direction or both"),
    ("link-slow=20ms", "what comes over the link is late by that"),
    ("link-rough=0.3", "that part of what is sent over the link is lost"),
    ("bus-cut[=tx|=rx]", "the device's cable to the bus is cut"),
    ("bus-errors=passive|=off", "its bus controller counts too many errors, or leaves the bus"),
    ("lose=command|=command-at-gate|=command-at-peer|=status|=all-statuses", "frames are lost on the bus"),
    ("held-frame=3s", "its bus controller keeps a frame, and sends it so much later"),
    ("late[=3periods|=30ms]", "the law answers late"),
    ("nan", "the law returns a command that is no number"),
    ("out-of-range", "the law returns a command beyond its limits"),
    ("frozen[=output|=counter]", "the law repeats its last command, or its cycle's number stands still"),
    ("sensor=silent|=stuck|=noisy", "the device's own sensors fail"),
    ("clock-slip=+2ms", "the device's clock jumps, forwards or back (-2ms)"),
    ("clock-drift=200ppm", "it runs fast, or slow (-200ppm)"),
    ("gate-restart[=0]", "a gate comes up anew, and knows no term"),
    ("estop", "the button at the gates is pressed"),
    ("switchover", "a request, no fault: the device is asked to hand the wheel over"),
];

/// Returns the kinds' names, as a list.
fn names() -> String {
    let name = |(form, _): &(&'static str, &str)| form.split(['[', '=']).next().unwrap_or(form);
    KINDS.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The longest run that a fault may be written for.
const TIME_MAX: Duration = Duration::from_secs(86_400);

impl Fault {
    /// Reads a fault from the command line or from a scenario file.
    ///
    /// # Errors
    /// [`FaultError`] names the fault, what is wrong in it, and what to write instead.
    pub fn parse(text: &str) -> Result<Self, FaultError> {
        let Some((what, rest)) = text.split_once('@') else {
            return Err(error(text, "there is no @TIME".to_owned(), FORM));
        };
        let (word, amount) = match what.split_once('=') {
            Some((word, amount)) => (word, Some(amount)),
            None => (what, None),
        };
        let kind = kind(word, amount).map_err(|(what, instead)| error(text, what, &instead))?;
        let mut parts = rest.split(':');
        let at = parts.next().unwrap_or_default();
        let at = span(at).ok_or_else(|| {
            error(text, format!("`{at}` is no time"), "write a number with a unit, as in 5s, 250ms or 1.5s")
        })?;
        let mut fault = Self { label: text.to_owned(), kind, at, lasts: None, target: Target::Holder };
        let mut named = false;
        for part in parts {
            if part.starts_with(|first: char| first.is_ascii_digit()) {
                let lasts = span(part).ok_or_else(|| {
                    error(text, format!("`{part}` is no duration"), "write a number with a unit, as in 2s or 30ms")
                })?;
                if fault.lasts.replace(lasts).is_some() {
                    return Err(error(text, "there are two durations".to_owned(), FORM));
                }
            } else {
                fault.target = match part {
                    "left" => Target::Left,
                    "right" => Target::Right,
                    "holder" => Target::Holder,
                    _ => {
                        let what = format!("there is no device `{part}`");
                        return Err(error(text, what, "write left, right or holder"));
                    }
                };
                if std::mem::replace(&mut named, true) {
                    return Err(error(text, "there are two devices".to_owned(), FORM));
                }
            }
        }
        if kind.is_request() && fault.lasts.is_some() {
            return Err(error(text, "a switchover has no duration".to_owned(), "leave it out"));
        }
        Ok(fault)
    }
}

/// Reads a kind with its amount; an error is what is wrong, and what to write instead.
fn kind(word: &str, amount: Option<&str>) -> Result<Kind, (String, String)> {
    let wrong = |allowed: &str| {
        let given = amount.map_or_else(|| "needs an amount".to_owned(), |amount| format!("cannot be `{amount}`"));
        Err((format!("{word} {given}"), format!("write {word}={allowed}")))
    };
    let plain = |kind| match amount {
        None => Ok(kind),
        Some(amount) => Err((format!("{word} takes no amount, not `{amount}`"), format!("write {word}@TIME"))),
    };
    match word {
        "kill" => plain(Kind::Kill),
        "exit" => plain(Kind::Exit),
        "hang" => plain(Kind::Hang),
        "power" => plain(Kind::Power),
        "nan" => plain(Kind::Nan),
        "out-of-range" => plain(Kind::OutOfRange),
        "switchover" => plain(Kind::Switchover),
        "estop" => plain(Kind::Estop),
        "link-cut" => {
            cut(amount).map_or_else(|| wrong("tx or =rx, or nothing for both"), |cut| Ok(Kind::LinkCut(cut)))
        }
        "bus-cut" => {
            cut(amount).map_or_else(|| wrong("tx or =rx, or nothing for both"), |cut| Ok(Kind::BusCut(cut)))
        }
        "bus-errors" => match amount {
            Some("passive") => Ok(Kind::BusErrors(Confinement::Passive)),
            Some("off") => Ok(Kind::BusErrors(Confinement::Off)),
            Some(_) | None => wrong("passive or =off"),
        },
        "late" => lateness(amount)
            .map_or_else(|| wrong("3periods or =30ms, or nothing for 3 periods"), |late| Ok(Kind::Late(late))),
        "frozen" => match amount {
            None | Some("output") => Ok(Kind::FrozenOutput),
            Some("counter") => Ok(Kind::FrozenCounter),
            Some(_) => wrong("output or =counter"),
        },
        "link-slow" => amount.and_then(span).map_or_else(|| wrong("20ms"), |by| Ok(Kind::LinkSlow(by))),
        "link-rough" => amount
            .and_then(|part| part.parse::<f64>().ok())
            .filter(|part| (0.0..=1.0).contains(part))
            .map_or_else(|| wrong("0.3"), |part| Ok(Kind::LinkRough(part))),
        "clock-slip" => amount
            .and_then(|by| signed(by).and_then(|(by, forwards)| Some((span(by)?, forwards))))
            .map_or_else(|| wrong("+2ms or =-2ms"), |(by, forwards)| Ok(Kind::ClockSlip { by, forwards })),
        "clock-drift" => amount
            .and_then(|ppm| ppm.strip_suffix("ppm"))
            .and_then(|ppm| ppm.parse::<f64>().ok())
            .filter(|ppm| ppm.abs() <= 10_000.0)
            .map_or_else(|| wrong("200ppm"), |ppm| Ok(Kind::ClockDrift(ppm))),
        "sensor" => match amount {
            Some("silent") => Ok(Kind::Sensor(SensorFault::Silent)),
            Some("stuck") => Ok(Kind::Sensor(SensorFault::Stuck)),
            Some("noisy") => Ok(Kind::Sensor(SensorFault::Noisy { factor: 10.0 })),
            Some(_) | None => wrong("silent, =stuck or =noisy"),
        },
        "lose" => match amount {
            Some("command") => Ok(Kind::Lose(Lost::CommandAtAll)),
            Some("command-at-gate") => Ok(Kind::Lose(Lost::CommandAtGate)),
            Some("command-at-peer") => Ok(Kind::Lose(Lost::CommandAtPeer)),
            Some("status") => Ok(Kind::Lose(Lost::Status)),
            Some("all-statuses") => Ok(Kind::Lose(Lost::AllStatuses)),
            Some(_) | None => wrong("command, =command-at-gate, =command-at-peer, =status or =all-statuses"),
        },
        "held-frame" => amount.and_then(span).map_or_else(|| wrong("3s"), |by| Ok(Kind::HeldFrame(by))),
        "gate-restart" => match amount.map_or(Ok(0), str::parse) {
            Ok(gate @ 0..=3) => Ok(Kind::RestartGate(gate)),
            Ok(_) | Err(_) => wrong("0 to 3"),
        },
        _ => Err((format!("there is no kind `{word}`"), format!("KIND is one of {}", names()))),
    }
}

fn cut(amount: Option<&str>) -> Option<Cut> {
    match amount {
        None => Some(Cut::Both),
        Some("tx") => Some(Cut::Tx),
        Some("rx") => Some(Cut::Rx),
        Some(_) => None,
    }
}

fn lateness(amount: Option<&str>) -> Option<Lateness> {
    let Some(amount) = amount else {
        return Some(Lateness::Periods(3.0));
    };
    match amount.strip_suffix("periods").or_else(|| amount.strip_suffix("period")) {
        Some(count) => {
            count.parse::<f64>().ok().filter(|count| (0.0..=1_000.0).contains(count)).map(Lateness::Periods)
        }
        None => span(amount).map(Lateness::Span),
    }
}

fn signed(text: &str) -> Option<(&str, bool)> {
    text.strip_prefix('+').map(|rest| (rest, true)).or_else(|| text.strip_prefix('-').map(|rest| (rest, false)))
}

/// Reads a span such as `5s`, `250ms`, `20us`. A bare number is refused: it would hide a wrong unit.
///
/// `None` when it is none, negative, or longer than a day.
#[must_use]
pub fn span(text: &str) -> Option<Duration> {
    let (number, unit_s) = [("ms", 1e-3), ("us", 1e-6), ("s", 1.0)]
        .iter()
        .find_map(|(suffix, unit_s)| text.strip_suffix(suffix).map(|number| (number, *unit_s)))?;
    let digits = |character: char| character.is_ascii_digit() || character == '.';
    if number.is_empty() || !number.chars().all(digits) {
        return None;
    }
    let seconds = number.parse::<f64>().ok()? * unit_s;
    Duration::try_from_secs_f64(seconds).ok().filter(|span| *span <= TIME_MAX)
}

fn error(text: &str, what: String, instead: &str) -> FaultError {
    FaultError { text: text.to_owned(), what, instead: instead.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_help_can_be_written_and_every_kind_is_in_it() {
        for (form, _) in KINDS {
            let (name, amounts) = form.find(['[', '=']).map_or((*form, ""), |at| form.split_at(at));
            let may_lack = amounts.is_empty() || amounts.starts_with('[');
            assert_eq!(kind(name, None).is_ok(), may_lack, "{form}");
            for amount in amounts.trim_matches(['[', ']']).split('|').filter(|amount| !amount.is_empty()) {
                assert!(kind(name, Some(amount.trim_start_matches('='))).is_ok(), "{name}{amount}");
            }
        }
        // What `kind` matches on, by its own source: each is in the help.
        let source = include_str!("parse.rs");
        let arms =
            source.split("match word {").nth(1).and_then(|rest| rest.split("\n    }\n").next()).expect("the match");
        let known = arms.lines().filter_map(|line| line.strip_prefix("        \"")?.split('"').next());
        let told = names();
        let told: Vec<&str> = told.split(", ").collect();
        assert_eq!(known.filter(|word| !told.contains(word)).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn faults_read_as_they_are_written() {
        let kill = Fault::parse("kill@5s").unwrap();
        assert_eq!((kill.kind, kill.at, kill.lasts), (Kind::Kill, Duration::from_secs(5), None));
        let hang = Fault::parse("hang@5s:2s:left").unwrap();
        assert_eq!((hang.lasts, hang.target), (Some(Duration::from_secs(2)), Target::Left));
        let late = Fault::parse("late=3periods@4s:1s").unwrap();
        assert_eq!(late.kind, Kind::Late(Lateness::Periods(3.0)));
        assert_eq!(Fault::parse("bus-cut=tx@1.5s:right").unwrap().kind, Kind::BusCut(Cut::Tx));
        assert_eq!(Fault::parse("frozen@250ms").unwrap().kind, Kind::FrozenOutput);
        assert_eq!(
            Fault::parse("clock-slip=-2ms@3s").unwrap().kind,
            Kind::ClockSlip { by: Duration::from_millis(2), forwards: false }
        );
    }

    #[test]
    fn what_cannot_be_read_is_answered_with_what_to_write() {
        let refused = |text: &str| Fault::parse(text).unwrap_err().to_string();
        assert!(refused("kill").contains("there is no @TIME; write KIND"));
        assert!(refused("kill@5").contains("`5` is no time; write a number with a unit"));
        assert!(refused("kill@-5s").contains("`-5s` is no time"));
        assert!(refused("kill@NaNs").contains("is no time"));
        assert!(refused("hang@5s:left:2s:right").contains("two devices"));
        assert!(refused("hang@5s:middle").contains("no device `middle`; write left, right or holder"));
        assert!(refused("explode@5s").contains("no kind `explode`; KIND is one of kill"));
        assert!(refused("late=soon@5s").contains("late cannot be `soon`; write late=3periods"));
        assert!(refused("kill=9@5s").contains("takes no amount"));
        assert!(refused("switchover@5s:1s").contains("no duration"));
    }
}
