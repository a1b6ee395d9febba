//! Runtime checks: may this subject do this, now?

use std::time::Duration;

use countersign_core::entry::Head;
use countersign_core::id::{Principal, Resource, Role};
use countersign_core::time::Timestamp;
use countersign_projection::governance::Answer;

use crate::clock::Clock;
use crate::error::Stale;
use crate::view::View;

/// The question whether a subject may act in a role on a resource, and how new the view has to be that answers it.
#[derive(Debug, Clone, Copy)]
pub struct Check<'a> {
    subject: &'a Principal,
    resource: &'a Resource,
    role: &'a Role,
    at: Option<Timestamp>,
    min_size: u64,
    max_age: Option<Duration>,
}

impl<'a> Check<'a> {
    /// The question as of now, by the ledger's clock, from whatever view is there.
    #[must_use]
    pub fn new(subject: &'a Principal, resource: &'a Resource, role: &'a Role) -> Self {
        Self { subject, resource, role, at: None, min_size: 0, max_age: None }
    }

    /// As of `at`. An instant before the view's last entry is denied as `before_state`: only an earlier state can tell.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = Some(at);
        self
    }

    /// Only from a view that includes the entry at `seq`, such as that of a receipt.
    #[must_use]
    pub fn min_seq(mut self, seq: u64) -> Self {
        self.min_size = seq.saturating_add(1);
        self
    }

    /// Only from a view that was known to be the store's newest state at most this long ago.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    pub(crate) fn answer(
        &self,
        view: &View,
        clock: &dyn Clock,
        age: impl FnOnce() -> Duration,
    ) -> Result<Checked, Stale> {
        let head = view.head();
        if head.size < self.min_size {
            return Err(Stale::Size { size: head.size, wanted: self.min_size });
        }
        if let Some(max) = self.max_age {
            let age = age();
            if age > max {
                return Err(Stale::Age { age, max });
            }
        }
        // The clock may be behind an entry of another recorder; the state itself can not be asked about the time before it.
        let at = self.at.unwrap_or_else(|| clock.wall().max(view.state().recorded_at()));
        let answer = view.state().check(self.subject, self.resource, self.role, at);
        Ok(Checked { answer, at, head })
    }
}

/// The answer to a [`Check`], and from what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Yes with grant and expiry, or no with the reason.
    pub answer: Answer,
    /// The instant that it is about.
    pub at: Timestamp,
    /// The head of the view that it was given from.
    pub head: Head,
}

impl Checked {
    /// Whether it is a yes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.answer.is_allowed()
    }
}
