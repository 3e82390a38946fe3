//! What the program gives up before it does anything else.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets};

/// What an agent may be given on purpose: to read what checks are granted whoever owns it, to see other users' open files, to
/// ping where unprivileged sockets can't, and to listen on a low port. Everything else that root has, it doesn't need.
const KEPT: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::SYS_PTRACE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// Gives up, for this thread, all that it starts and all that it executes, every capability that no agent needs, and the
/// ways to get new ones. For `main` to call while it is the only thread.
///
/// # Errors
/// The kernel's; a kernel of Linux 3.5 or later has none.
pub fn drop() -> io::Result<()> {
    // Without it, root would get everything back by executing any program (capabilities(7)).
    rustix::thread::set_no_new_privs(true)?;
    let held = rustix::thread::capabilities(None)?;
    let wanted = CapabilitySets {
        effective: held.effective & KEPT,
        permitted: held.permitted & KEPT,
        inheritable: CapabilitySet::empty(),
    };
    if wanted != held {
        rustix::thread::set_capabilities(None, wanted)?;
    }
    Ok(())
}
