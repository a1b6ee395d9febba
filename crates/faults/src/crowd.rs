//! A ledger that several recorders write at the same time, and what each of them keeps of its statements.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use countersign_core::event::{KeyHolder, LedgerOpened, RecorderKey, ResourceRegistered, Suite, Tier};
use countersign_core::id::{LedgerId, LedgerName, Person, Principal, Resource};
use countersign_core::statement::SignedStatement;
use countersign_ledger::{Author, testing};

use crate::BoxError;

/// The recorder's name: each of them signs checkpoints with its key.
pub const RECORDER: &str = "service:recorder";
/// Who cosigns everything.
const WITNESS: &str = "user:witness";

fn slot_name(slot: usize) -> String {
    format!("user:slot-{slot}")
}

fn person(principal: &str) -> Result<Person, BoxError> {
    Ok(Person::new(&principal.replace("user:", "person:"))?)
}

/// The genesis of a ledger with a governor for each slot: serials count for a key, so each has its own.
///
/// # Errors
/// None for names that this crate makes.
pub fn genesis(name: &LedgerName, slots: usize) -> Result<SignedStatement, BoxError> {
    let author = |principal: &str| -> Result<Author, BoxError> {
        Ok(Author::founding(Principal::new(principal)?, testing::key(principal), name.clone()))
    };
    let names: Vec<String> = (0..slots).map(slot_name).chain([WITNESS.to_owned()]).collect();
    let governors: Vec<Author> = names.iter().map(|name| author(name)).collect::<Result<_, _>>()?;
    let recorder = author(RECORDER)?;
    let mut holders = Vec::new();
    for (name, author) in names.iter().zip(&governors) {
        let principal = author.principal().clone();
        holders.push(KeyHolder { key: author.key_bytes(), person: person(name)?, principal });
    }
    let opened = LedgerOpened {
        governors: holders.into_iter().collect(),
        name: name.clone(),
        quorum: 2,
        recorder: RecorderKey {
            controllers: [person("user:olga")?].into_iter().collect(),
            key: recorder.key_bytes(),
            principal: recorder.principal().clone(),
        },
        recovery: None,
        rules: 1,
        suite: Suite,
    };
    Ok(governors[0].state(opened).cosigned_by(governors[1..].iter().chain([&recorder])).sign()?)
}

/// Who states what one slot records.
pub struct Voice {
    author: Author,
    witness: Author,
    slot: usize,
}

impl Voice {
    /// The governor of a slot, who has used serials up to `last_serial`.
    ///
    /// # Errors
    /// None for names that this crate makes.
    pub fn new(ledger: &LedgerId, slot: usize, last_serial: u64) -> Result<Self, BoxError> {
        let author = |name: &str| -> Result<Author, BoxError> {
            Ok(Author::new(Principal::new(name)?, testing::key(name), ledger.clone()))
        };
        let author_of_slot = author(&slot_name(slot))?.after_serial(last_serial);
        Ok(Self { author: author_of_slot, witness: author(WITNESS)?, slot })
    }

    /// The next statement of the slot, which is like no other.
    ///
    /// # Errors
    /// None for keys in memory.
    pub fn next(&self) -> Result<SignedStatement, BoxError> {
        let number = self.author.last_serial();
        let event = ResourceRegistered {
            environment: None,
            governed_by: None,
            process: None,
            resource: Resource::new(&format!("db:slot-{}/{number}", self.slot))?,
            tier: Tier::Low,
        };
        Ok(self.author.state(event).cosigned_by([&self.witness]).sign()?)
    }
}

/// A slot's statements, each written down before it is submitted: whoever comes after a crash settles what became of them by submitting
/// them again.
pub struct Outbox {
    file: File,
    statements: Vec<SignedStatement>,
}

impl Outbox {
    /// Opens the file, or makes it. A last line that is not whole was never submitted.
    ///
    /// # Errors
    /// Where it can not be read, or holds what is no statement.
    pub fn open(path: &Path) -> Result<Self, BoxError> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = std::fs::read(path)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        let lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n');
        let statements = lines.map(|line| SignedStatement::parse(&line[..line.len() - 1]));
        Ok(Self { file, statements: statements.collect::<Result<_, _>>()? })
    }

    /// What it held when it was opened.
    #[must_use]
    pub fn statements(&self) -> &[SignedStatement] {
        &self.statements
    }

    /// The last serial in it; 1 where there is none, which genesis used.
    #[must_use]
    pub fn last_serial(&self) -> u64 {
        self.statements.last().map_or(1, |signed| signed.statement().serial)
    }

    /// Writes a statement down.
    ///
    /// # Errors
    /// Where that fails.
    pub fn keep(&mut self, signed: &SignedStatement) -> Result<(), BoxError> {
        let mut line = signed.to_bytes();
        line.push(b'\n');
        // A kill does not cut what is written at once, and no loss of power is tried here: it is not synced.
        Ok(self.file.write_all(&line)?)
    }
}
