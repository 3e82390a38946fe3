//! One mutant, built and tested.

use std::fmt;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::copy::Copy;
use super::list::Mutant;

/// The tests take some seconds; without a step one may wait for what never comes.
const LONGEST: Duration = Duration::from_secs(180);

/// What the tests say.
pub(super) enum Outcome {
    /// This test failed, or what else they noticed.
    Killed(String),
    /// All passed.
    Survived,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(test) => write!(f, "`{test}`"),
            Self::Survived => f.write_str("**nothing**"),
        }
    }
}

/// Tries a mutant; the copy is afterwards as before.
pub(super) fn of(copy: &Copy, mutant: &Mutant) -> anyhow::Result<Outcome> {
    eprintln!("xtask: without: {}", mutant.step);
    let original = copy.read(&mutant.file)?;
    copy.write(&mutant.file, mutant.apply(&original)?.as_bytes())?;
    let outcome = tests(copy, &mutant.packages).with_context(|| format!("mutant `{}`", mutant.step));
    copy.write(&mutant.file, original.as_bytes())?;
    outcome
}

/// Those that need the whole crate first: they kill most mutants. The crate's own unit tests only for what is left.
const KINDS: [&[&str]; 2] = [&["--test", "*"], &["--lib"]];

/// Builds and runs the tests of some packages, one after the other until one fails.
pub(super) fn tests(copy: &Copy, packages: &[String]) -> anyhow::Result<Outcome> {
    for package in packages {
        for kind in KINDS {
            let mut build = test(copy, package, kind);
            let built = build.arg("--no-run").output().context("can't run cargo")?;
            if !built.status.success() {
                bail!("it doesn't compile:\n{}", String::from_utf8_lossy(&built.stderr));
            }
            if let Some(failed) = failing(test(copy, package, kind))? {
                return Ok(Outcome::Killed(failed));
            }
        }
    }
    Ok(Outcome::Survived)
}

fn test(copy: &Copy, package: &str, kind: &[&str]) -> Command {
    let mut command = copy.cargo();
    command.args(["test", "--quiet", "--locked", "--package", package]);
    command.args(kind);
    // Some tests search for paths until a limit ends it.
    command.args(["--config", "profile.dev.package.rustls-webpki.opt-level=2"]);
    // A mutant leaves things unused.
    command.env("RUSTFLAGS", "--cap-lints=allow");
    command
}

/// The first test that fails, or what else went wrong.
fn failing(mut command: Command) -> anyhow::Result<Option<String>> {
    let said = tempfile()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(Stdio::null())
        // The tests are children of cargo's: all of them are ended together.
        .process_group(0)
        .spawn()
        .context("can't run cargo")?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok(None);
            }
            return Ok(Some(
                first_failure(&read(said)?).unwrap_or_else(|| "the tests' process".to_owned()),
            ));
        }
        if began.elapsed() > LONGEST {
            let group = format!("-{}", child.id());
            Command::new("kill").args(["-KILL", "--", &group]).status()?;
            child.wait()?;
            return Ok(Some("no end".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The line of libtest that names it: `---- agent_faces::refuses_… stdout ----`.
fn first_failure(said: &str) -> Option<String> {
    said.lines()
        .find_map(|line| line.strip_prefix("---- ")?.strip_suffix(" stdout ----"))
        .map(str::to_owned)
}

/// A file without a name: a pipe that nobody reads would fill up.
fn tempfile() -> anyhow::Result<File> {
    let path = std::env::temp_dir().join(format!("picket-xtask-{}.txt", std::process::id()));
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn read(mut file: File) -> anyhow::Result<String> {
    use std::io::{Read as _, Seek as _};
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_failing_test_is_found_in_what_libtest_prints() {
        let said = "running 2 tests\n.F\nfailures:\n\n---- shapes::refuses_two stdout ----\n\nthread …\n";
        assert_eq!(first_failure(said).as_deref(), Some("shapes::refuses_two"));
        assert_eq!(first_failure("running 1 test\n.\n"), None);
    }
}
