//! Credentials that the service manager hands over (systemd's `LoadCredential=`): files in `$CREDENTIALS_DIRECTORY`.
//!
//! systemd makes them readable for the service's user alone: the file belongs to that user with mode 0400, or to root with
//! an access list that names the user. Such a list shows as the group's right to read, so that the mode is then 0440; no
//! group but root's may own such a file, as the mode can't tell a list from a group's own right.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use picket_sandbox::host::secret::Secret;

/// systemd's own limit on a credential (`CREDENTIAL_SIZE_MAX`).
const MAX: u64 = 1 << 20;

/// The credential, `None` where there is none of that name.
///
/// # Errors
/// One that others can read or change, in a sentence without its content.
pub(super) fn read(folder: &Path, name: &str) -> Result<Option<Secret>, String> {
    let path = folder.join(name);
    let say = |what: String| format!("credential {}: {what}", path.display());
    let file = match open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(say(error.to_string())),
    };
    let about = std::fs::metadata(folder).map_err(|error| say(error.to_string()))?;
    if !trusted_owner(&about) || about.mode() & 0o022 != 0 {
        return Err(say(format!(
            "its folder belongs to user {} with mode {:04o}, expected root or this user, and nobody else who may write",
            about.uid(),
            about.mode() & 0o7777
        )));
    }
    // The opened file is looked at: a name could be given to another file between a check and its use.
    let about = file.metadata().map_err(|error| say(error.to_string()))?;
    check(&about).map_err(say)?;
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or(0));
    let read = file.take(MAX + 1).read_to_end(&mut bytes);
    // From here on whatever was read is wiped when it is dropped.
    let secret = Secret::new(bytes);
    read.map_err(|error| say(error.to_string()))?;
    if secret.expose().len() as u64 > MAX {
        return Err(say(format!("expected at most {MAX} bytes")));
    }
    Ok(Some(secret))
}

fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)
}

fn trusted_owner(about: &Metadata) -> bool {
    about.uid() == 0 || about.uid() == rustix::process::geteuid().as_raw()
}

fn check(about: &Metadata) -> Result<(), String> {
    if !about.is_file() {
        return Err("it isn't a regular file".to_owned());
    }
    judge(
        about.mode() & 0o7777,
        about.uid(),
        about.gid(),
        rustix::process::geteuid().as_raw(),
    )
}

fn judge(mode: u32, owner: u32, group: u32, user: u32) -> Result<(), String> {
    if owner != 0 && owner != user {
        return Err(format!("it belongs to user {owner}, expected {user} or root"));
    }
    let of_others = mode & 0o077;
    let by_access_list = of_others == 0o040 && owner == 0 && group == 0;
    if of_others == 0 || by_access_list {
        return Ok(());
    }
    Err(format!(
        "its mode is {mode:04o}, expected 0400, or 0440 of root's user and group as systemd's access lists show"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modes_that_systemd_makes_are_taken() {
        judge(0o400, 1000, 1000, 1000).unwrap();
        judge(0o400, 0, 0, 1000).unwrap();
        judge(0o440, 0, 0, 1000).unwrap();
        judge(0o600, 1000, 1000, 1000).unwrap();
    }

    #[test]
    fn what_others_can_read_or_own_is_refused() {
        for (mode, owner, group) in [
            (0o444, 0, 0),
            (0o440, 0, 50),
            (0o440, 1000, 0),
            (0o460, 0, 0),
            (0o404, 1000, 1000),
            (0o400, 1001, 1000),
        ] {
            assert!(
                judge(mode, owner, group, 1000).is_err(),
                "{mode:o} {owner} {group}"
            );
        }
    }
}
