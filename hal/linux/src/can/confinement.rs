//! What an error frame says of the own controller.

use socketcan::CanError;
use socketcan::errors::ControllerProblems;
use twinhelm_hal::ports::Confinement;

/// Returns how the controller stands by `error`; `None` when the frame tells something else.
pub(super) fn told_by(error: &CanError) -> Option<Confinement> {
    if error.is_bus_off() {
        return Some(Confinement::Off);
    }
    if error.is_restarted() {
        return Some(Confinement::Active);
    }
    let problems = error.controller()?;
    let passive = ControllerProblems::RX_PASSIVE | ControllerProblems::TX_PASSIVE;
    let active = ControllerProblems::RX_WARNING | ControllerProblems::TX_WARNING | ControllerProblems::ACTIVE;
    if problems.intersects(passive) {
        Some(Confinement::Passive)
    } else {
        // The warning level is below error-passive: who comes down to it takes part again.
        problems.intersects(active).then_some(Confinement::Active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socketcan::errors::ErrorCause;

    #[test]
    fn a_controllers_words_are_told_apart() {
        let controller = |problems| told_by(&CanError::new(ErrorCause::Controller(problems)));
        assert_eq!(controller(ControllerProblems::TX_PASSIVE), Some(Confinement::Passive));
        assert_eq!(controller(ControllerProblems::RX_PASSIVE), Some(Confinement::Passive));
        assert_eq!(controller(ControllerProblems::TX_WARNING), Some(Confinement::Active));
        assert_eq!(controller(ControllerProblems::ACTIVE), Some(Confinement::Active));
        assert_eq!(controller(ControllerProblems::RX_OVERFLOW), None);
        assert_eq!(told_by(&CanError::new(ErrorCause::BusOff)), Some(Confinement::Off));
        assert_eq!(told_by(&CanError::new(ErrorCause::Restarted)), Some(Confinement::Active));
        assert_eq!(told_by(&CanError::new(ErrorCause::NoAck)), None);
    }
}
