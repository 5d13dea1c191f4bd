//! A violation told: as a recording that `twinhelm replay` reads, as a story, and as a scenario file for the other rigs.

use crate::found::Found;
use crate::pair::{Corner, Notes, ORIGIN, Wakes};
use crate::search::{Script, begun};
use core::fmt::Write as _;
use twinhelm_hal::gate::rules::GateRules;
use twinhelm_hil::recording::{Part, Recorder, Recording, RecordingError, RunHeader, explain};
use twinhelm_standby::node::rules::NodeRules;

/// A story begins so many periods before what is broken, and ends so many after.
const PERIODS_TOLD: u32 = 12;

impl Found {
    /// Goes the same way once more, and returns it as a recording.
    #[must_use]
    pub fn record<G: GateRules, N: NodeRules>(&self) -> Vec<u8> {
        let mut recorder = Recorder::new(&RunHeader {
            rig: "explorer".to_owned(),
            seed: 0,
            machine: "virtual time".to_owned(),
            standby: "hot".to_owned(),
            parameters: *self.config,
            course_length_m: 0.0,
            epoch_ns: 0,
        });
        recorder.begins(ORIGIN);
        for note in self.go::<G, N>() {
            note.record(&mut recorder);
        }
        recorder.finish()
    }

    fn go<G: GateRules, N: NodeRules>(&self) -> Notes {
        let mut notes = Notes::new();
        let mut corner = self.jitter.corner;
        let mut way = Script::new(corner, self.departed.clone());
        let mut pair = begun::<G, N>(self.config, &self.start, &mut corner, Some(&mut notes));
        let begins = self.trouble.iter().map(|(at, trouble)| (ORIGIN + *at, trouble, true));
        let ends = self.trouble.iter().filter_map(|(at, it)| Some((ORIGIN + *at + it.lasts?, it, false)));
        let mut turns: Vec<_> = begins.chain(ends).collect();
        turns.sort_by_key(|(at, _, _)| *at);
        // Up to where trouble begins everything went by the corner.
        if let Some((first, _, _)) = turns.first() {
            pair.advance((*first).max(pair.now), &mut corner, Some(&mut notes));
        }
        let until = self.violation.at + PERIODS_TOLD * self.config.period;
        for (at, trouble, on) in turns.into_iter().filter(|(at, _, _)| *at <= until) {
            pair.advance(at.max(pair.now), &mut way, Some(&mut notes));
            trouble.apply(&mut pair, on, Some(&mut notes));
        }
        pair.advance(until.max(pair.now), &mut way, Some(&mut notes));
        notes
    }

    /// Returns what is broken, and what each device and gate knew and decided around it.
    ///
    /// # Errors
    /// When the recording of it could not be read, which would be a bug of the recorder's.
    pub fn story<G: GateRules, N: NodeRules>(&self) -> Result<String, RecordingError> {
        let recording = Recording::read("the explorer's", &self.record::<G, N>())?;
        let at = self.violation.at.since(ORIGIN);
        let around = PERIODS_TOLD * self.config.period;
        let part = Part { from: Some(at.saturating_sub(around)), until: Some(at + around), every_step: false };
        let mut text = format!("{self}\n");
        for line in explain(&recording, part) {
            let _ = writeln!(text, "{line}");
        }
        Ok(text)
    }

    /// Returns a scenario file with the same troubles at the same times; `None` where a scenario has no word for one of them. The
    /// other rigs boot and wake by chance, so it may take some seeds until it shows there.
    #[must_use]
    pub fn scenario(&self) -> Option<String> {
        let faults: Option<Vec<_>> = self.trouble.iter().map(|(at, trouble)| trouble.as_fault(*at)).collect();
        let faults: Vec<_> = faults?.into_iter().map(|fault| format!("\"{fault}\"")).collect();
        let seconds = (self.violation.at.since(ORIGIN) + 100 * self.config.period).as_secs_f64().ceil();
        Some(format!(
            "name = \"explored\"\nabout = \"\"\"\n{}\"\"\"\nduration_s = {seconds:.1}\ngates = {}\nfaults = [{}]\n\n[bounds]\n\
             uncovered_max = 0\n",
            self.violation.what,
            self.config.gates,
            faults.join(", ")
        ))
    }
}

impl core::fmt::Display for Found {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let at = self.violation.at.seconds_after(ORIGIN);
        let (number, what) = (self.violation.invariant, &self.violation.what);
        let rule = if number == 0 { "recovery".to_owned() } else { format!("invariant {number}") };
        writeln!(f, "{rule} at {at:.6} s: {what}")?;
        let [left, right, spare] = self.start.boots;
        let boots = [("left", left), ("right", right), ("spare-2", spare)];
        let boots = boots.into_iter().filter_map(|(name, at)| at.map(|at| format!("{name} at {at:?}")));
        let (boots, gates) = (boots.collect::<Vec<_>>().join(", "), &self.start.gates);
        writeln!(f, "  {:?} period; switched on: {boots}, gates at {gates:?}", self.config.period)?;
        for (at, trouble) in &self.trouble {
            writeln!(f, "  {trouble} from {at:?} on")?;
        }
        let Corner([left, right, ..]) = self.jitter.corner;
        write!(f, "  left wakes {left}, right {right}")?;
        if self.departed.contains(&true) {
            let departed =
                self.departed.iter().map(|departed| if *departed { '1' } else { '0' }).collect::<String>();
            write!(f, ", but not in these turns from the trouble on: {departed}")?;
        }
        Ok(())
    }
}

impl core::fmt::Display for Wakes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::OnTime => "on time",
            Self::Late => "late",
            Self::InTurn => "late in every other turn",
        })
    }
}
