//! From change sets to steps: what has to be stated, by whom, and in which order. Pure, without a ledger.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use countersign::core::id::{Resource, Role};

use super::history::{ChangeSet, Event, Op, ROOT_SCOPE};

/// The history contradicts itself.
#[derive(Debug, thiserror::Error)]
#[error("change {change}: {detail}")]
pub(crate) struct PlanError {
    change: String,
    detail: String,
}

/// One thing to be done. Logins are as the history spells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A login is named for the first time.
    Enrol { login: String },
    /// A resource begins.
    Register { resource: Resource, under: Resource },
    /// A resource gets another scope; `owner` is an owner of it as it stood, if there is one.
    Move { resource: Resource, under: Resource, owner: Option<String> },
    /// An owner of a resource ends.
    Unown { resource: Resource, login: String },
    /// An owner of a resource begins.
    Own { resource: Resource, login: String },
    /// A grant ends; `by` is who asked for that, where he may end it himself.
    Revoke { subject: String, resource: Resource, by: Option<String> },
    /// A grant begins, in place of the one that the subject has where `replaces`. Without an approver, by exception.
    Grant {
        requester: String,
        subject: String,
        resource: Resource,
        role: Role,
        approver: Option<String>,
        replaces: bool,
    },
    /// A resource ends.
    Retire { resource: Resource },
}

/// Steps of one stage, one behind the other, need no answer from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Whose keys come: what they sign can only be verified after that.
    Enrolments,
    /// What one signed statement does.
    Statements,
    /// What is requested, decided and granted.
    Grants,
}

impl Step {
    /// The stage that it belongs to.
    pub(crate) fn stage(&self) -> Stage {
        match self {
            Self::Enrol { .. } => Stage::Enrolments,
            Self::Register { .. }
            | Self::Move { .. }
            | Self::Unown { .. }
            | Self::Own { .. }
            | Self::Revoke { .. }
            | Self::Retire { .. } => Stage::Statements,
            Self::Grant { .. } => Stage::Grants,
        }
    }
}

/// What stands, as far as the history has been read.
#[derive(Debug)]
pub(crate) struct World {
    root: Resource,
    logins: BTreeSet<String>,
    /// Live resources but the root, each with what governs it.
    above: BTreeMap<Resource, Resource>,
    owners: BTreeMap<Resource, BTreeSet<String>>,
    held: BTreeMap<Resource, BTreeMap<String, Role>>,
    steps: Vec<Step>,
}

impl World {
    /// With the root scope alone, which stands from the beginning.
    pub(crate) fn new() -> Self {
        Self {
            root: Resource::new(ROOT_SCOPE).expect("a literal"),
            logins: BTreeSet::new(),
            above: BTreeMap::new(),
            owners: BTreeMap::new(),
            held: BTreeMap::new(),
            steps: Vec::new(),
        }
    }

    /// What a change set makes necessary, in order.
    ///
    /// First what begins, the scopes before what they govern, then moves (so that owners who leave with this change can still agree),
    /// owners who leave, owners who come, what is revoked, what is changed, what is granted, and last what ends.
    pub(crate) fn steps(&mut self, set: &ChangeSet) -> Result<Vec<Step>, PlanError> {
        self.run(set).map_err(|detail| PlanError { change: set.change.clone(), detail })?;
        Ok(std::mem::take(&mut self.steps))
    }

    fn run(&mut self, set: &ChangeSet) -> Result<(), String> {
        let asked_by = set.requester.as_deref();
        let subjects = set.events.iter().filter_map(|event| event.subject.as_ref());
        for login in asked_by.into_iter().chain(subjects.map(|(login, _)| login.as_str())) {
            if self.logins.insert(login.to_owned()) {
                self.steps.push(Step::Enrol { login: login.to_owned() });
            }
        }
        let of = |op: Op| set.events.iter().filter(move |event| event.op == op);
        let mut created: Vec<&Resource> = of(Op::ResourceCreated).map(|event| &event.resource).collect();
        created.sort();
        // A scope may be named, as what governs or by an owner, before it is a resource of its own.
        let named = set.governed.values().flatten().chain(of(Op::OwnerAdded).map(|event| &event.resource));
        let scopes: BTreeSet<&Resource> =
            created.iter().copied().chain(named).filter(|name| is_scope(name)).collect();
        for scope in scopes {
            if !self.stands(scope) {
                self.register(scope, self.scope_above(scope));
            }
        }
        for resource in created.into_iter().filter(|resource| !is_scope(resource)) {
            if self.above.contains_key(resource) {
                return Err(format!("{resource} is created twice"));
            }
            let under = set.governed.get(resource).cloned().flatten();
            self.register(resource, under.unwrap_or_else(|| self.scope_of_org(resource)));
        }
        for (resource, under) in &set.governed {
            let Some(under) = under else { continue };
            let Some(before) = self.above.get(resource) else {
                return Err(format!("{resource} is governed by {under}, and does not exist"));
            };
            if before != under {
                self.relocate(resource, under, asked_by);
            }
        }
        for event in of(Op::OwnerRemoved) {
            self.owner_removed(event)?;
        }
        for event in of(Op::OwnerAdded) {
            self.owner_added(event)?;
        }
        for event in of(Op::Revoke) {
            let (login, role) = event.subject.as_ref().expect("INVARIANT: the reader requires one");
            if self.held.get(&event.resource).and_then(|held| held.get(login)) != Some(role) {
                return Err(format!("{login} is not {role} of {}", event.resource));
            }
            self.revoke(login, &event.resource, asked_by);
        }
        for event in of(Op::RoleChange) {
            self.grant(event, asked_by, true)?;
        }
        for event in of(Op::Grant) {
            self.grant(event, asked_by, false)?;
        }
        let mut removed: Vec<&Resource> = of(Op::ResourceRemoved).map(|event| &event.resource).collect();
        // What is governed before what governs it: scopes last, the longest names first.
        removed.sort_by_key(|resource| (is_scope(resource), Reverse(*resource)));
        for resource in removed {
            self.retire(resource, asked_by)?;
        }
        Ok(())
    }

    fn register(&mut self, resource: &Resource, under: Resource) {
        self.above.insert(resource.clone(), under.clone());
        self.steps.push(Step::Register { resource: resource.clone(), under });
    }

    fn relocate(&mut self, resource: &Resource, under: &Resource, asked_by: Option<&str>) {
        let owners = self.owners_over(resource);
        // Who asked agrees with himself only where nobody else can.
        let mut others = owners.iter().filter(|owner| !asked_by.is_some_and(|login| is_same(login, owner)));
        let owner = others.next().or_else(|| owners.first()).map(|owner| (*owner).to_owned());
        self.above.insert(resource.clone(), under.clone());
        self.steps.push(Step::Move { resource: resource.clone(), under: under.clone(), owner });
    }

    fn owner_removed(&mut self, event: &Event) -> Result<(), String> {
        let (login, _) = event.subject.as_ref().expect("INVARIANT: the reader requires one");
        let (resource, login) = (event.resource.clone(), login.clone());
        if !self.owners.get_mut(&resource).is_some_and(|owners| owners.remove(&login)) {
            return Err(format!("{login} is no owner of {resource}"));
        }
        self.steps.push(Step::Unown { resource, login });
        Ok(())
    }

    fn owner_added(&mut self, event: &Event) -> Result<(), String> {
        let (login, _) = event.subject.as_ref().expect("INVARIANT: the reader requires one");
        let (resource, login) = (event.resource.clone(), login.clone());
        self.must_exist(&resource)?;
        if !self.owners.entry(resource.clone()).or_default().insert(login.clone()) {
            return Err(format!("{login} is an owner of {resource} already"));
        }
        self.steps.push(Step::Own { resource, login });
        Ok(())
    }

    fn revoke(&mut self, subject: &str, resource: &Resource, asked_by: Option<&str>) {
        let owners = self.owners_over(resource);
        let by = asked_by.filter(|login| *login == subject || owners.contains(login)).map(str::to_owned);
        if let Some(held) = self.held.get_mut(resource) {
            held.remove(subject);
        }
        self.steps.push(Step::Revoke { subject: subject.to_owned(), resource: resource.clone(), by });
    }

    fn grant(&mut self, event: &Event, asked_by: Option<&str>, replaces: bool) -> Result<(), String> {
        let (subject, role) = event.subject.as_ref().expect("INVARIANT: the reader requires one");
        let resource = &event.resource;
        self.must_exist(resource)?;
        let requester = asked_by.ok_or("a grant that nobody asked for")?;
        let before = self.held.entry(resource.clone()).or_default().insert(subject.clone(), role.clone());
        if before.is_some() != replaces {
            let has = if replaces { "holds nothing" } else { "holds something already" };
            return Err(format!("{subject} {has} on {resource}"));
        }
        let owners = self.owners_over(resource);
        let approver =
            owners.into_iter().find(|owner| !is_same(owner, requester) && !is_same(owner, subject));
        self.steps.push(Step::Grant {
            requester: requester.to_owned(),
            subject: subject.clone(),
            resource: resource.clone(),
            role: role.clone(),
            approver: approver.map(str::to_owned),
            replaces,
        });
        Ok(())
    }

    fn retire(&mut self, resource: &Resource, asked_by: Option<&str>) -> Result<(), String> {
        self.must_exist(resource)?;
        for subject in self.held.remove(resource).unwrap_or_default().into_keys() {
            self.revoke(&subject, resource, asked_by);
        }
        let owners = self.owners.remove(resource).unwrap_or_default();
        if *resource == self.root {
            // It stands from the beginning to the end; that it goes can only mean that its owners do.
            let unown = |login| Step::Unown { resource: resource.clone(), login };
            self.steps.extend(owners.into_iter().map(unown));
            return Ok(());
        }
        let above = self.above.get(resource).cloned().unwrap_or_else(|| self.root.clone());
        let left: Vec<Resource> = self
            .above
            .iter()
            .filter(|(_, governed_by)| *governed_by == resource)
            .map(|(governed, _)| governed.clone())
            .collect();
        for governed in left {
            self.relocate(&governed, &above, asked_by);
        }
        self.above.remove(resource);
        self.steps.push(Step::Retire { resource: resource.clone() });
        Ok(())
    }

    fn stands(&self, resource: &Resource) -> bool {
        *resource == self.root || self.above.contains_key(resource)
    }

    fn must_exist(&self, resource: &Resource) -> Result<(), String> {
        if self.stands(resource) { Ok(()) } else { Err(format!("{resource} does not exist")) }
    }

    /// Whoever owns a resource or what governs it, bytewise.
    fn owners_over(&self, resource: &Resource) -> BTreeSet<&str> {
        let chain = std::iter::successors(Some(resource), |resource| self.above.get(*resource));
        chain.filter_map(|resource| self.owners.get(resource)).flatten().map(String::as_str).collect()
    }

    /// What governs a scope: the one a path segment up, or the next above that there is.
    fn scope_above(&self, scope: &Resource) -> Resource {
        let mut cuts = scope.as_str().rmatch_indices('/').map(|(cut, _)| &scope.as_str()[..cut]);
        let standing = |path| Resource::new(path).ok().filter(|scope| self.stands(scope));
        cuts.find_map(standing).unwrap_or_else(|| self.root.clone())
    }

    /// What governs an org or team of which nothing else is said: the scope of its org, or the root.
    fn scope_of_org(&self, resource: &Resource) -> Resource {
        let path = resource.as_str().split_once(':').map_or("", |(_, path)| path);
        let org = path.split('/').next().unwrap_or_default();
        let scope = Resource::new(&format!("scope:{org}")).ok();
        scope.filter(|scope| self.stands(scope)).unwrap_or_else(|| self.root.clone())
    }
}

fn is_scope(resource: &Resource) -> bool {
    resource.as_str().starts_with("scope:")
}

/// Logins that differ in case only are one person's.
fn is_same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}
