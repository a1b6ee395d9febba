//! Threads that own connections, and do one job after another.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

/// Threads with one queue. Dropping it lets them finish what they were given, and waits for them.
#[derive(Debug)]
pub(crate) struct Threads<J> {
    // INVARIANT: there until it is dropped.
    jobs: Option<mpsc::Sender<J>>,
    threads: Vec<JoinHandle<()>>,
}

impl<J: Send + 'static> Threads<J> {
    /// A thread for each worker. A worker is given one job at a time, and dropped at the end.
    pub(crate) fn start<W: FnMut(J) + Send + 'static>(name: &str, workers: Vec<W>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut started = Self { jobs: Some(jobs), threads: Vec::new() };
        for mut worker in workers {
            let queue = queue.clone();
            let work = move || {
                // Waiting holds the lock: the others wait for their turn to wait.
                while let Ok(job) = { queue.lock().unwrap_or_else(PoisonError::into_inner).recv() } {
                    worker(job);
                }
            };
            started.threads.push(thread::Builder::new().name(name.into()).spawn(work)?);
        }
        Ok(started)
    }

    /// Whether somebody will do it.
    pub(crate) fn send(&self, job: J) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| jobs.send(job).is_ok())
    }
}

impl<J> Drop for Threads<J> {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // The connections are closed when they are gone, so that the file can be moved as soon as this returns. A waker that one of
        // them calls may hold the last handle: it can not wait for itself, and ends soon after.
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic was told already, to whoever waited for the answer.
            let _ = thread.join();
        }
    }
}
