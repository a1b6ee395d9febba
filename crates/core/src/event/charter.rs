//! Genesis, the charter and the state of the ledger itself.

use crate::digest::StatementDigest;
use crate::fault::Fault;
use crate::id::{Label, LedgerName, Namespace, Person, Principal};
use crate::time::Seconds;
use crate::wire::{KeyBytes, Ranked, RawObject, Reader, Set, Sorted, Text, Wire, Writer, named_schema};

/// The one cryptographic suite: Ed25519 strict, SHA-256, the integer profile of canonical JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite;

impl Suite {
    /// How it is written.
    pub const NAME: &'static str = "ed25519-strict+sha256+jcs-int";
}

impl Wire for Suite {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        reader.parsed(Self::NAME, |text| (text == Self::NAME).then_some(Self))
    }

    fn write(&self, out: &mut Writer) {
        out.string(Self::NAME);
    }

    fn schema() -> String {
        let doc =
            "The one cryptographic suite: Ed25519 strict, SHA-256, the integer profile of canonical JSON.";
        named_schema("Suite", doc, &format!("\"const\":\"{}\"", Self::NAME))
    }
}

crate::record! {
    /// A governor, or a holder of a recovery key.
    pub struct KeyHolder {
        /// The one key that this principal has.
        pub key: KeyBytes,
        /// The person, whom no other entry of the charter names.
        pub person: Person,
        /// The principal.
        pub principal: Principal,
    }

    /// Who sequences entries and signs checkpoints. A principal of its own, never a governor.
    pub struct RecorderKey {
        /// The persons who control it: at least one.
        pub controllers: Set<Person>,
        /// Its key.
        pub key: KeyBytes,
        /// The principal.
        pub principal: Principal,
    }

    /// Who may replace a charter whose governors are lost, after a delay in which the governors can veto.
    pub struct Recovery {
        /// How long a proposal waits before it takes effect, in seconds.
        pub delay_seconds: Seconds,
        /// The recovery keys, sorted by principal; none is a governor's.
        pub keys: Sorted<KeyHolder>,
        /// How many of them must sign.
        pub quorum: u64,
    }

    /// The trust root.
    pub struct Charter {
        /// The governors, sorted by principal.
        pub governors: Sorted<KeyHolder>,
        /// How many governors must sign what governors do together: 1 to their number.
        pub quorum: u64,
        /// The recorder.
        pub recorder: RecorderKey,
        /// The recovery keys, if there are any.
        pub recovery: Option<Recovery>,
    }

    /// Genesis. The author is the bytewise first governor; all other listed keys cosign.
    pub struct LedgerOpened {
        /// The governors, sorted by principal.
        pub governors: Sorted<KeyHolder>,
        /// The bare name of the ledger.
        pub name: LedgerName,
        /// How many governors must sign what governors do together: 1 to their number.
        pub quorum: u64,
        /// The recorder.
        pub recorder: RecorderKey,
        /// The recovery keys, if there are any.
        pub recovery: Option<Recovery>,
        /// The rules version in force from here on: 1.
        pub rules: u64,
        /// The cryptographic suite.
        pub suite: Suite,
    }

    /// Replaces the charter. New keys sign too, as proof of possession.
    pub struct CharterAmended {
        /// The whole new charter.
        pub charter: Charter,
        /// Why.
        pub reason: Text,
    }

    /// Raises the rules version.
    pub struct LedgerUpgraded {
        /// Why.
        pub reason: Text,
        /// The rules version in force from the next entry on.
        pub rules: u64,
    }

    /// Admits only what removes power, thaw, charter.amended and recovery from here on.
    pub struct LedgerFrozen {
        /// Why.
        pub reason: Text,
    }

    /// Ends a freeze.
    pub struct LedgerThawed {
        /// Why.
        pub reason: Text,
    }

    /// Announces a charter, which takes effect when the recovery delay has passed without a veto.
    pub struct RecoveryProposed {
        /// The whole new charter.
        pub amendment: Charter,
        /// Why.
        pub reason: Text,
    }

    /// Stops an announced recovery.
    pub struct RecoveryVetoed {
        /// The proposal.
        pub proposal: StatementDigest,
        /// Why.
        pub reason: Text,
    }

    /// Says that the recorder's clock was set, and that it goes on from there.
    pub struct ClockStepped {
        /// What happened.
        pub reason: Text,
    }

    /// A fact of a tool builder's own, admitted where policy names who may state it.
    pub struct Custom {
        /// Any object of the JSON profile; negative integers are allowed here.
        pub data: RawObject,
        /// The fact's name within its namespace.
        pub name: Label,
        /// Whose vocabulary it is.
        pub namespace: Namespace,
    }
}

impl Ranked for KeyHolder {
    const MEMBER: &'static str = "principal";

    fn rank(&self) -> &str {
        self.principal.as_str()
    }
}

impl LedgerOpened {
    /// The charter that genesis writes.
    #[must_use]
    pub fn charter(&self) -> Charter {
        Charter {
            governors: self.governors.clone(),
            quorum: self.quorum,
            recorder: self.recorder.clone(),
            recovery: self.recovery.clone(),
        }
    }
}

impl Charter {
    /// Every key that it names.
    #[must_use]
    pub fn keys(&self) -> Vec<&KeyBytes> {
        keys(&self.governors, &self.recorder, self.recovery.as_ref())
    }

    /// Every principal that it names, with its key: governors, recorder, recovery.
    #[must_use]
    pub fn principals(&self) -> Vec<(&Principal, &KeyBytes)> {
        let recovery = self.recovery.iter().flat_map(|recovery| recovery.keys.iter());
        let mut named: Vec<_> =
            self.governors.iter().map(|governor| (&governor.principal, &governor.key)).collect();
        named.push((&self.recorder.principal, &self.recorder.key));
        named.extend(recovery.map(|holder| (&holder.principal, &holder.key)));
        named
    }
}

pub(super) fn keys<'a>(
    governors: &'a Sorted<KeyHolder>,
    recorder: &'a RecorderKey,
    recovery: Option<&'a Recovery>,
) -> Vec<&'a KeyBytes> {
    let holders = governors.iter().chain(recovery.into_iter().flat_map(|recovery| recovery.keys.iter()));
    holders.map(|holder| &holder.key).chain([&recorder.key]).collect()
}
