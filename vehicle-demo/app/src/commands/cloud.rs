//! `cloud`: the cloud application, with the demo's course and the time that the vehicle tolerates.

use super::{Exit, Problem, settings_named};
use crate::cli::CloudArgs;
use crate::cloud::{self, CloudSetup};
use std::time::Duration;
use twinhelm_vehicle::course::Course;
use twinhelm_zenoh::Settings;
use twinhelm_zenoh::wire::Carried;

const LINK_LEASE: Duration = Duration::from_secs(1);

/// `cloud`
pub(crate) fn cloud<M: Carried>(args: &CloudArgs) -> Result<Exit, Problem> {
    let settings = settings_named(args.config.as_deref(), args.profile.as_deref())?;
    let config = settings.config(None).map_err(Problem::bad_input)?;
    let course = Course::harbour();
    let link = Settings {
        vehicle: args.vehicle.clone(),
        listen: args.listen.clone(),
        connect: args.connect.clone(),
        link_lease: LINK_LEASE,
        keep_alive: 4,
        keys: args.keys.clone(),
    };
    cloud::run::<M>(&CloudSetup {
        storage: args.storage.as_deref(),
        settings: link,
        page: args.page,
        data: &args.data,
        course: &course,
        ftti: config.ftti,
    })
}
