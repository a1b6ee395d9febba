//! Exceptions: personal ones, and those that open standing classes.

use std::sync::Arc;

use countersign_core::event::{
    Capacity, ClassException, ExceptionEnded, ExceptionGranted, ExceptionOf, PersonalException,
};

use super::change::Change;
use super::judge::{Context, ensure, refuse};
use super::live::{Approval, Class, Personal};
use super::refusal::{Refusal, RefusalCode};
use super::stored::Stored;

impl Context<'_> {
    pub(crate) fn exception_granted(&self, event: &ExceptionGranted) -> Result<Change, Refusal> {
        ensure(!event.need.is_blank(), RefusalCode::EmptyNeed, "the exception does not say what for")?;
        match &event.covers {
            ExceptionOf::Personal(personal) => self.personal(event, personal),
            ExceptionOf::Class(class) => self.class(event, class),
        }
    }

    fn personal(&self, event: &ExceptionGranted, personal: &PersonalException) -> Result<Change, Refusal> {
        self.alone()?;
        let (digest, request) = self.open_request(&personal.request)?;
        self.check_windows(&request.event.resource)?;
        self.saw(request.seq)?;
        let resolved = self.live.resolve(request.resource, &request.event.role)?;
        self.check_clause(&personal.clause, &resolved)?;
        let Some(rule) = &resolved.clause.exception else {
            return refuse(RefusalCode::NoExceptionRule, "policy allows no exception here");
        };
        ensure(
            personal.seconds <= rule.max_seconds,
            RefusalCode::AboveCeiling,
            format_args!("{} where an exception lasts {} at most", personal.seconds, rule.max_seconds),
        )?;
        let right = self.may_decide(request, Capacity::ExceptionApprover, &resolved)?;
        self.live.check_sod(
            request.subject,
            &request.event.resource,
            &request.event.role,
            self.live.replaced_slot(request),
        )?;
        // One that ran out makes room for another.
        let standing = request.exception.filter(|known| self.live.exceptions.personal.get(known).is_some());
        ensure(standing.is_none(), RefusalCode::NotRequired, "the request has an exception already")?;
        let owner = self.principal(&event.owner)?;
        let approval = Approval {
            digest: self.hash(),
            seq: self.seq,
            author: self.author,
            key: self.author_key,
            capacity: Stored(Capacity::ExceptionApprover),
            clause: resolved.digest,
            seconds: Some(personal.seconds.count()),
            right,
        };
        self.live.check_enrollers(&[&approval], request, self.now)?;
        let until = self.at.saturating_plus_seconds(personal.seconds.count()).millis();
        let personal = Personal { request: digest, approval, owner, resource: request.resource, until };
        Ok(Change::Permit { digest: self.hash(), personal })
    }

    fn class(&self, event: &ExceptionGranted, class: &ClassException) -> Result<Change, Refusal> {
        let policy = self.live.book.find(class.policy.as_bytes());
        let in_force = policy.filter(|policy| policy.from <= self.now);
        let Some(policy) = in_force else {
            return refuse(RefusalCode::NoSuchPolicy, "no such policy is in force");
        };
        self.saw(policy.seq)?;
        let Some(definition) = policy.document().classes.find(class.class.as_str()) else {
            return refuse(RefusalCode::NoSuchClass, format!("the policy declares no class {}", class.class));
        };
        let scope = policy.scope();
        let holds = |no, capacity| self.holds_over_scope(no, capacity, scope);
        ensure(
            holds(self.author, Capacity::ExceptionApprover),
            self.lacks(self.author, Capacity::ExceptionApprover),
            "the author approves no exceptions over the policy's scope",
        )?;
        ensure(
            !self.is_vendor(self.author),
            RefusalCode::VendorApprover,
            "a vendor's automation can not decide",
        )?;
        let [second] = self.cosigners[..] else {
            let code =
                if self.cosigners.is_empty() { RefusalCode::SecondPerson } else { RefusalCode::SignerSet };
            return refuse(code, "a class is opened by exactly two persons");
        };
        ensure(
            holds(second, Capacity::PolicyOwner) || holds(second, Capacity::RiskOwner),
            RefusalCode::SecondPerson,
            "the second person owns policy or risk over the policy's scope",
        )?;
        self.different_persons(self.author, second)?;
        let latest = self.at.saturating_plus_seconds(definition.review_seconds.count());
        ensure(class.until > self.at, RefusalCode::BadWindow, "the review date has passed")?;
        ensure(
            class.until <= latest,
            RefusalCode::AboveCeiling,
            format_args!("the class is reviewed by {latest} at the latest"),
        )?;
        let owner = self.principal(&event.owner)?;
        let slot = self.live.exceptions.class(&policy.event.name, definition).map(|(slot, _)| slot);
        Ok(Change::OpenClass {
            class: Class {
                policy_name: Stored(policy.event.name.clone()),
                definition: Stored(definition.clone()),
                exception: self.hash(),
                key: self.author_key,
                signed_by: self.keys.clone(),
                seq: self.seq,
                owner,
                until: class.until.millis(),
                scope: Arc::new(Stored(scope.clone())),
            },
            slot,
        })
    }

    pub(crate) fn exception_ended(&self, event: &ExceptionEnded) -> Result<Change, Refusal> {
        self.alone()?;
        let digest = *event.exception.as_bytes();
        if let Some(personal) = self.live.exceptions.personal.get(&digest) {
            let approver =
                self.right_over(self.author, Capacity::ExceptionApprover, personal.resource).is_some();
            ensure(
                approver || personal.owner == self.author,
                self.lacks(self.author, Capacity::ExceptionApprover),
                "only an exception approver or the exception's owner ends it",
            )?;
            return Ok(Change::EndPersonal { digest });
        }
        let Some((slot, class)) = self.live.exceptions.class_by_exception(&digest) else {
            return refuse(RefusalCode::NoSuchException, "no such exception stands");
        };
        let approver = self.holds_over_scope(self.author, Capacity::ExceptionApprover, &class.scope);
        ensure(
            approver || class.owner == self.author,
            self.lacks(self.author, Capacity::ExceptionApprover),
            "only an exception approver or the exception's owner ends it",
        )?;
        Ok(Change::CloseClass { slot })
    }
}
