//! gRPC calls and streams.

use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use wasmtime::Linker;

use super::{Answer, Host, Status, answer, guest, pairs};
use crate::callouts::{GrpcKind, GrpcRequest};
use crate::host::HostState;

/// `envoy.config.core.v3.GrpcService`, as far as it names a cluster.
#[derive(Clone, PartialEq, Message)]
struct GrpcService {
    #[prost(message, optional, tag = "1")]
    envoy_grpc: Option<EnvoyGrpc>,
}

#[derive(Clone, PartialEq, Message)]
struct EnvoyGrpc {
    #[prost(string, tag = "1")]
    cluster_name: String,
}

pub(super) fn link(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    link_open(linker)?;
    linker.func_wrap(
        "env",
        "proxy_grpc_send",
        |mut host: Host<'_>, token: u32, message: u32, message_len: u32, last: u32| {
            answer(
                guest::read(&host, message, message_len).and_then(|message| {
                    let sent = host.data_mut().grpc_send(token, &message, last != 0);
                    sent.map_err(Into::into)
                }),
            )
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_close",
        |mut host: Host<'_>, token: u32| {
            answer(host.data_mut().grpc_close(token).map_err(Into::into))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_cancel",
        |mut host: Host<'_>, token: u32| {
            answer(host.data_mut().grpc_cancel(token).map_err(Into::into))
        },
    )?;
    Ok(())
}

/// Where a call's parts are in the guest's memory.
struct Parts {
    service: (u32, u32),
    name: (u32, u32),
    method: (u32, u32),
    metadata: (u32, u32),
}

fn link_open(linker: &mut Linker<HostState>) -> wasmtime::Result<()> {
    linker.func_wrap(
        "env",
        "proxy_grpc_call",
        |mut host: Host<'_>,
         service: u32,
         service_len: u32,
         name: u32,
         name_len: u32,
         method: u32,
         method_len: u32,
         metadata: u32,
         metadata_len: u32,
         message: u32,
         message_len: u32,
         timeout: u32,
         token_at: u32| {
            let parts = Parts {
                service: (service, service_len),
                name: (name, name_len),
                method: (method, method_len),
                metadata: (metadata, metadata_len),
            };
            let message = (message, message_len);
            answer(call(&mut host, &parts, message, timeout, token_at))
        },
    )?;
    linker.func_wrap(
        "env",
        "proxy_grpc_stream",
        |mut host: Host<'_>,
         service: u32,
         service_len: u32,
         name: u32,
         name_len: u32,
         method: u32,
         method_len: u32,
         metadata: u32,
         metadata_len: u32,
         token_at: u32| {
            let parts = Parts {
                service: (service, service_len),
                name: (name, name_len),
                method: (method, method_len),
                metadata: (metadata, metadata_len),
            };
            answer(stream(&mut host, &parts, token_at))
        },
    )?;
    Ok(())
}

/// Calls for the root context, whichever context is effective.
fn call(
    host: &mut Host<'_>,
    parts: &Parts,
    message: (u32, u32),
    timeout: u32,
    token_at: u32,
) -> Answer {
    let message = guest::read(host, message.0, message.1)?;
    let timeout = (timeout != 0).then(|| Duration::from_millis(u64::from(timeout)));
    let (service, request) = read(host, parts, timeout)?;
    let token = host
        .data_mut()
        .grpc_open(GrpcKind::Call, &service, request)?;
    host.data_mut().grpc_ask(token, &message);
    guest::write_u32(host, token_at, token)
}

fn stream(host: &mut Host<'_>, parts: &Parts, token_at: u32) -> Answer {
    let (service, request) = read(host, parts, None)?;
    let token = host
        .data_mut()
        .grpc_open(GrpcKind::Stream, &service, request)?;
    guest::write_u32(host, token_at, token)
}

fn read(
    host: &Host<'_>,
    parts: &Parts,
    timeout: Option<Duration>,
) -> Answer<(Service, GrpcRequest)> {
    let service = guest::read(host, parts.service.0, parts.service.1)?;
    let metadata = guest::read(host, parts.metadata.0, parts.metadata.1)?;
    let request = GrpcRequest {
        service: guest::read_text(host, parts.name.0, parts.name.1)?,
        method: guest::read_text(host, parts.method.0, parts.method.1)?,
        metadata: pairs::decode(&metadata).unwrap_or_default(),
        timeout,
        at: host.data().now,
    };
    Ok((named(&service)?, request))
}

/// How a filter names the cluster.
enum Service {
    /// By its name alone.
    Name(String),
    /// By a `GrpcService` message; whether there is such a cluster, Envoy looks later.
    Message(String),
}

/// A service that is no message of protobuf's is a cluster's name.
fn named(service: &[u8]) -> Answer<Service> {
    match GrpcService::decode(service) {
        Ok(GrpcService {
            envoy_grpc: Some(EnvoyGrpc { cluster_name }),
        }) => Ok(Service::Message(cluster_name)),
        Ok(_) => Err(Status::BadArgument.into()),
        Err(_) => Ok(Service::Name(String::from_utf8_lossy(service).into_owned())),
    }
}

impl HostState {
    /// # Errors
    /// `ParseFailure` for the name of no cluster. `InternalFailure` for a message that
    /// names none, and for a cluster without hosts; the filter is then told of a failed
    /// call whose token it never had.
    fn grpc_open(
        &mut self,
        kind: GrpcKind,
        service: &Service,
        request: GrpcRequest,
    ) -> Result<u32, Status> {
        let callouts = Arc::clone(&self.callouts);
        let (name, unknown) = match service {
            Service::Name(name) => (name, None),
            Service::Message(name) => (name, Some("Cluster not available")),
        };
        let why = match (callouts.has_hosts(name), unknown) {
            (Some(true), _) => {
                let to = (self.worker, name.as_str());
                return Ok(self.grpc.begin(&callouts, kind, to, request));
            }
            (Some(false), _) => "no healthy upstream{no_healthy_upstream}",
            (None, Some(why)) => why,
            (None, None) => return Err(Status::ParseFailure),
        };
        self.grpc
            .fail(&callouts, kind, (self.worker, name.as_str()), request, why);
        Err(Status::InternalFailure)
    }

    fn grpc_ask(&mut self, token: u32, message: &[u8]) {
        self.grpc.ask(&self.callouts, self.now, token, message);
    }

    fn grpc_send(&mut self, token: u32, message: &[u8], last: bool) -> Result<(), Status> {
        let (grpc, now) = (&mut self.grpc, self.now);
        grpc.send(&self.callouts, now, token, message, last)
    }

    fn grpc_close(&mut self, token: u32) -> Result<(), Status> {
        self.grpc.close(&self.callouts, self.now, token)
    }

    fn grpc_cancel(&mut self, token: u32) -> Result<(), Status> {
        self.grpc.cancel(&self.callouts, token)
    }
}
