//! Policies in force and scheduled, and what they resolve to for one entitlement.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::event::{Capacity, PolicyPublished, Scope, Tier};
use countersign_core::id::{Label, Namespace, Resource, Role};
use countersign_core::policy::{
    Applies, Clause, ExceptionRule, PathRule, PolicyDocument, Separation, SodRule, Windows,
};
use countersign_core::time::Seconds;
use countersign_core::wire::Sorted;
use serde::{Deserialize, Serialize};

use super::keyring::{KeyNo, Keyring};
use super::people::{People, PrincipalNo};
use super::refusal::{Refusal, RefusalCode};
use super::resources::check_document;
use super::stored::{Contradiction, Hash, Millis, Stored, sound};

/// One published version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub(crate) digest: Hash,
    pub(crate) seq: u64,
    pub(crate) leaf: Hash,
    pub(crate) event: Stored<PolicyPublished>,
    /// Who signed it (R007).
    pub(crate) authors: Vec<PrincipalNo>,
    pub(crate) signed_by: Vec<KeyNo>,
    pub(crate) from: Millis,
}

impl Policy {
    pub(crate) fn document(&self) -> &PolicyDocument {
        &self.event.document
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.event.scope
    }

    /// The rules of separation of duties that can come between the entitlement and another.
    fn sod<'a>(&'a self, resource: &'a Resource, role: &'a Role) -> impl Iterator<Item = &'a SodRule> {
        self.document().sod.iter().filter(move |rule| rule.concerns(resource, role, self.scope()))
    }

    /// The same, as an approver signs it.
    fn separation(&self, resource: &Resource, role: &Role) -> Option<Separation> {
        let rules: Sorted<SodRule> = self.sod(resource, role).cloned().collect();
        let (policy, scope) = (self.event.name.clone(), self.scope().clone());
        (!rules.is_empty()).then_some(Separation { policy, rules, scope })
    }
}

/// The versions of one name: the one in force, and the one to come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Versions {
    pub(crate) current: Option<Arc<Policy>>,
    pub(crate) scheduled: Option<Arc<Policy>>,
}

impl Versions {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.current.iter().chain(&self.scheduled)
    }
}

/// All policies, by name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Book {
    versions: Arc<BTreeMap<String, Versions>>,
    /// Whether a policy was ever published: from then on governors no longer stand in.
    pub(crate) opened: bool,
}

/// What the policies in force say of one entitlement, and which ones they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resolved {
    pub(crate) clause: Clause,
    pub(crate) digest: Hash,
    pub(crate) path_policy: Option<Arc<Policy>>,
    pub(crate) exception_policy: Option<Arc<Policy>>,
    pub(crate) class_policy: Option<Arc<Policy>>,
    /// The resource and what governs it, nearest first.
    pub(crate) chain: Vec<Resource>,
    /// Whoever signed a policy that this rests on, sorted.
    pub(crate) authors: Vec<PrincipalNo>,
}

/// The facts of a resource that a clause names.
#[derive(Debug, Clone)]
pub(crate) struct Subject<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) role: &'a Role,
    pub(crate) tier: Tier,
    pub(crate) environment: Option<&'a Label>,
    pub(crate) process: Option<&'a countersign_core::id::Process>,
    pub(crate) governed_by: Vec<Resource>,
}

impl Subject<'_> {
    fn fits(&self, applies: Option<&Applies>) -> bool {
        applies.is_none_or(|applies| applies.to(self.resource, self.role, self.tier))
    }
}

impl Book {
    /// Checks what was read.
    pub(crate) fn check(&self, people: &People, keys: &Keyring, size: u64) -> Result<(), Contradiction> {
        sound(self.opened || self.versions.is_empty(), "a policy is there that was never published")?;
        for (name, versions) in self.versions.iter() {
            sound(versions.all().next().is_some(), "a policy has no version")?;
            for policy in versions.all() {
                sound(policy.event.name.as_str() == name, "a policy stands under another name than its own")?;
                sound(check_document(policy.document()).is_ok(), "a policy is none that the rules admit")?;
                let known = policy.authors.iter().all(|no| people.has(*no))
                    && policy.signed_by.iter().all(|no| keys.has(*no));
                sound(
                    known && policy.seq < size,
                    "a policy is by somebody who is not there, or is yet to come",
                )?;
            }
        }
        Ok(())
    }

    /// Puts in force what begins by `at`.
    pub(crate) fn promote(&mut self, at: Millis) {
        for versions in Arc::make_mut(&mut self.versions).values_mut() {
            if let Some(next) = versions.scheduled.take_if(|next| next.from <= at) {
                versions.current = Some(next);
            }
        }
    }

    pub(crate) fn get(&self, name: &Label) -> Option<&Versions> {
        self.versions.get(name.as_str())
    }

    pub(crate) fn entry(&mut self, name: &Label) -> &mut Versions {
        Arc::make_mut(&mut self.versions).entry(name.as_str().to_owned()).or_default()
    }

    pub(crate) fn remove_if_empty(&mut self, name: &Label) {
        if self.get(name).is_some_and(|versions| versions.all().next().is_none()) {
            Arc::make_mut(&mut self.versions).remove(name.as_str());
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Versions)> {
        self.versions.iter().map(|(name, versions)| (name.as_str(), versions))
    }

    pub(crate) fn in_force(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.versions.values().filter_map(|versions| versions.current.as_ref())
    }

    /// The version with this digest, in force or scheduled.
    pub(crate) fn find(&self, digest: &Hash) -> Option<&Arc<Policy>> {
        self.versions.values().flat_map(Versions::all).find(|policy| policy.digest == *digest)
    }

    /// The policy in force, if there is one, whose scope names the resource and that has the section.
    fn section(&self, resource: &Resource, has: impl Fn(&PolicyDocument) -> bool) -> Option<&Arc<Policy>> {
        self.in_force().find(|policy| has(policy.document()) && policy.scope().names(resource))
    }

    pub(crate) fn windows(&self, resource: &Resource) -> Option<&Windows> {
        self.section(resource, |document| document.windows.is_some())
            .and_then(|policy| policy.document().windows.as_ref())
    }

    /// Capacities whose holders may state custom events of the namespace.
    pub(crate) fn custom(&self, namespace: &Namespace) -> Vec<Capacity> {
        self.in_force()
            .find_map(|policy| policy.document().custom.find(namespace.as_str()))
            .map(|rule| rule.capacities.iter().copied().collect())
            .unwrap_or_default()
    }

    /// What the policies in force resolve to.
    ///
    /// # Errors
    /// `no_policy` where neither a path nor an exception rule applies.
    pub(crate) fn resolve(&self, subject: &Subject<'_>) -> Result<Resolved, Refusal> {
        let resource = subject.resource;
        let path_policy = self.section(resource, |document| !document.paths.is_empty()).cloned();
        let path: Option<PathRule> = path_policy.as_ref().and_then(|policy| {
            policy.document().paths.iter().find(|rule| subject.fits(rule.applies.as_ref())).cloned()
        });
        let exception_policy = self.section(resource, |document| !document.exceptions.is_empty()).cloned();
        let exception: Option<ExceptionRule> = exception_policy.as_ref().and_then(|policy| {
            policy.document().exceptions.iter().find(|rule| subject.fits(rule.applies.as_ref())).cloned()
        });
        if path.is_none() && exception.is_none() {
            let detail = format!("no policy in force speaks of {} on {resource}", subject.role);
            return Err(Refusal::new(RefusalCode::NoPolicy, detail));
        }
        let tier_policy = self.section(resource, |document| !document.tiers.is_empty()).cloned();
        let ceiling: Option<Seconds> = tier_policy
            .as_ref()
            .and_then(|policy| policy.document().tiers.find(subject.tier.as_str()))
            .map(|rule| rule.max_seconds);
        let path_ceiling = path.as_ref().and_then(|rule| rule.max_seconds);
        let class_policy = self.section(resource, |document| !document.classes.is_empty()).cloned();
        let classes = class_policy.iter().flat_map(|policy| &policy.document().classes);
        let clause = Clause {
            classes: classes.filter(|class| subject.fits(class.applies.as_ref())).cloned().collect(),
            environment: subject.environment.cloned(),
            exception,
            governed_by: subject.governed_by.clone(),
            max_seconds: [ceiling, path_ceiling].into_iter().flatten().min(),
            path,
            process: subject.process.cloned(),
            resource: resource.clone(),
            role: subject.role.clone(),
            sod: self.in_force().filter_map(|policy| policy.separation(resource, subject.role)).collect(),
            tier: subject.tier,
        };
        let digest = *clause.digest().as_bytes();
        let policies = [&path_policy, &exception_policy, &class_policy, &tier_policy].into_iter().flatten();
        let mut authors: Vec<PrincipalNo> =
            policies.flat_map(|policy| policy.authors.iter().copied()).collect();
        authors.sort_unstable();
        authors.dedup();
        let chain = std::iter::once(resource).chain(&subject.governed_by).cloned().collect();
        Ok(Resolved { clause, digest, path_policy, exception_policy, class_policy, chain, authors })
    }

    /// Rules of separation of duties that concern the entitlement, with their policies. All policies apply together.
    pub(crate) fn sod<'a>(
        &'a self,
        resource: &'a Resource,
        role: &'a Role,
    ) -> impl Iterator<Item = (&'a Policy, &'a SodRule)> + 'a {
        self.in_force().flat_map(move |policy| policy.sod(resource, role).map(move |rule| (&**policy, rule)))
    }
}
