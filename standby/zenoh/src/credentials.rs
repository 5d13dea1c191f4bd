//! The keys of one member of a fleet: a folder that `twinhelm keys init` wrote, read before Zenoh sees it.
//!
//! ```text
//!   ca.pem        the fleet's own authority: whoever has a certificate of it is a member
//!   own.pem       the member's certificate, with its role and its name
//!   own.key       its key, for nobody else's eyes
//!   fleet.toml    who is a member, as what, and which of them this is
//! ```
//!
//! Two members prove to each other who they are (QUIC, with certificates on both sides). What each may put where is in Zenoh's access control:
//! a device speaks under its own name and its own slot, a person in words and orders, a watcher in words, which devices refuse.
//! A router passes on what others say, after it has looked at it the same way. What a device passes on for others is dropped by
//! whoever hears it from there, because it is not the device's own.

// What is read here was written by people.
#![deny(clippy::arithmetic_side_effects)]

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use twinhelm_linux::disk::read_text;
use twinhelm_standby::access::{Members, Role, SESSION_MARK};
use twinhelm_standby::file_error::{Document, FileError};

/// The certificate of the fleet's authority.
pub const CA: &str = "ca.pem";
/// The member's certificate.
pub const CERTIFICATE: &str = "own.pem";
/// The member's key.
pub const KEY: &str = "own.key";
/// Who is who.
pub const FLEET: &str = "fleet.toml";

/// What [`FLEET`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetFile {
    /// Whose keys these are.
    pub own: String,
    /// Who belongs to the fleet.
    pub members: Members,
}

/// A member's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    folder: PathBuf,
    file: FleetFile,
}

/// What is wrong with a folder of keys.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file is not there, or cannot be read.
    #[error("{}: write the folder that `twinhelm keys init` made for this member", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The list of members cannot be read.
    #[error(transparent)]
    List {
        /// Where, what, and what to write instead.
        source: FileError,
    },
    /// The list of members cannot be.
    #[error("{}: {problem}", path.display())]
    Members {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl Credentials {
    /// Reads a member's folder.
    ///
    /// # Errors
    /// A file is missing or cannot be read, or the list of members cannot be.
    pub fn read(folder: &Path) -> Result<Self, CredentialsError> {
        let path = folder.join(FLEET);
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(source) => return Err(CredentialsError::File { path, source }),
        };
        for name in [CA, CERTIFICATE, KEY] {
            let path = folder.join(name);
            if let Err(source) = std::fs::File::open(&path) {
                return Err(CredentialsError::File { path, source });
            }
        }
        let name = path.display().to_string();
        let read = Document::parse(&name, &text).and_then(|document| document.read::<FleetFile>());
        let file = match read {
            Ok(file) => file,
            Err(source) => return Err(CredentialsError::List { source }),
        };
        let stranger = || format!("own = {:?} is none of the members", file.own);
        let problem = file
            .members
            .problem()
            .or_else(|| (!file.members.all().any(|(name, _)| name == file.own)).then(stranger));
        match problem {
            Some(problem) => Err(CredentialsError::Members { path, problem }),
            None => Ok(Self { folder: folder.to_owned(), file }),
        }
    }

    /// Returns the same for a process that is started in their folder.
    pub(crate) fn here(self) -> Self {
        Self { folder: PathBuf::new(), ..self }
    }

    /// Returns whose keys these are.
    #[must_use]
    pub fn own(&self) -> &str {
        &self.file.own
    }

    /// Returns what that member is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.file.members.role_of(&self.file.own).unwrap_or(Role::Watcher)
    }

    /// Returns who belongs to the fleet.
    #[must_use]
    pub const fn members(&self) -> &Members {
        &self.file.members
    }

    /// Returns Zenoh's table for `transport.link.tls`. A name is checked by the access list, not by the address that it was
    /// reached at, which may change; and nothing expires, because no device's clock is believed.
    pub(crate) fn tls(&self) -> Value {
        let path = |name: &str| self.folder.join(name);
        json!({
            "root_ca_certificate": path(CA),
            "enable_mtls": true,
            "listen_certificate": path(CERTIFICATE),
            "listen_private_key": path(KEY),
            "connect_certificate": path(CERTIFICATE),
            "connect_private_key": path(KEY),
            "verify_name_on_connect": false,
            "close_link_on_expiration": false,
        })
    }

    /// Returns Zenoh's table for `access_control`: what is not allowed here is dropped where it comes in.
    pub(crate) fn access_control(&self) -> Value {
        let Members { vehicle, .. } = &self.file.members;
        let everything = format!("twinhelm/{vehicle}/**");
        let all = std::slice::from_ref(&everything);
        let rule = |id: &str, flow: &str, messages: &[&str], keys: &[String]| {
            let (flows, permission) = ([flow], "allow");
            json!({ "id": id, "permission": permission, "flows": flows, "messages": messages, "key_exprs": keys })
        };
        let subject = |name: &str, role| json!({ "id": name, "cert_common_names": [common_name(name, role)] });
        let names: Vec<&str> = self.members().all().map(|(name, _)| name).collect();
        // What a router keeps from the other end of a device, which is connected to it: an agent's orders to its own mission, and
        // what missions publish to their agents.
        let apart = |id: &str, flow: &str, kind: &str| {
            let (flows, keys) = ([flow], [format!("twinhelm/{vehicle}/{kind}/*")]);
            json!({ "id": id, "permission": "deny", "flows": flows, "messages": ["put"], "key_exprs": keys })
        };
        let mut rules = vec![
            apart(NO_ORDERS, "ingress", "order"),
            apart(NO_STATES, "egress", "state"),
            rule("say", "egress", &[LOOKS, SPEAKS].concat(), all),
            rule("look", "ingress", LOOKS, all),
            rule("everything", "ingress", SPEAKS, all),
            rule("here", "ingress", SPEAKS, &keys_of_this_machine(vehicle, self.own(), self.role())),
        ];
        // Plain TCP is taken on loopback alone: whoever speaks there is on the machine already, and speaks to it, not for it.
        let mut subjects = vec![json!({ "id": OWN_MACHINE, "link_protocols": ["tcp"] })];
        let mut policies = vec![
            json!({ "rules": ["say", "look", "here"], "subjects": [OWN_MACHINE] }),
            json!({ "rules": ["say", "look"], "subjects": names }),
        ];
        if self.role() == Role::Router {
            let devices: Vec<&String> = self.members().devices.keys().collect();
            policies.push(json!({ "rules": [NO_ORDERS, NO_STATES], "subjects": devices }));
        }
        for (name, role) in self.members().all() {
            subjects.push(subject(name, role));
            let keys = own_keys(vehicle, name, role);
            let of_its_own = format!("of {name}");
            let allowed = if role == Role::Router { "everything" } else { of_its_own.as_str() };
            policies.push(json!({ "rules": [allowed], "subjects": [name] }));
            if role != Role::Router {
                rules.push(rule(&of_its_own, "ingress", SPEAKS, &keys));
            }
        }
        json!({
            "enabled": true,
            "default_permission": "deny",
            "rules": rules, "subjects": subjects, "policies": policies,
        })
    }

    /// Returns Zenoh's table for `gateway` of a router. To Zenoh, peers behind one router are connected to each other, and nothing
    /// is passed on between them, unless they are in different regions: so each device's agent is a region of its own.
    pub(crate) fn regions(&self) -> Value {
        let agents = self.members().devices.keys().map(|name| json!({ "region_names": [name] }));
        let others = ["peer", "client"].map(|mode| json!({ "modes": [mode] }));
        let south: Vec<Value> = agents.chain(others).map(|filter| json!({ "filters": [filter] })).collect();
        json!({ "south": south })
    }
}

/// What a router takes from no device, and passes on to none.
const NO_ORDERS: &str = "no orders";
const NO_STATES: &str = "no states";

/// Who speaks over plain TCP. No member is called that: names have no spaces.
const OWN_MACHINE: &str = "own machine";

/// What changes nothing on a device.
const LOOKS: &[&str] = &["declare_subscriber", "query", "liveliness_query", "declare_liveliness_subscriber"];

/// What says something in somebody's name: that it is there, and that it answers, as well.
const SPEAKS: &[&str] = &["put", "delete", "reply", "liveliness_token", "declare_queryable"];

/// Returns the keys that a member may put something under.
fn own_keys(vehicle: &str, name: &str, role: Role) -> Vec<String> {
    let of = |key: String| format!("twinhelm/{vehicle}/{key}");
    let session = format!("{name}{SESSION_MARK}$*");
    // That it is there, and a timeline that is empty: whoever speaks to a fleet has both.
    let presence = [format!("pool/{session}"), format!("event/{session}")];
    match role {
        Role::Device(slot) => {
            let mut keys = vec![
                format!("offer/{name}"),
                format!("event/{name}"),
                format!("word/*/{name}"),
                format!("word/*/{session}"),
                format!("stock/{name}/*"),
                format!("pool/{name}"),
            ];
            // Its agent asks its own mission alone.
            let of_slot =
                |slot| ["state", "refused", "alive", "agent", "order"].map(|kind| format!("{kind}/{slot}"));
            keys.extend(slot.into_iter().flat_map(of_slot));
            keys.extend(presence);
            keys.into_iter().map(of).collect()
        }
        Role::Person => {
            let orders = [format!("word/*/{session}"), "order/*".to_owned()];
            presence.into_iter().chain(orders).map(of).collect()
        }
        // A device refuses what it asks, and says so.
        Role::Watcher => presence.into_iter().chain([format!("word/*/{session}")]).map(of).collect(),
        Role::Router => vec![of("**".to_owned())],
    }
}

/// Returns the keys under which whoever is on the own machine may put something, to a session of this member.
fn keys_of_this_machine(vehicle: &str, own: &str, role: Role) -> Vec<String> {
    // Missions publish; and whoever asks is there, with a timeline that is empty.
    let mut keys = ["state/*", "refused/*", "alive/*"].map(str::to_owned).to_vec();
    keys.extend(["pool", "event"].map(|kind| format!("{kind}/$*{SESSION_MARK}$*")));
    match role {
        // A mission has its orders from its agent, and an agent words from whoever is at the device. None goes on to others.
        Role::Device(_) => keys.extend(["order/*".to_owned(), format!("word/{own}/*")]),
        // Who asks an agent on this machine hears its answers.
        Role::Person | Role::Watcher => {
            keys.push(format!("word/{own}{SESSION_MARK}$*/*"));
            keys.extend(["agent/*", "event/*", "offer/*", "pool/*"].map(str::to_owned));
        }
        Role::Router => {}
    }
    keys.into_iter().map(|key| format!("twinhelm/{vehicle}/{key}")).collect()
}

/// Returns what a member's certificate calls it. No public authority gives such a name to anybody.
#[must_use]
pub fn common_name(name: &str, role: Role) -> String {
    let role = match role {
        Role::Device(_) => "device",
        Role::Person => "person",
        Role::Watcher => "watcher",
        Role::Router => "router",
    };
    format!("{role}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zenoh_takes_what_a_router_of_its_own_is_started_with() {
        let folder = tempfile::tempdir().unwrap();
        for name in [CA, CERTIFICATE, KEY] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let fleet = "own = 'cloud'\n[members]\nvehicle = 'demo'\nrouters = ['cloud']\n\
                     [members.devices]\nleft = { slot = 0 }\ndepot = {}\n";
        std::fs::write(folder.path().join(FLEET), fleet).unwrap();
        let text = crate::router_config(Credentials::read(folder.path()).unwrap(), "quic/0.0.0.0:7450");
        let config = zenoh::Config::from_json5(&text).unwrap();
        assert_eq!(config.get_json("mode").unwrap(), "\"router\"");
        assert_eq!(config.get_json("access_control/enabled").unwrap(), "true");
        assert_eq!(config.get_json("transport/link/tls/listen_certificate").unwrap(), "\"own.pem\"");

        for (from, to, says) in [
            ("own = 'cloud'", "own = 'left~1'", "own = \"left~1\" is none of the members"),
            ("['cloud']", "['cl/oud']", "\"cl/oud\" names no member: write letters, digits and dashes"),
            ("depot = {}", "depot = { slot = 0 }", "depot and left both have slot 0"),
        ] {
            std::fs::write(folder.path().join(FLEET), fleet.replace(from, to)).unwrap();
            let refused = Credentials::read(folder.path()).unwrap_err().to_string();
            assert!(refused.contains(says), "{refused}");
        }
        std::fs::write(folder.path().join(FLEET), fleet.replace("routers", "router")).unwrap();
        assert!(Credentials::read(folder.path()).is_err(), "what is not known is not passed over");
    }
}
