//! The bytes of `wasi:sockets` are counted: four functions in place of wasmtime-wasi's, which do the same and count.

use std::sync::Arc;

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host as _};
use wasmtime_wasi::p2::bindings::sockets::tcp::HostTcpSocket as _;
use wasmtime_wasi::p2::bindings::sockets::udp::{
    HostIncomingDatagramStream as _, HostOutgoingDatagramStream as _, IncomingDatagram,
    IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream,
};
use wasmtime_wasi::p2::pipe::{ClosedInputStream, ClosedOutputStream};
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, SocketError, StreamError,
    StreamResult, TcpSocket,
};
use wasmtime_wasi::sockets::WasiSocketsView as _;

use crate::net::guard::Guard;
use crate::run::RunState;

// The names under which wasmtime-wasi defines them. One that doesn't fit would define another instance that no guest
// imports, and a test would find nothing counted.
const TCP: &str = "wasi:sockets/tcp@0.2.12";
const UDP: &str = "wasi:sockets/udp@0.2.12";

type Store<'a> = StoreContextMut<'a, RunState>;
type Answer<T> = Result<T, ErrorCode>;

/// To be called where shadowing is allowed.
pub(super) fn add_to_linker(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    let mut tcp = linker.instance(TCP)?;
    tcp.func_wrap(
        "[method]tcp-socket.finish-connect",
        |mut store: Store<'_>, (socket,): (Resource<TcpSocket>,)| {
            let run = store.data_mut();
            let streams = finish_connect(run, socket);
            Ok((answer(run, streams)?,))
        },
    )?;
    let mut udp = linker.instance(UDP)?;
    udp.func_wrap(
        "[method]incoming-datagram-stream.receive",
        |mut store: Store<'_>, (stream, most): (Resource<IncomingDatagramStream>, u64)| {
            let run = store.data_mut();
            let received = run.sockets().receive(stream, most);
            let received = answer(run, received)?;
            if let Ok(datagrams) = &received {
                run.guard.count_bytes(total(datagrams.iter().map(size_in)), 0)?;
            }
            Ok((received,))
        },
    )?;
    udp.func_wrap(
        "[method]outgoing-datagram-stream.send",
        |mut store: Store<'_>,
         (stream, datagrams): (Resource<OutgoingDatagramStream>, Vec<OutgoingDatagram>)| {
            let run = store.data_mut();
            let sizes: Vec<usize> = datagrams.iter().map(|datagram| datagram.data.len()).collect();
            let sent = run.sockets().send(stream, datagrams);
            let sent = answer(run, sent)?;
            if let Ok(sent) = sent {
                let sent = usize::try_from(sent).unwrap_or(usize::MAX);
                run.guard.count_bytes(0, total(sizes.into_iter().take(sent)))?;
            }
            Ok((sent,))
        },
    )
}

fn size_in(datagram: &IncomingDatagram) -> usize {
    datagram.data.len()
}

fn total(sizes: impl Iterator<Item = usize>) -> usize {
    sizes.fold(0, usize::saturating_add)
}

/// What the guest sees of an error; the error itself where it is one that ends the run.
fn answer<T>(run: &mut RunState, result: Result<T, SocketError>) -> wasmtime::Result<Answer<T>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(run.sockets().convert_error_code(error)?)),
    }
}

type Streams = (Resource<DynInputStream>, Resource<DynOutputStream>);

fn finish_connect(run: &mut RunState, socket: Resource<TcpSocket>) -> Result<Streams, SocketError> {
    let (input, output) = run.sockets().finish_connect(socket)?;
    // In place, as the entries are children of the socket's.
    let slot = run.table.get_mut(&input)?;
    let stream = std::mem::replace(slot, Box::new(ClosedInputStream));
    *slot = Box::new(CountedInput {
        stream,
        guard: Arc::clone(&run.guard),
    });
    let slot = run.table.get_mut(&output)?;
    let stream = std::mem::replace(slot, Box::new(ClosedOutputStream));
    *slot = Box::new(CountedOutput {
        stream,
        guard: Arc::clone(&run.guard),
    });
    Ok((input, output))
}

fn spent(error: crate::net::guard::BytesSpent) -> StreamError {
    StreamError::Trap(error.into())
}

/// What a connection receives. The trait's other methods all come down to `read`, and wasmtime-wasi's streams of sockets
/// have none of their own.
struct CountedInput {
    stream: DynInputStream,
    guard: Arc<Guard>,
}

#[async_trait::async_trait]
impl Pollable for CountedInput {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

#[async_trait::async_trait]
impl InputStream for CountedInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.stream.read(size)?;
        self.guard.count_bytes(bytes.len(), 0).map_err(spent)?;
        Ok(bytes)
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

/// What a connection sends; the trait's other methods all come down to `write`.
struct CountedOutput {
    stream: DynOutputStream,
    guard: Arc<Guard>,
}

#[async_trait::async_trait]
impl Pollable for CountedOutput {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

#[async_trait::async_trait]
impl OutputStream for CountedOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let sent = bytes.len();
        self.stream.write(bytes)?;
        self.guard.count_bytes(0, sent).map_err(spent)
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.stream.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.stream.check_write()
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}
