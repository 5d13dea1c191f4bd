//! `data`: what object storage has of a vehicle's missions.

use crate::cli::{DataArgs, DataWhat, GetArgs, LsArgs, seconds};
use crate::output::{Problem, bytes, print, print_json, tell};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use twinhelm_linux::process::die_with_parent;
use twinhelm_linux::terminal::{chain, is_gone};
use twinhelm_mission::data::{
    Access, Address, Checked, Plan, Problem as Sort, Storage, StorageError, check, get, newest_plan, recover,
};
use twinhelm_standby::data::{Amount, Position};

/// What is shown of a device.
#[derive(Serialize)]
struct Shown<'a> {
    device: &'a str,
    /// The version of its plan.
    plan: Option<u64>,
    newest_state: Option<Position>,
    /// Parts of the recording that are there.
    segments: Amount,
    /// All that was ever acknowledged.
    acknowledged: Amount,
    /// States that newer ones have replaced.
    retired: Amount,
    /// What was read and is whole; with `check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    whole: Option<Amount>,
    /// What is missing or damaged, in words.
    lost: &'a [String],
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match error.problem {
            Sort::Setting | Sort::Missing => Self::bad_input(error),
            Sort::Damaged => Self::found(error),
            Sort::Conflict | Sort::Refused | Sort::Unreachable => Self::machine(error),
        }
    }
}

/// What is shown of all.
#[derive(Serialize)]
struct Listing<'a> {
    storage: &'a str,
    /// The newest plan, as it was written.
    plan: Option<serde_json::Value>,
    devices: Vec<Shown<'a>>,
    /// Why there is nothing to see.
    problem: Option<String>,
}

/// Storage is looked at no more often.
const WATCH_EVERY_MIN: Duration = Duration::from_millis(100);

/// `data`
pub(crate) fn data(what: &DataWhat) -> Result<(), Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Problem::machine(chain(&error)))?;
    runtime.block_on(async {
        match what {
            DataWhat::Ls(LsArgs { data, watch: Some(every), parent }) => {
                if let Some(parent) = parent {
                    die_with_parent(*parent).map_err(|error| Problem::machine(chain(&error)))?;
                }
                watch(data, seconds(*every)?).await
            }
            DataWhat::Ls(LsArgs { data, watch: None, .. }) => list(data, false).await,
            DataWhat::Check(args) => list(args, true).await,
            DataWhat::Get(args) => fetch(args).await,
        }
    })
}

fn open(args: &DataArgs) -> Result<Storage, Problem> {
    let access = Access { endpoint: args.endpoint.clone(), keys: None };
    Storage::open(&args.storage, &access).map_err(Problem::from)
}

/// Lists again and again. Storage that is away is a line, and no end.
async fn watch(args: &DataArgs, every: Duration) -> Result<(), Problem> {
    let storage = open(args)?;
    let mut due = tokio::time::interval(every.max(WATCH_EVERY_MIN));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // A reader that has gone wants no more.
    while !is_gone() {
        due.tick().await;
        match look(&storage, &args.vehicle, false).await {
            Ok((devices, plan)) => show(args, &devices, plan, None, true)?,
            Err(error) => show(args, &[], None, Some(error.to_string()), true)?,
        }
    }
    Ok(())
}

async fn list(args: &DataArgs, reads: bool) -> Result<(), Problem> {
    if let Address::Dir(path) = &args.storage
        && !path.is_dir()
    {
        return Err(Problem::bad_input(format_args!("{}: there is no such directory", args.storage)));
    }
    let (devices, plan) = look(&open(args)?, &args.vehicle, reads).await?;
    show(args, &devices, plan, None, false)?;
    match devices.iter().map(|device| device.lost.len()).sum() {
        0 => Ok(()),
        lost @ 1.. => Err(Problem::found(format_args!("{lost} pieces are missing or damaged"))),
    }
}

async fn look(storage: &Storage, vehicle: &str, reads: bool) -> Result<(Vec<Checked>, Option<Plan>), StorageError> {
    let devices = check(storage, vehicle, reads).await?;
    let plan = newest_plan(storage, vehicle, devices.iter().map(|device| &device.manifest)).await?;
    Ok((devices, plan))
}

fn show(
    args: &DataArgs,
    devices: &[Checked],
    plan: Option<Plan>,
    problem: Option<String>,
    in_a_line: bool,
) -> Result<(), Problem> {
    let storage = args.storage.to_string();
    let plan = plan.and_then(|plan| serde_json::from_slice(plan.bytes()).ok());
    let listing = Listing { storage: &storage, plan, devices: devices.iter().map(shown).collect(), problem };
    if args.json && in_a_line {
        print(serde_json::to_string(&listing).map_err(|error| Problem::machine(chain(&error)))?);
        return Ok(());
    }
    if args.json {
        return print_json(&listing);
    }
    let Listing { devices: shown, problem, .. } = listing;
    if let Some(problem) = problem {
        print(problem);
    } else if shown.is_empty() {
        print(format_args!("{storage} has nothing of vehicle {:?}", args.vehicle));
    }
    for Shown { device, plan, newest_state, segments, acknowledged, whole, lost, .. } in &shown {
        let plan = plan.map_or_else(|| "no plan".to_owned(), |plan| format!("plan {plan}"));
        let state = newest_state.map_or_else(|| "no state".to_owned(), |state| format!("state of {state}"));
        print(format_args!(
            "{device:<12} {plan}, {state}, {} parts of the recording ({}), {} acknowledged in all",
            segments.pieces,
            bytes(segments.bytes),
            bytes(acknowledged.bytes)
        ));
        if let Some(whole) = whole {
            print(format_args!("             {} pieces are whole ({})", whole.pieces, bytes(whole.bytes)));
        }
        lost.iter().for_each(|what| print(format_args!("             lost: {what}")));
    }
    Ok(())
}

fn shown(checked: &Checked) -> Shown<'_> {
    let Checked { device, manifest, pieces, whole, lost } = checked;
    let mut segments = Amount::default();
    pieces.iter().filter(|(_, piece)| piece.is_segment()).for_each(|(_, piece)| segments.add(piece));
    Shown {
        device,
        plan: manifest.plan.as_ref().map(|(version, _)| *version),
        newest_state: manifest.newest_state(),
        segments,
        acknowledged: manifest.acknowledged,
        retired: manifest.retired,
        whole: *whole,
        lost,
    }
}

async fn fetch(args: &GetArgs) -> Result<(), Problem> {
    let storage = open(&args.data)?;
    let vehicle = &args.data.vehicle;
    std::fs::create_dir_all(&args.to)
        .map_err(|error| Problem::bad_input(format_args!("{}: {error}", args.to.display())))?;
    let recovered = recover(&storage, vehicle, |_| true).await?;
    recovered.refused.iter().for_each(tell);
    if let Some(plan) = &recovered.plan {
        write(&args.to.join("plan.json"), plan.bytes())?;
    }
    if let Some(snapshot) = &recovered.snapshot {
        write(&args.to.join("state.json"), &snapshot.encode())?;
    }
    let devices = check(&storage, vehicle, false).await?;
    let count = devices.iter().flat_map(|device| &device.pieces).filter(|(_, piece)| piece.is_segment()).count();
    let bar = ProgressBar::new(count as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} parts of the recording") {
        bar.set_style(style);
    }
    for device in &devices {
        for (spool, piece) in device.pieces.iter().filter(|(_, piece)| piece.is_segment()) {
            let bytes = get(&storage, vehicle, &device.device, spool, piece).await?;
            write(&args.to.join(format!("{}-{spool}-{:08}.mcap", device.device, piece.seq)), &bytes)?;
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    if args.data.json {
        return print_json(&serde_json::json!({
            "plan": recovered.plan.as_ref().map(Plan::version),
            "state": recovered.snapshot.as_ref().map(|snapshot| snapshot.position),
            "segments": count,
        }));
    }
    print(format_args!(
        "{}: {count} parts of the recording, with plan and state where there are any",
        args.to.display()
    ));
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> Result<(), Problem> {
    std::fs::write(path, content).map_err(|error| Problem::machine(format_args!("{}: {error}", path.display())))
}
