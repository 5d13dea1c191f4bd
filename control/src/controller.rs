//! What a control law is to the framework.

use core::time::Duration;
use serde::Serialize;
use serde::de::DeserializeOwned;
use twinhelm_hal::signals::Command;

/// A control law: read → update → write, with a memory that can travel to another device.
///
/// The framework calls [`step`](Self::step) once a cycle on both devices. The device that does not drive
/// then takes the driver's memory ([`import`](Self::import)) and is told what was acted on
/// ([`track`](Self::track)), so that its next command continues the last one.
///
/// # Invariants
/// `step` is a function of memory, state and period alone: two instances with the same memory that are given the
/// same state return the same command, bit for bit, on every platform. Use `libm` for `sin`, `cos` and `atan2`.
/// It does not allocate, lock, log, or read a clock. What it cannot compute it returns as NaN, and the device
/// does not send it.
pub trait Controller {
    /// What is measured. `Copy`, so that it travels without the heap.
    type State: Copy + PartialEq + Serialize + DeserializeOwned + Send + core::fmt::Debug + 'static;
    /// What is asked of the actuators.
    type Command: Command + Send + core::fmt::Debug + 'static;
    /// What the law remembers: integrators, filters, progress. `Copy`, so that it travels without the heap.
    type Memory: Copy + PartialEq + Serialize + DeserializeOwned + Send + core::fmt::Debug + 'static;

    /// Returns the command for this cycle, `period` after the one before.
    fn step(&mut self, state: &Self::State, period: Duration) -> Self::Command;

    /// Returns the command that brings the vehicle to a standstill, under the same contract as `step`. Asked for
    /// instead of `step` when the two devices disagree and the configuration says `on_dispute = "stop"`.
    fn standstill(&mut self, state: &Self::State, period: Duration) -> Self::Command;

    /// Returns what the law remembers.
    fn export(&self) -> Self::Memory;

    /// Replaces what the law remembers.
    fn import(&mut self, memory: &Self::Memory);

    /// Tells the law which command was acted on in the cycle of the last `step`, so that it can continue from
    /// there: because the other device's command was the one, or because its own was cut to a limit.
    fn track(&mut self, applied: &Self::Command);
}
