//! The pool: the devices that could take a mission over, and in which order they are asked.
//!
//! [`rank`] is one pure function of what is needed, what each device says of itself, and the time. Two devices that have
//! heard the same choose the same. The rules, the first one that differs decides:
//!
//! 1. whoever has the image comes before whoever has to pull it;
//! 2. whoever has the mission's data comes before whoever has to fetch it;
//! 3. the one with the lower load, in steps of a tenth, so that two idle ones do not change places with each breath;
//! 4. the one with more free memory, in steps of 64 MiB;
//! 5. the one whose name comes first.
//!
//! A device that is unfit is listed with the reason, and never chosen.

// What is read here came over the fleet's network.
#![deny(clippy::arithmetic_side_effects)]

use crate::data::Position;
use core::cmp::Ordering;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use twinhelm_hal::term::{SLOTS, Slot};
use twinhelm_hal::time::Instant;

/// A device that has said nothing for so long is silent: three of its reports.
pub const SILENT_AFTER: Duration = Duration::from_secs(3);
/// Loads that differ by less are the same.
const LOAD_STEP: f32 = 0.1;
/// Memories that differ by less are the same.
const MEMORY_STEP: u64 = 64 << 20;

/// What a device says of itself, so that it may be chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Its name, unique in the fleet.
    pub device: String,
    /// Its number on the vehicle's bus; `None` where it has none there.
    pub slot: Option<u8>,
    /// As images name it: `linux/arm/v7`.
    pub platform: String,
    /// Memory that is free, in bytes.
    pub free_bytes: u64,
    /// The buses and ports that it reaches, by name.
    pub reaches: Vec<String>,
    /// The digests of the images that it has, verified and unpacked.
    pub images: Vec<String>,
    /// The plans that it has, by version and digest.
    pub data: Vec<String>,
    /// The newest state on its disk.
    pub state: Option<Position>,
    /// Tasks that want to run, for each of its cores.
    pub load: f32,
    /// What it does already; `None` when it is free.
    pub busy: Option<String>,
    /// An order holds it off the bus, until it is readmitted.
    pub fenced: bool,
}

/// What a member of the pair says that it is busy with.
pub const MEMBER: &str = "a member of the pair";

impl Offer {
    /// Returns whether the device is a member of the pair: whoever orchestrates is one.
    #[must_use]
    pub fn is_of_member(&self) -> bool {
        self.busy.as_deref() == Some(MEMBER)
    }

    /// Returns the offer of a device that is idle, has 1 GiB of memory free, and nothing else yet.
    #[must_use]
    pub fn of(device: &str, slot: u8) -> Self {
        Self {
            device: device.to_owned(),
            slot: Some(slot),
            platform: "linux/amd64".to_owned(),
            free_bytes: 1 << 30,
            reaches: Vec::new(),
            images: Vec::new(),
            data: Vec::new(),
            state: None,
            load: 0.0,
            busy: None,
            fenced: false,
        }
    }
}

/// A device in the pool, as another ranks it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ranked {
    /// Its name.
    pub device: String,
    /// Its number on the bus.
    pub slot: Option<u8>,
    /// It could take the mission over.
    pub fit: bool,
    /// What counted for it, or stands against it.
    pub why: String,
}

/// What a mission needs of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The platforms that its image was built for.
    pub platforms: Vec<String>,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The buses and ports without which it cannot drive.
    pub reaches: Vec<String>,
    /// The image's digest.
    pub image: String,
    /// Its plan, by version and digest.
    pub data: String,
}

/// Why a device is not chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unfit {
    /// It was not heard for so long.
    Silent(Duration),
    /// It is to stay off the bus.
    Fenced,
    /// It has no number on the vehicle's bus.
    NoSlot,
    /// Another device of the fleet has its number.
    SlotTaken(String),
    /// It does not reach what moves the actuators.
    OutOfReach(String),
    /// The image was not built for it.
    Platform(String),
    /// It has too little free memory, in bytes.
    Memory(u64),
    /// It does something else.
    Busy(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(since) => write!(f, "silent for {:.1} s", since.as_secs_f64()),
            Self::Fenced => f.write_str("fenced: `twinhelm readmit` lets it back"),
            Self::NoSlot => f.write_str("no slot on this vehicle's bus"),
            Self::SlotTaken(by) => write!(f, "its slot is {by}'s, too: give each a slot of its own"),
            Self::OutOfReach(what) => write!(f, "does not reach {what}"),
            Self::Platform(platform) => write!(f, "the image is not built for {platform}"),
            Self::Memory(free) => write!(f, "only {} MiB of memory are free", free >> 20),
            Self::Busy(with) => write!(f, "busy: {with}"),
        }
    }
}

/// A device that could take the mission over.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// What it offers.
    pub offer: Offer,
    /// Its number on the bus.
    pub slot: Slot,
    /// It has the image.
    pub has_image: bool,
    /// It has the data.
    pub has_data: bool,
}

impl Candidate {
    /// Says what counted for it, in words.
    #[must_use]
    pub fn reasons(&self) -> String {
        let image = if self.has_image { "has the image" } else { "has to pull the image" };
        let data = if self.has_data { "has the data" } else { "has to fetch the data" };
        format!("{image}, {data}, load {:.1}, {} MiB free", self.offer.load, self.offer.free_bytes >> 20)
    }

    fn against(&self, other: &Self) -> Ordering {
        let steps = |load: f32| (load.max(0.0) / LOAD_STEP) as u32;
        let memory = |bytes: u64| bytes / MEMORY_STEP;
        (other.has_image, other.has_data)
            .cmp(&(self.has_image, self.has_data))
            .then(steps(self.offer.load).cmp(&steps(other.offer.load)))
            .then(memory(other.offer.free_bytes).cmp(&memory(self.offer.free_bytes)))
            .then(self.offer.device.cmp(&other.offer.device))
    }
}

/// The pool in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranking {
    /// Who could take over, the best first.
    pub fit: Vec<Candidate>,
    /// Who could not, and why, by name.
    pub unfit: Vec<(Offer, Unfit)>,
}

impl Ranking {
    /// Returns whether nothing was heard of a device for so long that it counts as dead, or cut off.
    #[must_use]
    pub fn is_silent(&self, device: &str) -> bool {
        self.unfit.iter().any(|(offer, why)| offer.device == device && matches!(why, Unfit::Silent(_)))
    }

    /// Returns it for people.
    #[must_use]
    pub fn told(&self) -> Vec<Ranked> {
        let fit = self.fit.iter().map(|candidate| (&candidate.offer, true, candidate.reasons()));
        let unfit = self.unfit.iter().map(|(offer, why)| (offer, false, why.to_string()));
        let ranked = |(offer, fit, why): (&Offer, bool, String)| Ranked {
            device: offer.device.clone(),
            slot: offer.slot,
            fit,
            why,
        };
        fit.chain(unfit).map(ranked).collect()
    }
}

/// Ranks `offers`, each with when it was heard last, at `now`.
#[must_use]
pub fn rank(now: Instant, needs: &Needs, offers: &[(Instant, Offer)]) -> Ranking {
    let mut ranking = Ranking::default();
    for (heard, offer) in offers {
        match judge(now, *heard, needs, offer, offers) {
            Ok(candidate) => ranking.fit.push(candidate),
            Err(why) => ranking.unfit.push((offer.clone(), why)),
        }
    }
    ranking.fit.sort_by(Candidate::against);
    ranking.unfit.sort_by(|(one, _), (other, _)| one.device.cmp(&other.device));
    ranking
}

fn judge(
    now: Instant,
    heard: Instant,
    needs: &Needs,
    offer: &Offer,
    all: &[(Instant, Offer)],
) -> Result<Candidate, Unfit> {
    let silent = now.since(heard);
    if silent > SILENT_AFTER {
        return Err(Unfit::Silent(silent));
    }
    if offer.fenced {
        return Err(Unfit::Fenced);
    }
    let number = offer.slot.filter(|number| *number < SLOTS).ok_or(Unfit::NoSlot)?;
    let slot = Slot::new(number).ok_or(Unfit::NoSlot)?;
    // Two with one number would share each term: neither is chosen, whoever of them was there first.
    let twin = all.iter().find(|(at, other)| {
        other.device != offer.device && other.slot == Some(number) && now.since(*at) <= SILENT_AFTER
    });
    if let Some((_, twin)) = twin {
        return Err(Unfit::SlotTaken(twin.device.clone()));
    }
    if let Some(missing) = needs.reaches.iter().find(|needed| !offer.reaches.contains(needed)) {
        return Err(Unfit::OutOfReach(missing.clone()));
    }
    if !needs.platforms.contains(&offer.platform) {
        return Err(Unfit::Platform(offer.platform.clone()));
    }
    if offer.free_bytes < needs.memory_bytes {
        return Err(Unfit::Memory(offer.free_bytes));
    }
    if let Some(with) = &offer.busy {
        return Err(Unfit::Busy(with.clone()));
    }
    Ok(Candidate {
        slot,
        has_image: offer.images.contains(&needs.image),
        has_data: offer.data.contains(&needs.data),
        offer: offer.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_nanos(100_000_000_000);

    fn needs() -> Needs {
        Needs {
            platforms: vec!["linux/amd64".to_owned(), "linux/arm/v7".to_owned()],
            memory_bytes: 256 << 20,
            reaches: vec!["can0".to_owned()],
            image: "sha256:1".to_owned(),
            data: "plan-3".to_owned(),
        }
    }

    fn offer(device: &str, slot: u8) -> Offer {
        let (reaches, images, data) =
            (vec!["can0".to_owned()], vec!["sha256:1".to_owned()], vec!["plan-3".to_owned()]);
        Offer { reaches, images, data, ..Offer::of(device, slot) }
    }

    fn ranked(offers: &[Offer]) -> Ranking {
        let heard: Vec<_> = offers.iter().map(|offer| (NOW, offer.clone())).collect();
        rank(NOW, &needs(), &heard)
    }

    fn order(offers: &[Offer]) -> Vec<String> {
        ranked(offers).fit.into_iter().map(|candidate| candidate.offer.device).collect()
    }

    #[test]
    fn each_rule_decides_before_those_below_it() {
        // The first of each pair is better by one rule, and worse by every rule below it.
        let better = [
            |offer: &mut Offer| offer.images.clear(),
            |offer: &mut Offer| offer.data.clear(),
            |offer: &mut Offer| offer.load += 0.15,
            |offer: &mut Offer| offer.free_bytes -= 64 << 20,
        ];
        for rule in 0..better.len() {
            let (mut good, mut bad) = (offer("zulu", 2), offer("alpha", 3));
            better[rule](&mut bad);
            for below in &better[rule + 1..] {
                below(&mut good);
            }
            assert_eq!(order(&[good.clone(), bad.clone()]), ["zulu", "alpha"], "rule {rule}");
            assert_eq!(order(&[bad, good]), ["zulu", "alpha"], "the order in which they were heard says nothing");
        }
        assert_eq!(order(&[offer("zulu", 2), offer("alpha", 3)]), ["alpha", "zulu"]);
    }

    #[test]
    fn a_breath_of_load_or_memory_changes_no_place() {
        let (mut alpha, zulu) = (offer("alpha", 2), offer("zulu", 3));
        (alpha.load, alpha.free_bytes) = (0.09, (1 << 30) + 1);
        assert_eq!(order(&[zulu, alpha]), ["alpha", "zulu"]);
    }

    #[test]
    fn each_reason_keeps_a_device_out_and_is_told() {
        type Change = fn(&mut Offer);
        let change: [(&str, Change); 7] = [
            ("no slot on this vehicle's bus", |offer| offer.slot = None),
            ("no slot on this vehicle's bus", |offer| offer.slot = Some(4)),
            ("does not reach can0", |offer| offer.reaches = vec!["eth0".to_owned()]),
            ("the image is not built for linux/riscv64", |offer| offer.platform = "linux/riscv64".to_owned()),
            ("only 255 MiB of memory are free", |offer| offer.free_bytes = 255 << 20),
            ("busy: another mission", |offer| offer.busy = Some("another mission".to_owned())),
            ("fenced: `twinhelm readmit` lets it back", |offer| offer.fenced = true),
        ];
        for (why, change) in change {
            let mut spare = offer("spare", 2);
            change(&mut spare);
            let ranking = ranked(&[spare]);
            assert!(ranking.fit.is_empty());
            assert_eq!(ranking.unfit[0].1.to_string(), why);
        }
    }

    #[test]
    fn a_silent_device_is_not_chosen_and_its_slot_is_free() {
        let (gone, here) = (offer("gone", 2), offer("here", 2));
        let offers = [(NOW - Duration::from_millis(3_100), gone), (NOW, here)];
        let ranking = rank(NOW, &needs(), &offers);
        assert_eq!(ranking.fit[0].offer.device, "here");
        assert_eq!(ranking.unfit[0].1.to_string(), "silent for 3.1 s");
    }

    #[test]
    fn two_with_one_slot_are_both_left_out() {
        let ranking = ranked(&[offer("one", 2), offer("two", 2), offer("three", 3)]);
        assert_eq!(ranking.fit.len(), 1);
        let told: Vec<_> = ranking.unfit.iter().map(|(_, why)| why.to_string()).collect();
        assert!(told[0].starts_with("its slot is two's, too") && told[1].starts_with("its slot is one's, too"));
    }

    #[test]
    fn what_counted_is_told_in_words() {
        let mut spare = offer("spare", 2);
        spare.data.clear();
        let ranking = ranked(&[spare]);
        let why = "has the image, has to fetch the data, load 0.0, 1024 MiB free".to_owned();
        assert_eq!(ranking.told(), [Ranked { device: "spare".to_owned(), slot: Some(2), fit: true, why }]);
    }

    #[test]
    fn a_load_that_is_no_number_is_no_advantage_over_an_idle_device() {
        let (mut odd, idle) = (offer("zulu", 2), offer("alpha", 3));
        odd.load = f32::NAN;
        assert_eq!(order(&[odd, idle]), ["alpha", "zulu"]);
    }
}
