//! Folders of images that are written by hand, so that each part can be wrong.

#![allow(dead_code, reason = "each test program uses a part of it")]

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use tar::{EntryType, Header};
use tempfile::TempDir;
use twinhelm_mission::image::Digest;

/// An entry of a layer.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub name: &'a str,
    pub kind: EntryType,
    pub link: Option<&'a str>,
    pub content: &'a [u8],
    pub mode: u32,
}

impl<'a> Entry<'a> {
    pub fn folder(name: &'a str) -> Self {
        Self { name, kind: EntryType::Directory, link: None, content: b"", mode: 0o755 }
    }

    pub fn link(name: &'a str, kind: EntryType, to: &'a str) -> Self {
        Self { name, kind, link: Some(to), content: b"", mode: 0o777 }
    }

    pub fn file(name: &'a str, content: &'a [u8]) -> Self {
        Self { name, kind: EntryType::Regular, link: None, content, mode: 0o644 }
    }
}

/// Returns a layer of tar and gzip. Names go in as they are: `tar` itself would refuse the bad ones.
pub fn layer(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for entry in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_size(entry.content.len() as u64);
        let raw = header.as_ustar_mut().expect("it was made so");
        raw.name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        if let Some(link) = entry.link {
            raw.linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        tar.append(&header, entry.content).expect("it is written to memory");
    }
    tar.into_inner().and_then(GzEncoder::finish).expect("it is written to memory")
}

/// A folder of images.
pub struct Folder {
    folder: TempDir,
    pub platform: (&'static str, Option<&'static str>),
    /// The configuration names other contents than the layers have.
    pub says_other_content: bool,
}

impl Folder {
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        fs::create_dir_all(folder.path().join("blobs/sha256")).expect("a folder");
        fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
        fs::write(folder.path().join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).expect("a file");
        Self { folder, platform: ("amd64", None), says_other_content: false }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.path().join("blobs/sha256").join(digest.hex())
    }

    fn put(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write(self.blob(&digest), bytes).expect("a file");
        digest
    }

    fn put_json(&self, value: &serde_json::Value) -> Digest {
        self.put(value.to_string().as_bytes())
    }

    fn size(&self, digest: &Digest) -> u64 {
        fs::metadata(self.blob(digest)).expect("it is there").len()
    }

    /// Writes an image of these layers without an index, and returns its manifest's digest.
    pub fn manifest(&mut self, layers: &[Vec<u8>]) -> Digest {
        let index = self.image(layers);
        let text = fs::read(self.blob(&index)).expect("it is there");
        let index: serde_json::Value = serde_json::from_slice(&text).expect("it was written so");
        index["manifests"][0]["digest"].as_str().expect("a digest").parse().expect("a digest")
    }

    /// Writes an image of these layers, and returns its index's digest.
    pub fn image(&mut self, layers: &[Vec<u8>]) -> Digest {
        let contents: Vec<Digest> = layers
            .iter()
            .map(|layer| {
                let mut content = Vec::new();
                flate2::read::GzDecoder::new(layer.as_slice()).read_to_end(&mut content).expect("it was packed so");
                if self.says_other_content {
                    content.write_all(b"more").expect("it is memory");
                }
                Digest::of(&content)
            })
            .collect();
        let (architecture, variant) = self.platform;
        let config = self.put_json(&json!({
            "architecture": architecture, "os": "linux", "variant": variant,
            "config": {"Entrypoint": ["/bin/mission"]},
            "rootfs": {"type": "layers", "diff_ids": contents},
        }));
        let layers: Vec<_> = layers
            .iter()
            .map(|layer| {
                let digest = self.put(layer);
                json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                       "digest": digest, "size": layer.len()})
            })
            .collect();
        let manifest = self.put_json(&json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": config, "size": self.size(&config)},
            "layers": layers,
        }));
        self.index_over(&manifest, "application/vnd.oci.image.manifest.v1+json")
    }

    /// Writes an index with one entry, and returns its digest.
    pub fn index_over(&self, digest: &Digest, media_type: &str) -> Digest {
        let (architecture, variant) = self.platform;
        let mut platform = json!({"os": "linux", "architecture": architecture});
        if let Some(variant) = variant {
            platform["variant"] = json!(variant);
        }
        self.put_json(&json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{"mediaType": media_type, "digest": digest, "size": self.size(digest), "platform": platform}],
        }))
    }

    /// Writes `manifest` again, whose blobs have `bytes` bytes, as it says; returns its digest.
    pub fn claims(&self, manifest: &Digest, bytes: u64) -> Digest {
        let text = fs::read(self.blob(manifest)).expect("it is there");
        let mut manifest: serde_json::Value = serde_json::from_slice(&text).expect("it was written so");
        manifest["config"]["size"] = bytes.into();
        manifest["layers"][0]["size"] = bytes.into();
        self.put_json(&manifest)
    }

    pub fn flip_a_byte_of(&self, digest: &Digest) {
        let path = self.blob(digest);
        let mut bytes = fs::read(&path).expect("it is there");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("it is ours");
    }
}
