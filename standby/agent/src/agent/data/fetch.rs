//! Finds what a mission goes on with: at a living neighbour if there is one, otherwise in object storage.

use twinhelm_hal::time::Duration;
use twinhelm_mission::data::{Plan, Snapshot, Storage, recover};
use twinhelm_standby::data::Position;
use twinhelm_zenoh::{Stock, Stocked};

/// What neighbours have, by name.
pub(super) const PLAN: &str = "plan";
pub(super) const STATE: &str = "state";

/// A neighbour that has not answered by then is none.
const NEIGHBOURS_WITHIN: Duration = Duration::from_secs(1);
/// Object storage that has not given everything by then has not got it.
const STORAGE_WITHIN: Duration = Duration::from_secs(20);

const OWN_DISK: &str = "the own disk";

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) enum Purpose {
    /// A step of a migration.
    Recruit,
    /// Nobody is left who drives.
    LastResort,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct Found {
    pub plan: Option<Plan>,
    pub snapshot: Option<Snapshot>,
    /// From where.
    pub from: Vec<String>,
    /// What was passed over, and why.
    pub refused: Vec<String>,
}

impl Found {
    fn take_plan(&mut self, plan: Plan, from: &str) {
        if self.plan.as_ref().is_none_or(|known| known.version() < plan.version()) {
            self.plan = Some(plan);
            self.note(from);
        }
    }

    /// Takes a snapshot that is newer, and of the drive that goes on.
    fn take_snapshot(&mut self, snapshot: Snapshot, from: &str, fits: impl Fn(Position) -> bool) {
        let version = self.plan.as_ref().map(Plan::version);
        if !fits(snapshot.position) || version.is_some() && snapshot.plan != version {
            return;
        }
        if self.snapshot.as_ref().is_none_or(|known| known.position < snapshot.position) {
            self.snapshot = Some(snapshot);
            self.note(from);
        }
    }

    fn note(&mut self, from: &str) {
        if !self.from.iter().any(|known| known == from) {
            self.from.push(from.to_owned());
        }
    }

    /// Says what it is, in words.
    pub(in crate::agent) fn words(&self) -> String {
        let plan = self.plan.as_ref().map(|plan| format!("plan {}", plan.version()));
        let state = self.snapshot.as_ref().map(|snapshot| format!("the state of {}", snapshot.position));
        let what: Vec<_> = plan.into_iter().chain(state).collect();
        let from = if self.from.is_empty() { OWN_DISK.to_owned() } else { self.from.join(", ") };
        let refused = self.refused.iter().map(|why| format!("; passed over: {why}")).collect::<String>();
        format!("{} from {from}{refused}", what.join(" and "))
    }
}

/// Looks at the neighbours, and in object storage for what they have not. `plan` and `own` are what is here already.
pub(super) fn find(
    stock: &Stock,
    storage: &Storage,
    vehicle: &str,
    plan: Option<Plan>,
    own: Option<Snapshot>,
    gate_term: Option<u8>,
) -> Result<Found, String> {
    let fits = |position: Position| gate_term.is_none_or(|term| position.is_of(term));
    let mut found = Found { plan, ..Found::default() };
    let mut states: Vec<(String, Snapshot)> = Vec::new();
    for Stocked { device, name, bytes } in stock.ask(NEIGHBOURS_WITHIN).unwrap_or_default() {
        match name.as_str() {
            PLAN => match Plan::parse(bytes) {
                Ok(plan) => found.take_plan(plan, &device),
                Err(error) => found.refused.push(format!("{device}'s plan: {error}")),
            },
            STATE => match Snapshot::decode(&bytes) {
                Ok(snapshot) => states.push((device, snapshot)),
                Err(error) => found.refused.push(format!("{device}: {error}")),
            },
            _ => {}
        }
    }
    for (device, snapshot) in states {
        found.take_snapshot(snapshot, &device, fits);
    }
    if found.plan.is_some() && found.snapshot.is_some() {
        return Ok(found);
    }
    let storage_problem = ask_storage(&mut found, storage, vehicle, fits).err();
    if let Some(own) = own {
        found.take_snapshot(own, OWN_DISK, fits);
    }
    if found.snapshot.is_some() {
        return Ok(found);
    }
    let problem = storage_problem.unwrap_or_else(|| format!("{}: nothing that goes on from here", storage.name()));
    let refused = found.refused.iter().map(|why| format!("; {why}")).collect::<String>();
    Err(format!("neither a neighbour nor object storage has the mission's state: {problem}{refused}"))
}

fn ask_storage(
    found: &mut Found,
    storage: &Storage,
    vehicle: &str,
    fits: impl Fn(Position) -> bool + Copy,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let asked =
        runtime.block_on(async { tokio::time::timeout(STORAGE_WITHIN, recover(storage, vehicle, fits)).await });
    let recovered = match asked {
        Ok(recovered) => recovered.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("{}: no answer within {} s", storage.name(), STORAGE_WITHIN.as_secs())),
    };
    found.refused.extend(recovered.refused);
    if let Some(plan) = recovered.plan {
        found.take_plan(plan, storage.name());
    }
    if let Some(snapshot) = recovered.snapshot {
        found.take_snapshot(snapshot, storage.name(), fits);
    }
    Ok(())
}
