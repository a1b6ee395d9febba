//! Governance scenarios as data: who there is, what is stated when, and which verdict or answer is expected.
//!
//! Authors of policies test their own with it (docs/scenarios.md); the requirements of countersign are tested by such files too.
//! Keys are made from names, so a scenario runs the same everywhere, and its ledger is worth nothing.
//!
//! ```
//! let scenario = countersign_scenario::parse(r#"{
//!     "title": "A governor alone assigns nothing",
//!     "setup": {
//!         "governors": ["user:gail", "user:greg"], "quorum": 2, "recorder": "automation:recorder",
//!         "principals": [
//!             "user:gail", "user:greg", "user:rita",
//!             { "name": "automation:recorder", "controllers": ["person:otto"] }
//!         ]
//!     },
//!     "timeline": [
//!         {
//!             "by": "user:gail",
//!             "event": { "type": "capacity.assigned", "capacity": "registrar", "holder": "user:rita" },
//!             "expect": "quorum"
//!         },
//!         {
//!             "by": "user:gail", "cosign": ["user:greg"],
//!             "event": { "type": "capacity.assigned", "capacity": "registrar", "holder": "user:rita" }
//!         },
//!         { "capacities": "user:rita", "answer": ["registrar *"] }
//!     ]
//! }"#)?;
//! let report = countersign_scenario::run(&scenario);
//! assert!(report.passed(), "{report}");
//! # Ok::<(), countersign_scenario::ReadError>(())
//! ```

#![deny(clippy::wildcard_enum_match_arm)]

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
