//! What people write to name an image and where it is: as `skopeo` writes it, because those who have images know that.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::{BadDigest, Digest};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where images are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder in the OCI's image layout.
    Layout(PathBuf),
    /// A repository in a registry.
    Registry {
        /// As `127.0.0.1:5000`.
        host: String,
        /// As `vehicle/mission`.
        repository: String,
    },
}

/// An image in a place: by its tag, by its digest, or by both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where.
    pub place: Place,
    /// The name that people gave it, which can come to mean another image.
    pub tag: Option<String>,
    /// The name that its bytes have.
    pub digest: Option<Digest>,
}

/// Text that names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    /// Neither a folder nor a registry.
    #[error(
        "{0:?} names no image: write oci:FOLDER[:TAG][@sha256:…] for a folder, \
         docker://HOST/REPOSITORY[:TAG][@sha256:…] for a registry"
    )]
    Form(String),
    /// What follows the @ is no digest.
    #[error("after the @ of an image's name: {0}")]
    Digest(#[from] BadDigest),
}

impl FromStr for Reference {
    type Err = BadReference;

    fn from_str(text: &str) -> Result<Self, BadReference> {
        let bad = || BadReference::Form(text.to_owned());
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        let fits = |tag: &str| {
            !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if let Some(name) = name.strip_prefix("oci:") {
            let (folder, tag) = match name.rsplit_once(':') {
                Some((folder, tag)) => (folder, Some(tag)),
                None => (name, None),
            };
            if folder.is_empty() || !tag.is_none_or(fits) {
                return Err(bad());
            }
            return Ok(Self { place: Place::Layout(folder.into()), tag: tag.map(str::to_owned), digest });
        }
        let name = name.strip_prefix("docker://").ok_or_else(bad)?;
        let (host, path) = name.split_once('/').ok_or_else(bad)?;
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        let part = |part: &str| fits(part) && !part.bytes().any(|byte| byte.is_ascii_uppercase());
        if host.is_empty() || !repository.split('/').all(part) || !tag.is_none_or(fits) {
            return Err(bad());
        }
        let place = Place::Registry { host: host.to_owned(), repository: repository.to_owned() };
        Ok(Self { place, tag: tag.map(str::to_owned), digest })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(folder) => write!(f, "oci:{}", folder.display()),
            Self::Registry { host, repository } => write!(f, "docker://{host}/{repository}"),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let digest = Digest::of(b"");
        for name in ["oci:/srv/images", "oci:images:mission", "docker://127.0.0.1:5000/vehicle/mission:2"] {
            for name in [name.to_owned(), format!("{name}@{digest}")] {
                assert_eq!(name.parse::<Reference>().map(|reference| reference.to_string()), Ok(name));
            }
        }
        let reference: Reference = "docker://localhost:5000/mission".parse().expect("it names an image");
        assert_eq!(reference.tag, None);
    }

    #[test]
    fn what_names_no_image_is_refused() {
        for name in
            ["", "mission", "oci:", "oci::x", "docker://host", "docker:///x", "docker://host/X", "oci:a:b/c"]
        {
            assert_eq!(name.parse::<Reference>(), Err(BadReference::Form(name.to_owned())));
        }
        assert!(matches!("oci:x@latest".parse::<Reference>(), Err(BadReference::Digest(_))));
    }
}
