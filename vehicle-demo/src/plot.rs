//! The picture of a run: five panels in one SVG, so that a reader sees the fault, who took over, and what the
//! vehicle made of it.
//!
//! Whoever draws brings plain series; this room knows neither files nor runs. Long series are thinned to what a
//! screen can show, keeping the extremes: a spike of one cycle must not get lost.

mod panels;
mod thin;

use plotters::prelude::*;
use plotters::style::RGBColor;

/// The picture's width and height in pixels.
const SIZE: (u32, u32) = (1_000, 1_560);
/// Where the panels part, in pixels from the top, title included.
const SPLITS: [i32; 5] = [44, 540, 760, 1_150, 1_300];

/// The colours of slots 0 to 3; told apart by people who do not see red and green (Okabe and Ito).
const SLOT_COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];
/// The colour of a fault's mark.
const FAULT: RGBColor = RGBColor(190, 20, 40);
/// The colour of a handover's mark.
const HANDOVER: RGBColor = RGBColor(20, 120, 40);
const GREY: RGBColor = RGBColor(130, 130, 130);

/// Where the vehicle was at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathPoint {
    /// When, in s.
    pub t_s: f64,
    /// Where, in m.
    pub x_m: f64,
    /// Where, in m.
    pub y_m: f64,
    /// How far to the left of the course, in m.
    pub cross_track_m: f64,
}

/// A command that was acted on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CommandPoint {
    /// When, in s.
    pub t_s: f64,
    /// Who sent it: the slot's number, 0 to 3.
    pub slot: u8,
    /// What it asked for, in rad.
    pub steering_rad: f64,
    /// What it asked for, in m/s².
    pub drive_mps2: f64,
}

/// A device had one role for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleSpan {
    /// From when, in s.
    pub from_s: f64,
    /// Until when, in s.
    pub to_s: f64,
    /// Which role, in lower case: the colour goes by its first word.
    pub role: String,
}

/// All roles of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRoles {
    /// The device's name.
    pub device: String,
    /// Its roles, in the order of time.
    pub spans: Vec<RoleSpan>,
}

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figure {
    /// One line above all.
    pub title: String,
    /// The course, in m; it is closed by the drawing.
    pub course_xy: Vec<(f64, f64)>,
    /// The way that was driven.
    pub path: Vec<PathPoint>,
    /// The commands that were acted on.
    pub commands: Vec<CommandPoint>,
    /// The devices' roles, slot by slot; slot 0 is on top, and the names are the commands' labels too.
    pub roles: Vec<DeviceRoles>,
    /// Output gaps: when each ended, in s, and how long it was, in ms.
    pub gaps: Vec<(f64, f64)>,
    /// Faults: when, in s, and in one or two words what.
    pub faults: Vec<(f64, String)>,
    /// Handovers: when, in s.
    pub handovers: Vec<f64>,
    /// The control period in ms.
    pub period_ms: f64,
    /// The command timeout in ms.
    pub command_timeout_ms: f64,
}

/// The picture could not be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("drawing the {panel} panel: {what}")]
pub struct PlotError {
    panel: &'static str,
    what: String,
}

impl Figure {
    /// Returns the picture as SVG. Points that are no numbers are left out.
    ///
    /// # Errors
    /// [`PlotError`] names the panel that could not be drawn.
    pub fn to_svg(&self) -> Result<String, PlotError> {
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let failed = |panel| move |what: panels::DrawError| PlotError { panel, what: what.to_string() };
            root.fill(&WHITE).map_err(failed("background"))?;
            let areas = root.split_by_breakpoints([0_i32; 0], SPLITS);
            let [title, trajectory, error, command, roles, gaps] = &areas[..] else {
                return Err(PlotError { panel: "background", what: "it has no panels".into() });
            };
            panels::title(title, self).map_err(failed("title"))?;
            panels::trajectory(trajectory, self).map_err(failed("trajectory"))?;
            panels::cross_track(error, self).map_err(failed("cross-track error"))?;
            panels::commands(command, self).map_err(failed("command"))?;
            panels::roles(roles, self).map_err(failed("roles"))?;
            panels::gaps(gaps, self).map_err(failed("output gap"))?;
            root.present().map_err(failed("background"))?;
        }
        Ok(svg)
    }

    /// Returns the time axis of all panels, in s.
    fn times(&self) -> std::ops::Range<f64> {
        let path = self.path.iter().map(|point| point.t_s);
        let commands = self.commands.iter().map(|command| command.t_s);
        let spans = self.roles.iter().flat_map(|device| &device.spans).flat_map(|span| [span.from_s, span.to_s]);
        thin::range(path.chain(commands).chain(spans), 0.0)
    }

    /// Returns the place of the vehicle at `t_s`, as near as the path knows it.
    fn place_at(&self, t_s: f64) -> Option<(f64, f64)> {
        let nearest = self.path.iter().min_by(|a, b| (a.t_s - t_s).abs().total_cmp(&(b.t_s - t_s).abs()))?;
        (nearest.x_m.is_finite() && nearest.y_m.is_finite()).then_some((nearest.x_m, nearest.y_m))
    }
}

#[cfg(test)]
mod tests;
