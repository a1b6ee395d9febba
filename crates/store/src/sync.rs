//! Locks, channels and threads: those of std, or, under `--cfg shuttle`, those of a scheduler that tries one order after another
//! (`tests/schedules.rs`).

#[cfg(not(shuttle))]
pub(crate) use std::{
    sync::{Mutex, MutexGuard, mpsc},
    thread,
};

#[cfg(shuttle)]
pub(crate) use shuttle::{
    sync::{Mutex, MutexGuard, mpsc},
    thread,
};
