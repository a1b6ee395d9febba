//! What a verification shows and what not, claim by claim. No sentence says more than was checked.

use countersign_core::fault::FaultCode;
use serde::Serialize;

use crate::report::{Code, Finding, Verdict, count};

/// One thing that an auditor wants to know of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// Which. The names are stable.
    pub name: ClaimName,
    /// Whether it was shown, was shown to be wrong, or could not be shown.
    pub verdict: Verdict,
    /// What exactly was checked, in a sentence; its wording is not stable.
    pub detail: String,
}

macro_rules! names {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)*) => {
        /// The claims of a report, in their order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ClaimName { $($(#[$doc])+ $variant,)* }

        impl ClaimName {
            /// Every claim, in the order of reports.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name as reports print it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

names! {
    /// The file is whole lines of legal length, and there is at least one.
    Framing = "framing",
    /// Every line is the one canonical form of an entry with a known schema.
    CanonicalForm = "canonical_form",
    /// Every entry stands at its place and names the one before it.
    Chain = "chain",
    /// It is the ledger that was asked for.
    LedgerIdentity = "ledger_identity",
    /// Every signature is valid under a key that the ledger had admitted.
    Signatures = "signatures",
    /// Every statement is admitted by the rules in force at its place.
    Rules = "rules",
    /// Every checkpoint holds.
    Checkpoints = "checkpoints",
    /// The time of the last entry is the recorded one.
    LastTime = "last_time",
    /// Nothing was cut off, left out, or shown to others differently.
    Completeness = "completeness",
    /// The authors' serials have no gaps.
    Serials = "serials",
    /// Every text is in the ledger.
    Texts = "texts",
}

impl std::fmt::Display for ClaimName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// All claims about what was found.
pub(crate) fn claims(finding: &Finding) -> Vec<Claim> {
    let failed = finding.fault.as_ref().map(|fault| concerns(fault.code));
    let make = |name: &ClaimName| {
        let (verdict, detail) = if failed == Some(*name) {
            let code = finding.fault.as_ref().map(|fault| fault.code.to_string()).unwrap_or_default();
            (Verdict::Failed, format!("The first fault is of this kind: {code}."))
        } else {
            say(*name, finding)
        };
        Claim { name: *name, verdict, detail }
    };
    ClaimName::ALL.iter().map(make).collect()
}

fn say(name: ClaimName, finding: &Finding) -> (Verdict, String) {
    let entries = count(finding.entries, "entry", "entries");
    let of_bytes = |what: &str| match &finding.fault {
        Some(fault) if is_of_a_line(fault.code) => (Verdict::NotCheckable, up_to_fault(finding.size)),
        Some(_) | None => (Verdict::Verified, what.to_owned()),
    };
    let of_statements = |what: String| match (&finding.fault, finding.needs_rules) {
        (Some(fault), _) if is_of_a_line(fault.code) => (Verdict::NotCheckable, up_to_fault(finding.entries)),
        (_, Some(rules)) => (
            Verdict::NotCheckable,
            format!("{entries} passed; the rest needs rules version {rules}, which this program lacks."),
        ),
        (_, None) => (Verdict::Verified, what),
    };
    let size = count(finding.size, "entry", "entries");
    match name {
        ClaimName::Framing => {
            of_bytes(&format!("The bytes are {size}, each one line with its end and not too long."))
        }
        ClaimName::CanonicalForm => of_statements(format!(
            "Each of {size} is the one canonical form of what it says, in a known schema."
        )),
        ClaimName::Chain => of_bytes(
            "Each entry has the seq of its position and the leaf hash of the one before it, and times never go back. A chain \
             alone can be made anew by whoever holds the file.",
        ),
        ClaimName::LedgerIdentity => identity(finding),
        ClaimName::Signatures => of_statements(format!(
            "{} verified strictly, each under a key that the ledger had admitted before or proves there.",
            count(finding.signatures, "signature", "signatures")
        )),
        ClaimName::Rules => of_statements(format!(
            "Every statement was judged again, each in the state the ones before it leave, under rules version {}.",
            finding.facts.rules.unwrap_or_default()
        )),
        ClaimName::Checkpoints => checkpoints(finding),
        ClaimName::LastTime => last_time(finding),
        ClaimName::Completeness => completeness(finding),
        ClaimName::Serials => serials(finding),
        ClaimName::Texts => match finding.withheld {
            0 => of_statements("No text is withheld.".into()),
            withheld => (
                Verdict::NotCheckable,
                format!(
                    "{} withheld: the ledger holds a salted commitment in place of each.",
                    count(withheld, "text is", "texts are")
                ),
            ),
        },
    }
}

fn up_to_fault(passed: u64) -> String {
    match passed {
        0 => "Not checked: the first fault comes before all else.".into(),
        1 => "Checked up to the first fault only: one entry passed.".into(),
        passed => format!("Checked up to the first fault only: the first {passed} entries passed."),
    }
}

fn identity(finding: &Finding) -> (Verdict, String) {
    match (&finding.facts.ledger, finding.is_pinned) {
        (Some(_), true) => (Verdict::Verified, "The ledger is the one whose id was given.".into()),
        (Some(_), false) => (
            Verdict::NotCheckable,
            "No ledger id was given: compare the one in this report with one known from elsewhere.".into(),
        ),
        (None, _) => (Verdict::NotCheckable, "The ledger has no valid first entry.".into()),
    }
}

fn checkpoints(finding: &Finding) -> (Verdict, String) {
    let (anchored, size) = (finding.anchored, finding.size);
    let given = count(finding.checkpoints as u64, "checkpoint", "checkpoints");
    let holding = count(
        finding.checkpoints as u64,
        "checkpoint signed by the recorder holds",
        "checkpoints signed by the recorder hold",
    );
    match &finding.fault {
        Some(fault) if is_of_a_line(fault.code) => (
            Verdict::NotCheckable,
            format!(
                "Checkpoints come after all lines; {} anchored.",
                match anchored {
                    0 => "no good entry is".to_owned(),
                    1 => "the first good entry is".to_owned(),
                    anchored => format!("the first {anchored} good entries are"),
                }
            ),
        ),
        _ if finding.checkpoints == 0 => (
            Verdict::NotCheckable,
            format!("There is no checkpoint: internally consistent, not anchored, to size {size}."),
        ),
        _ if finding.needs_rules.is_some() => (
            Verdict::NotCheckable,
            format!(
                "{given} given; who may sign them is known up to entry {} only. Anchored to size {anchored}.",
                finding.entries
            ),
        ),
        _ if anchored == 0 => (
            Verdict::NotCheckable,
            format!("{given} given, of size 0: of no entries, so they anchor nothing."),
        ),
        _ if anchored < size => (
            Verdict::Verified,
            format!(
                "{holding}, to size {anchored}; {} not anchored.",
                count(size - anchored, "entry after that is", "entries after that are")
            ),
        ),
        Some(_) | None => {
            (Verdict::Verified, format!("{holding}, to size {anchored}, which is every entry here."))
        }
    }
}

fn last_time(finding: &Finding) -> (Verdict, String) {
    let name = if finding.fault.is_none() { "last entry" } else { "last good entry" };
    match finding.size.checked_sub(1) {
        None => (Verdict::NotCheckable, "There is no last entry.".into()),
        Some(last) if finding.anchored == finding.size => {
            (Verdict::Verified, format!("`recorded_at` of the {name}, {last}, is under a checkpoint."))
        }
        Some(last) => (
            Verdict::NotCheckable,
            format!(
                "Nothing protects `recorded_at` of the {name}, {last}: signatures do not cover it, no entry after it holds \
                 it, and no checkpoint that holds is over it."
            ),
        ),
    }
}

/// Never verified: a ledger alone can not show it, whatever is in it.
fn completeness(finding: &Finding) -> (Verdict, String) {
    let cut = match finding.anchored {
        0 => "that no entries were cut off at the end".to_owned(),
        anchored => format!("that no entries were cut off after size {anchored}"),
    };
    (
        Verdict::NotCheckable,
        format!(
            "Not shown: {cut}, that no statement was left out before it was recorded, and that nobody was shown another \
             history. Receipts, a checkpoint from elsewhere, or an independent witness could show that."
        ),
    )
}

fn serials(finding: &Finding) -> (Verdict, String) {
    let missing = finding.serial_gaps.iter().fold(0_u64, |sum, gap| sum.saturating_add(gap.missing));
    match missing {
        _ if finding.entries == 0 => (Verdict::NotCheckable, "There are no good entries.".into()),
        0 => (
            Verdict::Verified,
            format!(
                "No key has a gap in its serials over the first {}.",
                count(finding.entries, "entry", "entries")
            ),
        ),
        missing => (
            Verdict::NotCheckable,
            format!(
                "{} in no statement, of {}: dropped, refused or never sent, which the ledger alone can not tell.",
                count(missing, "serial is", "serials are"),
                count(finding.serial_gaps.len() as u64, "key", "keys")
            ),
        ),
    }
}

/// Which claim a fault refutes.
const fn concerns(code: Code) -> ClaimName {
    match code {
        Code::Rule(_) => ClaimName::Rules,
        Code::Fault(code) => match code {
            FaultCode::TornTail
            | FaultCode::LineTooLong
            | FaultCode::EmptySegment
            | FaultCode::SegmentName
            | FaultCode::Store
            | FaultCode::EmptyLedger => ClaimName::Framing,
            FaultCode::StatementTooLong
            | FaultCode::Utf8
            | FaultCode::Json
            | FaultCode::Number
            | FaultCode::DuplicateKey
            | FaultCode::KeyForm
            | FaultCode::Depth
            | FaultCode::Text
            | FaultCode::NotCanonical
            | FaultCode::Schema
            | FaultCode::UnknownKind
            | FaultCode::Time
            | FaultCode::Base64 => ClaimName::CanonicalForm,
            FaultCode::Seq | FaultCode::Prev | FaultCode::TimeBackwards => ClaimName::Chain,
            FaultCode::Genesis | FaultCode::LedgerPin | FaultCode::LedgerId => ClaimName::LedgerIdentity,
            FaultCode::Serial | FaultCode::Seen | FaultCode::SeenMissing => ClaimName::Rules,
            FaultCode::Unsigned
            | FaultCode::SignatureOrder
            | FaultCode::UnknownKey
            | FaultCode::KeyEnded
            | FaultCode::KeyReused
            | FaultCode::WeakKey
            | FaultCode::NoPossession
            | FaultCode::Signature
            | FaultCode::SignerSet => ClaimName::Signatures,
            FaultCode::Note
            | FaultCode::CheckpointMissing
            | FaultCode::CheckpointSignature
            | FaultCode::CheckpointOrigin
            | FaultCode::CheckpointAhead
            | FaultCode::CheckpointRoot => ClaimName::Checkpoints,
        },
    }
}

/// Whether lines after the fault were not looked at.
fn is_of_a_line(code: Code) -> bool {
    concerns(code) != ClaimName::Checkpoints
}
