//! Clauses that were resolved before: what policies say of an entitlement is asked at its request, at each decision and at its
//! grant, and seldom changes between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use countersign_core::id::Role;

use super::book::Resolved;
use super::refusal::Refusal;
use super::things::ResourceNo;

/// Most clauses that are kept.
const MAX_KEPT: usize = 1_024;

/// Clauses under the policies and facts of resources as they stand: derived, and no part of what a state is.
///
/// Clones of a state share them, until one of them changes what they are resolved from and begins anew: what is found here was
/// resolved from the very same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clauses(Arc<Mutex<Kept>>);

type Kept = BTreeMap<(ResourceNo, Role), Arc<Resolved>>;

impl PartialEq for Clauses {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Clauses {
    /// The clause that is kept, or what `resolve` gives, which is then kept. Refusals are not.
    pub(crate) fn get_or_resolve(
        &self,
        resource: ResourceNo,
        role: &Role,
        resolve: impl Fn() -> Result<Resolved, Refusal>,
    ) -> Result<Arc<Resolved>, Refusal> {
        let key = (resource, role.clone());
        let known = self.kept().get(&key).cloned();
        if let Some(known) = known {
            debug_assert_eq!(
                Ok(&*known),
                resolve().as_ref(),
                "INVARIANT: whatever changes a clause forgets it"
            );
            return Ok(known);
        }
        let fresh = Arc::new(resolve()?);
        let mut kept = self.kept();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(key, fresh.clone());
        Ok(fresh)
    }

    /// Forgets all, because policies or facts of a resource change. Clones that do not change keep what they have.
    pub(crate) fn forget(&mut self) {
        match Arc::get_mut(&mut self.0) {
            Some(own) => own.get_mut().unwrap_or_else(PoisonError::into_inner).clear(),
            None => *self = Self::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held, and what it holds is whole at any moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use countersign_core::event::Tier;
    use countersign_core::id::Resource;
    use countersign_core::policy::Clause;
    use countersign_core::wire::Sorted;

    use super::super::refusal::RefusalCode;
    use super::*;

    fn role() -> Role {
        Role::new("reader").unwrap()
    }

    fn resolved() -> Result<Resolved, Refusal> {
        let resource = Resource::new("team:acme").unwrap();
        let clause = Clause {
            classes: Sorted::default(),
            environment: None,
            exception: None,
            governed_by: Vec::new(),
            max_seconds: None,
            path: None,
            process: None,
            resource: resource.clone(),
            role: role(),
            sod: Sorted::default(),
            tier: Tier::Low,
        };
        let digest = *clause.digest().as_bytes();
        let (path_policy, exception_policy, class_policy) = (None, None, None);
        let (chain, authors) = (vec![resource], Vec::new());
        Ok(Resolved { clause, digest, path_policy, exception_policy, class_policy, chain, authors })
    }

    fn none() -> Result<Resolved, Refusal> {
        Err(Refusal::new(RefusalCode::NoPolicy, "none"))
    }

    #[test]
    fn what_a_clone_keeps_is_not_found_after_a_change() {
        let mut changed = Clauses::default();
        let unchanged = changed.clone();
        // While nothing is kept yet, and again when something is.
        for _ in 0..2 {
            changed.forget();
            assert!(unchanged.get_or_resolve(0, &role(), resolved).is_ok());
            assert!(changed.get_or_resolve(0, &role(), none).is_err());
            changed = unchanged.clone();
        }
        drop(unchanged);
        changed.forget();
        assert!(changed.get_or_resolve(0, &role(), none).is_err());
    }

    #[test]
    fn no_more_are_kept_than_the_limit() {
        let clauses = Clauses::default();
        for resource in 0..=u32::try_from(MAX_KEPT).unwrap() {
            clauses.get_or_resolve(resource, &role(), resolved).unwrap();
            assert!(clauses.kept().len() <= MAX_KEPT);
        }
        assert_eq!(clauses.kept().len(), 1);
    }
}
