//! Object storage: S3, or a local directory in its place.

// What is read here lies in object storage, whoever wrote it.
#![deny(clippy::arithmetic_side_effects)]

use crate::image::Digest;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, RetryConfig,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use twinhelm_linux::terminal::chain;

/// A request that is not answered so soon has failed.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
const CONNECTS_WITHIN: Duration = Duration::from_secs(3);
/// What fails is tried again at once, so often; later the uploader does.
const RETRIES: usize = 2;

/// Where object storage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A directory of this machine.
    Dir(PathBuf),
    /// A bucket, and what comes before each key in it.
    S3 {
        /// The bucket.
        bucket: String,
        /// `a/b`, or nothing.
        prefix: String,
    },
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no object storage: write dir:/PATH for a directory, or s3://BUCKET/PREFIX")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("dir:") {
            return if path.starts_with('/') { Ok(Self::Dir(path.into())) } else { Err(bad()) };
        }
        let rest = text.strip_prefix("s3://").ok_or_else(bad)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(bad());
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// What sort of problem it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is not there.
    Missing,
    /// Somebody else was faster.
    Conflict,
    /// The storage does not let us.
    Refused,
    /// Its bytes are not those that were uploaded.
    Damaged,
    /// It cannot be reached, does not answer, or has no room: trying again can help.
    Unreachable,
    /// The address or the keys cannot be used.
    Setting,
}

/// A problem with object storage.
#[derive(Debug, thiserror::Error)]
#[error("{storage}: {what}: {text}; {}", remedy(*problem))]
pub struct StorageError {
    /// Which storage.
    pub storage: String,
    /// What was asked for.
    pub what: String,
    /// What is wrong.
    pub text: String,
    /// What sort of problem it is.
    pub problem: Problem,
}

const fn remedy(problem: Problem) -> &'static str {
    match problem {
        Problem::Missing => "look at the address, or wait until something was uploaded",
        Problem::Conflict => "does another device have the same name?",
        Problem::Refused => {
            "look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, what the key may do, and this device's clock"
        }
        Problem::Damaged => "an older one is used",
        Problem::Unreachable => "it is tried again; what was recorded stays on the disk meanwhile",
        Problem::Setting => "write dir:/PATH, or s3://BUCKET/PREFIX with the keys in the environment",
    }
}

/// How S3 is reached, where the environment does not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Where it is, as `https://HOST:PORT`; `None`: as `AWS_ENDPOINT_URL` says, or Amazon's.
    pub endpoint: Option<String>,
    /// The key's identifier, and the key; `None`: as `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` say.
    pub keys: Option<[String; 2]>,
}

/// Object storage that is open. Nothing is asked of it before it is used.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    name: String,
    prefix: String,
}

impl Storage {
    /// Opens it. A directory is made where there is none. Only this machine is spoken to in the clear.
    ///
    /// # Errors
    /// The directory cannot be made, or the address cannot be used.
    pub fn open(address: &Address, access: &Access) -> Result<Self, StorageError> {
        let name = address.to_string();
        let setting = |text: String| StorageError {
            storage: name.clone(),
            what: "opening it".to_owned(),
            text,
            problem: Problem::Setting,
        };
        let (store, prefix): (Arc<dyn ObjectStore>, _) = match address {
            Address::Dir(path) => {
                std::fs::create_dir_all(path).map_err(|error| setting(error.to_string()))?;
                let store = LocalFileSystem::new_with_prefix(path).map_err(|error| setting(chain(&error)))?;
                // An upload that is acknowledged is on the disk.
                (Arc::new(store.with_fsync(true)), String::new())
            }
            Address::S3 { bucket, prefix } => {
                // Already set by whoever was first.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let endpoint = access.endpoint.clone().or_else(|| std::env::var("AWS_ENDPOINT_URL").ok());
                let is_here =
                    endpoint.as_deref().and_then(host_of).is_some_and(crate::image::registry::is_loopback);
                let client = ClientOptions::new()
                    .with_timeout(ANSWERS_WITHIN)
                    .with_connect_timeout(CONNECTS_WITHIN)
                    .with_allow_http(is_here);
                let backoff = BackoffConfig {
                    init_backoff: Duration::from_millis(100),
                    max_backoff: Duration::from_secs(1),
                    base: 2.0,
                };
                let retry = RetryConfig { backoff, max_retries: RETRIES, retry_timeout: ANSWERS_WITHIN };
                let mut builder = AmazonS3Builder::from_env()
                    .with_bucket_name(bucket)
                    .with_client_options(client)
                    .with_retry(retry);
                if let Some(endpoint) = &endpoint {
                    builder = builder.with_endpoint(endpoint);
                }
                if let Some([id, key]) = &access.keys {
                    builder = builder.with_access_key_id(id).with_secret_access_key(key);
                }
                (Arc::new(builder.build().map_err(|error| setting(chain(&error)))?), prefix.clone())
            }
        };
        Ok(Self { store, name, prefix })
    }

    /// Returns its address, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn path(&self, key: &str) -> Path {
        if self.prefix.is_empty() { Path::from(key) } else { Path::from(format!("{}/{key}", self.prefix)) }
    }

    fn error(&self, key: &str, error: &Error) -> StorageError {
        let of_status = |text: &str| {
            let refused = ["403", "401", "SignatureDoesNotMatch", "RequestTimeTooSkewed", "InvalidAccessKeyId"];
            refused.iter().any(|word| text.contains(word))
        };
        let text = chain(error);
        #[expect(clippy::wildcard_enum_match_arm, reason = "what is not told apart may be gone later")]
        let problem = match error {
            Error::NotFound { .. } => Problem::Missing,
            Error::AlreadyExists { .. } | Error::Precondition { .. } => Problem::Conflict,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Problem::Refused,
            _ if of_status(&text) => Problem::Refused,
            _ => Problem::Unreachable,
        };
        StorageError { storage: self.name.clone(), what: key.to_owned(), text, problem }
    }

    pub(super) fn damaged(&self, key: &str, text: String) -> StorageError {
        StorageError { storage: self.name.clone(), what: key.to_owned(), text, problem: Problem::Damaged }
    }

    pub(super) async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        let put = self.store.put(&self.path(key), PutPayload::from(bytes)).await;
        put.map(drop).map_err(|error| self.error(key, &error))
    }

    /// Puts an object where none is.
    pub(super) async fn create(&self, key: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        let put = self.store.put_opts(&self.path(key), PutPayload::from(bytes), PutMode::Create.into()).await;
        put.map(drop).map_err(|error| self.error(key, &error))
    }

    pub(super) async fn get(&self, key: &str) -> Result<Vec<u8>, StorageError> {
        let got = self.store.get(&self.path(key)).await.map_err(|error| self.error(key, &error))?;
        got.bytes().await.map(|bytes| bytes.to_vec()).map_err(|error| self.error(key, &error))
    }

    /// Gets an object whose bytes have this digest.
    pub(super) async fn get_whole(&self, key: &str, sha256: &str) -> Result<Vec<u8>, StorageError> {
        let bytes = self.get(key).await?;
        let found = Digest::of(&bytes);
        if found.hex() == sha256 {
            Ok(bytes)
        } else {
            Err(self.damaged(key, format!("its digest is {}, and should be {sha256}", found.hex())))
        }
    }

    pub(super) async fn document<T: DeserializeOwned>(&self, key: &str) -> Result<T, StorageError> {
        let bytes = self.get(key).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.damaged(key, error.to_string()))
    }

    pub(super) fn written<T: Serialize>(&self, key: &str, document: &T) -> Result<Vec<u8>, StorageError> {
        serde_json::to_vec_pretty(document).map_err(|error| self.damaged(key, error.to_string()))
    }

    /// Removes an object. One that stays costs room, and nothing else.
    pub(super) async fn remove(&self, key: &str) {
        let _ = self.store.delete(&self.path(key)).await;
    }

    /// Returns the names of what is right below `folder`: folders, and objects.
    pub(super) async fn list(&self, folder: &str) -> Result<(Vec<String>, Vec<String>), StorageError> {
        let failed = |error| self.error(folder, &error);
        let found = self.store.list_with_delimiter(Some(&self.path(folder))).await.map_err(failed)?;
        let name = |path: &Path| path.filename().map(str::to_owned);
        let folders = found.common_prefixes.iter().filter_map(name).collect();
        let objects = found.objects.iter().filter_map(|object| name(&object.location)).collect();
        Ok((folders, objects))
    }
}

/// Returns host and port of `http://HOST:PORT`.
fn host_of(endpoint: &str) -> Option<&str> {
    let (_, rest) = endpoint.split_once("://")?;
    rest.split('/').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_directory_or_a_bucket() {
        for text in ["dir:/srv/data", "s3://missions/fleet/a", "s3://missions"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["/srv/data", "dir:data", "s3://", "https://host/bucket"] {
            let error = text.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains("write dir:/PATH"), "{error}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        assert_eq!(host_of("http://127.0.0.1:5000/x"), Some("127.0.0.1:5000"));
        let here = |endpoint| host_of(endpoint).is_some_and(crate::image::registry::is_loopback);
        assert!(here("http://127.0.0.1:5000") && here("http://localhost:5000") && here("http://[::1]:5000"));
        assert!(!here("http://10.0.0.9:5000") && !here("http://127.0.0.1.example.com"));
    }
}
