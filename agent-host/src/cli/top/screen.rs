//! A terminal that is drawn on again and again, and its keys. Plain ANSI; what was on it before comes back at the end.

use std::io::{self, Read, Write};

use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// Switches to the alternate screen, and hides the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_REST: &str = "\x1b[J";

/// What a person did.
pub(super) enum Key {
    /// `q`, Ctrl-C, or the terminal went away.
    Quit,
    /// The window has another size.
    Resized,
}

/// The terminal; as it was again when this is dropped.
pub(super) struct Screen {
    before: Termios,
    keys: mpsc::UnboundedReceiver<u8>,
    interrupted: Signal,
    terminated: Signal,
    resized: Signal,
}

impl Screen {
    /// Takes the terminal: keys arrive one by one and aren't shown.
    pub(super) fn open() -> io::Result<Self> {
        let interrupted = signal(SignalKind::interrupt())?;
        let terminated = signal(SignalKind::terminate())?;
        let resized = signal(SignalKind::window_change())?;
        let before = termios::tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        // Signals stay: Ctrl-C is one.
        raw.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        termios::tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        let (sender, keys) = mpsc::unbounded_channel();
        let screen = Self {
            before,
            keys,
            interrupted,
            terminated,
            resized,
        };
        // It waits in a read until the program ends.
        std::thread::Builder::new()
            .name("keys".to_owned())
            .spawn(move || {
                for byte in io::stdin().lock().bytes().map_while(Result::ok) {
                    if sender.send(byte).is_err() {
                        return;
                    }
                }
            })?;
        write(ENTER)?;
        Ok(screen)
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> (usize, usize) {
        termios::tcgetwinsize(io::stdout())
            .ok()
            .map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)))
            .filter(|&(columns, lines)| columns > 0 && lines > 0)
            .unwrap_or((80, 24))
    }

    /// Draws lines from the top; those that have no room are left out.
    pub(super) fn draw(&mut self, lines: &[String], height: usize) -> io::Result<()> {
        let shown: Vec<_> = lines
            .iter()
            .take(height)
            .map(|line| format!("{line}{CLEAR_LINE}"))
            .collect();
        // No line feed after the last one: at the bottom it would scroll.
        write(&format!("{HOME}{}{CLEAR_REST}", shown.join("\r\n")))
    }

    /// Waits until a person does something that matters.
    pub(super) async fn key(&mut self) -> Key {
        loop {
            tokio::select! {
                _ = self.interrupted.recv() => return Key::Quit,
                _ = self.terminated.recv() => return Key::Quit,
                _ = self.resized.recv() => return Key::Resized,
                key = self.keys.recv() => if matches!(key, None | Some(b'q' | b'Q')) {
                    return Key::Quit;
                },
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = write(LEAVE);
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
