//! `replay`: a recording's inputs go to fresh nodes and gates, and what they decide is compared; `--from`, `--until` and
//! `--step` tell what each device knew, when, and why it decided so.

use super::{Exit, Problem};
use crate::cli::ReplayArgs;
use crate::output;
use serde::Serialize;
use std::path::Path;
use twinhelm_hil::recording::{Difference, Ended, Line, Part, Recording, Replayed, explain, replay as again};
use twinhelm_vehicle::config::Settings;

/// What `--json` prints.
#[derive(Serialize)]
struct Told<'a> {
    recording: &'a str,
    rig: &'a str,
    seed: u64,
    whole: bool,
    story: Vec<Line>,
    replayed: Option<&'a Replayed>,
    difference: Option<&'a Difference>,
}

/// `replay`
pub(crate) fn replay(args: &ReplayArgs) -> Result<Exit, Problem> {
    let recording = read(&args.file)?;
    if let Some(path) = &args.config {
        let settings =
            Settings::parse(&path.display().to_string(), &output::read(path)?).map_err(Problem::bad_input)?;
        let config = settings.config(None).map_err(Problem::bad_input)?;
        recording.same_config(&config).map_err(Problem::bad_input)?;
    }
    let part = Part { from: args.from, until: args.until, every_step: args.step };
    if let (Some(from), Some(until)) = (part.from, part.until)
        && from > until
    {
        return Err(Problem::bad_input("--from comes after --until: there is nothing between them"));
    }
    let story = if part == Part::default() { Vec::new() } else { explain(&recording, part) };
    let outcome = again(&recording);
    let exit = match &outcome {
        Ok(replayed) if replayed.missing().is_none() => Exit::Holds,
        Ok(_) | Err(_) => Exit::Broken,
    };
    if args.json {
        let told = Told {
            recording: &recording.name,
            rig: &recording.run.rig,
            seed: recording.run.seed,
            whole: recording.ended == Ended::Whole,
            story,
            replayed: outcome.as_ref().ok(),
            difference: outcome.as_ref().err().map(AsRef::as_ref),
        };
        let text = serde_json::to_string_pretty(&told)
            .map_err(|error| Problem::machine(format!("writing what was replayed: {error}")))?;
        output::print(text);
        return Ok(exit);
    }
    for line in &story {
        output::print(line);
    }
    if part != Part::default() {
        output::print(if story.is_empty() {
            "nothing of note happened in this part; --step shows all\n"
        } else {
            ""
        });
    }
    let run = &recording.run;
    let cut = if recording.ended == Ended::Cut { "; it has no end, its writer was killed" } else { "" };
    output::print(format_args!("{}: rig {}, seed {}, {}{cut}", recording.name, run.rig, run.seed, run.machine));
    match outcome {
        Ok(replayed) => output::print(replayed.to_string().trim_end()),
        Err(difference) => output::print(format_args!("the replay decides otherwise\n{difference}")),
    }
    Ok(exit)
}

fn read(path: &Path) -> Result<Recording, Problem> {
    let name = path.display().to_string();
    // A file that is not there is told of by the reading.
    if let Ok(about) = std::fs::metadata(path) {
        Recording::check_length(&name, about.len()).map_err(Problem::bad_input)?;
    }
    let bytes = output::read_bytes(path, Recording::BEGINS_WITH)?;
    Recording::read(&name, &bytes).map_err(Problem::bad_input)
}
