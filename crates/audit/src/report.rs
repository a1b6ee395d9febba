//! What a verification found, for programs and for people. Equal ledgers give equal bytes.

use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::digest::{KeyId, NodeHash};
use countersign_core::fault::{Fault, FaultCode};
use countersign_core::id::{LedgerId, Principal};
use countersign_core::scan::is_refused_char;
use countersign_projection::governance::RefusalCode;
use serde::Serialize;

use crate::claims::{Claim, claims};
use crate::directory::Inventory;
use crate::framing::Place;
use crate::rules::Facts;

/// The one-word answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every check passed. What that shows, and what not, the claims say.
    Verified,
    /// Some check did not pass.
    Failed,
    /// No check failed, and some could not be made: the rest needs a rules version that this build lacks.
    NotCheckable,
}

impl Verdict {
    /// The word as reports print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Failed => "failed",
            Self::NotCheckable => "not_checkable",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The stable code of a fault: of bytes, or of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// What is wrong with bytes, chain, signatures or checkpoints.
    Fault(FaultCode),
    /// The rule that refuses the statement. Never one that stands for a fault: `From` takes care of that.
    Rule(RefusalCode),
}

impl From<RefusalCode> for Code {
    fn from(code: RefusalCode) -> Self {
        code.fault().map_or(Self::Rule(code), Self::Fault)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(code) => f.pad(code.as_str()),
            Self::Rule(code) => f.pad(&format!("rule:{code}")),
        }
    }
}

/// The first fault of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerFault {
    /// Its position: how many good entries stand before it, whatever number the line claims.
    pub seq: u64,
    /// The segment, where the ledger is several files and the fault is in one.
    pub segment: Option<String>,
    /// The line, counted from 1; none where the fault is in no line: another ledger, no entries, or a checkpoint.
    pub line: Option<u64>,
    /// The first wrong byte where it is known, else the start of the line; counted from 0. None where there is no line.
    pub offset: Option<u64>,
    /// What is wrong.
    pub code: Code,
    /// A sentence for a person, without control characters; its wording is not stable.
    pub detail: String,
}

impl LedgerFault {
    /// A fault `offset` bytes into the line at `place`.
    pub(crate) fn at(seq: u64, place: &Place, offset: u64, code: Code, detail: &str) -> Self {
        Self {
            seq,
            segment: place.segment.as_deref().map(str::to_owned),
            line: Some(place.line),
            offset: Some(place.offset + offset),
            code,
            detail: printable(detail),
        }
    }

    /// A fault that is in no line.
    pub(crate) fn outside(seq: u64, code: FaultCode, detail: &str) -> Self {
        let (code, detail) = (Code::Fault(code), printable(detail));
        Self { seq, segment: None, line: None, offset: None, code, detail }
    }

    /// Where it is, as reports say it: none where it is in no line.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let (line, offset) = (self.line?, self.offset?);
        let segment = self.segment.as_deref().map(|name| format!("segment {}, ", printable(name)));
        Some(format!("entry {}, {}line {line}, byte {offset}", self.seq, segment.unwrap_or_default()))
    }

    /// A fault of the line's own bytes.
    pub(crate) fn of(seq: u64, place: &Place, fault: &Fault) -> Self {
        Self::at(seq, place, fault.offset as u64, Code::Fault(fault.code), &fault.detail)
    }
}

/// What nobody signed, and what an auditor has to know all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Which.
    pub code: WarningCode,
    /// A sentence for a person; its wording is not stable.
    pub detail: String,
}

/// The stable code of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WarningCode {
    /// The last writer noted more entries as durable than there are.
    EntriesMissing,
    /// The last writer noted another entry as durable than the one that stands there.
    OtherHistory,
}

impl WarningCode {
    /// The word as reports print it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EntriesMissing => "entries_missing",
            Self::OtherHistory => "other_history",
        }
    }
}

/// Serials of one key that no statement has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialGap {
    /// The key.
    pub key: KeyId,
    /// Who signs with it.
    pub author: Principal,
    /// How many numbers between its lowest and its highest are missing.
    pub missing: u64,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The one-word answer.
    pub verdict: Verdict,
    /// How many entries passed every check.
    pub entries: u64,
    /// How many entries [`Self::root`] covers: as many, or more where rules of an unknown version stopped the judging.
    pub size: u64,
    /// The root of the Merkle tree over them.
    pub root: NodeHash,
    /// The ledger's id, as its first entry says it.
    pub ledger: Option<LedgerId>,
    /// How many entries, from the first on, a valid checkpoint commits its signer to; 0 where there is none.
    pub anchored: u64,
    /// The rules version in force at the end.
    pub rules: Option<u64>,
    /// How many governors must sign what they do together, and how many there are.
    pub governors_quorum: Option<(u64, u64)>,
    /// The first fault.
    pub fault: Option<LedgerFault>,
    /// What contradicts the entries without being signed: no fault, and no reason to rely on them. Docs/format.md, section 10.
    pub warnings: Vec<Warning>,
    /// What is shown and what not, each with a sentence.
    pub claims: Vec<Claim>,
    /// The rules version that the entries after [`Self::entries`] need, where this build lacks it.
    pub needs_rules: Option<u64>,
    /// How many texts are withheld: only commitments to them are in the ledger.
    pub withheld: u64,
    /// Serials that no statement has, sorted by key id. A gap may be a dropped statement, a refused one, or one never sent.
    pub serial_gaps: Vec<SerialGap>,
    /// What lies with the segments, where the ledger is a directory. None of it is a fault, and none of it was looked into.
    pub inventory: Option<Inventory>,
}

/// The facts that a report is made of.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) entries: u64,
    pub(crate) size: u64,
    pub(crate) root: NodeHash,
    pub(crate) facts: Facts,
    pub(crate) anchored: u64,
    /// How many checkpoints were given, good or not.
    pub(crate) checkpoints: usize,
    pub(crate) is_pinned: bool,
    pub(crate) needs_rules: Option<u64>,
    pub(crate) signatures: u64,
    pub(crate) withheld: u64,
    pub(crate) serial_gaps: Vec<SerialGap>,
    pub(crate) inventory: Option<Inventory>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) fault: Option<LedgerFault>,
}

impl Report {
    pub(crate) fn new(finding: Finding) -> Self {
        let verdict = match (&finding.fault, finding.needs_rules) {
            (Some(_), _) => Verdict::Failed,
            (None, Some(_)) => Verdict::NotCheckable,
            (None, None) => Verdict::Verified,
        };
        Self {
            verdict,
            claims: claims(&finding),
            entries: finding.entries,
            size: finding.size,
            root: finding.root,
            ledger: finding.facts.ledger,
            anchored: finding.anchored,
            rules: finding.facts.rules,
            governors_quorum: finding.facts.quorum,
            needs_rules: finding.needs_rules,
            withheld: finding.withheld,
            serial_gaps: finding.serial_gaps,
            inventory: finding.inventory,
            warnings: finding.warnings,
            fault: finding.fault,
        }
    }

    /// Whether every check passed. Warnings are for [`Self::is_sound`].
    #[must_use]
    pub fn is_verified(&self) -> bool {
        self.verdict == Verdict::Verified
    }

    /// Whether every check passed and nothing warns: what is to be relied on.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.is_verified() && self.warnings.is_empty()
    }

    /// One JSON object on one line: `verdict`, `entries`, `size`, `root`, `ledger`, `anchored`, `rules`, `governors_quorum`,
    /// `fault`, `warnings` and `claims`, in that order; for a directory `directory` behind them. A fault that is in no line has
    /// neither `line` nor `offset`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let fault = self.fault.as_ref().map(|fault| JsonFault {
            seq: fault.seq,
            segment: fault.segment.as_deref(),
            line: fault.line,
            offset: fault.offset,
            code: fault.code.to_string(),
            detail: &fault.detail,
        });
        let json = JsonReport {
            verdict: self.verdict,
            entries: self.entries,
            size: self.size,
            root: self.root_text(),
            ledger: self.ledger.as_ref().map(LedgerId::as_str),
            anchored: self.anchored,
            rules: self.rules,
            governors_quorum: self
                .governors_quorum
                .map(|(quorum, governors)| JsonQuorum { quorum, governors }),
            fault,
            warnings: &self.warnings,
            claims: &self.claims,
            directory: self.inventory.as_ref(),
        };
        serde_json::to_string(&json).expect("text and numbers with fixed names can be written as JSON")
    }

    fn root_text(&self) -> String {
        STANDARD.encode(self.root.as_bytes())
    }

    fn summary(&self) -> String {
        let entries = count(self.entries, "entry", "entries");
        match (self.verdict, self.needs_rules) {
            (Verdict::Verified, _) if self.anchored == self.entries => {
                format!("{entries}, all anchored by a checkpoint")
            }
            (Verdict::Verified, _) if self.anchored > 0 => {
                format!("{entries}, the first {} anchored by a checkpoint", self.anchored)
            }
            (Verdict::Verified, _) => format!("{entries}, internally consistent, not anchored"),
            (Verdict::Failed, _) => {
                let outside = self.fault.as_ref().and_then(|fault| outside(fault, &entries));
                outside.unwrap_or_else(|| format!("{entries} before the first fault"))
            }
            (Verdict::NotCheckable, needs) => format!(
                "{entries}; the {} after them need rules version {}",
                self.size - self.entries,
                needs.unwrap_or_default()
            ),
        }
    }
}

impl fmt::Display for Report {
    /// The report for a person, of several lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warned = if self.warnings.is_empty() { "" } else { " WITH A WARNING" };
        writeln!(f, "{}{warned}: {}", self.verdict.as_str().replace('_', " "), self.summary())?;
        if self.fault.is_some() || !self.warnings.is_empty() {
            writeln!(f)?;
        }
        if let Some(fault) = &self.fault {
            writeln!(f, "  fault      {}", fault.code)?;
            if let Some(place) = fault.place() {
                writeln!(f, "  at         {place}")?;
            }
            writeln!(f, "  detail     {}", fault.detail)?;
        }
        for warning in &self.warnings {
            writeln!(f, "  WARNING    {}: {}", warning.code.as_str(), warning.detail)?;
        }
        let none = || "unknown".to_owned();
        let quorum = self.governors_quorum.map_or_else(none, |(quorum, governors)| {
            let alone = if quorum == 1 { ": one governor alone can do everything governors can" } else { "" };
            format!("{quorum} of {governors} must sign what governors do together{alone}")
        });
        writeln!(f)?;
        writeln!(f, "  ledger     {}", self.ledger.as_ref().map_or_else(none, ToString::to_string))?;
        writeln!(f, "  root       {} over {}", self.root_text(), count(self.size, "entry", "entries"))?;
        writeln!(f, "  anchored   {}", count(self.anchored, "entry", "entries"))?;
        writeln!(f, "  rules      {}", self.rules.map_or_else(none, |rules| format!("version {rules}")))?;
        writeln!(f, "  governors  {quorum}")?;
        if let Some(inventory) = &self.inventory {
            show_inventory(inventory, self.size, f)?;
        }
        writeln!(f)?;
        for claim in &self.claims {
            writeln!(
                f,
                "  {:<17} {:<14} {}",
                claim.name,
                claim.verdict.as_str().replace('_', " "),
                claim.detail
            )?;
        }
        for gap in self.serial_gaps.iter().take(SHOWN_GAPS) {
            writeln!(f, "  gap: {} of {} under key {}", gap.missing, gap.author, gap.key)?;
        }
        if self.serial_gaps.len() > SHOWN_GAPS {
            writeln!(f, "  gap: {} more keys", self.serial_gaps.len() - SHOWN_GAPS)?;
        }
        Ok(())
    }
}

/// What a fault that is in no line comes to, in a sentence; none for any other.
fn outside(fault: &LedgerFault, entries: &str) -> Option<String> {
    let Code::Fault(code) = fault.code else { return None };
    let what = match code {
        FaultCode::LedgerPin => return Some(format!("this is another ledger: {}", fault.detail)),
        FaultCode::EmptyLedger => return Some("there are no entries".into()),
        FaultCode::CheckpointAhead => "entries are missing that a checkpoint is over",
        FaultCode::CheckpointMissing => "no checkpoint anchors anything, and one was asked for",
        FaultCode::CheckpointOrigin => "a checkpoint is of another ledger",
        FaultCode::CheckpointRoot => "the entries are not those that a checkpoint is over",
        FaultCode::CheckpointSignature => "a checkpoint is not signed by the recorder",
        FaultCode::Note => "a checkpoint can not be read",
        _ => return None,
    };
    Some(format!("{what}; {entries} passed every other check"))
}

/// What lies in the directory, in lines of the report for a person.
fn show_inventory(inventory: &Inventory, entries: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let segments = count(inventory.segments, "segment", "segments");
    let durable = inventory.durable.map(|size| {
        let less = if size > entries { ": more than are good here" } else { "" };
        format!("; its writer noted {} as durable{less}", count(size, "entry", "entries"))
    });
    writeln!(f, "  directory  {segments}{}", durable.unwrap_or_default())?;
    for tail in inventory.cut.iter().take(SHOWN_NAMES) {
        let bytes = count(tail.bytes, "byte", "bytes");
        writeln!(f, "  kept       {}: {bytes} that a recovery cut off", printable(&tail.name))?;
    }
    for name in inventory.foreign.iter().take(SHOWN_NAMES) {
        let bars = if name.starts_with("entries/") {
            "; nothing can be recorded before it is moved away"
        } else {
            ""
        };
        writeln!(f, "  foreign    {}: no part of the ledger, not looked at{bars}", printable(name))?;
    }
    let shown = |names: usize| names.saturating_sub(SHOWN_NAMES) as u64;
    let more = inventory.unnamed + shown(inventory.cut.len()) + shown(inventory.foreign.len());
    if more > 0 {
        writeln!(f, "  more       {} of these kinds", count(more, "file", "files"))?;
    }
    Ok(())
}

/// How many keys with gaps the report for a person lists.
const SHOWN_GAPS: usize = 20;

/// How many kept and how many foreign files it names.
const SHOWN_NAMES: usize = 20;

#[derive(Serialize)]
struct JsonReport<'a> {
    verdict: Verdict,
    entries: u64,
    size: u64,
    root: String,
    ledger: Option<&'a str>,
    anchored: u64,
    rules: Option<u64>,
    governors_quorum: Option<JsonQuorum>,
    fault: Option<JsonFault<'a>>,
    warnings: &'a [Warning],
    claims: &'a [Claim],
    directory: Option<&'a Inventory>,
}

#[derive(Serialize)]
struct JsonQuorum {
    quorum: u64,
    governors: u64,
}

#[derive(Serialize)]
struct JsonFault<'a> {
    seq: u64,
    segment: Option<&'a str>,
    line: Option<u64>,
    offset: Option<u64>,
    code: String,
    detail: &'a str,
}

/// `1 entry`, `2 entries`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The text with control characters, and those that change how text is displayed, escaped: details may quote the ledger.
fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() || is_refused_char(c) {
            write!(out, "{}", c.escape_unicode()).expect("writing to a string does not fail");
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T-L2: what a ledger makes a detail say reaches a terminal as letters only.
    #[test]
    fn details_have_no_control_characters() {
        let text = "\u{1b}[2J\u{7}\n\u{9b}1m \u{202e}gnp.exe \u{e9} `x`";
        let code = Code::Fault(FaultCode::Schema);
        let fault = LedgerFault::at(0, &Place::default(), 0, code, text);
        assert_eq!(fault.detail, "\\u{1b}[2J\\u{7}\\u{a}\\u{9b}1m \\u{202e}gnp.exe \u{e9} `x`");
    }

    #[test]
    fn rules_have_their_prefix_and_faults_of_the_envelope_have_none() {
        assert_eq!(Code::from(RefusalCode::SelfApproval).to_string(), "rule:self_approval");
        assert_eq!(Code::from(RefusalCode::Serial), Code::Fault(FaultCode::Serial));
        assert_eq!(Code::from(RefusalCode::SeenMissing).to_string(), "seen_missing");
    }
}
