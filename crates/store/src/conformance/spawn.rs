//! Running futures beside each other without knowing a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::any::BoxFuture;

/// Runs a future to its end somewhere else.
pub(super) type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// A thread for each future.
pub(super) fn on_threads() -> Spawn {
    Arc::new(|future| drop(thread::spawn(move || block_on(future))))
}

/// What the futures give, in their order, once all are done. One that panicked or was dropped gives nothing.
pub(super) async fn join<T: Send + 'static>(
    spawn: &Spawn,
    futures: impl IntoIterator<Item = BoxFuture<'static, T>>,
) -> Vec<Option<T>> {
    let futures: Vec<_> = futures.into_iter().collect();
    let shared = Arc::new(Mutex::new(Joined {
        results: futures.iter().map(|_| None).collect(),
        running: futures.len(),
        waker: None,
    }));
    for (index, future) in futures.into_iter().enumerate() {
        let done = Done { shared: shared.clone() };
        spawn(Box::pin(async move {
            let result = future.await;
            lock(&done.shared).results[index] = Some(result);
        }));
    }
    std::future::poll_fn(|context| {
        let mut joined = lock(&shared);
        if joined.running == 0 {
            return Poll::Ready(std::mem::take(&mut joined.results));
        }
        joined.waker = Some(context.waker().clone());
        Poll::Pending
    })
    .await
}

struct Joined<T> {
    results: Vec<Option<T>>,
    running: usize,
    waker: Option<Waker>,
}

/// Counts down when it is dropped: at the end of a task, by a panic in it, or with a task that never ran.
struct Done<T> {
    shared: Arc<Mutex<Joined<T>>>,
}

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        let waker = {
            let mut joined = lock(&self.shared);
            joined.running -= 1;
            joined.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn block_on(future: impl Future<Output = ()>) {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    while future.as_mut().poll(&mut context).is_pending() {
        thread::park();
    }
}
