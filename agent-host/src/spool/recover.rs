//! Opening a spool: what its files say after whatever happened to them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::loss::{Cause, Losses, Lost};
use super::record::{self, Walk};
use super::view::SegmentInfo;

/// What a spool remembers beside its records. Everything here can be lost without losing a result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) stream: Uuid,
    #[serde(default)]
    pub(super) acknowledged: u64,
    #[serde(default)]
    pub(super) dropped: u64,
    #[serde(default)]
    pub(super) losses: Losses,
}

/// What was found on disk.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) meta: Meta,
    pub(super) segments: Vec<SegmentInfo>,
    pub(super) next_seq: u64,
    /// Newly found to be damaged.
    pub(super) corrupt: Vec<Lost>,
    /// The newest segment has something after its last record: the torn end of a write.
    pub(super) torn: bool,
    /// Segments of another spool.
    pub(super) foreign: Vec<PathBuf>,
}

pub(super) fn meta_path(folder: &Path) -> PathBuf {
    folder.join("spool.json")
}

/// Reads everything in `folder`; changes nothing.
pub(super) fn recover(folder: &Path) -> io::Result<Recovered> {
    let files = segment_files(folder)?;
    let mut contents = BTreeMap::new();
    for (first_seq, path) in files {
        contents.insert(first_seq, (std::fs::read(&path)?, modified_ms(&path), path));
    }
    let known = match std::fs::read(meta_path(folder)) {
        Ok(text) => serde_json::from_slice::<Meta>(&text).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let newest = || {
        contents
            .values()
            .rev()
            .find_map(|(content, _, _)| record::decode_header(content))
    };
    let meta = match (known, newest()) {
        (Some(meta), _) => meta,
        (None, Some((stream, _))) => Meta {
            stream,
            ..Meta::default()
        },
        (None, None) => Meta {
            stream: Uuid::new_v4(),
            ..Meta::default()
        },
    };
    let mut found = Recovered {
        next_seq: 1,
        ..Recovered::default()
    };
    for (first_seq, (content, written_ms, path)) in contents {
        let header = record::decode_header(&content);
        if header.is_some_and(|header| header != (meta.stream, first_seq)) {
            found.foreign.push(path);
            continue;
        }
        let is_first = found.segments.is_empty();
        let expected = if is_first { first_seq } else { found.next_seq };
        if first_seq > expected {
            found.corrupt.push(Lost {
                first_seq: expected,
                last_seq: first_seq - 1,
                cause: Cause::Corruption,
            });
        }
        let mut walk = Walk::new(
            &content,
            record::seed(meta.stream),
            record::HEADER,
            first_seq.max(expected),
        );
        walk.by_ref().for_each(drop);
        let end = walk.offset();
        found.next_seq = walk.next_seq();
        found.torn = content
            .get(end..)
            .unwrap_or_default()
            .iter()
            .any(|&byte| byte != 0);
        let (corrupt, other): (Vec<_>, Vec<_>) = walk
            .into_lost()
            .into_iter()
            .partition(|lost| lost.cause == Cause::Corruption);
        found.corrupt.extend(corrupt);
        other.into_iter().for_each(|lost| found.meta.losses.add(lost));
        found.segments.push(SegmentInfo {
            first_seq,
            last_seq: found.next_seq - 1,
            end,
            written_ms,
        });
    }
    // A loss that the log itself tells of is not forgotten with the file that repeats it.
    let told = std::mem::take(&mut found.meta.losses);
    found.meta = meta;
    told.ranges().iter().for_each(|lost| found.meta.losses.add(*lost));
    found.corrupt.iter().for_each(|lost| found.meta.losses.add(*lost));
    Ok(found)
}

fn segment_files(folder: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        let number = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (true, Some(number)) = (is_segment, number) {
            files.insert(number, path);
        }
    }
    Ok(files)
}

fn modified_ms(path: &Path) -> u64 {
    let modified = std::fs::metadata(path)
        .and_then(|meta| meta.modified())
        .unwrap_or(UNIX_EPOCH);
    modified
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}
