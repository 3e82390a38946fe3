//! Units of the service manager, as systemd tells over D-Bus. Nothing is run for it, and nothing is changed by it.

#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::zvariant::{OwnedObjectPath, OwnedValue};

use super::FactError;
use crate::grant::FactKind;
use crate::net::guard::Guard;

/// A service manager that takes longer is in trouble, and a check should say so within its own time.
const PATIENCE: Duration = Duration::from_secs(2);
const MAX_PATTERNS: usize = 64;
/// systemd's own limit on the names of units (`UNIT_NAME_MAX`).
const MAX_PATTERN: usize = 255;
/// Each unit costs three questions.
const MAX_UNITS: usize = 256;

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";

/// What a unit's name ends with (systemd.unit(5)).
const KINDS: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

/// One unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) description: String,
    /// `loaded`, `not-found`, `masked`, …
    pub(crate) load: String,
    pub(crate) active: String,
    pub(crate) sub: String,
    /// `enabled`, `disabled`, `static`, …; empty where there is no file.
    pub(crate) enabled: String,
    /// How often systemd restarted it by itself.
    pub(crate) restarts: u32,
    /// When its state changed last.
    pub(crate) since_unix_ms: Option<u64>,
}

/// The units that the patterns match: globs among those that are loaded, names in any case. A name without a kind is a
/// service's.
pub(crate) async fn read(
    guard: &Guard,
    bus: &Path,
    patterns: Vec<String>,
    deadline: Instant,
) -> Result<Vec<Service>, FactError> {
    guard.count_call();
    guard.note(guard.grants().allows_facts(FactKind::Services))?;
    check(&patterns)?;
    if patterns.is_empty() {
        return Ok(Vec::new());
    }
    let patience = PATIENCE.min(deadline.saturating_duration_since(Instant::now()));
    // Dropped where it takes too long, and the connection with it.
    tokio::time::timeout(patience, ask(bus, patterns))
        .await
        .unwrap_or_else(|_| {
            Err(FactError::Other(format!(
                "the service manager didn't answer within {patience:?}"
            )))
        })
}

fn check(patterns: &[String]) -> Result<(), FactError> {
    if patterns.len() > MAX_PATTERNS {
        return Err(FactError::Other(format!(
            "{} patterns, at most {MAX_PATTERNS} are allowed",
            patterns.len()
        )));
    }
    match patterns.iter().find(|pattern| {
        pattern.is_empty() || pattern.len() > MAX_PATTERN || pattern.contains(char::is_control)
    }) {
        Some(pattern) => Err(FactError::Other(format!(
            "{pattern:?} isn't a pattern of units' names, which have 1 to {MAX_PATTERN} bytes"
        ))),
        None => Ok(()),
    }
}

fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '['])
}

fn with_kind(name: String) -> String {
    let has_kind = name
        .rsplit_once('.')
        .is_some_and(|(_, kind)| KINDS.contains(&kind));
    if has_kind { name } else { format!("{name}.service") }
}

/// As `ListUnitsByPatterns` answers: name, description, load, active and sub state, the unit that it follows, its object,
/// and the job that is queued for it.
type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

async fn ask(bus: &Path, patterns: Vec<String>) -> Result<Vec<Service>, FactError> {
    let manager = Manager::connect(bus).await?;
    let (globs, names): (Vec<String>, Vec<String>) =
        patterns.into_iter().partition(|pattern| is_glob(pattern));
    let names: Vec<String> = names.into_iter().map(with_kind).collect();
    let mut rows: Vec<Row> = Vec::new();
    if !globs.is_empty() {
        // No states are asked for, so that units in any of them match.
        rows.extend(
            manager
                .list("ListUnitsByPatterns", &(Vec::<String>::new(), globs))
                .await?,
        );
    }
    if !names.is_empty() {
        rows.extend(manager.list("ListUnitsByNames", &(names,)).await?);
    }
    rows.sort_by(|one, other| one.0.cmp(&other.0));
    rows.dedup_by(|one, other| one.0 == other.0);
    if rows.len() > MAX_UNITS {
        return Err(FactError::Other(format!(
            "{} units match, at most {MAX_UNITS} are told: use narrower patterns",
            rows.len()
        )));
    }
    let mut services = Vec::with_capacity(rows.len());
    for row in rows {
        services.push(manager.service(row).await?);
    }
    Ok(services)
}

struct Manager {
    bus: Connection,
}

impl Manager {
    async fn connect(path: &Path) -> Result<Self, FactError> {
        let stream = UnixStream::connect(path).await.map_err(|error| {
            FactError::Unsupported(format!(
                "services are told by systemd over D-Bus, and there is no bus at {}: {error}",
                path.display()
            ))
        })?;
        let bus = Builder::unix_stream(stream)
            .build()
            .await
            .map_err(|error| FactError::Other(format!("the bus at {}: {error}", path.display())))?;
        Ok(Self { bus })
    }

    async fn list<B>(&self, method: &str, body: &B) -> Result<Vec<Row>, FactError>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let answer = self
            .bus
            .call_method(
                Some(SYSTEMD),
                "/org/freedesktop/systemd1",
                Some(MANAGER),
                method,
                body,
            )
            .await
            .map_err(|error| refused(&error))?;
        answer.body().deserialize().map_err(|error| refused(&error))
    }

    async fn service(&self, row: Row) -> Result<Service, FactError> {
        let (name, description, load, active, sub, _, object, ..) = row;
        let mut service = Service {
            name,
            description,
            load,
            active,
            sub,
            enabled: String::new(),
            restarts: 0,
            since_unix_ms: None,
        };
        if service.load != "loaded" {
            return Ok(service);
        }
        let restarts = async {
            if service.name.ends_with(".service") {
                self.property::<u32>(&object, SERVICE, "NRestarts").await
            } else {
                Ok(None)
            }
        };
        let (enabled, since, restarts) = tokio::try_join!(
            self.property::<String>(&object, UNIT, "UnitFileState"),
            self.property::<u64>(&object, UNIT, "StateChangeTimestamp"),
            restarts,
        )?;
        service.enabled = enabled.unwrap_or_default();
        service.restarts = restarts.unwrap_or_default();
        // Microseconds; zero is never.
        service.since_unix_ms = since.filter(|since| *since > 0).map(|since| since / 1000);
        Ok(service)
    }

    /// `None` where the unit is gone meanwhile, or where this systemd is too old to have the property.
    async fn property<T>(
        &self,
        object: &OwnedObjectPath,
        interface: &str,
        name: &str,
    ) -> Result<Option<T>, FactError>
    where
        T: TryFrom<OwnedValue>,
    {
        let properties = "org.freedesktop.DBus.Properties";
        let answer = self
            .bus
            .call_method(Some(SYSTEMD), object, Some(properties), "Get", &(interface, name))
            .await;
        match answer {
            Ok(answer) => {
                let value: OwnedValue = answer.body().deserialize().map_err(|error| refused(&error))?;
                Ok(T::try_from(value).ok())
            }
            Err(zbus::Error::MethodError(..)) => Ok(None),
            Err(error) => Err(refused(&error)),
        }
    }
}

fn refused(error: &zbus::Error) -> FactError {
    if let zbus::Error::MethodError(name, ..) = error
        && matches!(
            name.as_str(),
            "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner"
        )
    {
        return FactError::Unsupported(
            "services are told by systemd, and the one that manages this machine is none".to_owned(),
        );
    }
    FactError::Other(format!("the service manager: {error}"))
}
