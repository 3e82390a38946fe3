//! Changes and leaves a granted folder by every call that WASI has for it.

#![cfg(target_family = "wasm")]

use guest_kit::wasi::clocks::wall_clock::Datetime;
use guest_kit::wasi::filesystem::preopens::get_directories;
use guest_kit::wasi::filesystem::types::{
    Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags,
};
use guest_kit::{Error, Report, Request, failed, metric, ok};

/// Where the way out is: `escape` is a link to a file outside, `way-out` one to the folder outside.
const OUTSIDE: [&str; 9] = [
    "../outside",
    "./../outside",
    "inside/../../outside",
    "/etc/passwd",
    "escape",
    "way-out/outside",
    "way-out/../etc/passwd",
    "//etc/passwd",
    "..",
];

const THEN: NewTimestamp = NewTimestamp::Timestamp(Datetime {
    seconds: 1,
    nanoseconds: 0,
});

/// What was tried, and what worked.
#[derive(Default)]
struct Attempts {
    tried: usize,
    succeeded: Vec<String>,
}

impl Attempts {
    fn note<T>(&mut self, what: &str, outcome: Result<T, ErrorCode>) {
        self.tried += 1;
        if outcome.is_ok() {
            self.succeeded.push(what.to_owned());
        }
    }
}

/// The folder, which holds `inside`, is the only one that is granted. Names what worked.
fn run(_request: &Request) -> Result<Report, Error> {
    let folders = get_directories();
    let (folder, _) = folders.first().ok_or_else(|| failed(&"no folder is granted"))?;
    let mut attempts = Attempts::default();
    change(&mut attempts, folder);
    leave(&mut attempts, folder);
    // Opened once more with the right to change it: whether that handle is given or not, it mustn't have the right.
    let again = folder.open_at(
        PathFlags::empty(),
        ".",
        OpenFlags::DIRECTORY,
        DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
    );
    if let Ok(again) = again {
        change(&mut attempts, &again);
        leave(&mut attempts, &again);
    }
    let file = folder
        .open_at(
            PathFlags::empty(),
            "inside",
            OpenFlags::empty(),
            DescriptorFlags::READ,
        )
        .map_err(|error| failed(&error))?;
    change_file(&mut attempts, &file);
    let (bytes, _) = file.read(16, 0).map_err(|error| failed(&error))?;
    let mut report = ok(&format!(
        "read {}; what worked: {}",
        String::from_utf8_lossy(&bytes).trim(),
        attempts.succeeded.join(", ")
    ));
    report.metrics = vec![
        metric("tried", attempts.tried as f64),
        metric("succeeded", attempts.succeeded.len() as f64),
    ];
    Ok(report)
}

fn change(attempts: &mut Attempts, folder: &Descriptor) {
    let none = PathFlags::empty();
    for (what, open, flags) in [
        ("write", OpenFlags::empty(), DescriptorFlags::WRITE),
        ("truncate", OpenFlags::TRUNCATE, DescriptorFlags::READ),
        ("create", OpenFlags::CREATE, DescriptorFlags::READ),
    ] {
        for path in ["inside", "new", "."] {
            // Opening what is there without changing it is no sin.
            if !(what == "create" && path != "new") {
                attempts.note(&format!("{what} {path}"), folder.open_at(none, path, open, flags));
            }
        }
    }
    attempts.note("rename", folder.rename_at("inside", folder, "moved"));
    attempts.note("link", folder.link_at(none, "inside", folder, "linked"));
    attempts.note("symlink", folder.symlink_at("inside", "linked"));
    attempts.note("symlink out", folder.symlink_at("../outside", "linked"));
    attempts.note("symlink to root", folder.symlink_at("/etc/passwd", "linked"));
    attempts.note("unlink", folder.unlink_file_at("inside"));
    attempts.note("make a folder", folder.create_directory_at("made"));
    attempts.note("remove a folder", folder.remove_directory_at("empty"));
    attempts.note("touch", folder.set_times_at(none, "inside", THEN, THEN));
    attempts.note("touch the folder", folder.set_times(THEN, THEN));
}

fn leave(attempts: &mut Attempts, folder: &Descriptor) {
    let none = PathFlags::empty();
    for path in OUTSIDE {
        let named = |what: &str| format!("{what} {path}");
        for follow in [PathFlags::SYMLINK_FOLLOW, none] {
            attempts.note(
                &named("open"),
                folder.open_at(follow, path, OpenFlags::empty(), DescriptorFlags::READ),
            );
            attempts.note(&named("touch"), folder.set_times_at(follow, path, THEN, THEN));
            attempts.note(
                &named("link from"),
                folder.link_at(follow, path, folder, "linked"),
            );
            // The link itself lies inside: only what is beyond it is none of the guest's business.
            if follow == PathFlags::SYMLINK_FOLLOW || !["escape"].contains(&path) {
                attempts.note(&named("stat"), folder.stat_at(follow, path));
                attempts.note(&named("hash"), folder.metadata_hash_at(follow, path));
            }
        }
        attempts.note(&named("rename to"), folder.rename_at("inside", folder, path));
        attempts.note(&named("rename from"), folder.rename_at(path, folder, "taken"));
        attempts.note(&named("link to"), folder.link_at(none, "inside", folder, path));
        attempts.note(&named("symlink at"), folder.symlink_at("inside", path));
        attempts.note(&named("unlink"), folder.unlink_file_at(path));
        attempts.note(&named("make"), folder.create_directory_at(path));
        attempts.note(&named("remove"), folder.remove_directory_at(path));
    }
}

fn change_file(attempts: &mut Attempts, file: &Descriptor) {
    attempts.note("write bytes", file.write(b"changed", 0));
    attempts.note("cut", file.set_size(0));
    attempts.note("grow", file.set_size(1 << 40));
    attempts.note("touch the file", file.set_times(THEN, THEN));
    attempts.note("append", file.append_via_stream());
    attempts.note("stream", file.write_via_stream(0));
}

guest_kit::guest!(run);
