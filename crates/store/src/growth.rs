//! Who waits for entries, and is woken when there are more.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::sync::{Mutex, MutexGuard};

/// How many entries a store is known to have, and who waits for more: what [`crate::Store::wait`] needs, for those who write
/// stores. A clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Growth(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    size: u64,
    waiting: BTreeMap<u64, Waker>,
    last_ticket: u64,
}

impl Growth {
    /// Of a store with so many entries.
    #[must_use]
    pub fn new(size: u64) -> Self {
        Self(Arc::new(Mutex::new(State { size, ..State::default() })))
    }

    /// There are `size` entries at least: wakes who waits. Not to be called with a lock that a woken task may want.
    pub fn reached(&self, size: u64) {
        let woken = {
            let mut state = self.lock();
            if size <= state.size {
                return;
            }
            state.size = size;
            std::mem::take(&mut state.waiting)
        };
        // Outside the lock: a waker may run its task at once.
        woken.into_values().for_each(Waker::wake);
    }

    /// Completes when there are more than `size` entries.
    pub fn beyond(&self, size: u64) -> impl Future<Output = ()> + Send + use<> {
        Beyond { growth: self.clone(), size, ticket: None }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Beyond {
    growth: Growth,
    size: u64,
    ticket: Option<u64>,
}

impl Future for Beyond {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let growth = self.growth.clone();
        let mut state = growth.lock();
        if state.size > self.size {
            return Poll::Ready(());
        }
        let ticket = *self.ticket.get_or_insert_with(|| {
            state.last_ticket += 1;
            state.last_ticket
        });
        state.waiting.insert(ticket, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Beyond {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.growth.lock().waiting.remove(&ticket);
        }
    }
}
