use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;
use crate::spool::disk::RealDisk;
use crate::spool::view::Run;

const QUOTA: u64 = 3 * SEGMENT as u64;

fn open(folder: &Path) -> Log {
    Log::open(folder, Arc::new(RealDisk), QUOTA).unwrap()
}

fn read_all(log: &Log) -> Vec<Run> {
    let view = log.view();
    let mut runs = Vec::new();
    let mut cursor = 0;
    while let Some(run) = view.read(cursor, 64 << 10).unwrap() {
        cursor = run.last_seq();
        runs.push(run);
    }
    runs
}

fn numbers(runs: &[Run]) -> Vec<u64> {
    runs.iter()
        .flat_map(|run| run.first_seq..=run.last_seq())
        .collect()
}

fn lost(runs: &[Run]) -> Vec<Lost> {
    runs.iter().flat_map(|run| run.lost.clone()).collect()
}

#[test]
fn results_are_numbered_without_gaps_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let stream = log.view().stream();
    for n in 1..=10u64 {
        assert_eq!(log.append(&n.to_le_bytes(), 0).unwrap(), n);
    }
    log.sync(0).unwrap();
    drop(log);
    let mut log = open(folder.path());
    assert_eq!(log.view().stream(), stream);
    assert_eq!(log.append(b"next", 0).unwrap(), 11);
    log.sync(0).unwrap();
    let runs = read_all(&log);
    assert_eq!(numbers(&runs), (1..=11).collect::<Vec<_>>());
    assert_eq!(runs[0].payloads[4], 5u64.to_le_bytes());
    assert_eq!(lost(&runs), []);
}

#[test]
fn what_is_not_synced_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    log.append(b"a", 0).unwrap();
    assert_eq!(log.view().last_seq(), 0);
    assert!(read_all(&log).is_empty());
}

/// Fills `segments` segments with results of 64 KiB.
fn fill(log: &mut Log, segments: usize) -> u64 {
    let mut last = 0;
    for _ in 0..segments * 15 {
        last = log.append(&vec![7; 64 << 10], 0).unwrap();
    }
    log.sync(0).unwrap();
    last
}

#[test]
fn a_full_spool_drops_its_oldest_results_and_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let last = fill(&mut log, 5);
    assert!(log.view().bytes() <= QUOTA);
    let runs = read_all(&log);
    let first = runs[0].first_seq;
    assert!(first > 1);
    assert_eq!(
        runs[0].lost,
        [Lost {
            first_seq: 1,
            last_seq: first - 1,
            cause: Cause::Quota
        }]
    );
    assert_eq!(numbers(&runs), (first..=last).collect::<Vec<_>>());
    assert_eq!(log.view().dropped(), first - 1);
    drop(log);
    let log = open(folder.path());
    assert_eq!(
        read_all(&log)[0].lost,
        [Lost {
            first_seq: 1,
            last_seq: first - 1,
            cause: Cause::Quota
        }]
    );
    assert_eq!(log.view().dropped(), first - 1);
}

#[test]
fn acknowledged_results_that_are_dropped_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let last = fill(&mut log, 2);
    log.acknowledge(last, 0);
    fill(&mut log, 2);
    assert_eq!(log.view().dropped(), 0);
    assert!(log.take_incidents().is_empty());
}

#[test]
fn acknowledged_segments_are_freed_only_after_the_replay_window() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let last = fill(&mut log, 2);
    let before = log.view().bytes();
    log.acknowledge(last, REPLAY_WINDOW_MS - 1);
    assert_eq!(log.view().bytes(), before);
    log.free_acknowledged(REPLAY_WINDOW_MS);
    assert_eq!(log.view().bytes(), SEGMENT as u64);
    drop(log);
    assert_eq!(open(folder.path()).append(b"next", 0).unwrap(), last + 1);
}

#[test]
fn a_foreign_segment_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    log.append(b"a", 0).unwrap();
    log.sync(0).unwrap();
    let head = record::encode_header(Uuid::from_u128(1), 900);
    std::fs::write(segment_path(folder.path(), 900), head).unwrap();
    drop(log);
    let mut log = open(folder.path());
    assert!(matches!(log.take_incidents()[..], [Incident::Foreign(_)]));
    assert_eq!(log.append(b"b", 0).unwrap(), 2);
}

#[test]
fn a_spool_restored_from_an_old_copy_begins_a_new_stream() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    fill(&mut log, 1);
    let old = log.view().stream();
    log.begin_new_stream().unwrap();
    assert_ne!(log.view().stream(), old);
    assert_eq!(log.append(b"a", 0).unwrap(), 1);
    log.sync(0).unwrap();
    drop(log);
    let log = open(folder.path());
    assert_ne!(log.view().stream(), old);
    assert_eq!(numbers(&read_all(&log)), [1]);
}

#[test]
fn a_result_that_fits_no_segment_is_refused_and_spends_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    assert!(matches!(
        log.append(&vec![0; MAX_PAYLOAD + 1], 0),
        Err(AppendError::TooLarge { .. })
    ));
    assert_eq!(log.append(&vec![0; MAX_PAYLOAD], 0).unwrap(), 1);
    log.sync(0).unwrap();
    assert_eq!(numbers(&read_all(&log)), [1]);
}

/// A disk that can be full, or fail its syncs.
#[derive(Debug, Default)]
struct Faulty {
    full: AtomicBool,
    sync_fails: Arc<AtomicBool>,
    removed: Mutex<u32>,
}

struct FaultyFile(Arc<dyn SegmentFile>, Arc<AtomicBool>);

impl SegmentFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.1.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.sync()
    }
}

impl Faulty {
    fn check(&self) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn faulty(&self, file: Arc<dyn SegmentFile>) -> Arc<dyn SegmentFile> {
        Arc::new(FaultyFile(file, Arc::clone(&self.sync_fails)))
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path, head: &[u8], size: usize) -> io::Result<Arc<dyn SegmentFile>> {
        self.check()?;
        RealDisk.create(path, head, size).map(|file| self.faulty(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn SegmentFile>> {
        RealDisk.open(path).map(|file| self.faulty(file))
    }

    fn replace(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        self.check()?;
        RealDisk.replace(path, text)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        *self.removed.lock().unwrap() += 1;
        // Room again.
        self.full.store(false, Ordering::Relaxed);
        RealDisk.remove(path)
    }
}

#[test]
fn a_full_disk_loses_new_results_with_their_cause_and_takes_results_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let mut log = Log::open(folder.path(), Arc::clone(&disk) as _, 100 << 20).unwrap();
    let last = fill(&mut log, 1);
    disk.full.store(true, Ordering::Relaxed);
    let big = vec![7; 64 << 10];
    let mut failed = Vec::new();
    for now_ms in 0..20 {
        if let Err(AppendError::Lost { seq, .. }) = log.append(&big, now_ms) {
            failed.push(seq);
        }
    }
    assert!(!failed.is_empty());
    disk.full.store(false, Ordering::Relaxed);
    let next = log.append(b"again", 10_000).unwrap();
    log.sync(10_000).unwrap();
    let expected = Lost {
        first_seq: failed[0],
        last_seq: *failed.last().unwrap(),
        cause: Cause::DiskFull,
    };
    for log in [log, Log::open(folder.path(), disk, 100 << 20).unwrap()] {
        let runs = read_all(&log);
        assert_eq!(lost(&runs), [expected]);
        let mut all = numbers(&runs);
        all.extend(expected.first_seq..=expected.last_seq);
        all.sort_unstable();
        assert_eq!(all, (1..=next).collect::<Vec<_>>());
        assert!(last < next);
    }
}

#[test]
fn a_full_disk_gets_room_from_what_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let mut log = Log::open(folder.path(), Arc::clone(&disk) as _, 100 << 20).unwrap();
    let last = fill(&mut log, 2);
    log.acknowledge(last, 0);
    disk.full.store(true, Ordering::Relaxed);
    for _ in 0..15 {
        log.append(&vec![7; 64 << 10], 0).unwrap();
    }
    assert!(*disk.removed.lock().unwrap() >= 1);
    assert!(
        log.take_incidents()
            .iter()
            .all(|incident| !matches!(incident, Incident::Lost(_)))
    );
}

#[test]
fn a_failed_sync_loses_what_was_not_durable_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(Faulty::default());
    let mut log = Log::open(folder.path(), Arc::clone(&disk) as _, QUOTA).unwrap();
    log.append(b"durable", 0).unwrap();
    log.sync(0).unwrap();
    log.append(b"gone", 0).unwrap();
    disk.sync_fails.store(true, Ordering::Relaxed);
    assert!(log.sync(0).is_err());
    disk.sync_fails.store(false, Ordering::Relaxed);
    assert_eq!(log.append(b"later", 5_000).unwrap(), 3);
    log.sync(5_000).unwrap();
    drop(log);
    let runs = read_all(&open(folder.path()));
    assert_eq!(numbers(&runs), [1, 3]);
    assert_eq!(
        lost(&runs),
        [Lost {
            first_seq: 2,
            last_seq: 2,
            cause: Cause::DiskFull
        }]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_power_cut_at_any_byte_keeps_every_whole_record_and_numbers_go_on(
        sizes in proptest::collection::vec(0usize..2_000, 1..40),
        cut in 0.0f64..1.0,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path());
        for size in &sizes {
            log.append(&vec![1; *size], 0).unwrap();
        }
        log.sync(0).unwrap();
        let end = log.view().segments[0].end;
        drop(log);
        let path = segment_path(folder.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        let cut = record::HEADER + ((end - record::HEADER) as f64 * cut) as usize;
        bytes[cut..].fill(0);
        std::fs::write(&path, bytes).unwrap();

        let mut log = open(folder.path());
        let kept = read_all(&log);
        let kept = numbers(&kept);
        prop_assert_eq!(&kept, &(1..=kept.len() as u64).collect::<Vec<_>>());
        let next = log.append(b"after", 0).unwrap();
        prop_assert_eq!(next, kept.len() as u64 + 1);
        log.sync(0).unwrap();
        drop(log);
        let runs = read_all(&open(folder.path()));
        prop_assert_eq!(numbers(&runs), (1..=next).collect::<Vec<_>>());
        prop_assert!(lost(&runs).is_empty());
    }

    #[test]
    fn a_damaged_byte_costs_one_record_which_is_reported(
        count in 3u64..30,
        position in 0.0f64..1.0,
        flip in 1u8..,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open(folder.path());
        for n in 0..count {
            log.append(&[n as u8; 64], 0).unwrap();
        }
        log.sync(0).unwrap();
        let end = log.view().segments[0].end;
        drop(log);
        let path = segment_path(folder.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        // Not in the last record: there it would be the torn end of a write.
        let last = end - record::footprint(64);
        let at = record::HEADER + ((last - record::HEADER) as f64 * position) as usize;
        bytes[at] ^= flip;
        std::fs::write(&path, bytes).unwrap();
        let runs = read_all(&open(folder.path()));
        let found = lost(&runs);
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(found[0].cause, Cause::Corruption);
        prop_assert_eq!(found[0].count(), 1);
        prop_assert_eq!(numbers(&runs).len() as u64, count - 1);
    }
}
