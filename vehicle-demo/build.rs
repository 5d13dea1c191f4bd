//! Writes the Rust side of `vehicle.dbc`: the frames' accessors, and the scales and limits of a command.
//!
//! The generated accessors compute in `f32`. A control law needs the scales in `f64`, so they are taken from the
//! same file here and not written down a second time.

use can_dbc::{Dbc, MessageId, NumericValue, Signal};
use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;

const DBC: &str = "vehicle.dbc";
/// COMMAND_0; all slots have one layout, which `tests/dbc.rs` checks.
const COMMAND_0: MessageId = MessageId::Standard(0x100);

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={DBC}");
    println!("cargo:rerun-if-changed=build.rs");
    let text = std::fs::read_to_string(DBC).map_err(|cause| format!("reading {DBC}: {cause}"))?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    dbc_codegen::Config::builder()
        .dbc_name(DBC)
        .dbc_content(&text)
        .impl_debug(dbc_codegen::FeatureConfig::Always)
        .impl_embedded_can_frame(dbc_codegen::FeatureConfig::Never)
        .allow_dead_code(true)
        .build()
        .write_to_file(out.join("messages.rs"))?;
    std::fs::write(out.join("scales.rs"), scales(&text)?)?;
    Ok(())
}

/// Returns the constants of the two command signals.
fn scales(text: &str) -> Result<String, Box<dyn Error>> {
    let dbc = Dbc::try_from(text).map_err(|cause| format!("reading {DBC}: {cause:?}"))?;
    let mut code = String::new();
    for (signal, name, unit) in [("Steering_rad", "STEERING_RAD", "rad"), ("Drive_mps2", "DRIVE_MPS2", "m/s²")] {
        let found = dbc.signal_by_name(COMMAND_0, signal).ok_or(format!("{DBC}: COMMAND_0 has no {signal}"))?;
        let (min, max) = (number(&found.min), number(&found.max));
        writeln!(code, "/// One count of `{signal}`, in {unit}.")?;
        writeln!(code, "pub const {name}_PER_COUNT: f64 = {:?};", found.factor)?;
        writeln!(code, "/// The smallest `{signal}` that the mechanics allow, in {unit} and in counts.")?;
        writeln!(code, "pub const {name}_MIN: (f64, i16) = ({min:?}, {});", counts(min, found))?;
        writeln!(code, "/// The largest `{signal}` that the mechanics allow, in {unit} and in counts.")?;
        writeln!(code, "pub const {name}_MAX: (f64, i16) = ({max:?}, {});", counts(max, found))?;
    }
    Ok(code)
}

#[expect(clippy::cast_possible_truncation, reason = "the signal has 16 bits")]
fn counts(value: f64, signal: &Signal) -> i16 {
    (value / signal.factor).round() as i16
}

#[expect(clippy::cast_precision_loss, reason = "limits of 16-bit signals")]
fn number(value: &NumericValue) -> f64 {
    match value {
        NumericValue::Uint(value) => *value as f64,
        NumericValue::Int(value) => *value as f64,
        NumericValue::Double(value) => *value,
    }
}
