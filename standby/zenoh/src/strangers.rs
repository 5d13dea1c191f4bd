//! Who was not let in: somebody without a key of the fleet, or who took too long. Zenoh says so in its log alone.

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry;

/// Where Zenoh takes connections in.
const ACCEPTS: &str = "zenoh_link_commons::quic::unicast";
/// What it adds to why it did not take one, and to nothing else that it warns of there. It speaks of open files, which is seldom why.
const HINT: &str = ". Hint: increase the system open file limit";

struct Listens<F>(F);

impl<S: Subscriber, F: Fn(String) + 'static> Layer<S> for Listens<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut said = Said(String::new());
        event.record(&mut said);
        let Said(why) = said;
        if let Some((why, _)) = why.split_once(HINT) {
            (self.0)(why.to_owned());
        }
    }
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
