//! What an event says, in a line; and names for what it refers to.

use std::collections::HashMap;

use countersign_core::digest::StatementDigest;
use countersign_core::event::{Event, ExceptionOf, Hold, Scope};
use countersign_core::policy::{Entitlements, Path, PathRule};
use countersign_core::statement::Statement;

use crate::text::{duration, quoted};

/// The statements that were seen so far, by digest: where they stand, and what the access ones are about.
#[derive(Default)]
pub(crate) struct Known(HashMap<StatementDigest, (u64, Option<String>)>);

impl Known {
    /// Remembers an entry's statement.
    pub(crate) fn see(&mut self, seq: u64, digest: StatementDigest, event: &Event) {
        let about = match event {
            Event::AccessRequested(event) => {
                Some(format!("{} {} {}", event.subject, event.role, event.resource))
            }
            Event::AccessGranted(event) => self.about(&event.request),
            Event::AccessApproved(event) => self.about(&event.request),
            Event::ExceptionGranted(event) => match &event.covers {
                ExceptionOf::Personal(personal) => self.about(&personal.request),
                ExceptionOf::Class(class) => Some(format!("class {}", class.class)),
            },
            Event::CapacityAssigned(event) => {
                Some(format!("{} {} over {}", event.holder, event.capacity, scope(&event.scope)))
            }
            Event::DelegationGranted(event) => {
                Some(format!("to {} over {}", event.delegate, scope(&event.scope)))
            }
            Event::PolicyPublished(event) => Some(event.name.to_string()),
            Event::LedgerOpened(_)
            | Event::CharterAmended(_)
            | Event::LedgerUpgraded(_)
            | Event::LedgerFrozen(_)
            | Event::LedgerThawed(_)
            | Event::RecoveryProposed(_)
            | Event::RecoveryVetoed(_)
            | Event::PrincipalRegistered(_)
            | Event::PrincipalChanged(_)
            | Event::PrincipalDeparted(_)
            | Event::KeyEnrolled(_)
            | Event::KeyRetired(_)
            | Event::KeyCompromised(_)
            | Event::CapacityWithdrawn(_)
            | Event::DelegationWithdrawn(_)
            | Event::ResourceRegistered(_)
            | Event::ResourceChanged(_)
            | Event::ResourceRetired(_)
            | Event::PolicyWithdrawn(_)
            | Event::AccessDenied(_)
            | Event::AccessWithdrawn(_)
            | Event::AccessRevoked(_)
            | Event::ExceptionEnded(_)
            | Event::ClockStepped(_)
            | Event::Custom(_) => None,
        };
        self.0.insert(digest, (seq, about));
    }

    fn about(&self, digest: &StatementDigest) -> Option<String> {
        self.0.get(digest).and_then(|(_, about)| about.clone())
    }

    /// Where the statement stands.
    pub(crate) fn seq(&self, digest: &StatementDigest) -> Option<u64> {
        self.0.get(digest).map(|(seq, _)| *seq)
    }

    /// `#7`, or the digest's beginning for a statement that is not here.
    pub(crate) fn place(&self, digest: &StatementDigest) -> String {
        match self.0.get(digest) {
            Some((seq, _)) => format!("#{seq}"),
            None => format!("{:.12}...", digest.to_string()),
        }
    }

    /// `#7 (user:alice reader db:acme/payroll)`.
    fn named(&self, digest: &StatementDigest) -> String {
        let place = self.place(digest);
        match self.about(digest) {
            Some(about) => format!("{place} ({about})"),
            None => place,
        }
    }

    /// What the event says, on one line, safe to show.
    pub(crate) fn summary(&self, event: &Event) -> String {
        match event {
            Event::LedgerOpened(event) => {
                format!("{}, {} of {} governors", event.name, event.quorum, event.governors.len())
            }
            Event::CharterAmended(event) => format!(
                "{} of {} governors: {}",
                event.charter.quorum,
                event.charter.governors.len(),
                quoted(&event.reason)
            ),
            Event::LedgerUpgraded(event) => format!("to rules {}: {}", event.rules, quoted(&event.reason)),
            Event::LedgerFrozen(event) => quoted(&event.reason),
            Event::LedgerThawed(event) => quoted(&event.reason),
            Event::RecoveryProposed(event) => quoted(&event.reason),
            Event::RecoveryVetoed(event) => {
                format!("{}: {}", self.named(&event.proposal), quoted(&event.reason))
            }
            Event::PrincipalRegistered(event) => {
                let persons: Vec<&str> = event
                    .person
                    .iter()
                    .chain(event.controllers.iter())
                    .map(|person| person.as_str())
                    .collect();
                let word = if event.person.is_some() { "of" } else { "controlled by" };
                format!("{}, {} {word} {}", event.principal, event.kind, persons.join(", "))
            }
            Event::PrincipalChanged(event) => format!("{}: {}", event.principal, quoted(&event.reason)),
            Event::PrincipalDeparted(event) => format!("{}: {}", event.principal, quoted(&event.reason)),
            Event::KeyEnrolled(event) => {
                format!("{}, {} key {:.12}", event.principal, event.enrolment, event.key.key_id().to_string())
            }
            Event::KeyRetired(event) => format!(
                "{} key {:.12}: {}",
                event.principal,
                event.key.key_id().to_string(),
                quoted(&event.reason)
            ),
            Event::KeyCompromised(event) => {
                let from = event.from.map_or_else(|| "here".into(), |from| format!("#{from}"));
                format!(
                    "{} key {:.12} from {from} on: {}",
                    event.principal,
                    event.key.key_id().to_string(),
                    quoted(&event.reason)
                )
            }
            Event::CapacityAssigned(event) => {
                let until = event.until.map(|until| format!(" until {until}")).unwrap_or_default();
                format!("{} {} over {}{until}", event.holder, event.capacity, scope(&event.scope))
            }
            Event::CapacityWithdrawn(event) => {
                format!("{}: {}", self.named(&event.assignment), quoted(&event.reason))
            }
            Event::DelegationGranted(event) => format!(
                "{} acts by {} over {} until {}",
                event.delegate,
                self.place(&event.basis),
                scope(&event.scope),
                event.until
            ),
            Event::DelegationWithdrawn(event) => {
                format!("{}: {}", self.named(&event.delegation), quoted(&event.reason))
            }
            Event::ResourceRegistered(event) => {
                let governed =
                    event.governed_by.as_ref().map(|by| format!(", governed by {by}")).unwrap_or_default();
                format!("{}, tier {}{governed}", event.resource, event.tier)
            }
            Event::ResourceChanged(event) => {
                let governed =
                    event.governed_by.as_ref().map(|by| format!(", governed by {by}")).unwrap_or_default();
                format!("{}, tier {}{governed}: {}", event.resource, event.tier, quoted(&event.reason))
            }
            Event::ResourceRetired(event) => format!("{}: {}", event.resource, quoted(&event.reason)),
            Event::PolicyPublished(event) => {
                let from = event.from.map(|from| format!(" from {from}")).unwrap_or_default();
                format!("{} over {}{from}", event.name, scope(&event.scope))
            }
            Event::PolicyWithdrawn(event) => {
                format!("{}: {}", self.named(&event.policy), quoted(&event.reason))
            }
            Event::AccessRequested(event) => format!(
                "{} {} {}, {}: {}",
                event.subject,
                event.role,
                event.resource,
                hold(&event.hold),
                quoted(&event.need)
            ),
            Event::AccessApproved(event) => {
                format!("{} as {}: {}", self.named(&event.request), event.capacity, quoted(&event.need))
            }
            Event::AccessDenied(event) => {
                format!("{} as {}: {}", self.named(&event.request), event.capacity, quoted(&event.reason))
            }
            Event::AccessWithdrawn(event) => {
                let reason =
                    event.reason.as_ref().map(|reason| format!(": {}", quoted(reason))).unwrap_or_default();
                format!("{}{reason}", self.named(&event.statement))
            }
            Event::AccessGranted(event) => {
                let how = if event.exception.is_some() { ", by exception" } else { "" };
                let instead = event.replaces.as_ref();
                let instead = instead.map(|grant| format!(", in place of {}", self.place(grant)));
                let (request, instead) = (self.named(&event.request), instead.unwrap_or_default());
                format!("{request}, {}{how}{instead}", hold(&event.hold))
            }
            Event::AccessRevoked(event) => format!("{}: {}", self.named(&event.grant), quoted(&event.reason)),
            Event::ExceptionGranted(event) => match &event.covers {
                ExceptionOf::Personal(personal) => format!(
                    "{}, for {}: {}",
                    self.named(&personal.request),
                    duration(personal.seconds.count()),
                    quoted(&event.need)
                ),
                ExceptionOf::Class(class) => format!(
                    "class {} of {} until {}, owner {}: {}",
                    class.class,
                    self.named(&class.policy),
                    class.until,
                    event.owner,
                    quoted(&event.need)
                ),
            },
            Event::ExceptionEnded(event) => {
                format!("{}: {}", self.named(&event.exception), quoted(&event.reason))
            }
            Event::ClockStepped(event) => quoted(&event.reason),
            Event::Custom(event) => format!("{} {}", event.namespace, event.name),
        }
    }
}

/// `user:dana with user:erik`.
pub(crate) fn signers(statement: &Statement) -> String {
    let others: Vec<&str> = statement.cosigners.iter().map(|name| name.as_str()).collect();
    if others.is_empty() {
        statement.author.to_string()
    } else {
        format!("{} with {}", statement.author, others.join(", "))
    }
}

/// `team:acme/* except team:acme/board`.
pub(crate) fn scope(scope: &Scope) -> String {
    let except: Vec<&str> = scope.except.iter().map(|pattern| pattern.as_str()).collect();
    if except.is_empty() {
        scope.on.to_string()
    } else {
        format!("{} except {}", scope.on, except.join(", "))
    }
}

/// `30 days`, or `without end under class staff`.
pub(crate) fn hold(hold: &Hold) -> String {
    match hold {
        Hold::Seconds(seconds) => format!("for {}", duration(seconds.count())),
        Hold::Class(class) => format!("without end under class {class}"),
    }
}

/// Who must agree, as a sentence part.
pub(crate) fn path_rule(rule: &PathRule) -> String {
    let distinct = if rule.distinct_persons { ", different persons" } else { "" };
    format!("{}: {}{distinct}", rule.name, path(&rule.path))
}

/// One side of a conflict, as a sentence part.
pub(crate) fn entitlements(side: &Entitlements) -> String {
    match &side.role {
        Some(role) => format!("{role} on {}", side.on),
        None => format!("anything on {}", side.on),
    }
}

fn path(part: &Path) -> String {
    let list = |parts: &[Path], between: &str| {
        let parts: Vec<String> = parts
            .iter()
            .map(|part| match part {
                Path::Capacity(_) => path(part),
                Path::All(_) | Path::Any(_) | Path::AtLeast(..) | Path::Stages(_) => {
                    format!("({})", path(part))
                }
            })
            .collect();
        parts.join(between)
    };
    match part {
        Path::Capacity(capacity) => capacity.to_string(),
        Path::All(parts) => list(parts, " and "),
        Path::Any(parts) => list(parts, " or "),
        Path::AtLeast(k, parts) => format!("{k} of {}", list(parts, ", ")),
        Path::Stages(parts) => list(parts, ", then "),
    }
}
