//! The seam to the governance rules: the one door that the pipeline judges through.

use countersign_core::entry::Entry;
use countersign_core::id::LedgerId;
use countersign_core::key::PublicKey;
use countersign_core::statement::{SignedStatement, VerifiedStatement};
use countersign_core::time::Timestamp;
use countersign_projection::governance::{self, JudgedEntry, Refusal, State};

/// What the pipeline asks of the rules. [`Governance`] is the real one; tests of bytes, chain and checkpoints have one that
/// admits everything.
pub(crate) trait Door {
    /// Cheap to clone.
    type State: Clone + Default;
    type Judged;

    fn check_envelope(state: &Self::State, signed: &SignedStatement, at: Timestamp) -> Result<(), Refusal>;

    /// Checks the envelope too, before all else. None where `entry` is not the one that was judged.
    fn judge(
        state: &Self::State,
        statement: &VerifiedStatement,
        entry: Entry,
    ) -> Result<Option<Self::Judged>, Refusal>;

    fn fold(state: &mut Self::State, judged: &Self::Judged);

    fn facts(state: &Self::State) -> Facts;

    fn recorder_key(state: &Self::State) -> Option<PublicKey>;

    /// The rules version in force, if this build lacks it.
    fn needs_rules(state: &Self::State) -> Option<u64>;
}

/// What a report tells about a state.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) ledger: Option<LedgerId>,
    pub(crate) rules: Option<u64>,
    /// How many governors must sign, and how many there are.
    pub(crate) quorum: Option<(u64, u64)>,
}

/// The rules of [`countersign_projection::governance`].
pub(crate) struct Governance;

impl Door for Governance {
    type State = State;
    type Judged = JudgedEntry;

    fn check_envelope(state: &State, signed: &SignedStatement, at: Timestamp) -> Result<(), Refusal> {
        governance::check_envelope(state, signed, at)
    }

    fn judge(
        state: &State,
        statement: &VerifiedStatement,
        entry: Entry,
    ) -> Result<Option<JudgedEntry>, Refusal> {
        Ok(governance::judge(state, statement, entry.recorded_at())?.confirm(entry))
    }

    fn fold(state: &mut State, judged: &JudgedEntry) {
        state.fold(judged);
    }

    fn facts(state: &State) -> Facts {
        let ledger = state.ledger_id().cloned();
        Facts { rules: ledger.as_ref().map(|_| state.rules()), quorum: state.governors_quorum(), ledger }
    }

    fn recorder_key(state: &State) -> Option<PublicKey> {
        state.recorder_key()
    }

    fn needs_rules(state: &State) -> Option<u64> {
        // Before genesis nothing is in force, whatever number stands for that.
        state.ledger_id()?;
        Some(state.rules()).filter(|rules| *rules > governance::RULES)
    }
}
