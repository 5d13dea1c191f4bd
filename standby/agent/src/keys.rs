//! `keys init`: an authority for a fleet, and for each of its members a folder with a certificate, a key, and who is who.

use crate::cli::KeysArgs;
use crate::orders::settings_of;
use crate::output::{Problem, print, print_json, tell};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use twinhelm_hal::term::Slot;
use twinhelm_linux::disk::write_whole;
use twinhelm_linux::terminal::chain;
use twinhelm_standby::access::{Device, Members, Role};
use twinhelm_zenoh::credentials::{CA, CERTIFICATE, FLEET, FleetFile, KEY, common_name};
use twinhelm_zenoh::{Credentials, router_config};

/// The authority's folder, which stays with whoever runs the fleet.
const AUTHORITY: &str = "authority";
const AUTHORITY_KEY: &str = "ca.key";
/// What a `zenohd` of its own is started with.
const ZENOHD: &str = "zenohd.json5";
/// Where such a router listens, until somebody writes something else.
const ZENOHD_LISTENS: &str = "quic/0.0.0.0:7450";

/// A device and its number on the bus, as `NAME=SLOT`, or `NAME` for a spare without one.
pub(crate) fn parse_device(text: &str) -> Result<(String, Option<Slot>), String> {
    let Some((name, slot)) = text.split_once('=') else { return Ok((text.to_owned(), None)) };
    let slot = slot.parse().ok().and_then(Slot::new);
    let slot = slot.ok_or_else(|| format!("{text:?}: write NAME=SLOT with a slot from 0 to 3, as left=0"))?;
    Ok((name.to_owned(), Some(slot)))
}

/// `keys init`
pub(crate) fn init(args: &KeysArgs) -> Result<(), Problem> {
    let members = members(args)?;
    let authority = Authority::open(&args.to, &members.vehicle)?;
    let mut made = Vec::new();
    for (name, role) in members.all() {
        let folder = args.to.join(name);
        let is_new = authority.certify(&folder, name, role)?;
        let file = FleetFile { own: name.to_owned(), members: members.clone() };
        let text = toml::to_string(&file).map_err(|error| Problem::machine(chain(&error)))?;
        let text = format!(
            "# Who belongs to the fleet, as what, and whose keys these are. Written by `twinhelm keys init`.\n{text}"
        );
        let path = folder.join(FLEET);
        write_whole(&path, text.as_bytes()).map_err(|error| failed(&path, &error))?;
        // What was written is read once as an agent reads it.
        let credentials = Credentials::read(&folder).map_err(|error| Problem::machine(chain(&error)))?;
        if role == Role::Router {
            let config = router_config(credentials, ZENOHD_LISTENS);
            let path = folder.join(ZENOHD);
            write_whole(&path, config.as_bytes()).map_err(|error| failed(&path, &error))?;
        }
        made.push((name, role, folder, is_new));
    }
    let others = others(&args.to, &members);
    if args.json {
        let made: Vec<_> = made
            .iter()
            .map(|(name, role, folder, is_new)| {
                json!({ "name": name, "is": role.to_string(), "folder": folder, "new": is_new })
            })
            .collect();
        return print_json(&json!({ "vehicle": members.vehicle, "members": made, "no_longer_members": others }));
    }
    for (name, role, folder, is_new) in &made {
        let keys = if *is_new { "new keys" } else { "keys as before" };
        print(format_args!("{}: {name}, {role}, {keys}", folder.display()));
    }
    for name in &others {
        tell(format_args!(
            "{name} has a folder here and is no member any more: the others refuse it once they have their new {FLEET}"
        ));
    }
    print(format_args!(
        "Copy each folder to whom it is of, and write its path as link.keys, or --keys. {AUTHORITY} stays here."
    ));
    Ok(())
}

fn members(args: &KeysArgs) -> Result<Members, Problem> {
    let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    let devices = args.device.iter().map(|(name, slot)| (name.clone(), Device { slot: *slot }));
    let members = Members {
        vehicle: args.vehicle.clone(),
        people: set(&args.person),
        watchers: set(&args.watcher),
        routers: set(&args.router),
        devices: devices.collect(),
    };
    if members.devices.len() < args.device.len() {
        return Err(Problem::bad_input("two devices have one name: each member has a name of its own"));
    }
    if let Some(problem) = members.problem() {
        return Err(Problem::bad_input(problem));
    }
    if members.all().any(|(name, _)| name == AUTHORITY) {
        let message = format_args!("{AUTHORITY:?} is the authority's folder: call the member otherwise");
        return Err(Problem::bad_input(message));
    }
    // It becomes a part of each key.
    settings_of(&members.vehicle, &[ZENOHD_LISTENS.replace("quic/", "tcp/")], None)
        .check()
        .map_err(|error| Problem::bad_input(chain(&error)))?;
    Ok(members)
}

/// Returns who has a folder and is no member.
fn others(folder: &Path, members: &Members) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.path().join(CERTIFICATE).exists());
    let names = named.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut others: Vec<_> = names.filter(|name| members.role_of(name).is_none()).collect();
    others.sort();
    others
}

/// Who says who belongs to the fleet.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the one in `folder`, or makes one.
    fn open(folder: &Path, vehicle: &str) -> Result<Self, Problem> {
        let folder = folder.join(AUTHORITY);
        make_folder(&folder)?;
        let (certificate, key) = (folder.join(CA), folder.join(AUTHORITY_KEY));
        let unable = |error: rcgen::Error| Problem::machine(format_args!("making the fleet's authority: {error}"));
        let bad = |why: String| Problem::bad_input(format_args!("{}: {why}", folder.display()));
        let marked = format!("# the fleet of {vehicle}\n");
        let pair = match fs::read_to_string(&key) {
            Ok(text) => KeyPair::from_pem(&text).map_err(|error| bad(format!("{AUTHORITY_KEY}: {error}")))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && certificate.exists() => {
                return Err(bad(format!(
                    "the authority's {AUTHORITY_KEY} is not here, so nobody can be made a member: bring it, or write another --to"
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => KeyPair::generate().map_err(unable)?,
            Err(error) => return Err(failed(&key, &error)),
        };
        let params = authority_params(vehicle);
        let text = match fs::read_to_string(&certificate) {
            Ok(text) if text.starts_with(&marked) => text,
            Ok(_) => {
                return Err(bad(format!(
                    "it is not the authority of {vehicle:?}: write that vehicle, or another --to"
                )));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = marked + &params.self_signed(&pair).map_err(unable)?.pem();
                write_secret(&key, &pair.serialize_pem())?;
                write_whole(&certificate, text.as_bytes()).map_err(|error| failed(&certificate, &error))?;
                text
            }
            Err(error) => return Err(failed(&certificate, &error)),
        };
        Ok(Self { certificate: text, issuer: Issuer::new(params, pair) })
    }

    /// Makes a member's key and certificate, unless it has them; returns whether it did.
    fn certify(&self, folder: &Path, name: &str, role: Role) -> Result<bool, Problem> {
        make_folder(folder)?;
        let (certificate, key, ca) = (folder.join(CERTIFICATE), folder.join(KEY), folder.join(CA));
        // The certificate says what it is: a member that has become something else gets a new one.
        let calls_it = common_name(name, role);
        let marked = format!("# {calls_it}\n");
        let had = fs::read_to_string(&certificate).unwrap_or_default();
        if had.starts_with(&marked)
            && key.exists()
            && fs::read_to_string(&ca).is_ok_and(|had| had == self.certificate)
        {
            return Ok(false);
        }
        // It goes first and comes last: with it all is there.
        remove(&certificate)?;
        let unable = |error: rcgen::Error| Problem::machine(format_args!("making the keys of {name}: {error}"));
        let pair = KeyPair::generate().map_err(unable)?;
        let mut params = endless();
        params.distinguished_name.push(DnType::CommonName, calls_it);
        params.use_authority_key_identifier_extension = true;
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        params
            .extended_key_usages
            .extend([ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]);
        let text = params.signed_by(&pair, &self.issuer).map_err(unable)?.pem();
        write_secret(&key, &pair.serialize_pem())?;
        for (path, text) in [(&ca, self.certificate.clone()), (&certificate, marked + &text)] {
            write_whole(path, text.as_bytes()).map_err(|error| failed(path, &error))?;
        }
        Ok(true)
    }
}

/// Returns what a certificate here has in common. A board may have no clock that runs while it is off, so nothing expires: a
/// member that is to be one no longer is left out of the list.
fn endless() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
}

fn authority_params(vehicle: &str) -> CertificateParams {
    let mut params = endless();
    params.distinguished_name.push(DnType::CommonName, format!("twinhelm fleet of {vehicle}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages.extend([KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
    params
}

fn make_folder(folder: &Path) -> Result<(), Problem> {
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))
}

/// Writes a key, for its owner's eyes alone.
fn write_secret(path: &PathBuf, text: &str) -> Result<(), Problem> {
    remove(path)?;
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| failed(path, &error))
}

fn remove(path: &Path) -> Result<(), Problem> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, &error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failed(path: &Path, error: &io::Error) -> Problem {
    Problem::machine(format_args!("{}: {error}", path.display()))
}
