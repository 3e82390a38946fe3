//! Which modules are commands, and what becomes of them.

use picket_sandbox::component::{Checker, CompileCache};
use wasm_encoder::{
    CodeSection, CustomSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, MemorySection, MemoryType, Module, TypeSection, ValType,
};

use crate::support::{engine, reported};
use crate::{command_path, run_command, with_arguments};

/// A module whose `_start` does nothing, with these imports of type `(i32) -> ()`.
fn module(imports: &[(&str, &str)], exports: &[&str]) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([ValType::I32], []);
    let mut imported = ImportSection::new();
    for (from, name) in imports {
        imported.import(from, name, EntityType::Function(1));
    }
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
    let mut exported = ExportSection::new();
    for name in exports {
        let function = u32::try_from(imports.len()).unwrap();
        match name.split_once(" as ") {
            Some((name, "memory")) => exported.export(name, ExportKind::Memory, 0),
            Some((name, _)) => exported.export(name, ExportKind::Func, function),
            None if *name == "memory" => exported.export(name, ExportKind::Memory, 0),
            None => exported.export(name, ExportKind::Func, function),
        };
    }
    let mut code = CodeSection::new();
    let mut start = Function::new([]);
    start.instructions().end();
    code.function(&start);
    let mut module = Module::new();
    module
        .section(&types)
        .section(&imported)
        .section(&functions)
        .section(&memories)
        .section(&exported)
        .section(&code);
    module.finish()
}

const COMMAND: [&str; 2] = ["_start", "memory"];

fn refused(bytes: &[u8]) -> String {
    Checker::load(engine(), bytes, None).unwrap_err().to_string()
}

#[tokio::test]
async fn a_module_without_imports_is_a_command_that_says_nothing() {
    let checker = Checker::load(engine(), &module(&[], &COMMAND), None).unwrap();
    assert!(checker.is_command());
    assert_eq!(checker.describe().await.unwrap().name, "command");
    let outcome = picket_sandbox::run::run(&checker, with_arguments(&[], &[])).await;
    assert!(outcome.result.unwrap_err().message.contains("printed nothing"));
}

#[test]
fn a_module_with_other_imports_is_refused_with_their_names() {
    let error = refused(&module(
        &[("env", "system"), ("wasi_unstable", "proc_exit")],
        &COMMAND,
    ));
    assert!(
        error.contains("env.system, wasi_unstable.proc_exit") && error.contains("wasm32-wasip1"),
        "{error}"
    );
    let error = refused(&module(&[("wasi:cli/exit@0.2.12", "exit-with-code")], &COMMAND));
    assert!(error.contains("wasi:cli/exit@0.2.12"), "{error}");
}

#[test]
fn a_module_that_is_no_command_says_what_it_lacks() {
    assert!(refused(&module(&[], &["memory"])).contains("exports no _start"));
    assert!(refused(&module(&[], &["_start"])).contains("exports no memory"));
}

#[test]
fn functions_that_preview1_has_not_are_refused_with_their_names() {
    let error = refused(&module(&[("wasi_snapshot_preview1", "proc_spawn")], &COMMAND));
    assert!(error.contains("proc_spawn"), "{error}");
    let error = refused(&module(&[("wasi_snapshot_preview1", "fd_write")], &COMMAND));
    assert!(error.contains("fd_write"), "of another type: {error}");
}

/// Valid modules all of them, which a compiler would never write.
#[test]
fn modules_that_only_look_like_commands_are_refused_and_harm_nobody() {
    for exports in [
        ["_start as memory", "memory as function"],
        ["_start", "memory as function"],
        ["_start as memory", "memory"],
    ] {
        refused(&module(&[], &exports));
    }
    let twice = [("wasi_snapshot_preview1", "proc_exit"); 2];
    // Bound twice, it is still what it says.
    let _ = Checker::load(engine(), &module(&twice, &COMMAND), None);
    let exports = [
        "_start",
        "memory",
        "cabi_realloc",
        "wasi:cli/run@0.2.12#run",
        "cabi_post_x",
        "_initialize",
    ];
    let _ = Checker::load(engine(), &module(&[], &exports), None);
    let long = "x".repeat(1 << 20);
    let error = refused(&module(&[(&long, "f")], &COMMAND));
    assert!(error.len() < 1_000, "{} bytes", error.len());
    let error = refused(&module(&[("wasi_snapshot_preview1", &long)], &COMMAND));
    assert!(error.len() < 1_000, "{} bytes", error.len());
}

/// A section that calls the module something else isn't believed.
#[test]
fn a_module_that_describes_itself_as_a_component_is_taken_for_what_it_is() {
    let mut bytes = module(&[], &COMMAND);
    let lie = CustomSection {
        name: "component-type".into(),
        data: (&b"garbage"[..]).into(),
    };
    bytes.push(0);
    wasm_encoder::Encode::encode(&lie, &mut bytes);
    assert!(Checker::load(engine(), &bytes, None).unwrap().is_command());
}

#[test]
fn a_module_is_bounded_as_components_are() {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    // 90,000 passive data segments, each of which is empty.
    let mut data = vec![0x90, 0xbf, 0x05];
    data.extend([1, 0].repeat(90_000));
    bytes.push(11);
    wasm_encoder::Encode::encode(&data.len(), &mut bytes);
    bytes.extend(data);
    assert!(refused(&bytes).contains("90000 data segments"));
    let mut bytes = module(&[], &COMMAND);
    let filling = CustomSection {
        name: "filling".into(),
        data: vec![0; 32 << 20].into(),
    };
    bytes.push(0);
    wasm_encoder::Encode::encode(&filling, &mut bytes);
    assert!(refused(&bytes).contains("more than the 33554432"));
}

#[test]
fn a_broken_module_is_corrupt_wherever_it_breaks_off() {
    let bytes = std::fs::read(command_path("check_file_age")).unwrap();
    for length in (8..bytes.len()).step_by(bytes.len() / 40) {
        Checker::load(engine(), &bytes[..length], None).unwrap_err();
    }
    for position in (8..bytes.len()).step_by(bytes.len() / 40) {
        let mut corrupt = bytes.clone();
        corrupt[position] ^= 0xff;
        // Some changes only touch data: what counts is that loading ends.
        let _ = Checker::load(engine(), &corrupt, None);
    }
}

/// Signatures are over files: what a file becomes when it is loaded has no digest of its own.
#[test]
fn digest_and_size_are_those_of_the_file() {
    let bytes = std::fs::read(command_path("check_file_age")).unwrap();
    let checker = Checker::load(engine(), &bytes, None).unwrap();
    assert_eq!(checker.size(), bytes.len());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(checker.sha256(), hex);
}

#[tokio::test]
async fn a_command_is_taken_from_the_cache_too() {
    let dir = tempfile::tempdir().unwrap();
    let cache = CompileCache::open(&dir.path().join("cache"), 64 << 20).unwrap();
    for _ in 0..2 {
        let path = command_path("hostile/no_newline");
        let checker = Checker::load_file(engine(), &path, Some(&cache)).unwrap();
        reported(&picket_sandbox::run::run(&checker, with_arguments(&[], &[])).await);
    }
    let files = std::fs::read_dir(dir.path().join("cache")).unwrap();
    let compiled = files.filter(|file| {
        let path = file.as_ref().unwrap().path();
        path.extension().is_some_and(|suffix| suffix == "cwasm")
    });
    assert_eq!(compiled.count(), 1);
}

/// A program that never opens a socket is proved to be unable to.
#[tokio::test]
async fn imports_prove_what_a_command_can_not_do() {
    let path = command_path("check_file_age");
    let checker = Checker::load_file(engine(), &path, None).unwrap();
    let imports = |prefix: &str| {
        checker
            .imports()
            .iter()
            .any(|import| import.name.starts_with(prefix))
    };
    assert!(imports("wasi:filesystem/") && imports("wasi:cli/exit@"));
    assert!(!imports("wasi:sockets/") && !imports("picket:checker/"));
    assert!(run_command("check_file_age", &[], &[]).await.denials.is_empty());
}
