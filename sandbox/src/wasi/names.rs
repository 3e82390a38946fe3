//! `wasi:sockets/ip-name-lookup`, in place of wasmtime-wasi's, which asks nobody whether a name is granted.

use std::net::IpAddr;
use std::sync::Arc;
use std::vec;

use tokio::task::JoinHandle;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{self, ResolveAddressStream};
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, Pollable, SocketError, subscribe};

use crate::net::guard::{Guard, Refusal};
use crate::net::resolve::ResolveError;
use crate::run::RunState;

/// One run's view of names.
pub(crate) struct Names<'a> {
    guard: &'a Arc<Guard>,
    table: &'a mut ResourceTable,
}

struct HasNames;

impl HasData for HasNames {
    type Data<'a> = Names<'a>;
}

pub(super) fn add_to_linker(linker: &mut Linker<RunState>) -> wasmtime::Result<()> {
    ip_name_lookup::add_to_linker::<RunState, HasNames>(linker, |run| Names {
        guard: &run.guard,
        table: &mut run.table,
    })
}

/// A look-up under way. Dropping it drops the wait, so a run that ends doesn't leave it behind.
enum Lookup {
    Pending(JoinHandle<Result<Vec<IpAddr>, ErrorCode>>),
    Done(Result<vec::IntoIter<IpAddr>, ErrorCode>),
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if let Self::Pending(task) = self {
            task.abort();
        }
    }
}

#[async_trait::async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        if let Self::Pending(task) = self {
            let found = task.await.unwrap_or(Err(ErrorCode::Unknown));
            *self = Self::Done(found.map(Vec::into_iter));
        }
    }
}

fn error_code(refusal: &Refusal) -> ErrorCode {
    match refusal {
        Refusal::Denied(_) => ErrorCode::AccessDenied,
        Refusal::Unresolved(ResolveError::NoAddress { .. }) => ErrorCode::NameUnresolvable,
        Refusal::Unresolved(ResolveError::Timeout { .. }) => ErrorCode::TemporaryResolverFailure,
        Refusal::Invalid(_) => ErrorCode::InvalidArgument,
    }
}

/// The contract's resource type is wasmtime-wasi's, which can't be made outside of it: handles carry our own type's index.
fn ours(stream: &Resource<ResolveAddressStream>) -> Resource<Lookup> {
    Resource::new_borrow(stream.rep())
}

// `ip-name-lookup` uses the types of `network`, and the generated trait asks for its functions with them. The linker has
// wasmtime-wasi's own for the guest.
impl network::Host for Names<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<std::io::Error>().map(ErrorCode::from))
    }
}

impl network::HostNetwork for Names<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.table.delete(network)?;
        Ok(())
    }
}

impl ip_name_lookup::Host for Names<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<ResolveAddressStream>, SocketError> {
        // The handle is the capability to look up at all.
        self.table.get(&network)?;
        let guard = Arc::clone(self.guard);
        let task =
            tokio::spawn(async move { guard.lookup(&name).await.map_err(|refusal| error_code(&refusal)) });
        let lookup = self.table.push(Lookup::Pending(task))?;
        Ok(Resource::new_own(lookup.rep()))
    }
}

impl ip_name_lookup::HostResolveAddressStream for Names<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        match self.table.get_mut(&ours(&stream))? {
            Lookup::Pending(_) => Err(ErrorCode::WouldBlock.into()),
            Lookup::Done(Ok(addresses)) => Ok(addresses.next().map(IpAddress::from)),
            Lookup::Done(Err(code)) => Err((*code).into()),
        }
    }

    fn subscribe(
        &mut self,
        stream: Resource<ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.table, ours(&stream))
    }

    fn drop(&mut self, stream: Resource<ResolveAddressStream>) -> wasmtime::Result<()> {
        self.table.delete(Resource::<Lookup>::new_own(stream.rep()))?;
        Ok(())
    }
}
