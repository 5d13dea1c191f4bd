//! The store: a device's images, and what is unpacked of them. One agent has it.

use crate::config::Config;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use twinhelm_mission::image::pull::{Progress, Rate, Request, pull};
use twinhelm_mission::image::unpack::{Unpacked, unpack};
use twinhelm_mission::image::{ImageError, Layout, Platform};

#[derive(Debug)]
pub(super) struct Store {
    layout: Layout,
    roots: PathBuf,
}

impl Store {
    /// Opens the store in `folder`, and keeps other agents out.
    pub fn open(folder: &Path) -> Result<Self, ImageError> {
        Ok(Self { layout: Layout::create(folder)?, roots: folder.join("roots") })
    }

    /// Fetches the assigned image if it is not here, verifies it, and unpacks it; returns how long fetching and the rest took.
    pub fn fetch(
        &self,
        config: &Config,
        platform: Platform,
        rate: &Rate,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<(Unpacked, [Duration; 2]), ImageError> {
        let begun = Instant::now();
        let runs = platform.runs();
        // Whole, it needs no source: a device that comes up alone has its mission.
        let unpack_here = || unpack(&self.layout, &config.image, runs, config.limits, &self.roots);
        if self.layout.has(&config.image)
            && let Ok(unpacked) = unpack_here()
        {
            return Ok((unpacked, [Duration::ZERO, begun.elapsed()]));
        }
        let request = Request { from: &config.sources, runs, rate, tag: None };
        pull(&self.layout, &request, tell)?;
        let pulled = begun.elapsed();
        let unpacked = unpack_here()?;
        Ok((unpacked, [pulled, begun.elapsed() - pulled]))
    }
}
