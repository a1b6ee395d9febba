//! `judge` and the governance state against a naive model that rescans what was admitted.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "../support/mod.rs"]
mod support;

mod bounds;
mod cover;
mod histories;
mod laws;
mod regressions;
mod snapshots;
