//! `pool`, `events`, `switchover`, `drain`, `fence`, `readmit`: what people ask of a fleet.

use crate::cli::{AskArgs, EventsArgs, OrderArgs, seconds};
use crate::output::{Problem, one_line, print, print_json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use twinhelm_linux::terminal::{chain, is_gone};
use twinhelm_standby::access::SESSION_MARK;
use twinhelm_standby::asked::DONE_WITHIN;
use twinhelm_standby::fleet::{Entries, Told, Word};
use twinhelm_standby::pool::Offer;
use twinhelm_standby::pool::Ranked;
use twinhelm_zenoh::fleet::{FleetLine, Heard};
use twinhelm_zenoh::{Credentials, Settings};

const LINK_LEASE: Duration = Duration::from_secs(1);
/// What is not answered is said again so often: a session that connects needs a moment.
const SAY_EVERY: Duration = Duration::from_millis(300);

/// Returns the settings of somebody who asks agents that listen at `connect`.
pub(crate) fn settings_of(vehicle: &str, connect: &[String], keys: Option<&Path>) -> Settings {
    Settings {
        vehicle: vehicle.to_owned(),
        listen: Vec::new(),
        connect: connect.to_vec(),
        link_lease: LINK_LEASE,
        keep_alive: 4,
        keys: keys.map(Path::to_owned),
    }
}

/// A line to the fleet, and what is heard by it.
struct Desk {
    line: FleetLine,
    heard: Receiver<Heard>,
    until: Instant,
    connect: String,
    asks_with_keys: bool,
}

impl Desk {
    fn open(args: &AskArgs) -> Result<Self, Problem> {
        let settings = settings_of(&args.vehicle, &args.connect, args.keys.as_deref());
        let credentials = settings.credentials().map_err(|error| Problem::bad_input(chain(&error)))?;
        let name = credentials.as_ref().map_or("desk", Credentials::own);
        let (hear, heard) = channel();
        // Nobody listens any more when the command has ended.
        let line = FleetLine::open(&format!("{name}{SESSION_MARK}{}", std::process::id()), &settings, move |it| {
            drop(hear.send(it));
        });
        let line = line.map_err(|error| Problem::machine(chain(&error)))?;
        Ok(Self {
            line,
            heard,
            until: Instant::now() + seconds(args.wait)?,
            connect: args.connect.join(", "),
            asks_with_keys: args.keys.is_some(),
        })
    }

    fn say(&self, to: &str, word: &Word) -> Result<(), Problem> {
        self.line.say(to, serde_json::to_vec(word).map_err(|error| Problem::machine(chain(&error)))?);
        Ok(())
    }

    /// Returns what is heard next; none when `until` has come.
    fn next(&self, until: Instant) -> Option<Heard> {
        self.heard.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
    }

    /// Says `word` to `device` again and again, until it answers by something that `take` takes.
    fn ask<T>(&self, device: &str, word: &Word, take: impl Fn(Word) -> Option<T>) -> Result<T, Problem> {
        let mut has_begun = false;
        let mut until = self.until;
        while Instant::now() < until {
            self.say(device, word)?;
            let again = (Instant::now() + SAY_EVERY).min(until);
            while let Some(heard) = self.next(again) {
                if let Heard::Word { from, bytes } = heard
                    && from == device
                    && let Ok(said) = serde_json::from_slice(&bytes)
                {
                    if said == Word::Begun && !has_begun {
                        has_begun = true;
                        until = until.max(Instant::now() + DONE_WITHIN + SAY_EVERY);
                    }
                    if let Some(taken) = take(said) {
                        return Ok(taken);
                    }
                }
            }
        }
        if has_begun {
            return Err(Problem::machine(format_args!(
                "{device} has begun, and has not said yet what came of it: see `twinhelm events`, or wait longer with --wait"
            )));
        }
        let whom =
            if self.asks_with_keys { " With keys, it is its own agent or a router that is asked." } else { "" };
        let connect = &self.connect;
        Err(Problem::machine(format_args!("{device} does not answer; is its agent reached from {connect}?{whom}")))
    }

    /// Returns the offers of all, by name.
    fn offers(&self) -> Vec<Offer> {
        let mut offers = BTreeMap::new();
        while let Some(heard) = self.next(self.until) {
            if let Heard::Offer { device, bytes } = heard
                && let Ok(offer) = serde_json::from_slice::<Offer>(&bytes)
                && offer.device == device
            {
                offers.insert(offer.device.clone(), offer);
            }
        }
        offers.into_values().collect()
    }
}

/// `pool`
pub(crate) fn pool(args: &AskArgs) -> Result<(), Problem> {
    let desk = Desk::open(args)?;
    let offers = desk.offers();
    let asked = offers.iter().find(|offer| offer.is_of_member()).or_else(|| offers.first());
    let Some(asked) = asked else {
        return Err(Problem::machine(format_args!(
            "no agent of vehicle {:?} offers anything at {}: does one run there, with [pool] in its configuration?",
            args.vehicle, desk.connect
        )));
    };
    let desk = Desk { until: Instant::now() + seconds(args.wait)?, ..desk };
    let take = |word| if let Word::Pool(ranked) = word { Some(ranked) } else { None };
    let ranked: Vec<Ranked> = desk.ask(&asked.device, &Word::AskPool, take)?;
    if args.json {
        return print_json(&ranked);
    }
    print(format_args!("as {} ranks it:", asked.device));
    for (place, Ranked { device, slot, fit, why }) in ranked.iter().enumerate() {
        let place = if *fit { (place + 1).to_string() } else { "-".to_owned() };
        let slot = slot.map_or_else(|| "-".to_owned(), |slot| slot.to_string());
        print(format_args!("{place:>3}  {:<16} slot {slot}  {}", one_line(device), one_line(why)));
    }
    Ok(())
}

/// `events`
pub(crate) fn events(args: &EventsArgs) -> Result<(), Problem> {
    let desk = Desk::open(&args.ask)?;
    // Each once, however often it is asked for.
    let mut told = Entries::default();
    // With keys each device tells its own entries alone.
    let wanted = if desk.asks_with_keys { args.ask.connect.len() } else { 1 };
    let mut heard_of = BTreeSet::new();
    while Instant::now() < desk.until && heard_of.len() < wanted {
        let wait = SAY_EVERY.min(desk.until.saturating_duration_since(Instant::now()));
        let entries = desk.line.events(wait).map_err(|error| Problem::machine(chain(&error)))?;
        for entry in entries.iter().filter_map(|(device, bytes)| read(device, bytes)) {
            heard_of.insert(entry.device.clone());
            told.add(&entry);
        }
        if heard_of.len() < wanted {
            // It answers at once when nobody is connected yet.
            let _ = desk.next((Instant::now() + SAY_EVERY).min(desk.until));
        }
    }
    told.in_order().into_iter().try_for_each(|entry| show(entry, args.ask.json))?;
    if !args.follow {
        return Ok(());
    }
    // A reader that has gone wants no more.
    while !is_gone() {
        if let Ok(Heard::Event { device, bytes }) = desk.heard.recv()
            && let Some(entry) = read(&device, &bytes)
            && told.add(&entry)
        {
            show(&entry, args.ask.json)?;
        }
    }
    Ok(())
}

/// Reads an entry; nobody makes one in another's name.
fn read(device: &str, bytes: &[u8]) -> Option<Told> {
    serde_json::from_slice::<Told>(bytes).ok().filter(|told| told.device == device)
}

fn show(entry: &Told, json: bool) -> Result<(), Problem> {
    if json {
        print(serde_json::to_string(entry).map_err(|error| Problem::machine(chain(&error)))?);
    } else {
        print(format_args!("{}  {:<12} {}", entry.time(), entry.device, one_line(&entry.what)));
    }
    Ok(())
}

/// `switchover`, `drain`, `fence`, `readmit`
pub(crate) fn order(args: &OrderArgs, word: &Word) -> Result<(), Problem> {
    // It is a part of a key, where some characters mean many.
    mission_wire::ContainerId::new(&args.device)
        .map_err(|error| Problem::bad_input(format_args!("no device is called {:?}: {error}", args.device)))?;
    let desk = Desk::open(&args.ask)?;
    let take = |word| if let Word::Answer(answer) = word { Some(answer) } else { None };
    let answer = desk.ask(&args.device, word, take)?;
    if args.ask.json {
        print_json(
            &serde_json::json!({ "device": args.device, "done": answer.is_ok(), "said": answer.as_ref().unwrap_or_else(|why| why) }),
        )?;
    }
    match answer {
        Ok(said) => {
            if !args.ask.json {
                print(format_args!("{}: {}", args.device, one_line(said)));
            }
            if let Word::Readmit { .. } = word {
                // Whoever ordered it off forgets it.
                desk.offers().iter().try_for_each(|offer| desk.say(&offer.device, word))?;
            }
            Ok(())
        }
        Err(why) => Err(Problem::found(format_args!("{}: {}", args.device, one_line(why)))),
    }
}
