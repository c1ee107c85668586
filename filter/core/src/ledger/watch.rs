//! What all sessions of one worker have in common.

use super::detector::{Alert, Detector, Heard};
use super::terms::Terms;
use super::unknown::Unknown;
use crate::client::Client;
use std::cell::{Cell, RefCell};

/// The worker as its sessions see it. The time comes with [`Watch::tell_time`]; sessions read no
/// clock.
#[derive(Debug)]
pub struct Watch {
    calm: Terms,
    attack: Terms,
    now: Cell<u32>,
    alert: Cell<Alert>,
    detector: RefCell<Option<Detector>>,
    unknown: RefCell<Option<Unknown>>,
}

impl Watch {
    /// Terms for calm days and for attacks; who looks for those, and who remembers unknown
    /// recipients, if anybody does.
    #[must_use]
    pub fn new(
        calm: Terms,
        attack: Terms,
        detector: Option<Detector>,
        unknown: Option<Unknown>,
    ) -> Self {
        Self {
            calm,
            attack,
            now: Cell::new(0),
            alert: Cell::new(Alert::Calm),
            detector: RefCell::new(detector),
            unknown: RefCell::new(unknown),
        }
    }

    /// The terms in force.
    #[must_use]
    pub fn terms(&self) -> Terms {
        match self.alert.get() {
            Alert::Calm => self.calm,
            Alert::Attack => self.attack,
        }
    }

    /// Whether an attack is under way.
    #[must_use]
    pub fn alert(&self) -> Alert {
        self.alert.get()
    }

    /// Seconds since the Unix epoch, as told last.
    #[must_use]
    pub fn now(&self) -> u32 {
        self.now.get()
    }

    /// Tells the time; whether an attack has begun or ended by now.
    pub fn tell_time(&self, now: u32) -> Option<Alert> {
        self.now.set(now);
        let alert = self.detector.borrow_mut().as_mut()?.judge(now);
        (self.alert.replace(alert) != alert).then_some(alert)
    }

    /// The server has answered for a recipient, by its name where that is known.
    pub fn heard(&self, client: Client, name: Option<&[u8]>, heard: Heard) {
        let now = self.now.get();
        if let Some(detector) = self.detector.borrow_mut().as_mut() {
            detector.hear(client, name, heard, now);
        }
        if let (Some(unknown), Some(name)) = (self.unknown.borrow_mut().as_mut(), name) {
            unknown.hear(name, heard, now);
        }
    }

    /// How many recipients are remembered as unknown.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.unknown.borrow().as_ref().map_or(0, Unknown::len)
    }

    /// How many of them have made room for others since this was last asked.
    #[must_use]
    pub fn take_evicted(&self) -> u32 {
        let mut unknown = self.unknown.borrow_mut();
        unknown.as_mut().map_or(0, Unknown::take_evicted)
    }

    /// How the server has just called this recipient unknown, if it did.
    #[must_use]
    pub fn unknown(&self, name: &[u8]) -> Option<Heard> {
        let mut unknown = self.unknown.borrow_mut();
        unknown.as_mut()?.get(name, self.now.get())
    }
}
