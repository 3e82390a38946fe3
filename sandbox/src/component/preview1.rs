//! Commands that were built for WASI preview1: core modules, which are made components as they are loaded.
//!
//! `wit-component` does it with wasmtime's adapter, which offers preview1 over WASI 0.2. One thing is done before: the
//! adapter knows only success and failure, so `proc_exit` is bound to `wasi:cli/exit`'s `exit-with-code` instead. Both
//! take one `i32`, and a code that a plugin ends with arrives.

use wasm_encoder::{EntityType, ImportSection, Module, RawSection};
use wasmparser::{ImportSectionReader, Parser, Payload, Validator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::LoadError;
use super::inspect::Inspected;

/// Where a preview1 module finds its functions.
const PREVIEW1: &str = "wasi_snapshot_preview1";
const EXIT: &str = "proc_exit";
const EXIT_INTERFACE: &str = "wasi:cli/exit@0.2.12";
const EXIT_WITH_CODE: &str = "exit-with-code";

/// What the module imports for `proc_exit`. The interface is part of the adapter's own, of the same version.
const WORLD: &str = "
    package picket:command;
    world ends { import wasi:cli/exit@0.2.12; }
    package wasi:cli@0.2.12 {
        interface exit {
            exit: func(status: result);
            exit-with-code: func(status-code: u8);
        }
    }
";

/// Says whether an inspected module is a preview1 command.
///
/// # Errors
/// What is missing, or what it imports from elsewhere.
pub(super) fn check(module: &Inspected) -> Result<(), LoadError> {
    let is_foreign = |name: &&str| name.split_once('.').is_none_or(|(from, _)| from != PREVIEW1);
    let names = module.imports.iter().map(|import| import.name.as_str());
    let foreign: Vec<_> = names.filter(is_foreign).take(8).map(shortened).collect();
    if !foreign.is_empty() {
        return Err(not_a_command(format!("imports {}", foreign.join(", "))));
    }
    for wanted in ["_start", "memory"] {
        if !module.exports.iter().any(|export| export == wanted) {
            return Err(not_a_command(format!("exports no {wanted}")));
        }
    }
    Ok(())
}

/// Names are as long as a module's author likes, sentences for people aren't.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(200)]
}

fn not_a_command(reason: String) -> LoadError {
    LoadError::NotACommand { reason }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn corrupt(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Corrupt {
        reason: error.to_string(),
    }
}

/// Makes a component of a preview1 command that was [checked](check).
///
/// # Errors
/// The module is invalid, or uses functions that preview1 doesn't have.
pub(super) fn wrap(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    // What comes after trusts that the module is valid.
    Validator::new().validate_all(module).map_err(corrupt)?;
    let module = with_exit_code(module)?;
    let encoded = ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| {
            encoder.adapter(
                PREVIEW1,
                wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
            )
        })
        .and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| {
        let reason = error
            .chain()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(": ");
        not_a_command(format!("doesn't fit WASI preview1 ({})", shortened(&reason)))
    })
}

/// The module with its `proc_exit` bound to `exit-with-code`, and without custom sections: they could describe it as
/// something else, and debugging information only costs.
fn with_exit_code(module: &[u8]) -> Result<Vec<u8>, LoadError> {
    let mut rewritten = Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(corrupt)?;
        match &payload {
            Payload::ImportSection(section) => {
                rewritten.section(&bound(section.clone())?);
            }
            Payload::CustomSection(_) => {}
            _ => {
                if let Some((id, range)) = payload.as_section() {
                    let data = module.get(range).unwrap_or_default();
                    rewritten.section(&RawSection { id, data });
                }
            }
        }
    }
    let mut bytes = rewritten.finish();
    describe_imports(&mut bytes).map_err(|reason| LoadError::Uncompilable { reason })?;
    Ok(bytes)
}

/// The imports, with `proc_exit` from elsewhere.
fn bound(section: ImportSectionReader<'_>) -> Result<ImportSection, LoadError> {
    let mut imports = ImportSection::new();
    for import in section.into_imports() {
        let import = import.map_err(corrupt)?;
        let ty = EntityType::try_from(import.ty)
            .map_err(|_| not_a_command(format!("imports {} with a type of its own", import.name)))?;
        let (module, name) = match (import.module, import.name) {
            (PREVIEW1, EXIT) => (EXIT_INTERFACE, EXIT_WITH_CODE),
            other => other,
        };
        imports.import(module, name, ty);
    }
    Ok(imports)
}

/// Adds the custom section that says which interface the module imports, in the component model's own encoding.
fn describe_imports(module: &mut Vec<u8>) -> Result<(), String> {
    let mut resolve = wit_parser::Resolve::default();
    let described = resolve.push_source("command.wit", WORLD).and_then(|package| {
        let world = resolve.select_world(&[package], Some("ends"))?;
        embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
    });
    described.map_err(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wasm_encoder::{
        CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function, FunctionSection,
        MemorySection, MemoryType, TypeSection, ValType,
    };

    use super::*;
    use crate::component::inspect::{Kind, inspect};

    /// A command that ends with code 2.
    fn command() -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function([], []);
        types.ty().function([ValType::I32], []);
        types.ty().function([ValType::I32; 4], [ValType::I32]);
        let mut imports = ImportSection::new();
        imports.import(PREVIEW1, "fd_write", EntityType::Function(2));
        imports.import(PREVIEW1, EXIT, EntityType::Function(1));
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: 1,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        let mut exports = ExportSection::new();
        exports.export("memory", ExportKind::Memory, 0);
        exports.export("_start", ExportKind::Func, 2);
        let mut start = Function::new([]);
        start.instructions().i32_const(2).call(1).end();
        let mut code = CodeSection::new();
        code.function(&start);
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(8), b"some data".iter().copied());
        let mut module = Module::new();
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&memories)
            .section(&exports)
            .section(&code)
            .section(&data);
        module.finish()
    }

    fn wrapped(module: &[u8]) -> Result<Inspected, LoadError> {
        let inspected = inspect(module)?;
        assert_eq!(inspected.kind, Kind::Preview1);
        inspect(&wrap(module)?)
    }

    #[test]
    fn a_module_becomes_a_command_that_imports_only_what_it_uses() {
        let component = wrapped(&command()).unwrap();
        assert_eq!(component.kind, Kind::Command);
        let imports = |name: &str| {
            component
                .imports
                .iter()
                .any(|import| import.name.starts_with(name))
        };
        assert!(imports("wasi:cli/exit@0.2") && imports("wasi:cli/stdout@0.2"));
        assert!(!imports("wasi:sockets/") && !imports("wasi:random/"));
    }

    proptest! {
        #[test]
        fn whatever_is_changed_in_a_module_nothing_panics(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut module = command();
            for (position, byte) in changes {
                let position = 8 + position.index(module.len() - 8);
                module[position] = byte;
            }
            let _ = wrapped(&module);
        }
    }
}
