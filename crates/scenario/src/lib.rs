//! Governance scenarios as data: who there is, what is stated when, and which verdict or answer is expected.
//!
//! Authors of policies test their own with it (docs/scenarios.md); the requirements of countersign are tested by such files too.
//! Keys are made from names, so a scenario runs the same everywhere, and its ledger is worth nothing.

mod cast;
mod check;
mod expand;
mod file;
mod json;
mod recorded;
mod report;
mod run;
mod when;

pub use check::check;
pub use file::{
    Answer, Ask, Cast, Common, Fill, Item, Question, ReadError, RecoverySetup, Resubmit, Scenario, Setup,
    Step, find, load, parse,
};
pub use json::Json;
pub use recorded::Recorded;
pub use report::{Failure, Finding, Report};
pub use run::{record, run};
pub use when::When;
