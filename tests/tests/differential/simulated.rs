//! A case in the simulator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use portcullis_host_sim::{
    ConnId, FailurePolicy, FilterModule, GrpcEvent, GrpcHeard, GrpcRequest, GrpcSaid, HttpAnswer,
    HttpRequest, LogLevel, MetricValue, ServerState, Simulator,
};

use crate::case::{Act, Case, OnTrap, Server, Step};
use crate::filter;
use crate::names::Names;
use crate::services::{self, BREAKING, EMPTY, HTTP, NODE, NODE_CLUSTER, REFUSED};
use crate::trace::{End, Ends, Trace};

/// The addresses are as long as those on real Envoy, which tells their length too.
const LISTENER: SocketAddr = address(50_001);
const SERVER: SocketAddr = address(50_002);

const fn address(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port)
}

/// What was there after each step; the last is the case's trace.
pub(crate) fn run(case: &Case) -> Result<Vec<Trace>> {
    let mut simulator = build(case).with_context(|| case.name)?;
    if case.server == Server::Absent {
        simulator.set_server(ServerState::Refusing);
    }
    let mut run = Run {
        case,
        simulator,
        connections: BTreeMap::new(),
    };
    Ok(case.steps.iter().map(|step| run.take(step)).collect())
}

fn build(case: &Case) -> Result<Simulator> {
    let module = FilterModule::from_bytes(&filter::module(case)?)?;
    let http = |request: &HttpRequest| {
        services::http(request.header(":path").unwrap_or_default(), &request.body)
    };
    let on_trap = match case.on_trap {
        OnTrap::Closed => FailurePolicy::Closed,
        OnTrap::Open => FailurePolicy::Open,
        OnTrap::Reload(base_interval) => FailurePolicy::Reload { base_interval },
    };
    let simulator = Simulator::builder_for(&module)
        .plugin_name("probe")
        .root_id(case.name)
        .vm_id(case.name)
        .plugin_config(case.configuration)
        .read_limit(case.read_limit as usize)
        .failure_policy(on_trap)
        .node(NODE, NODE_CLUSTER)
        .server(SERVER)
        .server_cluster(case.server_cluster())
        .cluster(HTTP, http)
        .grpc_cluster(HTTP, |request: &GrpcRequest, heard: GrpcHeard<'_>| {
            services::grpc(&request.method, heard)
        })
        .cluster(REFUSED, |_: &HttpRequest| HttpAnswer::Refused)
        .cluster(BREAKING, |_: &HttpRequest| HttpAnswer::Reset)
        .grpc_cluster(
            BREAKING,
            |_: &GrpcRequest, heard: GrpcHeard<'_>| match heard {
                GrpcHeard::Opened => GrpcSaid::nothing().and(GrpcEvent::Broken),
                GrpcHeard::Message(_) | GrpcHeard::Ended => GrpcSaid::nothing(),
            },
        )
        .empty_cluster(EMPTY)
        .build()?;
    Ok(simulator)
}

struct Run<'a> {
    case: &'a Case,
    simulator: Simulator,
    connections: BTreeMap<usize, ConnId>,
}

impl Run<'_> {
    fn take(&mut self, step: &Step) -> Trace {
        let simulator = &mut self.simulator;
        if let Act::Open = step.act {
            let conn = simulator.open(peer(step.connection), LISTENER);
            self.connections.insert(step.connection, conn);
        }
        if let Some(conn) = self.connections.get(&step.connection).copied() {
            match &step.act {
                Act::Open => {}
                Act::Client(bytes) => simulator.client_write(conn, bytes),
                Act::Server(bytes) => simulator.server_write(conn, bytes),
                Act::ClientEnds => simulator.client_half_close(conn),
                Act::ServerEnds => simulator.server_half_close(conn),
                Act::ClientResets => simulator.client_abort(conn),
                Act::ServerResets => simulator.server_abort(conn),
                Act::Pass(time) => simulator.advance(*time),
            }
        }
        // Answers come only while the clock moves.
        simulator.advance(Duration::from_millis(1));
        self.trace()
    }

    fn trace(&self) -> Trace {
        let names = Names::new(
            LISTENER,
            SERVER,
            self.connections.keys().map(|at| peer(*at)),
        );
        let lines = self.simulator.logs().iter().map(|line| {
            let text = names.replace(&line.text);
            match line.level {
                LogLevel::Info => text,
                level => format!("{level}: {text}"),
            }
        });
        let prefix = format!("{}.", self.case.name);
        let metrics = self.simulator.metric_values().into_iter();
        let counted = metrics.filter(|(_, value)| !matches!(value, MetricValue::Histogram { .. }));
        let numbers = counted.map(|(name, value)| (name, value.number()));
        Trace {
            filter: lines.collect(),
            connections: (0..self.case.connections())
                .map(|at| self.ends(at))
                .collect(),
            metrics: numbers
                .filter(|(name, _)| name.starts_with(&prefix))
                .collect(),
        }
    }

    fn ends(&self, connection: usize) -> Ends {
        let Some(conn) = self.connections.get(&connection).copied() else {
            return Ends::default();
        };
        let (client, server) = (
            self.simulator.client_inbox(conn),
            self.simulator.server_inbox(conn),
        );
        let reached = self.simulator.reached_server(conn);
        Ends {
            client: End {
                bytes: client.bytes(),
                ended: client.ended.is_some(),
            },
            reached,
            server: End {
                bytes: server.bytes(),
                ended: reached && server.ended.is_some(),
            },
        }
    }
}

fn peer(connection: usize) -> SocketAddr {
    address(40_001 + u16::try_from(connection).unwrap_or(0))
}
