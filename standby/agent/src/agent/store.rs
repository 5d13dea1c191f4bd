//! The store: a device's images, and what is unpacked of them. One agent has it.

use crate::config::Config;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use twinhelm_linux::effort::Effort;
use twinhelm_mission::image::pull::{Progress, Rate, Request, pull};
use twinhelm_mission::image::unpack::{Unpacked, unpack};
use twinhelm_mission::image::{ImageError, Layout, Platform};

#[derive(Debug)]
pub(super) struct Store {
    layout: Layout,
    roots: PathBuf,
}

/// An image that is here.
#[derive(Debug)]
pub(super) struct Fetched {
    pub unpacked: Unpacked,
    /// How long fetching took, and the rest.
    pub took: [Duration; 2],
    /// How much was fetched.
    pub bytes: u64,
}

impl Store {
    /// Opens the store in `folder`, and keeps other agents out.
    pub fn open(folder: &Path) -> Result<Self, ImageError> {
        Ok(Self { layout: Layout::create(folder)?, roots: folder.join("roots") })
    }

    /// Fetches the assigned image if it is not here, verifies it, and unpacks it, with `effort`.
    pub fn fetch(
        &self,
        config: &Config,
        platform: Platform,
        rate: &Rate,
        effort: &Effort,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<Fetched, ImageError> {
        effort.enter();
        let begun = Instant::now();
        let runs = platform.runs();
        // Whole, it needs no source: a device that comes up alone has its mission.
        let unpack_here = || unpack(&self.layout, &config.image, runs, config.limits, &self.roots);
        if self.layout.has(&config.image)
            && let Ok(unpacked) = unpack_here()
        {
            return Ok(Fetched { unpacked, took: [Duration::ZERO, begun.elapsed()], bytes: 0 });
        }
        let request = Request { from: &config.sources, runs, rate, tag: None };
        let mut bytes = 0;
        pull(&self.layout, &request, &mut |made| {
            bytes = made.done;
            tell(made);
        })?;
        let pulled = begun.elapsed();
        let unpacked = unpack_here()?;
        Ok(Fetched { unpacked, took: [pulled, begun.elapsed() - pulled], bytes })
    }
}
