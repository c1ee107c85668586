//! `make sizing`: what a pod of the guard takes, measured on this machine. The figures in
//! docs/kubernetes.md are from here.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::ExitCode,
    thread,
};

use anyhow::{Context, Result};
use portcullis_tests::{
    dnsbl::free_port,
    fleet::Store,
    host_sim::Mta,
    kubernetes::{Manifests, Replica, Services},
    paths,
    process::raise_open_files,
    smtp::Client,
    stand::{MAIL, rcpt},
};

/// Sessions that are open at the same time.
const IDLE: u32 = 8_000;
/// Mails, and refused sessions, whose time is taken.
const MAILS: u32 = 4_000;
/// Clients that get listed.
const LISTED: u32 = 10_000;
/// Senders at once.
const THREADS: u32 = 8;
/// Of the unit in which Linux counts a process's time: a hundredth of a second everywhere.
const TICK_MS: f64 = 10.0;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("portcullis-sizing: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    raise_open_files()?;
    let manifests = Manifests::build(&paths::kubernetes().join("base"))?;
    let server = Mta {
        domain: "example.test".into(),
        known: vec!["alice".into()],
        unknown_reply: "550 5.1.1 User unknown".into(),
    }
    .start()?;
    let store = Store::start()?;
    let services = Services {
        mail_server: server.address(),
        resolver: free_port()?,
        store: store.address(),
    };
    let mut pod = Replica::start(&manifests, Replica::own_address(), &services)?;
    let smtp = pod.port("smtp")?;
    // The first sessions of each worker make what it keeps.
    in_parallel(200, |number| mail(client(1, number), smtp))?;
    let id = pod.process().id();
    println!("ready: {} MiB resident", resident(id)? / MIB);

    let cost = cost(id, || {
        in_parallel(MAILS, |number| mail(client(2, number), smtp))
    })?;
    println!("a mail in a session of its own: {cost:.2} ms of CPU");

    let (guard, redis) = (resident(id)?, redis_memory(&store)?);
    in_parallel(LISTED, |number| guess(client(3, number), smtp))?;
    let (guard, redis) = (
        resident(id)?.saturating_sub(guard),
        redis_memory(&store)?.saturating_sub(redis),
    );
    let per = |octets: u64| octets / u64::from(LISTED);
    println!(
        "a listing: {} octets in a pod, {} in Redis",
        per(guard),
        per(redis)
    );

    let cost = self::cost(id, || {
        in_parallel(MAILS, |number| refused(client(3, number), smtp))
    })?;
    println!("a refused session: {cost:.2} ms of CPU");

    let before = resident(id)?;
    let open: Result<Vec<Client>> = (0..IDLE)
        .map(|number| greeted(client(4, number / 40), smtp))
        .collect();
    let open = open?;
    let taken = resident(id)?.saturating_sub(before);
    println!("{IDLE} open sessions: {} MiB", taken / MIB);
    drop(open);
    Ok(())
}

const MIB: u64 = 1 << 20;

/// A client's address: of a group of its own, so that none is remembered for another's deeds.
fn client(group: u8, number: u32) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 10 + group, high, low).into()
}

fn in_parallel(count: u32, each: impl Fn(u32) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let part = |first: u32| {
            let each = &each;
            move || {
                let step = usize::try_from(THREADS).unwrap_or(1);
                (first..count).step_by(step).try_for_each(each)
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(part(first))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a sender"))?)
    })
}

fn greeted(from: IpAddr, to: SocketAddr) -> Result<Client> {
    let mut client = Client::connect_from(from, to)?;
    client.reply()?;
    Ok(client)
}

fn mail(from: IpAddr, to: SocketAddr) -> Result<()> {
    Ok(greeted(from, to)?.dialogue(&MAIL)?)
}

fn guess(from: IpAddr, to: SocketAddr) -> Result<()> {
    let mut client = greeted(from, to)?;
    client.command("EHLO bot.example.net")?;
    client.command("MAIL FROM:<>")?;
    for guess in 0..5 {
        // Under the attack that this is the third may be the last, and may come without a word.
        let told = client.command(&rcpt(&format!("guess{guess}")));
        if told.map_or(421, |reply| reply.code) == 421 {
            break;
        }
    }
    Ok(())
}

fn refused(from: IpAddr, to: SocketAddr) -> Result<()> {
    let reply = Client::connect_from(from, to)?.reply()?;
    anyhow::ensure!(reply.code == 421, "{reply:?}");
    Ok(())
}

/// The CPU time that a process takes for something, in milliseconds for each of [`MAILS`].
fn cost(id: u32, doing: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = ticks(id)?;
    doing()?;
    let ticks = f64::from(u32::try_from(ticks(id)? - before)?);
    Ok(ticks * TICK_MS / f64::from(MAILS))
}

/// User and system time of a process (proc(5), fields 14 and 15 of stat).
fn ticks(id: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name before may hold spaces.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let times = fields.split_whitespace().skip(11).take(2);
    let times: Result<Vec<u64>, _> = times.map(str::parse).collect();
    Ok(times?.into_iter().sum())
}

/// The resident memory of a process, in octets.
fn resident(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.context("no VmRSS")?.parse()?;
    Ok(kib * 1024)
}

/// The memory that Redis says it uses, in octets.
fn redis_memory(store: &Store) -> Result<u64> {
    let info = store.ask(&["INFO", "memory"]);
    let text = info.to_string();
    let (_, rest) = text.split_once("used_memory").context("no used_memory")?;
    let digits = rest.trim_start_matches(['"', ':']);
    let end = digits.find(|letter: char| !letter.is_ascii_digit());
    Ok(digits
        .get(..end.unwrap_or(digits.len()))
        .unwrap_or_default()
        .parse()?)
}
