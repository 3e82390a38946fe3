//! Compiling in a child process, and the limits that hold it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use picket_sandbox::component::{Checker, ChildCompiler, CompileCache, CompileLimits, Compiler, LoadError};
use picket_sandbox::engine::{EngineConfig, SandboxEngine};

use crate::world::guest;

const AGENT_HOST: &str = env!("CARGO_BIN_EXE_agent-host");

fn engine(compiler: ChildCompiler) -> SandboxEngine {
    SandboxEngine::new(EngineConfig {
        concurrent_runs: 2,
        compiler: Compiler::Child(compiler),
        ..EngineConfig::default()
    })
    .unwrap()
}

fn child(limits: CompileLimits) -> SandboxEngine {
    engine(ChildCompiler::new(PathBuf::from(AGENT_HOST), limits))
}

/// A program that stands in for the compiler.
fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("compiler");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return bytes;
        }
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

/// A checker with one more module, which nothing uses: `count` functions of `size` additions each.
fn with_functions(count: usize, size: usize) -> Vec<u8> {
    // No locals; a constant, then `i32.const 1, i32.add` again and again, and drop.
    let body = [&[0, 0x41, 1][..], &[0x41, 1, 0x6a].repeat(size), &[0x1a, 0x0b]].concat();
    let code = [leb(body.len()), body].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[leb(count), vec![0; count]].concat()),
        section(10, &[leb(count), code.repeat(count)].concat()),
    ]
    .concat();
    [std::fs::read(guest("noop")).unwrap(), section(1, &module)].concat()
}

#[tokio::test]
async fn a_checker_is_compiled_by_a_child_and_from_then_on_taken_from_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let cache = CompileCache::open(&folder.path().join("cache"), 64 << 20).unwrap();
    let bytes = std::fs::read(guest("noop")).unwrap();
    let checker = Checker::load(&child(CompileLimits::default()), &bytes, Some(&cache)).unwrap();
    assert_eq!(checker.describe().await.unwrap().name, "guest");
    // No compiler is there any more, and none is needed: an agent starts offline.
    let without = engine(ChildCompiler::new(
        PathBuf::from("/nowhere"),
        CompileLimits::default(),
    ));
    let checker = Checker::load(&without, &bytes, Some(&cache)).unwrap();
    assert_eq!(checker.describe().await.unwrap().name, "guest");
    let error = Checker::load(&without, &bytes, None).unwrap_err().to_string();
    assert!(error.contains("the compiler's process"), "{error}");
}

#[test]
fn a_component_that_takes_too_much_cpu_time_is_stopped() {
    let limits = CompileLimits {
        cpu: Duration::from_secs(1),
        ..CompileLimits::default()
    };
    let error = Checker::load(&child(limits), &with_functions(60_000, 60), None).unwrap_err();
    assert!(matches!(error, LoadError::CompilerExhausted { .. }), "{error}");
    assert!(error.to_string().contains("1 s of CPU time"), "{error}");
}

#[test]
fn a_component_that_takes_too_much_memory_is_stopped() {
    let limits = CompileLimits {
        memory: 512 << 20,
        ..CompileLimits::default()
    };
    let error = Checker::load(&child(limits), &with_functions(1, 2_300_000), None).unwrap_err();
    assert!(matches!(error, LoadError::CompilerExhausted { .. }), "{error}");
    assert!(error.to_string().contains("512 MiB of memory"), "{error}");
}

#[test]
fn a_compiler_that_never_ends_is_stopped_and_tells_how_long_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let program = script(
        folder.path(),
        &format!("echo $$ > {}; exec sleep 600", pid.display()),
    );
    let limits = CompileLimits {
        wall: Duration::from_secs(2),
        ..CompileLimits::default()
    };
    let told = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&told);
    let compiler = ChildCompiler::new(program, limits).with_listener(Arc::new(move |progress| {
        assert!(progress.size > 0);
        count.fetch_add(1, Ordering::SeqCst);
    }));
    let error = Checker::load(&engine(compiler), &std::fs::read(guest("noop")).unwrap(), None).unwrap_err();
    assert!(error.to_string().contains("more than 2s"), "{error}");
    assert!(told.load(Ordering::SeqCst) >= 1);
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(
        !Path::new("/proc").join(pid.trim()).exists(),
        "the child is still there"
    );
}

#[test]
fn a_compiler_inherits_no_environment() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(folder.path(), "cat > /dev/null; env >&2; exit 65");
    let compiler = ChildCompiler::new(program, CompileLimits::default());
    let error = Checker::load(&engine(compiler), &std::fs::read(guest("noop")).unwrap(), None).unwrap_err();
    let LoadError::Uncompilable { reason } = error else {
        panic!("{error}")
    };
    // The shell sets a few of its own.
    assert!(reason.contains("PWD=/") && !reason.contains("CARGO"), "{reason}");
}

#[test]
fn what_a_compiler_gives_back_is_not_loaded_unless_it_is_code_for_this_engine() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(folder.path(), "exec cat");
    let compiler = ChildCompiler::new(program, CompileLimits::default());
    let error = Checker::load(&engine(compiler), &std::fs::read(guest("noop")).unwrap(), None).unwrap_err();
    assert!(matches!(error, LoadError::Uncompilable { .. }), "{error}");
}

#[test]
fn the_compiler_started_by_hand_says_what_it_is() {
    let output = Command::new(AGENT_HOST)
        .arg("compile-one-component")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(65));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.contains("only the agent starts"), "{words}");
}
