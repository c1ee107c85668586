//! What processes take: CPU time in nanoseconds, and memory.

use std::{collections::HashSet, fs};

use anyhow::{Context, Result};
use nix::{
    sys::resource::{Resource, getrlimit},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::{Pid, SysconfVar, sysconf},
};

/// The processes that are measured: one and all that it started, or those of them with one of these
/// names.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// The first of them.
    pub root: u32,
    /// The names; empty for all.
    pub named: &'static [&'static str],
}

/// What they took so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// User and system time, seconds.
    pub cpu: f64,
    /// Resident memory, octets. What several of them share is counted for each.
    pub resident: f64,
}

impl Measured {
    /// One process and all that it starts.
    #[must_use]
    pub fn all_of(root: u32) -> Self {
        Self { root, named: &[] }
    }

    /// What they have taken.
    ///
    /// # Errors
    /// If `/proc` cannot be read, or the first of them is gone.
    pub fn usage(&self) -> Result<Usage> {
        let mut sum = Usage::default();
        let ticks = ticks_per_second()?;
        for process in self.processes()? {
            // A child may have ended since it was listed; then its parent has its time.
            let Some(cpu) = cpu_of(process.id) else {
                continue;
            };
            sum.cpu += cpu;
            if self.named.is_empty() {
                sum.cpu += process.ended_children / ticks;
            }
            sum.resident += resident_of(process.id).unwrap_or_default();
        }
        Ok(sum)
    }

    fn processes(&self) -> Result<Vec<Listed>> {
        let all = listed()?;
        let mut family = HashSet::from([self.root]);
        let mut before = 0;
        // Generation after generation, since ids say nothing of who came first.
        while family.len() > before {
            before = family.len();
            let children = all.iter().filter(|one| family.contains(&one.parent));
            let children: Vec<u32> = children.map(|one| one.id).collect();
            family.extend(children);
        }
        let named =
            |one: &Listed| self.named.is_empty() || self.named.iter().any(|name| one.name == *name);
        let mine: Vec<Listed> = all
            .into_iter()
            .filter(|one| family.contains(&one.id) && named(one))
            .collect();
        // Those with names may have to be started by their first work.
        anyhow::ensure!(
            !self.named.is_empty() || !mine.is_empty(),
            "no process {}",
            self.root
        );
        Ok(mine)
    }
}

#[derive(Debug)]
struct Listed {
    id: u32,
    parent: u32,
    name: String,
    /// Times of children that have ended, in the kernel's ticks.
    ended_children: f64,
}

fn listed() -> Result<Vec<Listed>> {
    let entries = fs::read_dir("/proc").context("/proc")?;
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let read = |id: u32| parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?);
    Ok(ids.filter_map(read).collect())
}

/// Reads one `/proc/PID/stat` (proc(5)).
fn parse(stat: &str) -> Option<Listed> {
    let (id, rest) = stat.split_once(" (")?;
    // A name may hold spaces and brackets.
    let (name, fields) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some(Listed {
        id: id.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        name: name.to_owned(),
        ended_children: number(13)? + number(14)?,
    })
}

/// The CPU time of a process with all its threads, those that have ended too. The clock counts
/// nanoseconds where `stat` has hundredths of seconds.
fn cpu_of(id: u32) -> Option<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(id.cast_signed())).ok()?;
    let time = std::time::Duration::from(clock_gettime(clock).ok()?);
    Some(time.as_secs_f64())
}

fn resident_of(id: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}

/// How many sessions a proxy may have that opens two files for each, and has some of its own.
///
/// # Errors
/// If the limit of open files cannot be read.
pub fn most_proxied() -> Result<usize> {
    const OWN: u64 = 200;
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(usize::try_from(limit.saturating_sub(OWN) / 2)?)
}

fn ticks_per_second() -> Result<f64> {
    let ticks = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")?;
    Ok(f64::from(u32::try_from(ticks)?))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_may_hold_what_ends_one() {
        let line = "7 (a) b) S 3 7 7 0 -1 4 1 2 3 4 50 60 1 2 20 0 1 0 9 9 9";
        let one = parse(line).unwrap();
        assert_eq!((one.id, one.parent, one.name.as_str()), (7, 3, "a) b"));
        assert_eq!(one.ended_children, 3.0);
    }

    #[test]
    fn the_time_of_children_counts_while_they_run_and_when_they_have_ended() {
        let burn = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let mut shell = Command::new("sh")
            .arg("-c")
            .arg(format!("sh -c '{burn}'; read line"))
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let measured = Measured::all_of(shell.id());
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        // The inner shell is waited for by the outer one before it reads.
        while measured.processes().unwrap().len() > 1 || measured.usage().unwrap().cpu < 0.01 {
            assert!(
                std::time::Instant::now() < deadline,
                "{:?}",
                measured.usage()
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let usage = measured.usage().unwrap();
        assert!(usage.cpu > 0.02 && usage.resident > 100_000.0, "{usage:?}");
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(Measured::all_of(u32::MAX / 4).usage().is_err());
    }
}
