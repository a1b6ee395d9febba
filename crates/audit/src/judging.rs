//! The back of the pipeline: entries are judged and folded in order, and the tree over them grows.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::digest::{KeyId, LeafHash, NodeHash};
use countersign_core::entry::Entry;
use countersign_core::event::Event;
use countersign_core::fault::FaultCode;
use countersign_core::id::LedgerId;
use countersign_core::statement::Statement;
use countersign_core::time::Timestamp;
use countersign_projection::governance::RefusalCode;

use crate::chain::{ChainFault, Linked};
use crate::framing::Place;
use crate::notes::Mark;
use crate::report::{Code, LedgerFault, SerialGap};
use crate::rules::Door;
use crate::verify::AsOf;

/// What the entries so far amount to.
pub(crate) struct Judging<D: Door> {
    pub(crate) state: D::State,
    /// The state at the wanted moment, once an entry after it came.
    pub(crate) past: Option<D::State>,
    /// How many entries passed every check.
    pub(crate) judged: u64,
    /// How many entries are in the tree: more than were judged, once the rules are of a version that this build lacks.
    pub(crate) linked: u64,
    pub(crate) withheld: u64,
    /// How many signatures were found valid.
    pub(crate) signatures: u64,
    pub(crate) needs_rules: Option<u64>,
    pub(crate) marks: BTreeMap<u64, Mark>,
    pub(crate) serials: BTreeMap<KeyId, Serials>,
    /// The tree without its last leaf, so that it can be told what another last leaf would have made of it.
    tree: crate::tree::Frontier,
    last: Option<LeafHash>,
    pin: Option<LedgerId>,
    as_of: AsOf,
}

/// The serials that one key has used.
#[derive(Debug, Clone)]
pub(crate) struct Serials {
    author: countersign_core::id::Principal,
    lowest: u64,
    highest: u64,
    count: u64,
}

impl<D: Door> Judging<D> {
    pub(crate) fn new(marks: BTreeMap<u64, Mark>, pin: Option<LedgerId>, as_of: AsOf) -> Self {
        Self {
            state: D::State::default(),
            past: None,
            judged: 0,
            linked: 0,
            withheld: 0,
            signatures: 0,
            needs_rules: None,
            marks,
            serials: BTreeMap::new(),
            tree: crate::tree::Frontier::default(),
            last: None,
            pin,
            as_of,
        }
    }

    /// Judges entries in order, up to the first that is not good.
    pub(crate) fn take(
        &mut self,
        entries: Vec<Linked>,
        on_entry: &mut dyn FnMut(&D::Judged, &D::State),
    ) -> Result<(), LedgerFault> {
        entries.into_iter().try_for_each(|entry| self.take_one(entry, on_entry))
    }

    fn take_one(
        &mut self,
        entry: Linked,
        on_entry: &mut dyn FnMut(&D::Judged, &D::State),
    ) -> Result<(), LedgerFault> {
        self.needs_rules = self.needs_rules.or_else(|| D::needs_rules(&self.state));
        let (seq, leaf) = (entry.seq, entry.leaf);
        let is_marked = self.marks.contains_key(&(seq + 1));
        let before = if is_marked { D::recorder_key(&self.state) } else { None };
        if self.needs_rules.is_none() {
            self.judge(entry, on_entry)?;
        }
        if let Some(last) = self.last.replace(leaf) {
            self.tree.push(last);
        }
        self.linked = seq + 1;
        if let Some(mark) = self.marks.get_mut(&self.linked) {
            mark.root = Some(self.tree.root_with(&[leaf]));
            mark.leaf = Some(leaf);
            let keys = before.into_iter().chain(D::recorder_key(&self.state));
            mark.recorder = keys.collect::<BTreeSet<_>>().into_iter().collect();
        }
        Ok(())
    }

    /// The checks of one entry, in the order of docs/format.md from the statement's schema on.
    fn judge(
        &mut self,
        linked: Linked,
        on_entry: &mut dyn FnMut(&D::Judged, &D::State),
    ) -> Result<(), LedgerFault> {
        let Linked { seq, place, recorded_at, withheld, checked, .. } = linked;
        let fault = |code: Code, detail: &str| LedgerFault::at(seq, &place, 0, code, detail);
        let (entry, verified) = checked.map_err(|found| LedgerFault::of(seq, &place, &found))?;
        // Of a statement whose signatures are good the rules themselves name the first fault of the envelope.
        if seq == 0 || verified.is_err() {
            self.check_envelope(&entry, recorded_at, &place)?;
        }
        let verified = verified.map_err(|found| LedgerFault::of(seq, &place, &found))?;
        let signatures = entry.signed().signatures().len() as u64;
        let statement = entry.signed().clone();
        let judged = D::judge(&self.state, &verified, entry)
            .map_err(|refusal| fault(refusal.code.into(), &refusal.detail))?
            .ok_or_else(|| {
                // The chain was checked, so this can not be; a verifier says so rather than believe it.
                fault(Code::Fault(FaultCode::Seq), "the entry is not at the place where it was judged")
            })?;
        if self.past.is_none() && !self.as_of.includes(seq, recorded_at) {
            self.past = Some(self.state.clone());
        }
        D::fold(&mut self.state, &judged);
        self.judged = seq + 1;
        self.withheld += withheld;
        self.signatures += signatures;
        self.count_serial(statement.statement());
        on_entry(&judged, &self.state);
        Ok(())
    }

    /// What comes before the signatures of a statement.
    fn check_envelope(
        &self,
        entry: &Entry,
        recorded_at: Timestamp,
        place: &Place,
    ) -> Result<(), LedgerFault> {
        let seq = entry.seq();
        let fault = |code: Code, detail: &str| LedgerFault::at(seq, place, 0, code, detail);
        let envelope = D::check_envelope(&self.state, entry.signed(), recorded_at);
        if !matches!(&envelope, Err(refusal) if refusal.code == RefusalCode::Genesis) {
            // Of all that is said about a ledger's identity only this comes from outside of it.
            let found = opened(entry.statement(), entry.signed().digest()).filter(|_| seq == 0);
            if let (Some(pin), Some(found)) = (&self.pin, &found)
                && pin != found
            {
                let detail = format!("expected {pin}, found {found}");
                return Err(LedgerFault::outside(seq, FaultCode::LedgerPin, &detail));
            }
        }
        if let Err(refusal) = envelope {
            // The form of the signature set comes before who signed; a stripped entry is `unsigned`, not a wrong signer.
            let about_signers = matches!(
                refusal.code,
                RefusalCode::UnknownKey
                    | RefusalCode::KeyEnded
                    | RefusalCode::KeyReused
                    | RefusalCode::NoPossession
                    | RefusalCode::SignerSet
            );
            if about_signers {
                entry.signed().check_signature_set().map_err(|found| LedgerFault::of(seq, place, &found))?;
            }
            return Err(fault(refusal.code.into(), &refusal.detail));
        }
        Ok(())
    }

    fn count_serial(&mut self, statement: &Statement) {
        let serial = statement.serial;
        let serials = self.serials.entry(statement.key).or_insert_with(|| Serials {
            author: statement.author.clone(),
            lowest: serial,
            highest: serial,
            count: 0,
        });
        serials.lowest = serials.lowest.min(serial);
        serials.highest = serials.highest.max(serial);
        serials.count += 1;
    }

    /// Numbers between the lowest and the highest serial of a key that no statement has, sorted by key id.
    pub(crate) fn serial_gaps(&self) -> Vec<SerialGap> {
        let gaps = self.serials.iter().filter_map(|(key, serials)| {
            let span = (serials.highest - serials.lowest).saturating_add(1);
            let missing = span.saturating_sub(serials.count);
            (missing > 0).then(|| SerialGap { key: *key, author: serials.author.clone(), missing })
        });
        gaps.collect()
    }

    /// The root over the first `size` entries, for the last two sizes.
    pub(crate) fn root_at(&self, size: u64) -> NodeHash {
        match self.last {
            Some(last) if size == self.linked => self.tree.root_with(&[last]),
            Some(_) | None => self.tree.root(),
        }
    }

    /// Where the last two entries contradict each other: the root that there would be if it was the one before that was changed.
    pub(crate) fn root_if_changed(&self, stop: &ChainFault) -> Option<NodeHash> {
        stop.undecided.map(|(named, last)| self.tree.root_with(&[named, last]))
    }
}

/// The id of the ledger that a genesis statement opens.
fn opened(statement: &Statement, digest: countersign_core::digest::StatementDigest) -> Option<LedgerId> {
    if let Event::LedgerOpened(event) = &statement.event {
        Some(LedgerId::new(&event.name, digest))
    } else {
        None
    }
}

impl AsOf {
    fn includes(&self, seq: u64, recorded_at: Timestamp) -> bool {
        self.before.is_none_or(|before| seq < before) && self.at.is_none_or(|at| recorded_at <= at)
    }
}
