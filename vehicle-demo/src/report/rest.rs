//! How long what has happened is still at work.

use twinhelm_hal::time::Duration;
use twinhelm_standby::Config;

/// A fault or a request is at work until what it set in motion has come to rest: so long after it is over.
pub(super) fn rest_of(config: &Config) -> Duration {
    config.command_timeout + config.gate_lease
}
