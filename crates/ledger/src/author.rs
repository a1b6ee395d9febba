//! Authors: who makes statements, with key, serials and what was seen.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::entry::Head;
use countersign_core::event::{Event, EventKind};
use countersign_core::id::{LedgerId, LedgerName, LedgerRef, Principal};
use countersign_core::key::{PublicKey, SignerKey};
use countersign_core::statement::{Seen, SignError, SignedStatement, Statement, Version};
use countersign_core::time::Timestamp;
use countersign_core::wire::KeyBytes;

use crate::clock::{Clock, SystemClock};
use crate::recorder::SharedKey;

/// A principal with one of its keys, who makes statements for one ledger.
///
/// Serials count by ones, so that a statement that was dropped on its way shows as a gap. What the author has seen goes into
/// every decision and every statement without cosigners, so that it witnesses all history before. A clone shares both.
///
/// ```
/// use countersign_core::event::AccessRevoked;
/// use countersign_core::key::SecretKey;
/// # use countersign_core::{digest::StatementDigest, id::LedgerId, wire::Text};
/// use countersign_core::id::Principal;
/// use countersign_ledger::Author;
///
/// # let ledger_id: LedgerId = format!("acme/{}", "0".repeat(64)).parse()?;
/// # let grant = StatementDigest::new([0; 32]);
/// let alice = Author::new(Principal::new("user:alice")?, SecretKey::from_seed(&[7; 32]), ledger_id);
/// let revoked = AccessRevoked { grant, reason: Text::new("left the team")? };
/// let signed = alice.state(revoked).sign()?;
/// assert_eq!(signed.statement().serial, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Author {
    principal: Principal,
    key: SharedKey,
    ledger: LedgerRef,
    clock: Arc<dyn Clock>,
    memory: Arc<Memory>,
}

struct Memory {
    next_serial: AtomicU64,
    seen: Mutex<Option<Head>>,
}

impl Author {
    /// An author of statements for a ledger. Serials start at 1, time is the system's clock.
    pub fn new(
        principal: Principal,
        key: impl SignerKey + Send + Sync + 'static,
        ledger_id: LedgerId,
    ) -> Self {
        Self::of(principal, key, LedgerRef::Id(ledger_id))
    }

    /// An author of a genesis, or who takes part in one: the ledger has its bare name only. [`Author::joined`] goes on from there.
    pub fn founding(
        principal: Principal,
        key: impl SignerKey + Send + Sync + 'static,
        name: LedgerName,
    ) -> Self {
        Self::of(principal, key, LedgerRef::Name(name))
    }

    fn of(principal: Principal, key: impl SignerKey + Send + Sync + 'static, ledger: LedgerRef) -> Self {
        Self {
            principal,
            key: Arc::new(key),
            ledger,
            clock: Arc::new(SystemClock::new()),
            memory: Arc::new(Memory { next_serial: AtomicU64::new(1), seen: Mutex::new(None) }),
        }
    }

    /// The same author, with the same serials, in the ledger that the genesis opened.
    #[must_use]
    pub fn joined(mut self, ledger_id: LedgerId) -> Self {
        self.ledger = LedgerRef::Id(ledger_id);
        self
    }

    /// Takes the time of statements from `clock`.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Goes on after the last serial that this key has used: serials never repeat, so who restarts has to remember it.
    #[must_use]
    pub fn after_serial(self, last: u64) -> Self {
        self.memory.next_serial.store(last.saturating_add(1), Ordering::Relaxed);
        self
    }

    /// The principal.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The public half of its key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.key.public_key()
    }

    /// The public key as events carry it.
    #[must_use]
    pub fn key_bytes(&self) -> KeyBytes {
        KeyBytes(*self.public_key().as_bytes())
    }

    /// The last serial that was used, to be remembered for [`Author::after_serial`].
    #[must_use]
    pub fn last_serial(&self) -> u64 {
        self.memory.next_serial.load(Ordering::Relaxed).saturating_sub(1)
    }

    /// Takes a serial back whose statement is known not to be recorded, so that it leaves no gap. Only the last one can be.
    pub fn take_back(&self, serial: u64) {
        let after = serial.saturating_add(1);
        let _ = self.memory.next_serial.compare_exchange(after, serial, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Remembers a head that this author saw, such as that of a receipt, unless a later one is remembered.
    pub fn observe(&self, head: Head) {
        let mut seen = self.memory.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if head.size > 0 && seen.is_none_or(|before| before.size < head.size) {
            *seen = Some(head);
        }
    }

    /// Starts a statement of an event: issued now, and seen what was observed last, unless the draft is told otherwise.
    pub fn state(&self, event: impl Into<Event>) -> Draft<'_> {
        Draft {
            author: self,
            event: event.into(),
            cosigners: Vec::new(),
            provers: Vec::new(),
            seen: None,
            issued_at: None,
        }
    }

    /// Adds this author's signature to a statement that names it as a cosigner, or admits its key.
    ///
    /// # Errors
    /// [`SignError`] where the signer fails, or the key has signed already.
    pub fn cosign(&self, signed: &mut SignedStatement) -> Result<(), SignError> {
        signed.cosign(&&*self.key)
    }
}

impl fmt::Debug for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Author")
            .field("principal", &self.principal)
            .field("key", &self.public_key())
            .field("last_serial", &self.last_serial())
            .finish_non_exhaustive()
    }
}

/// A statement in the making.
#[derive(Debug, Clone)]
#[must_use = "a draft says nothing until it is signed"]
pub struct Draft<'a> {
    author: &'a Author,
    event: Event,
    cosigners: Vec<&'a Author>,
    provers: Vec<&'a Author>,
    seen: Option<Option<Head>>,
    issued_at: Option<Timestamp>,
}

impl<'a> Draft<'a> {
    /// Who else signs it. Unless it is a decision, what it has seen is left out where [`Draft::seen`] does not say it: the signers need not
    /// have seen the same.
    pub fn cosigned_by(mut self, cosigners: impl IntoIterator<Item = &'a Author>) -> Self {
        self.cosigners.extend(cosigners);
        self
    }

    /// Whose keys it admits: they sign as proof that they have them, and are no cosigners.
    pub fn proved_by(mut self, provers: impl IntoIterator<Item = &'a Author>) -> Self {
        self.provers.extend(provers);
        self
    }

    /// The head that the author saw.
    pub fn seen(mut self, head: Head) -> Self {
        self.seen = Some(Some(head));
        self
    }

    /// Says nothing about what the author saw.
    pub fn unseen(mut self) -> Self {
        self.seen = Some(None);
        self
    }

    /// When it was made.
    pub fn issued_at(mut self, at: Timestamp) -> Self {
        self.issued_at = Some(at);
        self
    }

    /// The statement, with the author's next serial, to be signed elsewhere.
    #[must_use]
    pub fn statement(self) -> Statement {
        let memory = &self.author.memory;
        let observed = || *memory.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // A decision has to say what its author saw, with cosigners too.
        let decides = matches!(
            self.event.kind(),
            EventKind::AccessApproved | EventKind::AccessDenied | EventKind::ExceptionGranted
        );
        let says = decides || self.cosigners.is_empty();
        let seen = self.seen.unwrap_or_else(|| if says { observed() } else { None });
        Statement {
            author: self.author.principal.clone(),
            cosigners: self.cosigners.iter().map(|cosigner| cosigner.principal.clone()).collect(),
            event: self.event,
            issued_at: self.issued_at.unwrap_or_else(|| self.author.clock.wall()),
            key: self.author.public_key().key_id(),
            ledger: self.author.ledger.clone(),
            seen: seen.map(|head| Seen { leaf: head.leaf, size: head.size }),
            serial: memory.next_serial.fetch_add(1, Ordering::Relaxed),
            v: Version,
        }
    }

    /// The statement, signed by author, cosigners and provers.
    ///
    /// # Errors
    /// [`SignError`] where the statement is too long, or a signer fails. The serial is used up all the same.
    pub fn sign(self) -> Result<SignedStatement, SignError> {
        let signers: Vec<&Author> =
            [self.author].into_iter().chain(self.cosigners.clone()).chain(self.provers.clone()).collect();
        let mut signed = self.statement().prepare()?;
        signers.into_iter().try_for_each(|signer| signer.cosign(&mut signed))?;
        Ok(signed)
    }
}
