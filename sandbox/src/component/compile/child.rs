//! The parent's side of compiling.

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::places::Places;
use super::worker::{ARGUMENT, Order, REFUSED};
use crate::component::LoadError;
use crate::engine::{Allocation, Execution};

/// What one compilation may use up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space of the child, in bytes.
    pub memory: u64,
    /// CPU time of all its threads; counted in whole seconds.
    pub cpu: Duration,
    /// Wall time, for a machine that has no CPU time to give.
    pub wall: Duration,
}

impl Default for CompileLimits {
    /// 2 GiB, 60 s and 5 min. Python's components, the largest that are known, take 10 s; a hostile one of 2.9 MB took 22 s
    /// and 1.85 GB resident.
    fn default() -> Self {
        Self {
            memory: 2 << 30,
            cpu: Duration::from_secs(60),
            wall: Duration::from_secs(300),
        }
    }
}

/// How far a compilation is. The compiler doesn't say how much is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the component.
    pub size: usize,
    /// Since it began.
    pub elapsed: Duration,
}

/// Told about once a second while a child compiles.
pub type Listener = Arc<dyn Fn(&Progress) + Send + Sync>;

/// Compiles in a child: this same program, started again with one fixed argument.
#[derive(Clone)]
pub struct ChildCompiler {
    program: PathBuf,
    limits: CompileLimits,
    listener: Listener,
    places: Arc<Places>,
}

impl fmt::Debug for ChildCompiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildCompiler")
            .field("program", &self.program)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What the child wrote and how it ended.
struct Ended {
    status: ExitStatus,
    output: Vec<u8>,
    words: String,
}

/// Code of one component; Python's is 35 MB.
const MAX_OUTPUT: u64 = 512 << 20;
const MAX_WORDS: u64 = 4096;

impl ChildCompiler {
    /// A compiler that starts the running program again, whichever file it was started from: after an upgrade the file
    /// on disk may be another version, whose code wouldn't fit.
    #[must_use]
    pub fn of_this_program(limits: CompileLimits) -> Self {
        Self::new(PathBuf::from("/proc/self/exe"), limits)
    }

    /// A compiler that starts `program`, which calls [`worker::serve`](super::worker::serve).
    #[must_use]
    pub fn new(program: PathBuf, limits: CompileLimits) -> Self {
        let listener = |progress: &Progress| {
            let (size, elapsed_s) = (progress.size, progress.elapsed.as_secs());
            // Once early on, so that nobody wonders, and then now and again.
            if elapsed_s == 1 || elapsed_s.is_multiple_of(5) {
                tracing::info!(size, elapsed_s, "compiling a checker");
            }
        };
        Self {
            program,
            limits,
            listener: Arc::new(listener),
            places: Arc::default(),
        }
    }

    /// The same with another listener in place of the log.
    #[must_use]
    pub fn with_listener(self, listener: Listener) -> Self {
        Self { listener, ..self }
    }

    /// Compiles. Blocks until it is done or stopped.
    pub(super) fn compile(
        &self,
        execution: Execution,
        allocation: Allocation,
        bytes: &[u8],
    ) -> Result<Vec<u8>, LoadError> {
        let order = Order {
            execution,
            allocation,
            memory: self.limits.memory,
            cpu_s: self.limits.cpu.as_secs().max(1),
        };
        let order = serde_json::to_string(&order).map_err(|error| failed(&error))?;
        let _place = self.places.take();
        let mut child = Command::new(&self.program)
            .arg(ARGUMENT)
            .env_clear()
            .env("RAYON_NUM_THREADS", threads().to_string())
            .env("MALLOC_ARENA_MAX", "4")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let ended = std::thread::scope(|scope| {
            let ended = self.attend(scope, &mut child, &order, bytes);
            // Whatever happened, it ends here: its threads of the scope wait for its pipes.
            let _ = child.kill();
            let _ = child.wait();
            ended
        })?;
        self.judge(&ended)?;
        Ok(ended.output)
    }

    /// Feeds the child and gathers what it says, until it ends or its time is over.
    fn attend<'scope, 'env: 'scope>(
        &self,
        scope: &'scope std::thread::Scope<'scope, 'env>,
        child: &mut Child,
        order: &'env str,
        bytes: &'env [u8],
    ) -> Result<Ended, LoadError> {
        let (Some(mut input), Some(output), Some(words)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(&"it has no pipes"));
        };
        scope.spawn(move || {
            // A child that ended before it read everything says why itself.
            let _ = input
                .write_all(order.as_bytes())
                .and_then(|()| input.write_all(b"\n"))
                .and_then(|()| input.write_all(bytes));
        });
        let words = scope.spawn(move || gather(words, MAX_WORDS));
        let (sender, done) = mpsc::channel();
        scope.spawn(move || sender.send(gather(output, MAX_OUTPUT)));
        let began = Instant::now();
        let output = loop {
            match done.recv_timeout(Duration::from_secs(1)) {
                Ok(output) => break output,
                Err(RecvTimeoutError::Disconnected) => return Err(failed(&"its output was lost")),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let elapsed = began.elapsed();
            if elapsed > self.limits.wall {
                return Err(self.exhausted(&format!("{:?}", self.limits.wall)));
            }
            (self.listener)(&Progress {
                size: bytes.len(),
                elapsed,
            });
        };
        if output.len() as u64 > MAX_OUTPUT {
            return Err(self.exhausted(&format!("{} MiB of code", MAX_OUTPUT >> 20)));
        }
        let status = child.wait().map_err(|error| failed(&error))?;
        let words = words.join().unwrap_or_default();
        let words = String::from_utf8_lossy(&words)
            .chars()
            .filter(|char| !char.is_control() || *char == '\n')
            .collect();
        Ok(Ended {
            status,
            output,
            words,
        })
    }

    fn judge(&self, ended: &Ended) -> Result<(), LoadError> {
        let last = ended.words.lines().next_back().unwrap_or_default();
        match (ended.status.code(), ended.status.signal()) {
            (Some(0), _) => Ok(()),
            // A library that can't start a thread, or map, says so in an error rather than by ending.
            (Some(code), _) if code == i32::from(REFUSED) && !is_out_of_memory(&ended.words) => {
                Err(LoadError::Uncompilable {
                    reason: ended.words.trim().to_owned(),
                })
            }
            // EXIT_CPU: the kernel's, at the limit of CPU time.
            (None, Some(signal)) if signal == Signals::XCPU || signal == Signals::KILL => {
                Err(self.exhausted(&format!("{} s of CPU time", self.limits.cpu.as_secs().max(1))))
            }
            (Some(_), _) if is_out_of_memory(&ended.words) => Err(self.exhausted(&self.memory())),
            // Rust's allocator aborts where there is no memory; so does whatever meets a null pointer first.
            (None, Some(signal))
                if signal == Signals::ABRT && (last.is_empty() || is_out_of_memory(&ended.words)) =>
            {
                Err(self.exhausted(&self.memory()))
            }
            _ => Err(LoadError::Uncompilable {
                reason: format!("the compiler crashed ({}): {last}", ended.status),
            }),
        }
    }

    fn memory(&self) -> String {
        format!("{} MiB of memory", self.limits.memory >> 20)
    }

    fn exhausted(&self, limit: &str) -> LoadError {
        LoadError::CompilerExhausted {
            limit: limit.to_owned(),
        }
    }
}

struct Signals;

impl Signals {
    const ABRT: i32 = rustix::process::Signal::ABORT.as_raw();
    const KILL: i32 = rustix::process::Signal::KILL.as_raw();
    const XCPU: i32 = rustix::process::Signal::XCPU.as_raw();
}

fn is_out_of_memory(words: &str) -> bool {
    [
        "memory allocation of",
        "Cannot allocate memory",
        "out of memory",
        "Resource temporarily unavailable",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

fn failed(reason: &dyn fmt::Display) -> LoadError {
    LoadError::Uncompilable {
        reason: format!("the compiler's process can't be used: {reason}"),
    }
}

/// All processors up to 8. Each thread's stack, and each of the allocator's arenas (64 MiB, hence no more than 4 of them), is
/// address space that the limit counts.
fn threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .min(8)
}

/// At most one byte more than allowed, so that too much is seen as such.
fn gather(from: impl Read, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What could be read counts; a pipe that breaks has a child that ended.
    let _ = from.take(limit + 1).read_to_end(&mut bytes);
    bytes
}
