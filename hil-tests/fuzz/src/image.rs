//! Images: a folder of them whose documents and layers come from the input, each under the digest of its bytes, so that what is in
//! it is looked at. What is verified is unpacked, and then nothing lies beside its root.
//!
//! The first byte says what the input is: `t` a layer's tar, `z` a layer as it travels, `m` a manifest, `i` an index,
//! `c` a configuration. The rest of the image is a plain one. After `t` comes the number of layers, `1` or `2`.

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use tempfile::TempDir;
use twinhelm_mission::image::unpack::unpack;
use twinhelm_mission::image::verify::{Limits, verify};
use twinhelm_mission::image::{Digest, Layout, Platform};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Small, so that a bomb is found soon.
const LIMITS: Limits = Limits { bytes_max: 1 << 20, entries_max: 200 };
/// The unpacker starts threads and a server: an input that is verified is unpacked only if it is no longer than this.
const UNPACKED_MAX: usize = 16 << 10;

/// Runs one input.
pub fn run(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let folder = TempDir::new().expect("a folder");
    let image = Image::new(folder.path().join("images"));
    let digest = match which {
        b't' => image.of_tars(rest),
        b'z' => image.of_blobs(&[(rest.to_vec(), Digest::of(b""))]),
        b'c' => image.of_config(rest),
        b'i' => image.index(rest),
        _ => image.put(rest),
    };
    let layout = Layout::open(&image.0).expect("a folder of images");
    let _ = layout.inspect(&digest);
    let runs = [Platform::of("linux", "amd64", None).expect("a platform")];
    let _ = verify(&layout, &digest, &[], LIMITS);
    if verify(&layout, &digest, &runs, LIMITS).is_ok() && rest.len() <= UNPACKED_MAX {
        let into = folder.path().join("unpacked");
        if let Ok(unpacked) = unpack(&layout, &digest, &runs, LIMITS, &into) {
            assert!(unpacked.root.is_dir() && unpacked.root.starts_with(&into));
        }
        assert_eq!(names_in(folder.path()), ["images", "unpacked"], "something lies beside its folder");
    }
}

/// A folder of images.
struct Image(std::path::PathBuf);

impl Image {
    fn new(folder: std::path::PathBuf) -> Self {
        fs::create_dir_all(folder.join("blobs/sha256")).expect("a folder");
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
        fs::write(folder.join("index.json"), r#"{"schemaVersion":2,"manifests":[]}"#).expect("a file");
        Self(folder)
    }

    fn put(&self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        fs::write(self.0.join("blobs/sha256").join(digest.hex()), bytes).expect("a file");
        digest
    }

    fn of_tars(&self, data: &[u8]) -> Digest {
        let Some((many, tar)) = data.split_first() else { return self.put(data) };
        // In the middle, where a tar's blocks meet.
        let middle = if *many == b'2' { tar.len() / 1024 * 512 } else { tar.len() };
        let layers = [&tar[..middle], &tar[middle..]].map(|tar| (gzip(tar), Digest::of(tar)));
        self.of_blobs(&layers[..if *many == b'2' { 2 } else { 1 }])
    }

    /// Writes an image of these layers, each with the digest of what is in it.
    fn of_blobs(&self, layers: &[(Vec<u8>, Digest)]) -> Digest {
        let contents: Vec<&Digest> = layers.iter().map(|(_, content)| content).collect();
        let config = self.put(config(&json!(contents)).to_string().as_bytes());
        let described = layers.iter().map(|(layer, _)| {
            json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                   "digest": self.put(layer), "size": layer.len()})
        });
        self.manifest(&config, &described.collect())
    }

    fn of_config(&self, bytes: &[u8]) -> Digest {
        self.manifest(&self.put(bytes), &Vec::new())
    }

    fn manifest(&self, config: &Digest, layers: &Vec<Value>) -> Digest {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 1},
            "layers": layers,
        });
        self.put(manifest.to_string().as_bytes())
    }

    /// An index of the input; a digest of 64 zeros in it is a plain image's.
    fn index(&self, bytes: &[u8]) -> Digest {
        let plain = self.of_blobs(&[]);
        let text = String::from_utf8_lossy(bytes).replace(&"0".repeat(64), plain.hex());
        self.put(text.as_bytes())
    }
}

fn config(contents: &Value) -> Value {
    json!({
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["/bin/mission"]},
        "rootfs": {"type": "layers", "diff_ids": contents},
    })
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).and_then(|()| packed.finish()).expect("it is written to memory")
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
