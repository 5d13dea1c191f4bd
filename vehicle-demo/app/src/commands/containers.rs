//! Where the parts are that run the devices in containers: `twinhelm`, and an image of this very program.

use super::Problem;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;
use twinhelm_rigs::host::Containers;
use twinhelm_standby::Readiness;

/// The folder of images beside this program, where `./dev image` packs one.
const IMAGES: &str = "images";
/// Its tag there.
const TAG: &str = "mission";

/// What `twinhelm image ls --json` says of an image.
#[derive(Deserialize)]
struct Listed {
    tag: Option<String>,
    digest: String,
}

/// Finds the parts; `images` is a folder that the user named.
pub(crate) fn find(images: Option<&Path>, readiness: Readiness) -> Result<Containers, Problem> {
    let beside = std::env::current_exe()
        .map_err(|error| Problem::machine(format!("finding this program: {error}")))?
        .with_file_name("twinhelm");
    let images = match images {
        Some(images) => images.to_owned(),
        None => beside.with_file_name(IMAGES),
    };
    let remedy = "build it: ./dev image; or run plain processes: --runtime process";
    let said = Command::new(&beside).arg("image").arg("ls").arg("--json").arg(&images).output();
    let said =
        said.map_err(|error| Problem::machine(format!("starting {}: {error}; {remedy}", beside.display())))?;
    if !said.status.success() {
        let why = String::from_utf8_lossy(&said.stderr);
        let why = why.trim().trim_start_matches("error: ");
        return Err(Problem::machine(format!("no image of the mission: {why}; {remedy}")));
    }
    let listed: Vec<Listed> = serde_json::from_slice(&said.stdout)
        .map_err(|error| Problem::machine(format!("reading what {} says: {error}", beside.display())))?;
    let image = listed.into_iter().find(|one| one.tag.as_deref() == Some(TAG)).map(|one| one.digest);
    let image = image
        .ok_or_else(|| Problem::machine(format!("{} has no image called {TAG:?}; {remedy}", images.display())))?;
    let images: PathBuf = images.canonicalize().map_err(|error| Problem::machine(format!("{error}")))?;
    Ok(Containers {
        agent: beside,
        images,
        image,
        readiness,
        spares: 0,
        spares_at: None,
        spare_readiness: Readiness::Pulled,
        cloud: false,
        storage: None,
    })
}
