//! The boards' platforms: what they are called in images, what they are called by compilers, and which runs what.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A platform that missions are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Platform {
    /// A PC.
    Amd64,
    /// A 64-bit ARM board.
    Arm64,
    /// `BeagleBone` Black, Odroid XU3.
    ArmV7,
    /// Raspberry Pi B.
    ArmV6,
    /// Intel Edison.
    I386,
}

/// Text that is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no platform that missions are built for: write one of {all}", all = names())]
pub struct BadPlatform(String);

fn names() -> String {
    Platform::ALL.map(|platform| platform.to_string()).join(", ")
}

impl Platform {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Amd64, Self::Arm64, Self::ArmV7, Self::ArmV6, Self::I386];

    /// Returns the architecture and the variant, in the words of the OCI.
    #[must_use]
    pub const fn architecture(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Amd64 => ("amd64", None),
            Self::Arm64 => ("arm64", Some("v8")),
            Self::ArmV7 => ("arm", Some("v7")),
            Self::ArmV6 => ("arm", Some("v6")),
            Self::I386 => ("386", None),
        }
    }

    /// Returns what compilers call it; with musl, so that a binary is static and needs nothing of its root.
    #[must_use]
    pub const fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
            Self::ArmV7 => "armv7-unknown-linux-musleabihf",
            Self::ArmV6 => "arm-unknown-linux-musleabihf",
            Self::I386 => "i686-unknown-linux-musl",
        }
    }

    /// Returns the command, of Debian's `qemu-user-static`, that runs such a binary on another machine.
    #[must_use]
    pub const fn emulator(self) -> &'static [&'static str] {
        match self {
            Self::Amd64 => &["qemu-x86_64-static"],
            Self::Arm64 => &["qemu-aarch64-static"],
            Self::ArmV7 => &["qemu-arm-static", "-cpu", "cortex-a7"],
            // The Raspberry Pi B's core.
            Self::ArmV6 => &["qemu-arm-static", "-cpu", "arm1176"],
            Self::I386 => &["qemu-i386-static"],
        }
    }

    /// Returns the platform of this machine, as this program was compiled for it; `None` when missions are not built for it.
    #[must_use]
    pub fn of_this_machine() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            "x86" => Some(Self::I386),
            "arm" if cfg!(target_feature = "v7") => Some(Self::ArmV7),
            "arm" => Some(Self::ArmV6),
            _ => None,
        }
    }

    /// Returns what a device of this platform runs, the best first. ARMv7 runs ARMv6's code, never the other way round.
    #[must_use]
    pub const fn runs(self) -> &'static [Self] {
        match self {
            Self::Amd64 => &[Self::Amd64],
            Self::Arm64 => &[Self::Arm64],
            Self::ArmV7 => &[Self::ArmV7, Self::ArmV6],
            Self::ArmV6 => &[Self::ArmV6],
            Self::I386 => &[Self::I386],
        }
    }

    /// Returns the platform with these words of the OCI. An ARM without a variant is the oldest, as with Docker.
    #[must_use]
    pub fn of(os: &str, architecture: &str, variant: Option<&str>) -> Option<Self> {
        match (os, architecture, variant) {
            ("linux", "amd64", _) => Some(Self::Amd64),
            ("linux", "arm64", None | Some("v8")) => Some(Self::Arm64),
            ("linux", "arm", Some("v7")) => Some(Self::ArmV7),
            ("linux", "arm", None | Some("v6")) => Some(Self::ArmV6),
            ("linux", "386", _) => Some(Self::I386),
            _ => None,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // arm64 has one variant, which nobody writes.
        match self.architecture() {
            ("arm", Some(variant)) => write!(f, "linux/arm/{variant}"),
            (architecture, _) => write!(f, "linux/{architecture}"),
        }
    }
}

impl FromStr for Platform {
    type Err = BadPlatform;

    fn from_str(text: &str) -> Result<Self, BadPlatform> {
        let mut parts = text.split('/');
        let (os, architecture, variant) = (parts.next(), parts.next(), parts.next());
        let known = os.zip(architecture).filter(|_| parts.next().is_none());
        known
            .and_then(|(os, architecture)| Self::of(os, architecture, variant))
            .ok_or_else(|| BadPlatform(text.to_owned()))
    }
}

impl TryFrom<String> for Platform {
    type Error = BadPlatform;

    fn try_from(text: String) -> Result<Self, BadPlatform> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_read_as_it_is_written() {
        for platform in Platform::ALL {
            assert_eq!(platform.to_string().parse(), Ok(platform));
        }
        assert_eq!("linux/arm64/v8".parse(), Ok(Platform::Arm64));
        let error = "linux/riscv64".parse::<Platform>().expect_err("no mission is built for it").to_string();
        assert!(error.ends_with("linux/amd64, linux/arm64, linux/arm/v7, linux/arm/v6, linux/386"), "{error}");
    }

    #[test]
    fn a_younger_arm_runs_an_older_ones_code_and_not_the_other_way_round() {
        assert_eq!(Platform::ArmV7.runs(), [Platform::ArmV7, Platform::ArmV6]);
        assert_eq!(Platform::ArmV6.runs(), [Platform::ArmV6]);
    }
}
