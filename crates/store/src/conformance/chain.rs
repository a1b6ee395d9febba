//! Entries to store: well-formed, signed and chained, and without meaning.

use countersign_core::checkpoint::Checkpoint;
use countersign_core::digest::StatementDigest;
use countersign_core::entry::{Entry, Head};
use countersign_core::event::Custom;
use countersign_core::id::{Label, LedgerId, LedgerName, LedgerRef, Namespace, Principal};
use countersign_core::key::{SecretKey, SignerKey as _};
use countersign_core::merkle::Tree;
use countersign_core::statement::{SignedStatement, Statement, Version};
use countersign_core::time::Timestamp;
use countersign_core::wire::{RawObject, Set};

use crate::{Batch, NoteBytes};

/// Makes statements that differ from each other, whoever makes them: well-formed, signed, and without meaning.
#[derive(Debug)]
pub struct Author {
    key: SecretKey,
    serial: u64,
}

impl Author {
    /// Authors of different numbers have different keys; those of the same number make the same statements.
    #[must_use]
    pub fn new(number: u8) -> Self {
        Self { key: SecretKey::from_seed(&[number; 32]), serial: 0 }
    }

    /// The next statement, as short as they are.
    pub fn statement(&mut self) -> SignedStatement {
        self.statement_of(1)
    }

    /// The next statement, with `length` letters in it: at most some 48,000.
    ///
    /// # Panics
    /// If that is too long for a statement.
    pub fn statement_of(&mut self, length: usize) -> SignedStatement {
        self.serial += 1;
        let valid = "made of valid parts";
        Statement {
            author: Principal::new("service:kit").expect(valid),
            cosigners: Set::default(),
            event: Custom {
                data: RawObject::new(&format!("{{\"x\":\"{}\"}}", "x".repeat(length))).expect(valid),
                name: Label::new("kit").expect(valid),
                namespace: Namespace::new("kit").expect(valid),
            }
            .into(),
            issued_at: Timestamp::MIN,
            key: self.key.public_key().key_id(),
            ledger: LedgerRef::Id(LedgerId::new(
                &LedgerName::new("kit").expect(valid),
                StatementDigest::new([0; 32]),
            )),
            seen: None,
            serial: self.serial,
            v: Version,
        }
        .sign(&self.key)
        .expect("a key in memory signs any statement")
    }

    /// `count` new entries behind `head`.
    pub fn entries(&mut self, head: Head, count: usize) -> Vec<Entry> {
        let statements: Vec<_> = (0..count).map(|_| self.statement()).collect();
        chain(head, &statements)
    }

    /// As [`Self::entries`], as a batch.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn batch(&mut self, head: Head, count: usize) -> Batch {
        Batch::new(self.entries(head, count)).expect("chained, and not empty")
    }
}

/// A signed checkpoint over these entries, which are all there are; notes of different numbers differ.
pub(super) fn note(entries: &[Entry], number: u8) -> NoteBytes {
    let tree: Tree = entries.iter().map(Entry::leaf).collect();
    let checkpoint = Checkpoint::new("kit", tree.size(), tree.root()).expect("made of valid parts");
    let signed =
        checkpoint.sign(&SecretKey::from_seed(&[number; 32])).expect("a key in memory signs any text");
    signed.to_string().into_bytes().into()
}

/// These statements, one behind the other, behind `head`.
pub(super) fn chain(mut head: Head, statements: &[SignedStatement]) -> Vec<Entry> {
    let seal = |statement| {
        let entry = Entry::seal(head, Timestamp::MIN, statement).expect("short enough");
        head = entry.head();
        entry
    };
    statements.iter().map(seal).collect()
}
