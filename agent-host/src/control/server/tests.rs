use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[test]
fn only_our_own_user_and_root_may_speak() {
    assert!(may_speak(1000, 1000));
    assert!(may_speak(0, 1000));
    assert!(!may_speak(1001, 1000));
    assert!(!may_speak(1000, 0));
}

#[tokio::test]
async fn the_socket_is_private_from_the_start_and_goes_with_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let socket = ControlSocket::bind(folder.path()).unwrap();
    let path = folder.path().join("control.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    drop(socket);
    assert!(!path.exists());
}

#[tokio::test]
async fn the_socket_of_a_dead_agent_is_replaced_and_a_file_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    drop(StdListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(ControlSocket::bind(folder.path()).unwrap());
    std::fs::write(&path, "notes").unwrap();
    let error = ControlSocket::bind(folder.path()).unwrap_err().to_string();
    assert!(error.contains("is in the way"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "notes");
}

#[test]
fn a_path_that_no_socket_can_have_is_named_with_its_length() {
    let longest = Path::new("/").join("x".repeat(107 - "//control.sock".len()));
    assert!(socket_path(&longest).is_ok());
    let error = socket_path(&Path::new("/").join("x".repeat(108 - "//control.sock".len()))).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("has 108 bytes and a socket's may have 107"),
        "{error}"
    );
}

/// A listener's stand-in: the requests are answered with a constant, which shows who gets that far.
async fn first_bytes(is_let_in: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let socket = ControlSocket::bind(folder.path()).unwrap();
    let path = folder.path().join("control.sock");
    let shutdown = CancellationToken::new();
    let task = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            let greet = |mut stream: UnixStream| async move {
                let _ = stream.write_all(b"hello").await;
            };
            socket.serve_peers(move |_| is_let_in, greet, shutdown).await;
        }
    });
    let mut stream = UnixStream::connect(path).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    shutdown.cancel();
    task.await.unwrap();
    bytes
}

#[tokio::test]
async fn a_connection_of_another_user_gets_no_answer() {
    assert_eq!(first_bytes(true).await, b"hello");
    assert_eq!(first_bytes(false).await, b"");
}
