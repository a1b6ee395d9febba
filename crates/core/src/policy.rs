//! Policy documents: who must agree to what, for how long, and what may not be held together (docs/policy.md).
//!
//! A document has sections, each of which may be left out. For one entitlement each section comes from exactly one policy; only
//! the rules of separation of duties apply from all of them together.

use crate::digest::{ClauseDigest, sha256};
use crate::event::{Capacity, EndEvent, Scope, Tier};
use crate::fault::{Fault, FaultCode};
use crate::id::{Label, Namespace, Pattern, Process, Resource, Role};
use crate::time::Seconds;
use crate::wire::{
    Ranked, Reader, Set, Sorted, Text, Wire, Writer, encode, lone_member_schema, named_schema,
};

/// Most requirements (capacities asked for) in one approval path.
pub const MAX_REQUIREMENTS: usize = 12;
/// Deepest nesting of an approval path, a lone capacity being 1.
pub const MAX_PATH_DEPTH: usize = 4;

crate::words! {
    /// What happens to what is held under a class when its review date passes unrenewed.
    pub enum MissedReview {
        /// It goes on, and is reported.
        Flag = "flag",
        /// It ends at the review date, and nothing revives it.
        End = "end",
    }

    /// A loss that ends a grant only where its path says so.
    pub enum Cascade {
        /// A delegation that a counted approval rests on is withdrawn.
        Delegation = "delegation",
        /// A capacity that a counted approval rests on is withdrawn.
        Owner = "owner",
    }
}

impl Cascade {
    /// The ending that a grant then names.
    #[must_use]
    pub const fn end_event(self) -> EndEvent {
        match self {
            Self::Delegation => EndEvent::DelegationEnded,
            Self::Owner => EndEvent::OwnerGone,
        }
    }
}

crate::record! {
    /// What a policy says.
    pub struct PolicyDocument {
        /// Standing classes: what may be held without end, under which review.
        pub classes: Sorted<StandingClass>,
        /// Who may state custom events.
        pub custom: Sorted<CustomRule>,
        /// When exceptions are allowed, and who permits them; the first rule that applies holds.
        pub exceptions: Vec<ExceptionRule>,
        /// Who must agree; the first rule that applies holds. An entitlement to which none applies is reached by exception only (R019).
        pub paths: Vec<PathRule>,
        /// What may not be held together.
        pub sod: Sorted<SodRule>,
        /// What the policy is for, in words that a business owner reads.
        pub summary: Option<Text>,
        /// The longest time a grant may last, by tier.
        pub tiers: Sorted<TierRule>,
        /// Shorter times for statements and requests.
        pub windows: Option<Windows>,
    }

    /// Which entitlements within the policy's scope a rule is for. What is left out does not narrow.
    pub struct Applies {
        /// Resources, by name.
        pub on: Set<Pattern>,
        /// Roles.
        pub roles: Set<Role>,
        /// Tiers of the resource.
        pub tiers: Set<Tier>,
    }

    /// Entitlements of these may be held without end while somebody answers for them.
    pub struct StandingClass {
        /// Which entitlements; where absent, all in scope.
        pub applies: Option<Applies>,
        /// The class's name.
        pub class: Label,
        /// What a missed review does.
        pub missed_review: MissedReview,
        /// The longest time from one review to the next.
        pub review_seconds: Seconds,
    }

    /// Who may state custom events of a namespace.
    pub struct CustomRule {
        /// Holders of one of these capacities on everything; at least one.
        pub capacities: Set<Capacity>,
        /// The namespace.
        pub namespace: Namespace,
    }

    /// When an exception is allowed.
    pub struct ExceptionRule {
        /// Which entitlements; where absent, all in scope.
        pub applies: Option<Applies>,
        /// The longest time an exception lasts.
        pub max_seconds: Seconds,
        /// When it is allowed, in words (R036).
        pub when: Text,
    }

    /// Who must agree to an entitlement.
    pub struct PathRule {
        /// Which entitlements; where absent, all in scope.
        pub applies: Option<Applies>,
        /// What ends a grant besides what always does.
        pub cascade: Set<Cascade>,
        /// Whether those who agree must be different persons.
        pub distinct_persons: bool,
        /// The longest time a grant may last, where shorter than the tier's.
        pub max_seconds: Option<Seconds>,
        /// The rule's name.
        pub name: Label,
        /// Who must agree.
        pub path: Path,
    }

    /// One side of a conflict: an entitlement, by pattern.
    pub struct Entitlements {
        /// On which resources, by name.
        pub on: Pattern,
        /// In which role; where absent, in any.
        pub role: Option<Role>,
    }

    /// Nobody may hold something of the left side and something of the right side at once.
    pub struct SodRule {
        /// One side; at least one.
        pub left: Set<Entitlements>,
        /// The rule's name.
        pub name: Label,
        /// The other side; at least one.
        pub right: Set<Entitlements>,
    }

    /// The longest time a grant of a tier may last.
    pub struct TierRule {
        /// That time.
        pub max_seconds: Seconds,
        /// The tier.
        pub tier: Tier,
    }

    /// Shorter times than the ledger's own, for statements on resources in scope.
    pub struct Windows {
        /// The longest time from signing to recording with cosigners or where only power is removed; at most 30 days.
        pub cosigned_seconds: Option<Seconds>,
        /// The same for a decision; at most 72 hours.
        pub decision_seconds: Option<Seconds>,
        /// The longest time a request is open; at most 30 days.
        pub request_seconds: Option<Seconds>,
        /// The longest time from signing to recording of any other statement; at most 1 hour.
        pub statement_seconds: Option<Seconds>,
    }

    /// What the policies in force resolve to for one entitlement: what an approver signs, by digest.
    ///
    /// It names no statement: a policy published again with the same words resolves to the same clause.
    pub struct Clause {
        /// The standing classes that apply.
        pub classes: Sorted<StandingClass>,
        /// The resource's environment.
        pub environment: Option<Label>,
        /// The exception rule that applies, if exceptions are allowed.
        pub exception: Option<ExceptionRule>,
        /// What governs the resource, nearest first.
        pub governed_by: Vec<Resource>,
        /// The longest time a grant may last.
        pub max_seconds: Option<Seconds>,
        /// The path that applies; where absent, an exception is the only way.
        pub path: Option<PathRule>,
        /// The resource's business process.
        pub process: Option<Process>,
        /// The resource.
        pub resource: Resource,
        /// The role.
        pub role: Role,
        /// What each policy says may not be held together with the entitlement.
        pub sod: Sorted<Separation>,
        /// The resource's tier.
        pub tier: Tier,
    }

    /// What one policy says may not be held together with an entitlement.
    pub struct Separation {
        /// The policy's name.
        pub policy: Label,
        /// Its rules with a side that includes the entitlement; at least one.
        pub rules: Sorted<SodRule>,
        /// The resources that the policy speaks of: one side of a conflict has to lie there.
        pub scope: Scope,
    }
}

impl Clause {
    /// The digest that approvals sign: SHA-256 over `countersign/clause/v1`, 0x00 and the canonical JSON of the clause.
    #[must_use]
    pub fn digest(&self) -> ClauseDigest {
        ClauseDigest::new(sha256(&[b"countersign/clause/v1\0", &encode(self)]))
    }
}

macro_rules! ranked {
    ($($name:ident by $member:ident;)*) => {$(
        impl Ranked for $name {
            const MEMBER: &'static str = stringify!($member);

            fn rank(&self) -> &str {
                self.$member.as_str()
            }
        }
    )*};
}

ranked! {
    StandingClass by class;
    CustomRule by namespace;
    Separation by policy;
    SodRule by name;
    TierRule by tier;
}

impl Applies {
    /// Whether it is for this entitlement.
    #[must_use]
    pub fn to(&self, resource: &Resource, role: &Role, tier: Tier) -> bool {
        (self.on.is_empty() || self.on.iter().any(|pattern| pattern.matches(resource)))
            && (self.roles.is_empty() || self.roles.contains(role))
            && (self.tiers.is_empty() || self.tiers.contains(&tier))
    }
}

impl Entitlements {
    /// Whether this entitlement is one of these.
    #[must_use]
    pub fn include(&self, resource: &Resource, role: &Role) -> bool {
        self.on.matches(resource) && self.role.as_ref().is_none_or(|wanted| wanted == role)
    }
}

impl SodRule {
    /// Whether it can come between the entitlement and another, in a policy that speaks of `scope`: it has the entitlement on one
    /// side, and the resource of that or one that the other side is about lies in the scope.
    #[must_use]
    pub fn concerns(&self, resource: &Resource, role: &Role, scope: &Scope) -> bool {
        let reaches = |side: &Entitlements| scope.overlaps(&Scope::of(side.on.clone()));
        [(&self.left, &self.right), (&self.right, &self.left)].into_iter().any(|(own, other)| {
            own.iter().any(|side| side.include(resource, role))
                && (scope.names(resource) || other.iter().any(reaches))
        })
    }

    /// Whether two entitlements are on different sides.
    #[must_use]
    pub fn separates(&self, one: (&Resource, &Role), other: (&Resource, &Role)) -> bool {
        let has = |sides: &Set<Entitlements>, (resource, role): (&Resource, &Role)| {
            sides.iter().any(|side| side.include(resource, role))
        };
        has(&self.left, one) && has(&self.right, other) || has(&self.right, one) && has(&self.left, other)
    }
}

/// Who must agree: capacities joined by all, any, k of n, or stages. An empty one can not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// `{"capacity":c}`: a holder of the capacity, on the resource asked for.
    Capacity(Capacity),
    /// `{"all":[...]}`: every one of these.
    All(Vec<Path>),
    /// `{"any":[...]}`: one of these.
    Any(Vec<Path>),
    /// `{"at_least":k,"of":[...]}`: k of these, 1 <= k <= their number.
    AtLeast(u64, Vec<Path>),
    /// `{"stages":[...]}`: every one of these, each one only after the one before is met.
    Stages(Vec<Path>),
}

impl Path {
    /// The capacities asked for, from left to right: requirement n is the n-th of these.
    #[must_use]
    pub fn requirements(&self) -> Vec<Capacity> {
        match self {
            Self::Capacity(capacity) => vec![*capacity],
            Self::All(parts) | Self::Any(parts) | Self::AtLeast(_, parts) | Self::Stages(parts) => {
                parts.iter().flat_map(Self::requirements).collect()
            }
        }
    }

    /// Whether no way to meet it does without an owner of the resource (R001).
    #[must_use]
    pub fn needs_owner(&self) -> bool {
        match self {
            Self::Capacity(capacity) => capacity.is_owner(),
            Self::All(parts) | Self::Stages(parts) => parts.iter().any(Self::needs_owner),
            Self::Any(parts) => parts.iter().all(Self::needs_owner),
            Self::AtLeast(k, parts) => {
                let without = parts.iter().filter(|part| !part.needs_owner()).count();
                u64::try_from(without).is_ok_and(|without| without < *k)
            }
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::Capacity(_) => 1,
            Self::All(parts) | Self::Any(parts) | Self::AtLeast(_, parts) | Self::Stages(parts) => {
                1 + parts.iter().map(Self::depth).max().unwrap_or(0)
            }
        }
    }
}

impl Wire for Path {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let start = reader.offset();
        let first = reader.peek_first_key()?;
        let path = reader.object(|object| match first {
            "capacity" => object.member("capacity").map(Self::Capacity),
            "all" => object.member("all").map(Self::All),
            "any" => object.member("any").map(Self::Any),
            "stages" => object.member("stages").map(Self::Stages),
            _ => Ok(Self::AtLeast(object.member("at_least")?, object.member("of")?)),
        })?;
        let refuse = |why: &str| Err(Fault::new(FaultCode::Schema, start, why));
        match &path {
            Self::Capacity(capacity) if !capacity.may_approve() => {
                return refuse("this capacity carries out and can not approve");
            }
            Self::All(parts) | Self::Any(parts) | Self::Stages(parts) if parts.is_empty() => {
                return refuse("an empty list of requirements");
            }
            Self::AtLeast(k, parts)
                if *k == 0 || usize::try_from(*k).is_ok_and(|k| k > parts.len()) || parts.is_empty() =>
            {
                return refuse("at_least is 1 to the number of requirements");
            }
            Self::Capacity(_) | Self::All(_) | Self::Any(_) | Self::AtLeast(..) | Self::Stages(_) => {}
        }
        if path.depth() > MAX_PATH_DEPTH {
            return refuse("an approval path is nested deeper than 4");
        }
        if path.requirements().len() > MAX_REQUIREMENTS {
            return refuse("an approval path has more than 12 requirements");
        }
        Ok(path)
    }

    fn write(&self, out: &mut Writer) {
        out.object(|object| match self {
            Self::Capacity(capacity) => object.member("capacity", capacity),
            Self::All(parts) => object.member("all", parts),
            Self::Any(parts) => object.member("any", parts),
            Self::AtLeast(k, parts) => {
                object.member("at_least", k);
                object.member("of", parts);
            }
            Self::Stages(parts) => object.member("stages", parts),
        });
    }

    fn schema() -> String {
        let list = r##"{"type":"array","minItems":1,"items":{"$ref":"#/$defs/Path"}}"##;
        let at_least = format!(
            r#"{{"type":"object","additionalProperties":false,"properties":{{"at_least":{{"type":"integer","minimum":1}},"of":{list}}},"required":["at_least","of"]}}"#
        );
        let forms = [
            lone_member_schema("capacity", &Capacity::schema()),
            lone_member_schema("all", list),
            lone_member_schema("any", list),
            at_least,
            lone_member_schema("stages", list),
        ];
        let doc = "Who must agree: a holder of a capacity; all or any of these; at least so many of these; or stages, each one only \
                   after the one before is met. Nested at most 4 deep, with at most 12 capacities in all, of those that decide.";
        named_schema("Path", doc, &format!("\"oneOf\":[{}]", forms.join(",")))
    }
}
