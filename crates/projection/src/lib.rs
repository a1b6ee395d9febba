//! Projections of a countersign ledger, and the governance rules with their state. Synchronous and deterministic: the same
//! entries give the same state, byte for byte, on every machine.
//!
//! | to | see |
//! | --- | --- |
//! | judge a statement, and ask who has what and why | [`governance::judge`], [`governance::State`] |
//! | derive something of your own from the entries | [`projection::Projection`], and [`test_kit`] to test it |
//! | run it over a ledger | [`runner::Runner`], with [`registry::Registry`] for many |
//! | ask about the past | [`as_of`] for a moment, [`periods`] for a time |
//! | not fold from the start every time | [`snapshot`] |
//!
//! # What a state answers
//!
//! ```
//! use countersign_core::event::{AccessRevoked, Tier};
//! use countersign_core::wire::Text;
//! use countersign_projection::as_of::{Cut, as_of};
//! use countersign_projection::governance::{Answer, DenyReason};
//! use countersign_projection::runner::Runner;
//! use countersign_projection::test_kit::Playground;
//!
//! // A small ledger of fictional people with a policy: one approval of a business owner is enough.
//! let mut ledger = Playground::new();
//! let (alice, billing, reader) = ("user:worker-a", "app:billing", "reader");
//! let request = ledger.request(alice, billing, reader, Playground::hold(8 * 3_600), None)?;
//! ledger.approve("user:owner-a", request)?;
//! let grant = ledger.grant(request)?;
//!
//! // May she, now? And on what grounds?
//! let (subject, resource, role) = (alice.parse()?, billing.parse()?, reader.parse()?);
//! let now = ledger.now();
//! assert!(ledger.state().check(&subject, &resource, &role, now).is_allowed());
//! assert_eq!(ledger.state().grant(&grant).map(|view| view.subject), Some(alice.parse()?));
//!
//! ledger.pass(60);
//! let reason = Text::new("no longer needed")?;
//! ledger.submit(alice, &[], AccessRevoked { grant, reason })?;
//! let answer = ledger.state().check(&subject, &resource, &role, ledger.now());
//! assert_eq!(answer, Answer::Denied { reason: DenyReason::NoGrant });
//!
//! // What was so before stays so: the past is folded from the same entries.
//! let past = as_of(Runner::<()>::new(), Cut::at(now), ledger.entries().iter().cloned())?;
//! assert!(past.state().check(&subject, &resource, &role, now).is_allowed());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::wildcard_enum_match_arm)]

pub mod as_of;
#[cfg(feature = "bench-internals")]
#[doc(hidden)]
pub mod cow;
#[cfg(not(feature = "bench-internals"))]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "structures of general use, public only to benches"
)]
pub(crate) mod cow;
pub mod governance;
pub mod periods;
pub mod projection;
pub mod registry;
pub mod runner;
pub mod snapshot;
pub mod test_kit;
pub mod tree;

mod state;
