//! Who was not let in: somebody without a key of the fleet, or who took too long. Zenoh says so in its log alone.

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry;

/// Where Zenoh takes connections in.
const ACCEPTS: &str = "zenoh_link_commons::quic::unicast";
/// What it says before why it did not take one.
const REFUSED: &str = "QUIC acceptor failed: ";
/// What it adds: the line of its source.
const AT: &str = " at /";
/// The other side gave up and said so, as members do that began before this one listened.
const GAVE_UP: &str = "error_code: APPLICATION_ERROR";

struct Listens<F>(F);

impl<S: Subscriber, F: Fn(String) + 'static> Layer<S> for Listens<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said(String::new());
        event.record(&mut said);
        if let Some(why) = refusal(&said.0) {
            (self.0)(why.to_owned());
        }
    }
}

/// Returns why a connection was not let in, if that is what Zenoh says.
fn refusal(said: &str) -> Option<&str> {
    let (_, why) = said.split_once(REFUSED)?;
    let (why, _) = why.split_once(AT).unwrap_or((why, ""));
    (!why.contains(GAVE_UP)).then_some(why)
}

struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// Has `tell` called with why, each time that a connection was not let in. It is for the whole process, and for its first caller: returns
/// whether this was the first.
pub fn watch_strangers(tell: impl Fn(String) + Send + Sync + 'static) -> bool {
    let accepts = Targets::new().with_target(ACCEPTS, LevelFilter::WARN);
    tracing::subscriber::set_global_default(registry().with(Listens(tell).with_filter(accepts))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_somebody_was_not_let_in_is_told_and_who_gave_up_is_not() {
        let said = |why: &str| {
            format!("QUIC acceptor failed: {why} at /somebody/unicast.rs:686. Hint: increase the limit.")
        };
        assert_eq!(refusal(&said("TimedOut")), Some("TimedOut"));
        let gave_up =
            "ConnectionClosed(ConnectionClose { error_code: APPLICATION_ERROR, frame_type: None, reason: b\"\" })";
        assert_eq!(refusal(&said(gave_up)), None);
        assert_eq!(refusal("Cannot accept QUIC connection"), None);
    }
}
