//! The clock that interrupts guests.

use std::time::Duration;

use wasmtime::Engine;

/// How often a guest that computes is interrupted. 10 ms cost it at most 3.5 %.
const TICK: Duration = Duration::from_millis(10);

/// Starts the clock's thread: a thread of its own, because a runtime whose workers are all busy in guests ticks nothing.
/// It ends when the engine is gone.
pub(super) fn start(engine: &Engine) -> std::io::Result<()> {
    let weak = engine.weak();
    let clock = move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new()
        .name("sandbox-clock".to_owned())
        .stack_size(64 << 10)
        .spawn(clock)
        .map(|_| ())
}
