//! A registry, by `oci-client`: plain HTTP on loopback, HTTPS elsewhere, without logging in.

// Images come from registries and folders of others.
#![deny(clippy::arithmetic_side_effects)]

use super::digest::Digest;
use super::error::{At, ImageError, Kind};
use super::layout::Layout;
use super::manifest::Blob;
use futures_util::StreamExt as _;
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::{OCI_IMAGE_INDEX_MEDIA_TYPE, OCI_IMAGE_MEDIA_TYPE};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use std::time::Duration;
use tokio::runtime::Runtime;
use twinhelm_linux::terminal::chain;

/// A registry has to take a connection so soon.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A registry that sends nothing for so long has stalled.
const STALLED_AFTER: Duration = Duration::from_secs(10);
const DOCUMENTS: &[&str] = &[
    OCI_IMAGE_INDEX_MEDIA_TYPE,
    OCI_IMAGE_MEDIA_TYPE,
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Takes the bytes of a blob in, and says how many it wants to wait for.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), ImageError>;

/// A repository in a registry.
pub(crate) struct Registry {
    client: Client,
    host: String,
    repository: String,
    /// Everything happens on the calling thread, at its priority.
    runtime: Runtime,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({}/{})", self.host, self.repository)
    }
}

impl Registry {
    pub fn new(host: &str, repository: &str) -> Result<Self, ImageError> {
        let name = format!("docker://{host}/{repository}");
        let at = At { image: &name, step: "opening" };
        // Somebody in this program may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig {
            protocol: if is_loopback(host) { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(CONNECT_WITHIN),
            read_timeout: Some(STALLED_AFTER),
            user_agent: concat!("twinhelm/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(at.io("starting to speak with it"))?;
        let client = Client::try_from(config).map_err(|error| problem(at, "preparing to speak with it", &error))?;
        Ok(Self { client, host: host.to_owned(), repository: repository.to_owned(), runtime })
    }

    fn by_digest(&self, digest: &Digest) -> Reference {
        Reference::with_digest(self.host.clone(), self.repository.clone(), digest.to_string())
    }

    fn by_tag(&self, tag: &str) -> Reference {
        Reference::with_tag(self.host.clone(), self.repository.clone(), tag.to_owned())
    }

    pub fn resolve(&self, at: At<'_>, tag: &str) -> Result<Digest, ImageError> {
        let reference = self.by_tag(tag);
        let pulled = self.client.pull_manifest_raw(&reference, &RegistryAuth::Anonymous, DOCUMENTS);
        let (bytes, _) = self.runtime.block_on(pulled).map_err(|error| problem(at, tag, &error))?;
        Ok(Digest::of(&bytes))
    }

    pub fn document(&self, at: At<'_>, digest: &Digest) -> Result<Vec<u8>, ImageError> {
        let reference = self.by_digest(digest);
        let pulled = self.client.pull_manifest_raw(&reference, &RegistryAuth::Anonymous, DOCUMENTS);
        let (bytes, _) = self.runtime.block_on(pulled).map_err(|error| problem(at, digest.as_str(), &error))?;
        let found = Digest::of(&bytes);
        if found == *digest { Ok(bytes.to_vec()) } else { Err(at.digest("a document", digest, &found)) }
    }

    pub fn blob(
        &self,
        at: At<'_>,
        blob: &Blob,
        offset: u64,
        restart: &mut dyn FnMut() -> Result<(), ImageError>,
        sink: Sink<'_>,
    ) -> Result<(), ImageError> {
        let reference = self.by_digest(&blob.digest);
        let name = blob.digest.as_str();
        let failed = |error: &OciDistributionError| problem(at, name, error);
        self.runtime.block_on(async {
            let response = if offset == 0 {
                let stream = self.client.pull_blob_stream(&reference, name).await;
                BlobResponse::Full(stream.map_err(|error| failed(&error))?)
            } else {
                let stream = self.client.pull_blob_stream_partial(&reference, name, offset, None).await;
                stream.map_err(|error| failed(&error))?
            };
            let mut stream = match response {
                BlobResponse::Partial(stream) => stream,
                BlobResponse::Full(stream) => {
                    restart()?;
                    stream
                }
            };
            while let Some(bytes) = stream.next().await {
                let bytes = bytes.map_err(|error| match error.downcast_stream() {
                    Some(digest) => at.error(
                        Kind::Digest,
                        digest,
                        "nothing of it is used; pull it from a source that you trust",
                    ),
                    None => interrupted(at, name, &error),
                })?;
                sink(&bytes)?;
            }
            Ok(())
        })
    }

    /// Sends a blob that the registry has not, and returns whether it was sent.
    pub fn push_blob(&self, at: At<'_>, layout: &Layout, blob: &Blob) -> Result<bool, ImageError> {
        let name = blob.digest.as_str();
        let reference = self.by_digest(&blob.digest);
        let failed = |error: OciDistributionError| problem(at, name, &error);
        let file = layout.open_blob(at, blob)?;
        self.runtime.block_on(async {
            self.client
                .auth(&reference, &RegistryAuth::Anonymous, oci_client::RegistryOperation::Push)
                .await
                .map_err(failed)?;
            if self.client.blob_exists(&reference, name).await.map_err(failed)? {
                return Ok(false);
            }
            let bytes = chunks(file).map(|chunk| chunk.map_err(OciDistributionError::IoError));
            self.client.push_blob_stream(&reference, bytes, name, Some(blob.size)).await.map_err(failed)?;
            Ok(true)
        })
    }

    /// Sends an index or a manifest; under a tag, if there is one.
    pub fn push_document(
        &self,
        at: At<'_>,
        bytes: Vec<u8>,
        blob: &Blob,
        tag: Option<&str>,
    ) -> Result<(), ImageError> {
        let reference = tag.map_or_else(|| self.by_digest(&blob.digest), |tag| self.by_tag(tag));
        let media_type = blob.media_type.to_string();
        let media_type = http::HeaderValue::from_str(&media_type);
        let media_type = media_type.map_err(|error| at.error(Kind::Format, error, "build the image again"))?;
        let pushed = self.client.push_manifest_raw(&reference, bytes, media_type);
        self.runtime.block_on(pushed).map(drop).map_err(|error| problem(at, blob.digest.as_str(), &error))
    }
}

/// An error of a stream, seen as what it is.
trait Downcast {
    fn downcast_stream(&self) -> Option<String>;
}

impl Downcast for std::io::Error {
    fn downcast_stream(&self) -> Option<String> {
        let inner = self.get_ref()?;
        inner.downcast_ref::<oci_client::errors::DigestError>().map(ToString::to_string)
    }
}

/// Returns a file as a stream of pieces, so that it is never in memory as a whole.
fn chunks(file: std::fs::File) -> impl futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send + 'static {
    use std::io::Read as _;
    const CHUNK: usize = 1 << 20;
    futures_util::stream::unfold(file, |mut file| async {
        let mut buffer = vec![0; CHUNK];
        match file.read(&mut buffer) {
            Ok(0) => None,
            Ok(length) => {
                buffer.truncate(length);
                Some((Ok(buffer.into()), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    })
}

pub(crate) fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost"
        || name.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn interrupted(at: At<'_>, what: &str, error: &dyn std::error::Error) -> ImageError {
    let remedy = "call it again: it goes on where it stopped";
    at.error(Kind::Unreachable, format_args!("{what}: {}", chain(error)), remedy)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is not told apart is the registry's own message")]
fn problem(at: At<'_>, what: &str, error: &OciDistributionError) -> ImageError {
    match error {
        OciDistributionError::RequestError(request) if request.is_timeout() => {
            let problem = format!("{what}: the registry sent nothing for {} s", STALLED_AFTER.as_secs());
            at.error(Kind::Unreachable, problem, "call it again: what is there already is kept")
        }
        OciDistributionError::RequestError(request) => {
            let remedy = "is it running, and is its address right? What is there already is kept";
            at.error(Kind::Unreachable, format_args!("{what}: {}", chain(request)), remedy)
        }
        OciDistributionError::ImageManifestNotFoundError(_) => {
            at.error(Kind::Missing, format_args!("the registry has no {what}"), "push it there, or name another")
        }
        OciDistributionError::RegistryError { envelope, .. } => {
            let missing = envelope.errors.iter().any(|error| {
                matches!(
                    error.code,
                    oci_client::errors::OciErrorCode::ManifestUnknown
                        | oci_client::errors::OciErrorCode::BlobUnknown
                        | oci_client::errors::OciErrorCode::NameUnknown
                )
            });
            let said = envelope.errors.iter().map(|error| error.message.clone()).collect::<Vec<_>>().join(", ");
            if missing {
                at.error(
                    Kind::Missing,
                    format_args!("the registry has no {what}: {said}"),
                    "push it there, or name another",
                )
            } else {
                at.error(
                    Kind::Unreachable,
                    format_args!("{what}: the registry says: {said}"),
                    "look at the registry's log",
                )
            }
        }
        OciDistributionError::DigestError(digest) => at.error(
            Kind::Digest,
            format_args!("{what}: {digest}"),
            "nothing of it is used; pull it from a source that you trust",
        ),
        OciDistributionError::UnauthorizedError { .. } | OciDistributionError::AuthenticationFailure(_) => at
            .error(
                Kind::Unable,
                format_args!("{what}: {error}"),
                "this program does not log in: let the registry be read without",
            ),
        other => {
            at.error(Kind::Unreachable, format_args!("{what}: {}", chain(other)), "look at the registry's log")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_spoken_to_in_the_clear() {
        for host in ["127.0.0.1:5000", "localhost", "localhost:80", "[::1]:5000"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1:5000", "registry.example", "localhost.example:5000"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
