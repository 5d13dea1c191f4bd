//! Migration, step by step: what each side does when all is well, and at each thing that is not.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::pool::{Candidate, Offer, Unfit};
use twinhelm_hal::term::Slot;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(1_000_000_000 + ms * 1_000_000)
}

fn pool(names: &[&str]) -> Ranking {
    let candidate = |name: &&str| Candidate {
        offer: Offer::of(name, 2),
        slot: Slot::new(2).unwrap(),
        has_image: false,
        has_data: false,
    };
    Ranking { fit: names.iter().map(candidate).collect(), unfit: Vec::new() }
}

fn view(pool: &Ranking) -> View<'_> {
    View { pool, on_bus: &[] }
}

fn bus(adopted: Option<Term>) -> BusView {
    BusView { adopted, others: 1 }
}

const TERM: Term = Term::new(5);

fn ticket(number: u32) -> Ticket {
    Ticket { term: TERM, number }
}

fn migration() -> Migration {
    Migration::new(at(0), Some("right".to_owned()), TERM, 0)
}

fn order(device: &str, number: u32, step: Step) -> Effect {
    Effect::Order { device: device.to_owned(), ticket: ticket(number), step }
}

fn said(device: &str, number: u32, outcome: Outcome) -> News {
    News::Reported { device: device.to_owned(), ticket: ticket(number), outcome }
}

fn fenced(fencing: Fencing) -> News {
    News::Fence { device: "right".to_owned(), fencing }
}

fn orders(effects: &[Effect]) -> Vec<&Effect> {
    effects.iter().filter(|effect| !matches!(effect, Effect::Note(_))).collect()
}

/// Brings the migration to where `step` was ordered of `spare`.
fn working_at(step: Step) -> Migration {
    let mut migration = migration();
    let _ = migration.step(at(0), &News::Look, view(&pool(&["spare", "other"])));
    for done in Step::ALL.into_iter().take_while(|done| *done < step) {
        let _ = migration.step(at(1), &said("spare", 0, Outcome::Done(done)), view(&pool(&["spare", "other"])));
    }
    assert_eq!(migration.at(), Some(("spare", step)));
    migration
}

#[test]
fn a_spare_is_led_through_each_step_and_then_the_faulty_device_is_shut_down() {
    let (mut migration, pool) = (migration(), pool(&["spare"]));
    let effects = migration.step(at(0), &News::Look, view(&pool));
    assert_eq!(orders(&effects), [&order("spare", 0, Step::Notify)]);
    for step in [Step::Notify, Step::Pull, Step::Fetch, Step::Create, Step::Start] {
        let effects = migration.step(at(10), &said("spare", 0, Outcome::Done(step)), view(&pool));
        assert_eq!(orders(&effects), [&order("spare", 0, step.next().unwrap())]);
    }
    // It says that it has joined; the pair has to say so.
    assert!(orders(&migration.step(at(11), &said("spare", 0, Outcome::Done(Step::Join)), view(&pool))).is_empty());
    let effects = migration.step(at(20), &News::Ready("spare".to_owned()), view(&pool));
    assert_eq!(orders(&effects), [&Effect::Fence { device: "right".to_owned() }]);
    let _ = migration.step(at(30), &fenced(Fencing::Fenced), view(&pool));
    assert_eq!(migration.end(), Some(&End::Whole { device: "spare".to_owned(), fencing: Fencing::Fenced }));
}

#[test]
fn nobody_is_told_to_join_while_the_faulty_device_is_heard_on_the_bus() {
    let mut migration = working_at(Step::Start);
    let (pool, heard) = (pool(&["spare"]), ["right".to_owned()]);
    let in_the_way = View { pool: &pool, on_bus: &heard };
    let effects = migration.step(at(2), &said("spare", 0, Outcome::Done(Step::Start)), in_the_way);
    let fence = Effect::Fence { device: "right".to_owned() };
    assert_eq!(orders(&effects), [&fence, &order("spare", 0, Step::Start)], "it is kept, and waits");
    assert_eq!(
        orders(&migration.step(at(600), &News::Look, in_the_way)),
        [&fence, &order("spare", 0, Step::Start)]
    );
    assert_eq!(orders(&migration.step(at(1_200), &News::Look, view(&pool))), [&order("spare", 0, Step::Join)]);
}

#[test]
fn a_recruit_that_is_on_the_bus_and_never_ready_goes_before_another_is_chosen() {
    let mut migration = working_at(Step::Join);
    let (pool, heard) = (pool(&["spare", "other"]), ["spare".to_owned()]);
    let on_bus = View { pool: &pool, on_bus: &heard };
    let _ = migration.step(at(2), &said("spare", 0, Outcome::Done(Step::Join)), on_bus);
    let _ = migration.step(at(15_001), &News::Look, on_bus);
    let fence = Effect::Fence { device: "spare".to_owned() };
    assert!(migration.step(at(30_001), &News::Look, on_bus).contains(&fence));
    assert_eq!(migration.step(at(32_001), &News::Look, on_bus), [fence], "again");
    // Silent on the bus: now the next one's turn comes.
    let effects = migration.step(at(33_000), &News::Look, view(&pool));
    assert!(effects.contains(&order("other", 1, Step::Notify)), "{effects:?}");
    // It may become ready after all.
    let mut slow = working_at(Step::Join);
    let _ = slow.step(at(15_001), &News::Look, on_bus);
    let _ = slow.step(at(30_001), &News::Look, on_bus);
    let effects = slow.step(at(31_000), &News::Ready("spare".to_owned()), on_bus);
    assert!(effects.contains(&Effect::Fence { device: "right".to_owned() }), "{effects:?}");
}

#[test]
fn a_recruit_joins_as_the_second_device_on_the_bus_and_no_later() {
    let crowded = BusView { adopted: Some(TERM), others: 2 };
    let mut recruit = recruit_before(Step::Join);
    let effects = recruit.step(at(1), &RecruitNews::Order(ticket(0), Step::Join), crowded);
    assert_eq!(effects, [RecruitEffect::Report(ticket(0), Outcome::Progress(Step::Join, None))]);
    let effects = recruit.step(at(2), &RecruitNews::Order(ticket(0), Step::Join), bus(Some(TERM)));
    assert_eq!(effects, [RecruitEffect::Do(Step::Join)]);
    // Another has joined meanwhile.
    let effects = recruit.step(at(3), &RecruitNews::Done(Step::Join), crowded);
    assert!(matches!(
        &effects[..],
        [RecruitEffect::Report(_, Outcome::Failed(Step::Join, _)), RecruitEffect::Undo]
    ));
}

#[test]
fn a_recruit_that_is_fenced_gives_up_what_it_has_and_says_so() {
    let mut recruit = recruit_before(Step::Join);
    let effects = recruit.fence();
    assert!(matches!(&effects[..], [RecruitEffect::Report(_, Outcome::Failed(..)), RecruitEffect::Undo]));
    assert_eq!((recruit.ticket(), recruit.fence()), (None, Vec::new()));
}

#[test]
fn a_device_that_takes_its_own_place_again_is_not_fenced() {
    // It was recruited, restarted, and is in the pool once more.
    let (mut migration, pool) = (migration(), pool(&["right"]));
    let heard = ["right".to_owned()];
    let on_bus = View { pool: &pool, on_bus: &heard };
    let mut effects = migration.step(at(0), &News::Look, view(&pool));
    for step in [Step::Notify, Step::Pull, Step::Fetch, Step::Create, Step::Start, Step::Join] {
        effects.extend(migration.step(at(10), &said("right", 0, Outcome::Done(step)), on_bus));
    }
    effects.extend(migration.step(at(700), &News::Look, on_bus));
    effects.extend(migration.step(at(800), &News::Ready("right".to_owned()), on_bus));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Fence { .. })), "{effects:?}");
    assert!(matches!(migration.end(), Some(End::Whole { .. })));
}

#[test]
fn a_spare_that_has_something_already_goes_on_from_there() {
    let mut migration = working_at(Step::Pull);
    let effects = migration.step(at(2), &said("spare", 0, Outcome::Done(Step::Create)), view(&pool(&["spare"])));
    assert_eq!(orders(&effects), [&order("spare", 0, Step::Start)]);
}

#[test]
fn each_step_that_fails_twice_or_takes_too_long_makes_room_for_the_next_candidate() {
    let pool = pool(&["spare", "other"]);
    let release = Effect::Release { device: "spare".to_owned(), ticket: ticket(0) };
    for step in Step::ALL {
        let failed = said("spare", 0, Outcome::Failed(step, "no".to_owned()));
        let mut migration = working_at(step);
        assert_eq!(orders(&migration.step(at(2), &failed, view(&pool))), [&order("spare", 0, step)], "once more");
        let effects = migration.step(at(3), &failed, view(&pool));
        assert_eq!(orders(&effects), [&release, &order("other", 1, Step::Notify)], "{step:?}");

        let mut migration = working_at(step);
        let limit = u64::try_from(step.limit().as_millis()).unwrap();
        let effects = migration.step(at(1 + limit), &News::Look, view(&pool));
        assert_eq!(orders(&effects), [&order("spare", 0, step)], "{step:?}: once more");
        let effects = migration.step(at(1 + 2 * limit), &News::Look, view(&pool));
        assert_eq!(orders(&effects), [&release, &order("other", 1, Step::Notify)], "{step:?}");
    }
}

#[test]
fn a_candidate_that_falls_silent_makes_room_at_once_until_it_was_told_to_join() {
    let silent = |name: &str| {
        let offer = Offer::of(name, 2);
        Ranking { unfit: vec![(offer, Unfit::Silent(Duration::from_secs(3)))], ..pool(&["other"]) }
    };
    for step in Step::ALL {
        let mut migration = working_at(step);
        let effects = migration.step(at(100), &News::Look, view(&silent("spare")));
        if step == Step::Join {
            assert_eq!(migration.at(), Some(("spare", Step::Join)), "it may be a member: its limit counts");
            continue;
        }
        let why = "nothing is heard of it".to_owned();
        assert_eq!(effects[0], Effect::Note(Event::GivenUp { device: "spare".to_owned(), step, why }));
        assert_eq!(migration.at(), Some(("other", Step::Notify)));
        // Another's silence is nobody's business.
        let mut migration = working_at(step);
        migration.step(at(100), &News::Look, view(&silent("another")));
        assert_eq!(migration.at(), Some(("spare", step)));
    }
}

#[test]
fn a_pull_that_makes_progress_may_take_as_long_as_it_takes() {
    let pool = pool(&["spare"]);
    let mut migration = working_at(Step::Pull);
    for second in 1..600 {
        let progress = Outcome::Progress(Step::Pull, Some((second, 600)));
        let effects = migration.step(at(second * 1_000), &said("spare", 0, progress), view(&pool));
        assert_eq!(orders(&effects), [&order("spare", 0, Step::Pull)], "its ticket is renewed");
    }
    assert_eq!(migration.at(), Some(("spare", Step::Pull)));
}

#[test]
fn without_a_candidate_it_ends_and_says_so() {
    let mut migration = migration();
    assert_eq!(migration.step(at(4_999), &News::Look, view(&pool(&[]))), []);
    let _ = migration.step(at(5_000), &News::Look, view(&pool(&[])));
    assert_eq!(migration.end(), Some(&End::NoCandidate));
}

#[test]
fn one_that_obeys_another_is_left_alone() {
    let mut migration = working_at(Step::Fetch);
    let other = Ticket { term: Term::new(6), number: 0 };
    let effects =
        migration.step(at(2), &said("spare", 0, Outcome::Refused(other)), view(&pool(&["spare", "other"])));
    assert!(orders(&effects).contains(&&order("other", 1, Step::Notify)), "{effects:?}");
}

#[test]
fn the_faulty_device_that_comes_back_ends_it_before_a_spare_was_told_to_join() {
    for step in Step::ALL.into_iter().take_while(|step| *step < Step::Join) {
        let mut migration = working_at(step);
        let effects = migration.step(at(2), &News::Ready("right".to_owned()), view(&pool(&["spare"])));
        let release = Effect::Release { device: "spare".to_owned(), ticket: ticket(0) };
        assert_eq!(orders(&effects), [&release], "{step:?}");
        assert_eq!(migration.end(), Some(&End::NotNeeded));
    }
}

#[test]
fn the_faulty_device_that_comes_back_later_is_the_one_that_goes_unless_the_spare_does_not_join() {
    let fence = Effect::Fence { device: "right".to_owned() };
    let mut migration = working_at(Step::Join);
    assert_eq!(migration.step(at(2), &News::Ready("right".to_owned()), view(&pool(&[]))), []);
    assert!(migration.step(at(3), &News::Ready("spare".to_owned()), view(&pool(&[]))).contains(&fence));

    let mut migration = working_at(Step::Join);
    let _ = migration.step(at(2), &News::Ready("right".to_owned()), view(&pool(&[])));
    let _ = migration.step(at(20_000), &News::Look, view(&pool(&["other"])));
    let _ = migration.step(at(40_000), &News::Look, view(&pool(&["other"])));
    assert_eq!(migration.end(), Some(&End::NotNeeded), "nobody else is recruited for a pair that is whole");
}

#[test]
fn an_orchestrator_that_lost_the_wheel_leaves_what_was_reached_to_the_next() {
    let mut migration = working_at(Step::Create);
    let effects = migration.step(at(2), &News::Superseded, view(&pool(&["spare"])));
    assert!(orders(&effects).is_empty());
    assert_eq!(migration.end(), Some(&End::Superseded));
    assert_eq!(migration.step(at(60_000), &News::Look, view(&pool(&["spare"]))), [], "it says nothing any more");
}

#[test]
fn an_agent_that_does_not_answer_for_the_faulty_device_is_asked_three_times_and_then_it_is_unknown() {
    let mut migration = working_at(Step::Join);
    let fence = Effect::Fence { device: "right".to_owned() };
    let mut asked = 0;
    for ms in (2..10_000).step_by(100) {
        let news = if ms == 2 { News::Ready("spare".to_owned()) } else { News::Look };
        asked += migration.step(at(ms), &news, view(&pool(&[]))).iter().filter(|effect| **effect == fence).count();
    }
    assert_eq!(asked, 3);
    assert_eq!(migration.end(), Some(&End::Whole { device: "spare".to_owned(), fencing: Fencing::Unknown }));
}

#[test]
fn words_of_a_candidate_that_was_given_up_change_nothing() {
    let pool = pool(&["spare", "other"]);
    let mut migration = working_at(Step::Notify);
    let _ = migration.step(at(2_001), &News::Look, view(&pool));
    let _ = migration.step(at(4_001), &News::Look, view(&pool));
    assert_eq!(migration.at(), Some(("other", Step::Notify)));
    assert!(
        orders(&migration.step(at(4_002), &said("spare", 0, Outcome::Done(Step::Start)), view(&pool))).is_empty()
    );
    assert!(
        orders(&migration.step(at(4_003), &said("other", 0, Outcome::Done(Step::Start)), view(&pool))).is_empty()
    );
    assert_eq!(migration.at(), Some(("other", Step::Notify)));
}

fn obey(recruit: &mut Recruit, ms: u64, term: u32, number: u32, step: Step) -> Vec<RecruitEffect> {
    let ticket = Ticket { term: Term::new(term), number };
    recruit.step(at(ms), &RecruitNews::Order(ticket, step), bus(Some(TERM)))
}

/// A recruit that has done everything before `step`, under ticket 5.0.
fn recruit_before(step: Step) -> Recruit {
    let mut recruit = Recruit::<AsDesigned>::default();
    for done in Step::ALL.into_iter().take_while(|done| *done < step) {
        let _ = obey(&mut recruit, 0, 5, 0, done);
        let _ = recruit.step(at(0), &RecruitNews::Done(done), bus(Some(TERM)));
    }
    recruit
}

#[test]
fn a_recruit_does_one_step_after_the_other_whatever_order_was_lost() {
    let mut recruit = Recruit::<AsDesigned>::default();
    // The order to notify, and three more, never arrived.
    assert!(matches!(
        &obey(&mut recruit, 0, 5, 0, Step::Create)[..],
        [RecruitEffect::Report(_, Outcome::Done(Step::Notify))]
    ));
    for step in [Step::Pull, Step::Fetch, Step::Create] {
        assert_eq!(obey(&mut recruit, 1, 5, 0, Step::Create), [RecruitEffect::Do(step)]);
        assert!(matches!(
            &obey(&mut recruit, 2, 5, 0, Step::Create)[..],
            [RecruitEffect::Report(_, Outcome::Progress(..))]
        ));
        let _ = recruit.step(at(3), &RecruitNews::Done(step), bus(None));
    }
    assert_eq!(recruit.reached(), Some(Step::Create));
}

#[test]
fn a_recruit_obeys_the_highest_ticket_and_keeps_what_it_has_reached() {
    let mut recruit = recruit_before(Step::Create);
    let lower = Ticket { term: Term::new(4), number: 9 };
    let held = ticket(0);
    let refused = recruit.step(at(1), &RecruitNews::Order(lower, Step::Pull), bus(Some(TERM)));
    assert_eq!(refused, [RecruitEffect::Report(lower, Outcome::Refused(held))]);
    // The next holder finds it where the last one left it.
    let higher = Ticket { term: Term::new(6), number: 0 };
    let told = recruit.step(at(1), &RecruitNews::Order(higher, Step::Notify), bus(Some(TERM)));
    assert_eq!(told, [RecruitEffect::Report(higher, Outcome::Done(Step::Fetch))]);
    assert_eq!(recruit.ticket(), Some(higher));
}

#[test]
fn a_recruit_joins_by_the_gates_word_alone() {
    for (adopted, joins) in
        [(Some(TERM), true), (Some(Term::new(6)), false), (Some(Term::new(4)), false), (None, false)]
    {
        let mut recruit = recruit_before(Step::Join);
        let effects = recruit.step(at(1), &RecruitNews::Order(ticket(0), Step::Join), bus(adopted));
        assert_eq!(effects.contains(&RecruitEffect::Do(Step::Join)), joins, "{adopted:?}");
    }
}

#[test]
fn a_recruit_that_nobody_renews_is_free_again_and_a_member_stays_one() {
    for step in Step::ALL {
        let mut recruit = recruit_before(step);
        let _ = obey(&mut recruit, 0, 5, 0, step);
        assert_eq!(recruit.step(at(2_999), &RecruitNews::Look, bus(None)), []);
        let effects = recruit.step(at(3_000), &RecruitNews::Look, bus(None));
        // One that is joining is on the bus in a moment, and then a member; or it hangs.
        assert_eq!(effects == [RecruitEffect::Undo], step != Step::Join, "{step:?}");
        if step == Step::Join {
            assert_eq!(recruit.step(at(17_999), &RecruitNews::Look, bus(None)), []);
            assert_eq!(recruit.step(at(18_000), &RecruitNews::Look, bus(None)), [RecruitEffect::Undo]);
        }
    }
    let mut member = recruit_before(Step::Join);
    let _ = obey(&mut member, 0, 5, 0, Step::Join);
    let _ = member.step(at(1), &RecruitNews::Done(Step::Join), bus(Some(TERM)));
    assert_eq!(member.step(at(60_000), &RecruitNews::Look, bus(None)), []);
    assert_eq!(member.step(at(60_001), &RecruitNews::Release(ticket(0)), bus(None)), []);
    assert!(member.has_joined());
}

#[test]
fn a_recruit_is_released_by_its_own_ticket_or_a_higher_one() {
    let mut recruit = recruit_before(Step::Start);
    let lower = Ticket { term: Term::new(4), number: 7 };
    assert_eq!(recruit.step(at(1), &RecruitNews::Release(lower), bus(None)), []);
    assert_eq!(recruit.step(at(1), &RecruitNews::Release(ticket(0)), bus(None)), [RecruitEffect::Undo]);
    assert_eq!((recruit.ticket(), recruit.reached()), (None, None));
}

#[test]
fn what_has_ended_is_started_anew_from_what_is_on_the_disk() {
    let mut recruit = recruit_before(Step::Join);
    let effects = recruit.step(at(1), &RecruitNews::Ended, bus(Some(TERM)));
    assert!(matches!(&effects[..], [RecruitEffect::Report(_, Outcome::Failed(Step::Start, _))]));
    assert_eq!(obey(&mut recruit, 2, 5, 0, Step::Start), [RecruitEffect::Do(Step::Create)]);
}
