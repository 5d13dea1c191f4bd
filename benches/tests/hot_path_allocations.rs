//! The hot path allocates nothing: a thousand turns of a pair, frames encoded and decoded, and every call to the
//! allocator counted.
//!
//! Two devices and a gate in one loop, with ports made of fixed arrays: the one that drives and the one that stands
//! by both run the production `turn` with the demo's law.

// A global allocator cannot be written without it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use twinhelm_benches::Pair;
use twinhelm_standby::RoleName;

struct Counting;

thread_local! {
    // Of this thread alone: the test harness has threads of its own.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn calls() -> u64 {
    CALLS.with(Cell::get)
}

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged, which keeps the trait's promises; the counter is a
// plain number that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are the callee's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from `System`, because `alloc` and `realloc` took it there.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the block came from `System`, because `alloc` and `realloc` took it there.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_thousand_turns_allocate_nothing() {
    let mut pair = Pair::at_work().expect("the profile keeps its promise");
    let roles = |pair: &Pair| [0, 1].map(|index: usize| pair.devices[index].node.role().name());
    assert_eq!(roles(&pair), [RoleName::Primary, RoleName::Standby]);
    let before = calls();
    let (mut turns, mut drove) = ([0; 2], 0);
    while turns[0] < 1_000 {
        pair.command = None;
        let (index, at) = pair.next_turn();
        pair.take_turn(index, at);
        turns[index] += 1;
        drove += u32::from(pair.command.is_some());
    }
    assert_eq!(calls() - before, 0, "a turn allocated");
    assert_eq!(drove, 1_000, "each turn of the left device drove");
    assert!(turns[1] >= 999, "and the standby's were counted with them");
    assert_eq!(roles(&pair), [RoleName::Primary, RoleName::Standby]);
}

#[test]
fn the_counter_counts() {
    let before = calls();
    drop(std::hint::black_box(Box::new(1_u8)));
    assert_eq!(calls() - before, 1);
}
