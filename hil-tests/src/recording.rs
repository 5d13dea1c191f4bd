//! What a node was told and what it answered, so that its decisions can be replayed (invariant 8).

use std::fmt::Debug;
use twinhelm_hal::term::Slot;
use twinhelm_hal::time::Instant;
use twinhelm_standby::node::rules::NodeRules;
use twinhelm_standby::{Config, Effects, Input, Node};

/// The inputs of one life of a node, with the effects that each had.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    slot: Slot,
    config: Config,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
struct Step {
    now: Instant,
    input: Input,
    effects: Effects,
}

/// The first step at which a replay answered otherwise.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("step {step} of {steps}: told {input}, the recording answered {recorded}, the replay {replayed}")]
pub struct Difference {
    /// Counted from 0.
    pub step: usize,
    /// How many there are.
    pub steps: usize,
    /// What the node was told.
    pub input: String,
    /// What it answered then.
    pub recorded: String,
    /// What it answers now.
    pub replayed: String,
}

impl Recording {
    /// Returns an empty recording of the node in `slot`.
    #[must_use]
    pub const fn new(slot: Slot, config: Config) -> Self {
        Self { slot, config, steps: Vec::new() }
    }

    /// Takes note of one step.
    pub fn note(&mut self, now: Instant, input: &Input, effects: &Effects) {
        self.steps.push(Step { now, input: *input, effects: effects.clone() });
    }

    /// Returns how many steps there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Returns whether nothing was noted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Feeds the inputs to a fresh node, which must answer the same.
    ///
    /// # Errors
    /// The first [`Difference`].
    pub fn replay<R: NodeRules>(&self) -> Result<(), Difference> {
        let born = self.steps.first().map_or(Instant::ZERO, |step| step.now);
        let mut node = Node::<R>::new(born, self.slot, self.config);
        for (index, step) in self.steps.iter().enumerate() {
            let replayed = node.step(step.now, step.input);
            if replayed != step.effects {
                let text = |value: &dyn Debug| format!("{value:?}");
                return Err(Difference {
                    step: index,
                    steps: self.steps.len(),
                    input: text(&step.input),
                    recorded: text(&step.effects),
                    replayed: text(&replayed),
                });
            }
        }
        Ok(())
    }
}
