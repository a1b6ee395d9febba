//! An answer that comes later, from another thread, without a runtime: for those who write stores.
//!
//! ```
//! use countersign_store::reply;
//!
//! let (sender, receiver) = reply::channel();
//! std::thread::spawn(move || sender.send(7));
//! # let answer = {
//! #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
//! #     let mut receiver = std::pin::pin!(receiver);
//! #     loop {
//! #         if let std::task::Poll::Ready(answer) = receiver.as_mut().poll(&mut context) { break answer }
//! #         std::thread::yield_now();
//! #     }
//! # };
//! # /*
//! let answer = receiver.await;
//! # */
//! assert_eq!(answer, Some(7));
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::sync::{Mutex, MutexGuard};

/// The two ends of one answer.
#[must_use]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let slot = Arc::new(Mutex::new(Slot { state: State::Awaited, waker: None }));
    (Sender(slot.clone()), Receiver(slot))
}

/// Gives the answer, or tells by being dropped that there will be none.
#[derive(Debug)]
pub struct Sender<T>(Arc<Mutex<Slot<T>>>);

/// The future of the answer; none if its sender went away without giving one.
#[derive(Debug)]
pub struct Receiver<T>(Arc<Mutex<Slot<T>>>);

impl<T> Sender<T> {
    /// Gives the answer, and wakes whoever waits for it.
    pub fn send(self, answer: T) {
        lock(&self.0).state = State::Given(answer);
        // Dropping `self` wakes.
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = lock(&self.0);
            if matches!(slot.state, State::Awaited) {
                slot.state = State::Over;
            }
            slot.waker.take()
        };
        // Outside the lock: a waker may run its task at once.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = lock(&self.0);
        match std::mem::replace(&mut slot.state, State::Over) {
            State::Given(answer) => Poll::Ready(Some(answer)),
            State::Over => Poll::Ready(None),
            State::Awaited => {
                slot.state = State::Awaited;
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[derive(Debug)]
struct Slot<T> {
    state: State<T>,
    waker: Option<Waker>,
}

#[derive(Debug)]
enum State<T> {
    Awaited,
    Given(T),
    Over,
}

fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    // Nothing that can panic runs while it is held.
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn an_answer_wakes_and_a_sender_that_goes_away_does_too() {
        for answer in [Some(7), None] {
            let count = Arc::new(Count::default());
            let waker = count.clone().into();
            let mut context = Context::from_waker(&waker);
            let (sender, receiver) = channel();
            let mut receiver = pin!(receiver);
            assert_eq!(receiver.as_mut().poll(&mut context), Poll::Pending);
            match answer {
                Some(answer) => sender.send(answer),
                None => drop(sender),
            }
            assert_eq!(count.0.load(Ordering::SeqCst), 1);
            assert_eq!(receiver.as_mut().poll(&mut context), Poll::Ready(answer));
        }
    }

    #[test]
    fn an_answer_that_nobody_waits_for_is_dropped() {
        let (sender, receiver) = channel();
        drop(receiver);
        sender.send(7);
    }
}
