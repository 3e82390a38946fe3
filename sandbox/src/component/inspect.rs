//! What a component is, from its bytes alone: nothing is compiled or run yet.

use std::io::Read;
use std::path::Path;

use wasmparser::{Encoding, Parser, Payload};

use super::LoadError;
use crate::engine::limits;
use crate::report::limits::is_semver;

/// The contract that this host offers.
pub const CONTRACT: &str = "0.1.0";
/// Bytes of a component. Python's are 18 MB.
pub const MAX_BYTES: u64 = 64 << 20;
/// Bytes of a module, of which four copies are in memory while it is made a component. Go's are 10 MB.
const MAX_MODULE_BYTES: u64 = 32 << 20;
// Compilers emit few data segments, while 90,000 of them took 22 s and 1.85 GB to compile.
const MAX_DATA_SEGMENTS: u64 = 10_000;
// JavaScript and Python engines have 20,000 to 40,000.
const MAX_FUNCTIONS: u64 = 100_000;
const MAX_ITEMS: u64 = 100_000;
const MAX_DEPTH: u64 = 16;

/// One import of a component.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Import {
    /// As the component names it, for example `wasi:sockets/tcp@0.2.12`.
    pub name: String,
}

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A component that exports the contract.
    Contract,
    /// A component that exports `wasi:cli/run`: a command.
    Command,
    /// A core module that is a command of WASI preview1.
    Preview1,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// What it is.
    pub kind: Kind,
    /// All imports of the component itself; of a module as `module.name`.
    pub imports: Vec<Import>,
    /// All exports of the component itself.
    pub exports: Vec<String>,
    /// The custom section `version`: the component's own, else that of the first module in it.
    pub version: Option<String>,
}

/// Reads a file whose size is bounded.
///
/// # Errors
/// It can't be read, or has more than [`MAX_BYTES`].
pub fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |reason| LoadError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.len() > MAX_BYTES {
        return Err(too_big("bytes", metadata.len(), MAX_BYTES));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    // One byte more than allowed shows a file that grew meanwhile.
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// Looks a component, or a module that can be made one, over.
///
/// # Errors
/// Why it can't be a checker of this host.
pub fn inspect(bytes: &[u8]) -> Result<Inspected, LoadError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_big("bytes", bytes.len() as u64, MAX_BYTES));
    }
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(LoadError::Precompiled);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotAComponent {
            found: guess(bytes).to_owned(),
        });
    }
    let mut inspected = walk(bytes)?;
    if inspected.kind == Kind::Preview1 {
        if bytes.len() as u64 > MAX_MODULE_BYTES {
            return Err(too_big("bytes", bytes.len() as u64, MAX_MODULE_BYTES));
        }
        super::preview1::check(&inspected)?;
        return Ok(inspected);
    }
    inspected.kind = kind(&inspected.exports)?;
    for import in &inspected.imports {
        check_import(&import.name)?;
    }
    Ok(inspected)
}

fn guess(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "an empty file",
        [0x7f, b'E', b'L', b'F', ..] => "a native (ELF) program",
        [0x1f, 0x8b, ..] => "a gzip archive",
        [b'P', b'K', ..] => "a zip archive",
        [b'#', b'!', ..] => "a script",
        _ if bytes
            .iter()
            .take(64)
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) =>
        {
            "a text"
        }
        _ => "not WebAssembly",
    }
}

fn too_big(what: &'static str, found: u64, limit: u64) -> LoadError {
    LoadError::TooBig { what, found, limit }
}

#[derive(Default)]
struct Counts {
    data: u64,
    functions: u64,
    items: u64,
    instances: u64,
    memories: u64,
    tables: u64,
}

impl Counts {
    fn check(&self) -> Result<(), LoadError> {
        let checks = [
            ("data segments", self.data, MAX_DATA_SEGMENTS),
            ("functions", self.functions, MAX_FUNCTIONS),
            ("types, aliases and instances", self.items, MAX_ITEMS),
            ("core instances", self.instances, limits::CORE_INSTANCES_DECLARED),
            ("memories", self.memories, u64::from(limits::MEMORIES)),
            ("tables", self.tables, u64::from(limits::TABLES)),
        ];
        match checks.into_iter().find(|(_, found, limit)| found > limit) {
            Some((what, found, limit)) => Err(too_big(what, found, limit)),
            None => Ok(()),
        }
    }
}

fn walk(bytes: &[u8]) -> Result<Inspected, LoadError> {
    let corrupt = |error: wasmparser::BinaryReaderError| LoadError::Corrupt {
        reason: error.to_string(),
    };
    let mut inspected = Inspected {
        kind: Kind::Contract,
        imports: Vec::new(),
        exports: Vec::new(),
        version: None,
    };
    let mut counts = Counts::default();
    // The component that is being read is at depth 0, what is inside it deeper.
    let mut depth = 0_u64;
    let mut outermost = true;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(corrupt)?;
        match payload {
            Payload::Version { encoding, .. } => {
                if outermost && encoding == Encoding::Module {
                    inspected.kind = Kind::Preview1;
                }
                outermost = false;
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                counts.items += 1;
                if depth > MAX_DEPTH {
                    return Err(too_big("components inside one another", depth, MAX_DEPTH));
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::DataSection(section) => counts.data += u64::from(section.count()),
            Payload::FunctionSection(section) => counts.functions += u64::from(section.count()),
            Payload::MemorySection(section) => counts.memories += u64::from(section.count()),
            Payload::TableSection(section) => counts.tables += u64::from(section.count()),
            Payload::ElementSection(section) => counts.items += u64::from(section.count()),
            Payload::GlobalSection(section) => counts.items += u64::from(section.count()),
            Payload::TypeSection(section) => counts.items += u64::from(section.count()),
            Payload::ImportSection(section) => {
                counts.items += u64::from(section.count());
                counts.check()?;
                if depth == 0 {
                    for import in section.into_imports() {
                        let import = import.map_err(corrupt)?;
                        let name = format!("{}.{}", import.module, import.name);
                        inspected.imports.push(Import { name });
                    }
                }
            }
            Payload::ExportSection(section) => {
                counts.items += u64::from(section.count());
                counts.check()?;
                if depth == 0 {
                    for export in section {
                        inspected.exports.push(export.map_err(corrupt)?.name.to_owned());
                    }
                }
            }
            Payload::CustomSection(section) if section.name() == "version" => {
                let found = std::str::from_utf8(section.data()).ok().map(str::trim);
                // The component's own comes last in it, and goes before those of its modules.
                if let Some(found) = found.filter(|found| is_semver(found))
                    && (depth == 0 || inspected.version.is_none())
                {
                    inspected.version = Some(found.to_owned());
                }
            }
            Payload::CoreTypeSection(section) => counts.items += u64::from(section.count()),
            Payload::InstanceSection(section) => counts.instances += u64::from(section.count()),
            Payload::ComponentInstanceSection(section) => counts.items += u64::from(section.count()),
            Payload::ComponentAliasSection(section) => counts.items += u64::from(section.count()),
            Payload::ComponentTypeSection(section) => counts.items += u64::from(section.count()),
            Payload::ComponentCanonicalSection(section) => counts.items += u64::from(section.count()),
            Payload::ComponentImportSection(section) => {
                counts.items += u64::from(section.count());
                counts.check()?;
                if depth == 0 {
                    for import in section {
                        let name = import.map_err(corrupt)?.name.name.to_owned();
                        inspected.imports.push(Import { name });
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                counts.items += u64::from(section.count());
                counts.check()?;
                if depth == 0 {
                    for export in section {
                        inspected
                            .exports
                            .push(export.map_err(corrupt)?.name.name.to_owned());
                    }
                }
            }
            _ => {}
        }
        counts.check()?;
    }
    Ok(inspected)
}

fn kind(exports: &[String]) -> Result<Kind, LoadError> {
    let export = |name: &str| exports.iter().find_map(|export| export.strip_prefix(name));
    if let Some(suffix) = export("picket:checker/check") {
        let found = suffix.strip_prefix('@').unwrap_or("without a version");
        return same_line(found).map(|()| Kind::Contract);
    }
    if export("wasi:cli/run@").is_some_and(|version| version.starts_with("0.2.")) {
        return Ok(Kind::Command);
    }
    let exports = if exports.is_empty() {
        "nothing".to_owned()
    } else {
        exports.join(", ")
    };
    Err(LoadError::NotAChecker { exports })
}

/// Versions below 1.0 are compatible within `0.x`, as Cargo has it too.
fn same_line(found: &str) -> Result<(), LoadError> {
    let (own, theirs) = (line(CONTRACT), line(found));
    if own == theirs {
        return Ok(());
    }
    Err(LoadError::OtherContract {
        found: found.to_owned(),
        offered: CONTRACT,
        newer: theirs > own,
    })
}

fn line(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split(['.', '-', '+']);
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some(if major == 0 { (0, minor) } else { (major, 0) })
}

/// Interfaces of the contract that may be imported.
const OWN: [&str; 8] = [
    "types",
    "log",
    "state",
    "secret",
    "icmp",
    "http",
    "tls",
    "host-facts",
];
const WASI: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];
/// A checker asks others, and answers nobody.
const HTTP: [&str; 2] = ["types", "outgoing-handler"];

fn check_import(name: &str) -> Result<(), LoadError> {
    let unknown = |hint: &str| {
        Err(LoadError::UnknownImport {
            import: name.to_owned(),
            hint: hint.to_owned(),
        })
    };
    let (path, version) = name.split_once('@').unwrap_or((name, ""));
    let Some((package, interface)) = path.split_once('/') else {
        return unknown("; a checker imports only WASI 0.2 and picket:checker");
    };
    if package == "picket:checker" {
        same_line(version)?;
        return if OWN.contains(&interface) {
            Ok(())
        } else {
            unknown("; update the agent")
        };
    }
    match package.strip_prefix("wasi:") {
        Some("http") if HTTP.contains(&interface) && version.starts_with("0.2.") => Ok(()),
        Some("http") => unknown("; of wasi:http it offers outgoing-handler and types of WASI 0.2"),
        Some(part) if WASI.contains(&part) && version.starts_with("0.2.") => Ok(()),
        Some(part) if WASI.contains(&part) => unknown("; it offers WASI 0.2"),
        _ => unknown("; a checker imports only WASI 0.2 and picket:checker"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_component_is_named() {
        for (bytes, words) in [
            (&b""[..], "an empty file"),
            (b"\x7fELF....", "native"),
            (b"hello world", "a text"),
            (b"\x1f\x8b....", "gzip"),
            (b"\0asm\x01\0\0\0", "a core WebAssembly module"),
        ] {
            let error = inspect(bytes).unwrap_err().to_string();
            assert!(
                error.contains(words) && error.contains("wasm32-wasip2"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_component_without_exports_is_no_checker() {
        let error = inspect(b"\0asm\x0d\0\x01\0").unwrap_err().to_string();
        assert!(error.contains("exports nothing"), "{error}");
    }

    #[test]
    fn versions_of_one_line_fit_and_others_name_both() {
        same_line("0.1.7").unwrap();
        let newer = same_line("0.9.0").unwrap_err().to_string();
        assert!(
            newer.contains("0.9.0") && newer.contains("0.1.0") && newer.contains("update the agent"),
            "{newer}"
        );
        let older = same_line("0.0.3").unwrap_err().to_string();
        assert!(older.contains("newer SDK"), "{older}");
        assert!(same_line("garbage").is_err());
    }

    #[test]
    fn imports_that_are_not_offered_are_named() {
        check_import("wasi:sockets/tcp@0.2.3").unwrap();
        check_import("wasi:http/outgoing-handler@0.2.0").unwrap();
        check_import("picket:checker/log@0.1.0").unwrap();
        for (import, words) in [
            ("wasi:http/incoming-handler@0.2.0", "outgoing-handler and types"),
            ("wasi:http/outgoing-handler@0.3.0", "outgoing-handler and types"),
            ("wasi:sockets/types@0.3.0", "WASI 0.2"),
            ("evil:host/shell@1.0.0", "only WASI 0.2"),
            ("picket:checker/shell@0.1.0", "update the agent"),
            ("bare", "only WASI 0.2"),
        ] {
            let error = check_import(import).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(import), "{error}");
        }
    }

    #[test]
    fn a_command_of_another_wasi_is_no_command() {
        let exports = |name: &str| kind(&[name.to_owned()]);
        assert_eq!(exports("wasi:cli/run@0.2.0").unwrap(), Kind::Command);
        let error = exports("wasi:cli/run@0.3.0").unwrap_err().to_string();
        assert!(
            error.contains("wasi:cli/run@0.3.0") && error.contains("0.2"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn inspecting_never_panics(is_component in any::<bool>(), tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = if is_component { b"\0asm\x0d\0\x01\0" } else { b"\0asm\x01\0\0\0" }.to_vec();
            bytes.extend(tail);
            let _ = inspect(&bytes);
        }
    }
}
