//! Resources and policies.

use std::collections::BTreeSet;

use countersign_core::event::{
    Capacity, PolicyPublished, PolicyWithdrawn, ResourceChanged, ResourceRegistered, ResourceRetired, Scope,
};
use countersign_core::id::Resource;
use countersign_core::policy::PolicyDocument;

use super::book::Policy;
use super::change::Change;
use super::judge::{
    Context, MAX_COSIGNED_LAG_SECONDS, MAX_DECISION_LAG_SECONDS, MAX_LAG_SECONDS, ensure, refuse,
};
use super::people::PrincipalNo;
use super::refusal::{Refusal, RefusalCode};
use super::state::MAX_REQUEST_SECONDS;
use super::stored::Stored;
use super::things::{MAX_GOVERNING, ResourceNo};

const OWNERS: [Capacity; 4] =
    [Capacity::BusinessOwner, Capacity::ApplicationOwner, Capacity::PlatformOwner, Capacity::OperationsOwner];

impl Context<'_> {
    pub(crate) fn resource_registered(&self, event: &ResourceRegistered) -> Result<Change, Refusal> {
        let name = &event.resource;
        ensure(
            self.live.things.live(name).is_none(),
            RefusalCode::NameTaken,
            format_args!("{name} is registered"),
        )?;
        ensure(
            !self.live.things.is_twin(name),
            RefusalCode::CaseTwin,
            format_args!("{name} differs from a known resource in case only"),
        )?;
        let chain = self.chain_of(name, event.governed_by.as_ref())?;
        self.two_persons(
            |no| self.require_over(no, Capacity::Registrar, &chain),
            |no| self.right_over_chain(no, Capacity::PolicyOwner, &chain).is_some(),
        )?;
        Ok(Change::PutResource {
            resource: name.clone(),
            tier: event.tier,
            environment: event.environment.clone(),
            process: event.process.clone(),
            governed_by: event.governed_by.clone(),
        })
    }

    pub(crate) fn resource_changed(&self, event: &ResourceChanged) -> Result<Change, Refusal> {
        let name = &event.resource;
        let no = self.resource(name)?;
        let record = self.live.things.record(no);
        let after = self.chain_of(name, event.governed_by.as_ref())?;
        let before: Vec<Resource> =
            self.live.things.chain(no).map(|no| self.live.things.resource(no)).collect();
        let moved = before.get(1) != event.governed_by.as_ref();
        let other_process = record.process.as_deref().map(|process| &process.0) != event.process.as_ref();
        let needs_owner = moved || other_process || event.tier < *record.tier;
        if !(self.live.is_bootstrap() && self.are_governors()) {
            for chain in [&before, &after] {
                self.require_over(self.author, Capacity::Registrar, chain)?;
            }
            self.check_cosigners_of_change(no, &before, &after, needs_owner)?;
        }
        Ok(Change::PutResource {
            resource: name.clone(),
            tier: event.tier,
            environment: event.environment.clone(),
            process: event.process.clone(),
            governed_by: event.governed_by.clone(),
        })
    }

    /// A policy owner of both ends; and for what owners decide, an owner as it stood, or k governors where there is none.
    fn check_cosigners_of_change(
        &self,
        no: ResourceNo,
        before: &[Resource],
        after: &[Resource],
        needs_owner: bool,
    ) -> Result<(), Refusal> {
        let owns_policy = |no: PrincipalNo| {
            [before, after]
                .iter()
                .all(|chain| self.right_over_chain(no, Capacity::PolicyOwner, chain).is_some())
        };
        let owns =
            |no: PrincipalNo| OWNERS.iter().any(|owner| self.right_over_chain(no, *owner, before).is_some());
        let has_owner = needs_owner && self.live.has_owner(no, self.now);
        let governors = if needs_owner && !has_owner { self.live.charter.text.quorum } else { 0 };
        let wanted = 1 + usize::from(has_owner) + usize::try_from(governors).unwrap_or(usize::MAX);
        if self.cosigners.len() != wanted {
            let few = self.cosigners.len() < wanted;
            let code = match (few, governors) {
                (true, 0) => RefusalCode::SecondPerson,
                (true, _) => RefusalCode::Quorum,
                (false, _) => RefusalCode::SignerSet,
            };
            return refuse(code, format!("{wanted} cosigners are needed, {} signed", self.cosigners.len()));
        }
        // One cosigner speaks for policy; the others are the owner, or the governors.
        let fits = self.cosigners.iter().any(|policy| {
            let others = || self.cosigners.iter().filter(|no| *no != policy);
            owns_policy(*policy)
                && (!has_owner || others().all(|no| owns(*no)))
                && (governors == 0 || others().all(|no| self.live.charter.is_governor(*no)))
        });
        ensure(
            fits,
            RefusalCode::SecondPerson,
            "a policy owner signs, and where it matters an owner of the resource as it stood",
        )?;
        let signers: Vec<PrincipalNo> = self.signers().collect();
        for (index, left) in signers.iter().enumerate() {
            for right in &signers[index + 1..] {
                self.different_persons(*left, *right)?;
            }
        }
        Ok(())
    }

    pub(crate) fn resource_retired(&self, event: &ResourceRetired) -> Result<Change, Refusal> {
        self.alone()?;
        let no = self.resource(&event.resource)?;
        let chain: Vec<Resource> =
            self.live.things.chain(no).map(|no| self.live.things.resource(no)).collect();
        self.require_over(self.author, Capacity::Registrar, &chain)?;
        ensure(
            self.live.things.record(no).governs == 0,
            RefusalCode::GovernsOthers,
            format_args!("{} governs live resources", event.resource),
        )?;
        Ok(Change::RetireResource { no })
    }

    /// The resource with what would govern it, nearest first.
    fn chain_of(&self, name: &Resource, governed_by: Option<&Resource>) -> Result<Vec<Resource>, Refusal> {
        let mut chain = vec![name.clone()];
        if let Some(above) = governed_by {
            let above = self.resource(above)?;
            chain.extend(self.live.things.chain(above).map(|no| self.live.things.resource(no)));
        }
        ensure(
            !chain[1..].contains(name),
            RefusalCode::GovernedCycle,
            format_args!("{name} would govern itself"),
        )?;
        let below = self.live.things.find(name).map_or(0, |no| self.live.depth_below(no));
        ensure(
            chain.len() + below <= MAX_GOVERNING,
            RefusalCode::TooMany,
            format_args!("more than {MAX_GOVERNING} resources above one another"),
        )?;
        Ok(chain)
    }

    pub(crate) fn policy_published(&self, event: &PolicyPublished) -> Result<Change, Refusal> {
        let known = self.live.book.get(&event.name);
        let mut scopes: Vec<Scope> = vec![event.scope.clone()];
        scopes.extend(known.into_iter().flat_map(|versions| versions.all().map(|old| old.scope().clone())));
        self.policy_owners(&scopes)?;
        check_document(&event.document)?;
        let from = event.from.map_or(self.now, countersign_core::time::Timestamp::millis);
        ensure(from >= self.now, RefusalCode::BadWindow, "a policy can not begin in the past")?;
        for (name, versions) in self.live.book.iter() {
            for other in versions.all().filter(|_| name != event.name.as_str()) {
                check_overlap(event, other)?;
            }
        }
        let policy = Policy {
            digest: self.hash(),
            seq: self.seq,
            leaf: [0; 32],
            event: Stored(event.clone()),
            authors: self.signers().collect(),
            signed_by: self.keys.clone(),
            from,
        };
        Ok(Change::Publish { policy: Box::new(policy) })
    }

    pub(crate) fn policy_withdrawn(&self, event: &PolicyWithdrawn) -> Result<Change, Refusal> {
        let digest = *event.policy.as_bytes();
        let Some(policy) = self.live.book.find(&digest) else {
            return refuse(RefusalCode::NoSuchPolicy, "no such policy is in force or scheduled");
        };
        self.policy_owners(std::slice::from_ref(policy.scope()))?;
        Ok(Change::Unpublish { name: policy.event.name.clone(), digest })
    }

    /// A policy owner of all these scopes, and a second person who is one too or a governor.
    fn policy_owners(&self, scopes: &[Scope]) -> Result<(), Refusal> {
        let owns = |no| scopes.iter().all(|scope| self.holds_over_scope(no, Capacity::PolicyOwner, scope));
        self.two_persons(
            |no| {
                ensure(
                    owns(no),
                    self.lacks(no, Capacity::PolicyOwner),
                    "the author does not own policy over the scope",
                )
            },
            |no| owns(no) || self.live.charter.is_governor(no),
        )
    }
}

impl super::state::Live {
    /// Whether anybody holds an owner capacity over a resource now.
    pub(crate) fn has_owner(&self, no: ResourceNo, now: super::stored::Millis) -> bool {
        let chain: Vec<Resource> = self.things.chain(no).map(|no| self.things.resource(no)).collect();
        chain.iter().any(|resource| {
            self.rights
                .naming(resource)
                .any(|(_, right)| right.capacity.is_owner() && self.reaches(right, &chain, now))
        })
    }

    /// How many resources stand below one another under this one.
    fn depth_below(&self, no: ResourceNo) -> usize {
        if self.things.record(no).governs == 0 {
            return 0;
        }
        // Rare: a resource that governs others is moved. Every chain that passes through it is measured.
        let depth = |other: ResourceNo| self.things.chain(other).position(|above| above == no);
        let live = self.things.iter().filter(|(_, _, record)| record.live);
        live.filter_map(|(other, _, _)| depth(other)).max().unwrap_or(0)
    }
}

/// What a document must fulfil in itself.
pub(crate) fn check_document(document: &PolicyDocument) -> Result<(), Refusal> {
    let invalid = |detail: String| refuse(RefusalCode::PolicyInvalid, detail);
    let mut names = BTreeSet::new();
    for rule in &document.paths {
        if !names.insert(&rule.name) {
            return invalid(format!("two paths are named {}", rule.name));
        }
        ensure(
            rule.path.needs_owner(),
            RefusalCode::NoOwnerInPath,
            format_args!("path {} can be met without an owner", rule.name),
        )?;
    }
    for rule in &document.sod {
        if rule.left.is_empty() || rule.right.is_empty() {
            return invalid(format!("rule {} has an empty side", rule.name));
        }
    }
    for rule in &document.custom {
        if rule.capacities.is_empty() {
            return invalid(format!("namespace {} names no capacity", rule.namespace));
        }
    }
    for rule in &document.exceptions {
        if rule.when.is_blank() {
            return invalid("an exception rule does not say when it holds".into());
        }
    }
    if let Some(windows) = &document.windows {
        let limits = [
            (windows.cosigned_seconds, MAX_COSIGNED_LAG_SECONDS),
            (windows.decision_seconds, MAX_DECISION_LAG_SECONDS),
            (windows.request_seconds, MAX_REQUEST_SECONDS),
            (windows.statement_seconds, MAX_LAG_SECONDS),
        ];
        if limits.iter().any(|(window, limit)| window.is_some_and(|window| window.count() > *limit)) {
            return invalid("windows can only be shorter than the ledger's own".into());
        }
    }
    Ok(())
}

/// Two policies may not claim the same section for some of the same resources (R120).
fn check_overlap(event: &PolicyPublished, other: &Policy) -> Result<(), Refusal> {
    let (new, old) = (&event.document, other.document());
    let claims = |section: &'static str, both: bool| {
        let clash = both && event.scope.overlaps(other.scope());
        ensure(
            !clash,
            RefusalCode::PolicyOverlap,
            format_args!("policy {} has {section} for some of the same resources", other.event.name),
        )
    };
    claims("paths", !new.paths.is_empty() && !old.paths.is_empty())?;
    claims("tiers", !new.tiers.is_empty() && !old.tiers.is_empty())?;
    claims("exceptions", !new.exceptions.is_empty() && !old.exceptions.is_empty())?;
    claims("classes", !new.classes.is_empty() && !old.classes.is_empty())?;
    claims("windows", new.windows.is_some() && old.windows.is_some())?;
    let namespace = new.custom.iter().find(|rule| old.custom.find(rule.namespace.as_str()).is_some());
    match namespace {
        Some(rule) => refuse(
            RefusalCode::PolicyOverlap,
            format!("policy {} has namespace {} already", other.event.name, rule.namespace),
        ),
        None => Ok(()),
    }
}
