//! Samples, orders and refusals as they come over the link, and what a device and its law make of them.

use crate::wire::{BYTES_MAX, Decoded, decode, encode, fits};
use std::sync::{Arc, LazyLock};
use twinhelm_control::Controller as _;
use twinhelm_hal::signals::Command as _;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::{Duration, Instant};
use twinhelm_standby::data::Position;
use twinhelm_standby::{Config, Input, Node, Order, Parameters, Pilot, Refusal, Sample};
use twinhelm_vehicle::course::Course;
use twinhelm_vehicle::law::{CourseLaw, Memory};
use twinhelm_vehicle::signals::{LAYOUT, State};

static COURSE: LazyLock<Arc<Course>> = LazyLock::new(|| Arc::new(Course::harbour()));

/// Runs one input.
pub fn run(data: &[u8]) {
    comes_back::<Order>(data);
    comes_back::<Refusal>(data);
    // A law's memory may be anything of its size; ours is one of a few.
    comes_back::<Sample<[f64; 2], u8>>(data);
    let Some(sample) = comes_back::<Sample<State, Memory>>(data) else { return };
    if let Some(position) = Position::of(&sample.header) {
        let _ = position.is_of(data[0]);
        assert!(!position.to_string().is_empty());
    }
    let config = Config::new(Parameters::at_period(Duration::from_millis(10))).expect("the profile of 100 Hz");
    let now = Instant::from_nanos(1_000_000_000);
    let mut node: Node = Node::new(now, Slot::LEFT, config, LAYOUT);
    for _ in 0..3 {
        let _ = node.step(now, Input::Woke);
        let _ = node.step(now, Input::Peer { at: now, header: Some(sample.header) });
        let _ = node.step(now, Input::Decide);
    }
    let Some(published) = sample.published else { return };
    assert!(fits(&published, LAYOUT).is_ok(), "what came over the wire fits on it");
    let law = CourseLaw::new(Arc::clone(&COURSE));
    let mut pilot = Pilot::new(law.clone(), law.clone(), config.period);
    let _ = pilot.adopt(&published);
    let computed = pilot.compute(Some(published.readings), None, published.standstill);
    assert!(computed.checked, "two instances of one law give one command");
    let mut law = law;
    law.import(&published.memory);
    let _ = law.step(&published.readings, config.period).encode();
}

/// Reads one, and shows that what is written of it reads the same.
fn comes_back<T>(data: &[u8]) -> Option<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned,
{
    let Decoded::Read(value) = decode::<T>(data) else { return None };
    let (mut first, mut second) = ([0; BYTES_MAX], [0; BYTES_MAX]);
    // An input may be longer than the wire's buffer; what it means is not.
    let written = encode(&value, &mut first).expect("it fits");
    let Decoded::Read(again) = decode::<T>(written) else { panic!("what was written is not read") };
    // Bytes, because a NaN is not equal to itself.
    assert_eq!(encode(&again, &mut second).expect("it fits"), written);
    Some(value)
}
