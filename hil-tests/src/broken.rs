//! Rules with one choice broken each: of the gate, and of the node. Whoever checks something shows with one of them that it sees.

use std::time::Duration;
use twinhelm_hal::cycle::Cycle;
use twinhelm_hal::gate::Timing;
use twinhelm_hal::gate::rules::GateRules;
use twinhelm_hal::term::{Slot, Term};
use twinhelm_standby::node::rules::NodeRules;

macro_rules! broken {
    ($($(#[$about:meta])* $name:ident: $rules:ident { $($body:tt)* })*) => {
        $(
            $(#[$about])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;
            impl $rules for $name { $($body)* }
        )*

        /// The names of all of them.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

broken! {
    /// G3: the first frame of a higher term takes the wheel.
    NoLease: GateRules {
        fn has_lease_run_out(_: Duration, _: &Timing) -> bool {
            true
        }
    }

    /// G3: a cover comes when it likes.
    NoDueCheck: GateRules {
        fn is_due(_: Duration, _: i64, _: &Timing) -> bool {
            true
        }
    }

    /// G4: silence never ends in the safe state.
    NeverCloses: GateRules {
        fn has_timed_out(_: Duration, _: &Timing) -> bool {
            false
        }
    }

    /// G8: after an e-stop the next higher term opens it.
    ForgetsTheStop: GateRules {
        const LATCHES_ESTOP: bool = false;
    }

    /// V2: a standby counts on beyond what any gate would act on.
    CountsPastTheGate: NodeRules {
        const COUNTS_BY_THE_GATES: bool = false;
    }

    /// V14: who is stopped claims on.
    ClaimsAgainstTheStop: NodeRules {
        const WAITS_FOR_RESET: bool = false;
    }

    /// G7: two gates may name two holders.
    FollowsNobody: GateRules {
        const FOLLOWS_OTHER_GATES: bool = false;
    }

    /// G3: a hair early is too early.
    NoTolerance: GateRules {
        fn is_due(since_acted: Duration, ahead: i64, timing: &Timing) -> bool {
            since_acted >= timing.period * u32::try_from(ahead).unwrap_or(u32::MAX)
        }
    }

    /// G1: superseded terms are acted on.
    NoTermCheck: GateRules {
        fn is_superseded(_: Term, _: Term) -> bool {
            false
        }
    }

    /// G1: old cycles are acted on.
    NoCycleCheck: GateRules {
        fn is_ahead(_: i64) -> bool {
            true
        }
    }

    /// G2: a late holder keeps the wheel.
    LateFramesRenew: GateRules {
        const LATE_FRAME_RENEWS_LEASE: bool = true;
    }

    /// G5: one frame opens a closed gate.
    OpensOnOne: GateRules {
        fn may_open(_: Option<(Term, Cycle)>, _: Term, _: Cycle) -> bool {
            true
        }
    }

    /// G6: it reports only when it is spoken to.
    OnlyAnswers: GateRules {
        const REPORTS_BY_ITSELF: bool = false;
    }

    /// G1: anybody may send in any term.
    AnyTerm: GateRules {
        fn is_term_of(_: Term, _: Slot) -> bool {
            true
        }
    }

    /// Terms belong to nobody.
    NextTermOfAll: NodeRules {
        fn own_next_term(_: Slot, heard: Option<Term>) -> Term {
            Term::new(heard.map_or(0, |term| term.number() + 1))
        }
    }

    /// V2: the bus is the witness, not the gate.
    TrustsBus: NodeRules {
        const TRUSTS_BUS: bool = true;
    }

    /// V2: a timer that is early stays early.
    NoRelock: NodeRules {
        const RELOCKS: bool = false;
    }

    /// V3: who hears nothing sends.
    SendsBlind: NodeRules {
        const SENDS_WHEN_BLIND: bool = true;
    }

    /// V5: who is superseded sends on.
    GoesOnSending: NodeRules {
        const STOPS_WHEN_SUPERSEDED: bool = false;
    }

    /// V7: whose count slipped looks old for ever.
    KeepsOldCycle: NodeRules {
        const LIFTS_CYCLE: bool = false;
    }

    /// The holder's state is not taken over.
    KeepsOwnState: NodeRules {
        const ADOPTS_STATE: bool = false;
    }

    /// What a second law does not repeat is sent.
    NoSelfCheck: NodeRules {
        const CHECKS_ITSELF: bool = false;
    }

    /// G2: a frame of the own term that was held for half the counter's range is acted on.
    NeverTooFarAhead: GateRules {
        fn is_recent(_: Duration, _: i64, _: &Timing) -> bool {
            true
        }
    }

    /// V6: who has only the peer's readings claims.
    ClaimsWithPeersReadings: NodeRules {
        const CLAIMS_WITH_OWN_READINGS: bool = false;
    }
}
