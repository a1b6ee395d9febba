//! Capacities and delegations.

use countersign_core::event::{
    Capacity, CapacityAssigned, CapacityWithdrawn, DelegationGranted, DelegationWithdrawn, Scope,
};
use countersign_core::id::{Principal, Resource};
use countersign_core::time::Timestamp;

use super::change::Change;
use super::judge::{Context, ensure, refuse};
use super::people::PrincipalNo;
use super::refusal::{Refusal, RefusalCode};
use super::rights::{MAX_DEPTH, MAX_RIGHTS, Right};
use super::stored::{FOREVER, Millis};

impl Context<'_> {
    pub(crate) fn capacity_assigned(&self, event: &CapacityAssigned) -> Result<Change, Refusal> {
        let capacity = event.capacity;
        ensure(
            !capacity.is_charter(),
            RefusalCode::CharterOnly,
            format_args!("the charter alone names the {capacity}"),
        )?;
        let holder = self.holder(&event.holder)?;
        if capacity.is_business() {
            self.two_persons(
                |no| {
                    let holds = self.holds_over_scope(no, Capacity::Registrar, &event.scope);
                    ensure(
                        holds,
                        self.lacks(no, Capacity::Registrar),
                        "the author is no registrar over the scope",
                    )
                },
                |no| {
                    self.holds_over_scope(no, Capacity::Registrar, &event.scope)
                        || self.holds_over_scope(no, Capacity::PolicyOwner, &event.scope)
                },
            )?;
        } else {
            self.governors()?;
        }
        self.not_own(&self.live.people.record(holder).persons)?;
        self.check_scope(&event.scope)?;
        let (from, until) = self.window(event.from, event.until)?;
        Ok(Change::Assign { right: Right { from, until, ..self.right(capacity, holder, &event.scope) } })
    }

    pub(crate) fn capacity_withdrawn(&self, event: &CapacityWithdrawn) -> Result<Change, Refusal> {
        self.alone()?;
        let id = *event.assignment.as_bytes();
        let right =
            self.live.rights.get(&id).filter(|right| right.ended_at.is_none() && right.basis.is_none());
        let Some(right) = right else {
            return refuse(RefusalCode::NoSuchCapacity, "no such assignment stands");
        };
        if right.holder != self.author {
            self.may_take(*right.capacity, &right.scope)?;
        }
        Ok(Change::EndRight { id })
    }

    /// Whoever could assign a capacity may take it, alone.
    fn may_take(&self, capacity: Capacity, scope: &Scope) -> Result<(), Refusal> {
        let governor = self.live.charter.is_governor(self.author);
        if capacity.is_business() {
            let registrar = self.holds_over_scope(self.author, Capacity::Registrar, scope);
            let stands_in = governor && self.live.is_bootstrap();
            let code = self.lacks(self.author, Capacity::Registrar);
            ensure(registrar || stands_in, code, "the author is no registrar over the scope")
        } else {
            ensure(governor, RefusalCode::NoAuthority, "only a governor takes a governing capacity")
        }
    }

    pub(crate) fn delegation_granted(&self, event: &DelegationGranted) -> Result<Change, Refusal> {
        self.alone()?;
        let basis_id = *event.basis.as_bytes();
        let basis = self.live.rights.get(&basis_id).filter(|right| self.live.stands(right, self.now));
        let Some(basis) = basis else {
            return refuse(
                RefusalCode::NoSuchCapacity,
                "nothing that could be delegated stands under this digest",
            );
        };
        ensure(
            basis.holder == self.author,
            RefusalCode::NoAuthority,
            "the author does not hold what is delegated",
        )?;
        ensure(
            basis.capacity.may_delegate(),
            RefusalCode::NotDelegable,
            format_args!("{} can not be delegated", *basis.capacity),
        )?;
        ensure(
            basis.depth > event.depth && event.depth < MAX_DEPTH,
            RefusalCode::TooDeep,
            format_args!("what it rests on allows {} further delegations", basis.depth),
        )?;
        let delegate = self.holder(&event.delegate)?;
        ensure(delegate != self.author, RefusalCode::OwnPerson, "nobody delegates to himself")?;
        let (from, until) = self.window(event.from, Some(event.until))?;
        let single =
            Resource::new(event.scope.on.as_str()).ok().and_then(|name| self.live.things.live(&name));
        let reached = single.is_some_and(|resource| {
            let chain: Vec<Resource> =
                self.live.things.chain(resource).map(|no| self.live.things.resource(no)).collect();
            super::judge::scope_reaches(&basis.scope, &chain)
        });
        ensure(
            (basis.scope.contains(&event.scope) || reached) && until <= basis.until,
            RefusalCode::OutsideBasis,
            "the delegation reaches further or lasts longer than what it rests on",
        )?;
        self.check_scope(&event.scope)?;
        let right = Right {
            from,
            until,
            basis: Some((basis_id, self.author)),
            depth: event.depth,
            ..self.right(*basis.capacity, delegate, &event.scope)
        };
        Ok(Change::Assign { right })
    }

    pub(crate) fn delegation_withdrawn(&self, event: &DelegationWithdrawn) -> Result<Change, Refusal> {
        self.alone()?;
        let id = *event.delegation.as_bytes();
        let right = self.live.rights.get(&id).filter(|right| right.ended_at.is_none());
        let Some((right, (_, delegator))) = right.and_then(|right| Some((right, right.basis?))) else {
            return refuse(RefusalCode::NoSuchDelegation, "no such delegation stands");
        };
        if delegator != self.author {
            let registrar = self.holds_over_scope(self.author, Capacity::Registrar, &right.scope);
            ensure(
                registrar,
                self.lacks(self.author, Capacity::Registrar),
                "the author neither made the delegation nor is a registrar over its scope",
            )?;
        }
        Ok(Change::EndRight { id })
    }

    fn holder(&self, name: &Principal) -> Result<PrincipalNo, Refusal> {
        let no = self.principal(name)?;
        ensure(
            self.live.rights.of(no).filter(|(_, right)| right.ended_at.is_none()).count() < MAX_RIGHTS,
            RefusalCode::TooMany,
            format_args!("{name} holds {MAX_RIGHTS} capacities"),
        )?;
        Ok(no)
    }

    /// A scope on one resource names one that is live: a name registered later starts with none.
    fn check_scope(&self, scope: &Scope) -> Result<(), Refusal> {
        match Resource::new(scope.on.as_str()) {
            Ok(name) => self.resource(&name).map(drop),
            Err(_) => Ok(()),
        }
    }

    fn window(&self, from: Option<Timestamp>, until: Option<Timestamp>) -> Result<(Millis, Millis), Refusal> {
        let from = from.map_or(self.now, Timestamp::millis).max(self.now);
        let until = until.map_or(FOREVER, Timestamp::millis);
        ensure(until > from, RefusalCode::BadWindow, "the window is empty or in the past")?;
        Ok((from, until))
    }
}
