//! Refusals: why a statement is not admitted, under stable codes (docs/requirements.md names what each enforces).

use std::fmt;

use countersign_core::fault::FaultCode;

/// Why a statement is not admitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// The stable code.
    pub code: RefusalCode,
    /// The facts of this case, for a person; the wording is not stable.
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

macro_rules! codes {
    (
        faults { $($(#[doc = $fault_doc:literal])+ $fault:ident = $fault_code:literal,)* }
        rules { $($(#[doc = $doc:literal])+ $variant:ident = $code:literal [$($requirement:literal)*],)* }
    ) => {
        /// Stable codes of refusals. The first ones are faults of the envelope, the others are rules.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum RefusalCode {
            $($(#[doc = $fault_doc])+ $fault,)*
            $($(#[doc = $doc])+ $variant,)*
        }

        impl RefusalCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$fault,)* $(Self::$variant,)*];

            /// The code as reports print it, without the prefix `rule:` that a verification puts before rules.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$fault => $fault_code,)* $(Self::$variant => $code,)* }
            }

            /// The code of the envelope's fault, or none for a rule.
            #[must_use]
            pub const fn fault(self) -> Option<FaultCode> {
                match self { $(Self::$fault => Some(FaultCode::$fault),)* $(Self::$variant => None,)* }
            }

            /// What the code means.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$fault => concat!($($fault_doc),+),)*
                    $(Self::$variant => concat!($($doc),+),)*
                }
            }

            /// The requirements that the rule enforces, like `R006`; none for rules of the ledger itself.
            #[must_use]
            pub const fn requirements(self) -> &'static [&'static str] {
                match self { $(Self::$fault => &[],)* $(Self::$variant => &[$($requirement),*],)* }
            }
        }
    };
}

codes! {
    faults {
        /// The statement is for another ledger.
        LedgerId = "ledger_id",
        /// The first entry is not a well-formed genesis, or a later one is.
        Genesis = "genesis",
        /// The time of recording is before that of the entry before.
        TimeBackwards = "time_backwards",
        /// The serial was used by this key, or is 1,024 or more below its highest.
        Serial = "serial",
        /// `seen` is not a head of this ledger, lies in the future, or is more than 65,536 entries old.
        Seen = "seen",
        /// A decision does not say what its author saw, or saw less than what it decides on.
        SeenMissing = "seen_missing",
        /// A signing key was never admitted.
        UnknownKey = "unknown_key",
        /// A signing key was retired, compromised, or its principal departed.
        KeyEnded = "key_ended",
        /// The key that is to be admitted was admitted before.
        KeyReused = "key_reused",
        /// A new key did not sign the statement that admits it.
        NoPossession = "no_possession",
        /// The signatures are not exactly one live key of author and of each cosigner, or there is a signer whom the kind does not ask for.
        SignerSet = "signer_set",
    }
    rules {
        /// The statement was issued too long before it was recorded.
        Backdated = "backdated" [],
        /// The statement was issued more than 5 minutes after it was recorded.
        Postdated = "postdated" [],
        /// An entry of the recorder's own moves time more than 24 hours past the last entry of another author.
        ClockDrift = "clock_drift" [],
        /// The ledger's rules are of a version that this build does not know.
        NeedsRules = "needs_rules" [],
        /// The new rules version is not above the one in force.
        RulesVersion = "rules_version" [],
        /// Until the first policy is published only charter, principal, key, capacity, resource and policy kinds are admitted.
        BeforePolicy = "before_policy" ["R004"],
        /// The ledger is frozen.
        Frozen = "frozen" [],
        /// The ledger is not frozen.
        NotFrozen = "not_frozen" [],
        /// The ledger is frozen already.
        AlreadyFrozen = "already_frozen" [],
        /// Who froze the ledger and was overruled may not freeze it alone for 7 days.
        FreezeCooldown = "freeze_cooldown" [],
        /// The author does not hold the capacity that the kind asks for.
        NoAuthority = "no_authority" ["R003" "R004" "R005"],
        /// The author holds the capacity, but not over this.
        OutsideScope = "outside_scope" ["R004" "R013"],
        /// A second person with the right capacity has to sign.
        SecondPerson = "second_person" [],
        /// Two signers who have to be different persons are not.
        SamePerson = "same_person" ["R006"],
        /// A signer acts on a principal of the signer's own person.
        OwnPerson = "own_person" [],
        /// Fewer governors signed than the charter asks for.
        Quorum = "quorum" [],
        /// The charter's quorum does not fit, or its persons, principals or keys are not disjoint.
        CharterInvalid = "charter_invalid" [],
        /// Fewer live governors would remain than the quorum asks for.
        LockOut = "lock_out" [],
        /// Governors, recorder and recovery keys change by the charter only.
        CharterOnly = "charter_only" [],
        /// The charter names no recovery keys, or the author is none of their holders.
        NoRecovery = "no_recovery" [],
        /// A recovery is announced already.
        RecoveryPending = "recovery_pending" [],
        /// No such recovery is announced.
        NoSuchRecovery = "no_such_recovery" [],
        /// The name is registered already.
        NameTaken = "name_taken" [],
        /// A principal of this name departed; the name is never registered again.
        NameDeparted = "name_departed" [],
        /// The name differs in case only from another one that is not the same person's.
        CaseTwin = "case_twin" ["R006"],
        /// The principal is not registered, or departed.
        UnknownPrincipal = "unknown_principal" [],
        /// A human names one person and no controllers, a non-human the reverse.
        PersonForm = "person_form" ["R082"],
        /// The principal has no such key.
        NoSuchKey = "no_such_key" [],
        /// The key has ended already.
        KeyNotLive = "key_not_live" [],
        /// The enrolment is not what it says: first, further or after loss.
        EnrolmentForm = "enrolment_form" [],
        /// A bound is reached: keys of a principal, capacities, delegations, open requests or resources above one another.
        TooMany = "too_many" [],
        /// The window is empty, lies in the past, or is longer than allowed.
        BadWindow = "bad_window" [],
        /// A compromise can not start after this entry, nor before the key was admitted.
        FromTooEarly = "from_too_early" [],
        /// No such assignment stands.
        NoSuchCapacity = "no_such_capacity" [],
        /// The capacity can not be delegated.
        NotDelegable = "not_delegable" ["R028"],
        /// No such delegation stands.
        NoSuchDelegation = "no_such_delegation" [],
        /// The delegation reaches further, or lasts longer, than what it rests on.
        OutsideBasis = "outside_basis" ["R029"],
        /// The delegation it rests on does not allow another.
        TooDeep = "too_deep" ["R029"],
        /// The resource is not registered, or was retired.
        UnknownResource = "unknown_resource" [],
        /// The resource would govern itself.
        GovernedCycle = "governed_cycle" [],
        /// The resource governs live ones, which have to be moved first.
        GovernsOthers = "governs_others" [],
        /// The policy document contradicts itself, or leaves a list empty that needs an item.
        PolicyInvalid = "policy_invalid" [],
        /// Another policy in force or scheduled claims the same section for some of the same resources.
        PolicyOverlap = "policy_overlap" ["R120"],
        /// A path can be met without any owner of the resource.
        NoOwnerInPath = "no_owner_in_path" ["R001"],
        /// No such policy is in force or scheduled.
        NoSuchPolicy = "no_such_policy" [],
        /// No policy in force has a path or an exception rule for the entitlement.
        NoPolicy = "no_policy" ["R019" "R041"],
        /// The request names another tier than the resource has.
        TierMismatch = "tier_mismatch" ["R015"],
        /// The business need says nothing.
        EmptyNeed = "empty_need" ["R016" "R017" "R018"],
        /// Longer than policy allows for the tier, the path or the exception.
        AboveCeiling = "above_ceiling" ["R043" "R044"],
        /// No standing class of this name applies to the entitlement.
        NoSuchClass = "no_such_class" ["R043"],
        /// The standing class has not been opened by an exception, or its review date has passed.
        ClassNotOpen = "class_not_open" ["R043"],
        /// The subject's person holds what may not be held together with this.
        SodConflict = "sod_conflict" ["R037"],
        /// The grant to be replaced is not an active one of the same subject, or not the one the request names.
        ReplacesMismatch = "replaces_mismatch" [],
        /// No such request is open.
        NoOpenRequest = "no_open_request" ["R054"],
        /// The clause that the author signed is not what policy resolves to now.
        ClauseStale = "clause_stale" ["R035"],
        /// Who decides is the same person as the requester or the subject, or stands above or below one by delegation.
        SelfApproval = "self_approval" ["R006" "R030"],
        /// Who decides signed the policy that is relied on.
        PolicyAuthor = "policy_author" ["R007"],
        /// The signing key was enrolled by the requester, the subject or another approver.
        Enroller = "enroller" ["R006"],
        /// A vendor's automation can not approve.
        VendorApprover = "vendor_approver" ["R112"],
        /// The path does not ask for this capacity, or what it asks of it is met already.
        NotRequired = "not_required" ["R005" "R027"],
        /// An earlier stage of the path is not met yet.
        StageClosed = "stage_closed" ["R027"],
        /// Only the author can withdraw it.
        NotAuthor = "not_author" [],
        /// It is neither an open request nor an approval on one.
        NothingToWithdraw = "nothing_to_withdraw" [],
        /// The approvals that count do not meet the path.
        ApprovalMissing = "approval_missing" ["R001" "R026" "R027"],
        /// An approval signed another clause than the one in force at the grant.
        ApprovalStale = "approval_stale" ["R035"],
        /// An approval no longer counts: withdrawn, or its author's capacity was withdrawn, or its author departed, or its key is distrusted.
        ApprovalVoid = "approval_void" ["R013"],
        /// The witness is not well-formed, or an automation's is not the derived one.
        WitnessMismatch = "witness_mismatch" ["R002" "R031"],
        /// The enforcer is the same person as an approver, the requester or the subject.
        EnforcerIsParty = "enforcer_is_party" ["R002" "R006"],
        /// Duration, endings or policy of the grant are not what request, approvals and policy give.
        GrantMismatch = "grant_mismatch" ["R043" "R046"],
        /// No such grant is active.
        NoActiveGrant = "no_active_grant" ["R054"],
        /// Policy does not allow an exception here.
        NoExceptionRule = "no_exception_rule" ["R036" "R062"],
        /// No such exception stands.
        NoSuchException = "no_such_exception" ["R062"],
        /// The exception has run out.
        ExceptionOver = "exception_over" ["R062"],
        /// No policy names the author for this namespace.
        NotPermitted = "not_permitted" [],
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
