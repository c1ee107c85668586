//! A fleet on one machine: three Envoys from the manifests behind a load balancer that speaks the
//! PROXY protocol, a resolver, Redis behind Webdis, and Postfix. Bots guess all the while, honest
//! senders send, and one part after the other fails, comes back, and is replaced.
//!
//! `make fleet-soak` runs the same for longer, with a message of 100 MB.
#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "tests say what they expect by failing"
)]

mod stage;
mod traffic;

use std::{
    collections::BTreeMap,
    env,
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use portcullis_tests::{
    kubernetes::{Manifests, Replica},
    stand::wait_until_refused,
};
use stage::{Overlay, PATIENCE, Stage, drain};
use traffic::{Traffic, envelope, guess};

type Pods = BTreeMap<IpAddr, Replica>;

/// How much of it there is.
struct Size {
    senders: u8,
    bots: u8,
    /// Mails that must flow after each event.
    mails: usize,
    /// How often everything fails.
    rounds: usize,
    /// Octets of the message that pods are replaced under.
    message: usize,
    /// How soon honest mail must flow after a failure.
    recovery: Duration,
}

impl Size {
    /// As the environment says. The bound on two busy cores is no measure of the guard: it only
    /// tells flowing from standing.
    fn told() -> Self {
        match env::var("PORTCULLIS_FLEET").as_deref() {
            Ok("soak") => Self {
                senders: 40,
                bots: 8,
                mails: 200,
                rounds: 5,
                message: 100_000_000,
                recovery: Duration::from_secs(1),
            },
            _ => Self {
                senders: 24,
                bots: 3,
                mails: 10,
                rounds: 1,
                message: 4_000_000,
                recovery: Duration::from_secs(10),
            },
        }
    }
}

#[test]
fn nothing_honest_is_lost_while_parts_fail_and_pods_are_replaced() -> Result<()> {
    let size = Size::told();
    let overlay = Overlay::new()?;
    let (first, second) = (overlay.with(5)?, overlay.with(3)?);
    let mut stage = Stage::set(&first)?;
    let (old, new) = stage.addresses.split_at(3);
    let (old, new) = (old.to_vec(), new.to_vec());
    let mut pods = Pods::new();
    stage.start(&first, &mut pods, &old)?;

    let traffic = Traffic::default();
    let to = stage.balancer.address();
    thread::scope(|scope| {
        for sender in 1..=size.senders {
            let traffic = &traffic;
            scope.spawn(move || traffic.send(sender, to));
        }
        for bot in 1..=size.bots {
            let traffic = &traffic;
            scope.spawn(move || traffic.guess(bot, to));
        }
        let mut played = || -> Result<()> {
            traffic.flows(size.mails, PATIENCE)?;
            let bot: IpAddr = "127.63.0.1".parse()?;
            assert_eq!(guess(bot, to)?, 5);
            refused_by_all(&pods, bot)?;
            for _ in 0..size.rounds {
                parts_fail(&mut stage, &first, &mut pods, &traffic, &size)?;
            }
            refused_by_all(&pods, bot)?;
            let sure = traffic.mails();
            replace(&stage, &second, &mut pods, &new, &traffic, &size)?;
            // Listed before these were born, from the store.
            refused_by_all(&pods, bot)?;
            let unsure =
                |mails: &BTreeMap<String, bool>| mails.values().filter(|one| **one).count();
            assert_eq!(unsure(&traffic.mails()), unsure(&sure), "sessions were cut");
            assert_eq!(guess("127.63.0.2".parse()?, to)?, 3, "the old policy");
            Ok(())
        };
        let result = played();
        traffic.stop();
        result
    })?;
    account(&stage, &traffic)?;
    for pod in pods.values_mut() {
        let log = pod.process().log()?;
        ensure!(
            !log.contains("panicked at") && !log.contains("VM failed"),
            "{log}"
        );
    }
    Ok(())
}

/// Each part fails and comes back, and honest mail flows all the while.
fn parts_fail(
    stage: &mut Stage,
    manifests: &Manifests,
    pods: &mut Pods,
    traffic: &Traffic,
    size: &Size,
) -> Result<()> {
    let flows = |what: &str| -> Result<()> {
        let took = traffic.flows(size.mails, PATIENCE)?;
        println!("{what}: honest mail flows after {took:?}");
        ensure!(took < size.recovery, "{what}: {took:?}");
        Ok(())
    };
    let addresses: Vec<IpAddr> = pods.keys().copied().collect();

    // A pod dies.
    pods.remove(&addresses[0])
        .map(|mut pod| pod.process().signal(Signal::SIGKILL));
    flows("a pod killed")?;
    stage.start(manifests, pods, &addresses[..1])?;

    // A pod is cut off: it takes connections, and nothing comes of them.
    let cut_off = pods.get_mut(&addresses[1]).expect("it runs");
    cut_off.process().signal(Signal::SIGSTOP)?;
    flows("a pod cut off")?;
    cut_off.process().signal(Signal::SIGCONT)?;
    stage.wait_for(pods)?;

    stage.resolver.kill()?;
    flows("the resolver killed")?;
    stage.resolver.restart()?;

    stage.store.signal_webdis(Signal::SIGSTOP)?;
    flows("Webdis cut off")?;
    stage.store.signal_webdis(Signal::SIGCONT)?;

    stage.store.kill_redis()?;
    flows("Redis killed")?;
    // Whom one pod lists now the others hear of when the store is back.
    let [.., here, there] = addresses.as_slice() else {
        unreachable!("three pods run")
    };
    let late = Replica::own_address();
    guess(late, pods[here].port("smtp")?)?;
    stage.store.start_redis()?;
    wait_until_refused(late, pods[there].port("smtp")?)?;
    flows("Redis back")
}

/// Whether every pod refuses this client, which one of them listed long ago.
fn refused_by_all(pods: &Pods, client: IpAddr) -> Result<()> {
    for pod in pods.values() {
        wait_until_refused(client, pod.port("smtp")?)?;
    }
    Ok(())
}

/// Rolls a policy out, under load and under a big message: new pods first, then the old ones drain
/// and end.
fn replace(
    stage: &Stage,
    manifests: &Manifests,
    pods: &mut Pods,
    new: &[IpAddr],
    traffic: &Traffic,
    size: &Size,
) -> Result<()> {
    let mut big = envelope("127.62.1.1".parse()?, stage.balancer.address())?;
    let chunk = format!("{:<76}\r\n", "x").repeat(1000);
    let chunks = size.message / chunk.len();
    big.send("Message-ID: <big@sender.example.org>\r\n\r\n")?;
    for _ in 0..chunks / 2 {
        big.send(&chunk)?;
    }

    let old = std::mem::take(pods);
    stage.start_beside(manifests, pods, new, &old)?;
    let mut hooks = drain(&old)?;
    stage.wait_for(pods)?;
    traffic.flows(size.mails, PATIENCE)?;
    // All but one have nobody left.
    let end = Instant::now() + PATIENCE;
    while hooks.len() > 1 {
        hooks.retain_mut(|(_, hook)| hook.still_runs().is_ok());
        ensure!(Instant::now() < end, "{} pods still drain", hooks.len());
        thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..chunks / 2 {
        big.send(&chunk)?;
    }
    ensure!(
        hooks[0].1.still_runs().is_ok(),
        "nobody waited for the message"
    );
    ensure!(big.command(".")?.code == 250);
    big.command("QUIT")?;
    drop(big);
    let (_, mut last) = hooks.remove(0);
    ensure!(last.wait(PATIENCE)?.success());
    for mut pod in old.into_values() {
        pod.process().signal(Signal::SIGTERM)?;
        pod.process().wait(PATIENCE)?;
    }
    Ok(())
}

/// Every mail that a sender knows to be taken is with Postfix, once.
fn account(stage: &Stage, traffic: &Traffic) -> Result<()> {
    let mails = traffic.mails();
    let taken = stage.taken()?;
    for (id, unsure) in &mails {
        let times = taken.get(id).copied().unwrap_or_default();
        ensure!(times >= 1, "{id} is lost");
        ensure!(times == 1 || *unsure, "{id} was taken {times} times");
    }
    assert_eq!(taken.get("big@sender.example.org"), Some(&1));
    let (guesses, refusals) = traffic.attack();
    println!(
        "{} honest mails, {guesses} guesses answered, {refusals} sessions refused",
        mails.len()
    );
    ensure!(guesses > 0 && refusals > 0);
    Ok(())
}
