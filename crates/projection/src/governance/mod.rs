//! The governance state and its rules. [`judge`] is the only door: whatever it admits, [`State::fold`] takes.
//!
//! Rules are one module an area; the state that they read is kept in others, by what it is about, and [`State::fold`] applies the
//! change that a rule returns, so that nothing is derived twice; nothing outside can make a [`JudgedEntry`] or a grant.

mod access;
mod authority;
mod book;
mod change;
mod charter;
mod clauses;
mod derived;
mod ending;
mod exceptions;
mod identity;
mod judge;
mod keyring;
mod live;
mod packed;
mod path;
mod people;
mod query;
mod refusal;
mod resources;
mod restored;
mod rights;
mod spelled;
mod state;
mod stored;
mod things;

pub use access::MAX_OPEN_REQUESTS;
pub use charter::OVERRULED_SECONDS;
pub use ending::{EndCause, Ending};
pub use identity::{MAX_CONTROLLERS, MAX_KEYS};
pub use judge::{
    Admitted, JudgedEntry, MAX_AHEAD_SECONDS, MAX_COSIGNED_LAG_SECONDS, MAX_DECISION_LAG_SECONDS,
    MAX_LAG_SECONDS, MAX_RECORDER_DRIFT_SECONDS, RULES, check_envelope, judge,
};
pub use query::{
    Answer, ApprovalView, CapacityView, ClassView, DenyReason, ExceptionView, GrantView, KeyView, PolicyView,
    PrincipalView, RequestView, ResourceView,
};
pub use refusal::{Refusal, RefusalCode};
pub use state::{MAX_REQUEST_SECONDS, MAX_SEEN_AGE, State};
