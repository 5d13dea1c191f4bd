//! Writes the Rust side of `vehicle.dbc`: the frames' accessors, for whoever reads the bus. The devices and the gate do not use them.

use std::error::Error;
use std::path::PathBuf;

const DBC: &str = "vehicle.dbc";

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
    Ok(())
}
