use super::*;

const QUOTA: u64 = 8 << 20;

fn open(folder: &Path) -> Spool {
    Spool::open(folder, QUOTA, Box::new(|_| {})).unwrap()
}

#[tokio::test]
async fn a_result_is_durable_within_a_second_without_anybody_asking() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let appended = spool.append(b"a".to_vec()).await;
    let position = tokio::time::timeout(std::time::Duration::from_secs(5), appended.durable())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        position,
        Position {
            stream: spool.view().stream(),
            seq: 1
        }
    );
    assert_eq!(spool.view().read(0, 1_000).unwrap().unwrap().payloads, [b"a"]);
}

#[tokio::test]
async fn a_flush_makes_everything_handed_over_before_durable() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    for _ in 0..100 {
        spool.append(vec![0; 10]).await;
    }
    spool.flush().await;
    assert_eq!(spool.view().last_seq(), 100);
}

#[tokio::test]
async fn closing_loses_nothing_and_gives_the_lock_up() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    spool.append(b"a".to_vec()).await;
    spool.close().await;
    assert!(spool.append(b"late".to_vec()).await.durable().await.is_err());
    assert_eq!(open(folder.path()).view().last_seq(), 1);
}

#[tokio::test]
async fn a_second_agent_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    let error = Spool::open(folder.path(), QUOTA, Box::new(|_| {})).unwrap_err();
    assert!(
        error.to_string().contains("in use by another agent-host"),
        "{error}"
    );
    assert!(is_locked(folder.path()));
}

#[tokio::test]
async fn a_cursor_beyond_what_was_ever_held_begins_a_new_stream() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    spool.append(b"a".to_vec()).await;
    let stream = spool.view().stream();
    spool.reconcile(stream, 1).await;
    assert_eq!(spool.view().stream(), stream);
    spool.reconcile(Uuid::new_v4(), 900).await;
    assert_eq!(spool.view().stream(), stream);
    spool.reconcile(stream, 900).await;
    assert_ne!(spool.view().stream(), stream);
}

#[tokio::test]
async fn an_acknowledgement_of_another_stream_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    spool.append(b"a".to_vec()).await;
    spool.flush().await;
    spool.acknowledge(Uuid::new_v4(), 1).await;
    spool.flush().await;
    assert_eq!(spool.view().acknowledged(), 0);
    spool.acknowledge(spool.view().stream(), 1).await;
    spool.flush().await;
    assert_eq!(spool.view().acknowledged(), 1);
}
