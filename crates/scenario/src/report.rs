//! What a run found.

use std::fmt;

use countersign_core::fault::{Fault, FaultCode};
use countersign_projection::governance::{Refusal, RefusalCode};

/// What a run of a scenario found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The scenario's title.
    pub title: String,
    /// The requirements that it tests.
    pub requirements: Vec<String>,
    /// How many statements were admitted, those of the setup and of fillings included.
    pub admitted: u64,
    /// The codes of the refusals that were expected and came, in order.
    pub refused: Vec<&'static str>,
    /// How many questions were answered as expected.
    pub answered: u64,
    /// What did not go as expected.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Whether everything went as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// The failures that are worth reading, and how many come after them: once a statement went another way than the scenario
    /// says, what comes later may follow from that alone.
    #[must_use]
    pub fn first_failures(&self) -> (&[Failure], usize) {
        let first = self.failures.iter().position(|failure| failure.diverges);
        let told = first.map_or(self.failures.len(), |index| index + 1);
        (&self.failures[..told], self.failures.len() - told)
    }

    /// Title and requirements, as a heading.
    #[must_use]
    pub fn heading(&self) -> String {
        match self.requirements.as_slice() {
            [] => self.title.clone(),
            requirements => format!("{} [{}]", self.title, requirements.join(" ")),
        }
    }

    /// The failures that are worth reading, a line feed before each; nothing where there are none.
    #[must_use]
    pub fn details(&self) -> String {
        let (told, more) = self.first_failures();
        let mut text: String = told.iter().map(|failure| format!("\n{failure}")).collect();
        match more {
            0 => {}
            1 => text += "\n  and one item after it, which may follow from that",
            more => text += &format!("\n  and {more} items after it, which may follow from that"),
        }
        text
    }
}

/// One thing that did not go as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which item of the timeline: its place, counted from 1, its id, and what it is.
    pub item: String,
    /// What was expected.
    pub expected: Finding,
    /// What happened.
    pub happened: Finding,
    /// Whether the ledger is another one after it than the scenario means: so it is after every statement, and not after a question.
    pub diverges: bool,
}

/// A verdict or an answer, with what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `admitted`, a code, an answer, or a sentence.
    pub word: String,
    /// The facts of this case.
    pub detail: Option<String>,
    /// What the code means.
    pub meaning: Option<&'static str>,
    /// The requirements that the rule enforces.
    pub requirements: &'static [&'static str],
}

impl Finding {
    pub(crate) fn plain(word: impl Into<String>) -> Self {
        Self { word: word.into(), detail: None, meaning: None, requirements: &[] }
    }

    /// What is expected: `admitted`, or a code. None where the word is neither.
    pub(crate) fn expected(word: &str) -> Option<Self> {
        if word == "admitted" {
            return Some(Self::plain(word));
        }
        let rule = RefusalCode::ALL.iter().find(|code| code.as_str() == word);
        let fault = FaultCode::ALL.iter().find(|code| code.as_str() == word);
        match (rule, fault) {
            (Some(code), _) => Some(Self::code(*code, None)),
            (None, Some(code)) => Some(Self { meaning: Some(code.meaning().trim()), ..Self::plain(word) }),
            (None, None) => None,
        }
    }

    fn code(code: RefusalCode, detail: Option<String>) -> Self {
        Self {
            word: code.as_str().into(),
            detail,
            meaning: Some(code.meaning().trim()),
            requirements: code.requirements(),
        }
    }
}

impl From<Refusal> for Finding {
    fn from(refusal: Refusal) -> Self {
        Self::code(refusal.code, Some(refusal.detail))
    }
}

impl From<Fault> for Finding {
    fn from(fault: Fault) -> Self {
        Self {
            detail: Some(fault.detail),
            meaning: Some(fault.code.meaning().trim()),
            ..Self::plain(fault.code.as_str())
        }
    }
}

/// The code of this word, if it is one.
pub(crate) fn code(word: &str) -> Option<&'static str> {
    let rules = RefusalCode::ALL.iter().map(|code| code.as_str());
    rules.chain(FaultCode::ALL.iter().map(|code| code.as_str())).find(|code| *code == word)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(meaning) = self.meaning {
            write!(f, "\n              {meaning}")?;
        }
        if !self.requirements.is_empty() {
            write!(f, " ({})", self.requirements.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}\n    expected  {}\n    happened  {}", self.item, self.expected, self.happened)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.passed() { "passed" } else { "FAILED" };
        write!(f, "{verdict}  {}{}", self.heading(), self.details())
    }
}
