//! Words and values that several kinds share.

use crate::id::{Pattern, Resource};
use crate::wire::Set;

crate::words! {
    /// A right to decide or act in governance, within a scope. Requesting needs none.
    pub enum Capacity {
        /// Guards the charter; assigns governing capacities. Held by being named in the charter only.
        Governor = "governor",
        /// Identity administration: principals, keys, resources, business capacities.
        Registrar = "registrar",
        /// Identity governance: owns policy, and the final state of every entitlement.
        PolicyOwner = "policy_owner",
        /// Answers for the business need.
        BusinessOwner = "business_owner",
        /// Answers for the need of an application.
        ApplicationOwner = "application_owner",
        /// Answers for a shared platform.
        PlatformOwner = "platform_owner",
        /// Security: sets limits.
        ControlOwner = "control_owner",
        /// Answers for running the thing.
        OperationsOwner = "operations_owner",
        /// Answers for the trade between friction and risk.
        RiskOwner = "risk_owner",
        /// Grants and enforces.
        IamEnforcer = "iam_enforcer",
        /// Elevates and enforces.
        PamEnforcer = "pam_enforcer",
        /// A service desk: carries out, never decides.
        Executor = "executor",
        /// Reviews what stands.
        Reviewer = "reviewer",
        /// Permits exceptions.
        ExceptionApprover = "exception_approver",
        /// Reports what enforcement systems hold.
        Observer = "observer",
        /// May end any grant, alone.
        Revoker = "revoker",
        /// Reads and verifies.
        Auditor = "auditor",
        /// Sequences entries. Held by being named in the charter only.
        Recorder = "recorder",
    }

    /// How much harm an entitlement can do, as the resource's registration says. Ordered: a later one is higher.
    pub enum Tier {
        /// Little harm.
        Low = "low",
        /// Some harm.
        Medium = "medium",
        /// Much harm.
        High = "high",
        /// The organisation is at stake.
        Critical = "critical",
    }
}

impl Capacity {
    /// Whether it is a capacity of business: assigned by a registrar and a second person.
    #[must_use]
    pub const fn is_business(self) -> bool {
        self.is_owner() || matches!(self, Self::Reviewer | Self::Executor)
    }

    /// Whether its holder answers for need or operation of a resource (R001).
    #[must_use]
    pub const fn is_owner(self) -> bool {
        matches!(
            self,
            Self::BusinessOwner | Self::ApplicationOwner | Self::PlatformOwner | Self::OperationsOwner
        )
    }

    /// Whether only the charter names its holders.
    #[must_use]
    pub const fn is_charter(self) -> bool {
        matches!(self, Self::Governor | Self::Recorder)
    }

    /// Whether an approval path may ask for it: it decides, rather than carries out (R005).
    #[must_use]
    pub const fn may_approve(self) -> bool {
        self.is_owner() || matches!(self, Self::ControlOwner | Self::RiskOwner)
    }

    /// Whether its holder may delegate it.
    #[must_use]
    pub const fn may_delegate(self) -> bool {
        self.is_owner() || matches!(self, Self::Reviewer)
    }
}

crate::record! {
    /// Which resources a capacity or a policy reaches.
    pub struct Scope {
        /// What it takes in less these. A resource named here, or below a subtree named here, is left out.
        pub except: Set<Pattern>,
        /// What it takes in.
        pub on: Pattern,
    }
}

impl Scope {
    /// The scope of everything.
    #[must_use]
    pub fn everything() -> Self {
        Self { except: Set::default(), on: Pattern::everything() }
    }

    /// The scope of one pattern without exceptions.
    #[must_use]
    pub fn of(on: Pattern) -> Self {
        Self { except: Set::default(), on }
    }

    /// Whether it takes in `resource` by its name.
    #[must_use]
    pub fn names(&self, resource: &Resource) -> bool {
        self.on.matches(resource) && !self.excludes(resource)
    }

    /// Whether it leaves `resource` out by its name.
    #[must_use]
    pub fn excludes(&self, resource: &Resource) -> bool {
        self.except.iter().any(|pattern| pattern.matches(resource))
    }

    /// Whether it is everything, with nothing left out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.except.is_empty() && self.on == Pattern::everything()
    }

    /// Whether everything that `other` names, this names too.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.on.contains(&other.on)
            && self.except.iter().all(|left_out| {
                !left_out.overlaps(&other.on) || other.except.iter().any(|theirs| theirs.contains(left_out))
            })
    }

    /// Whether some resource could be named by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let inner = match (self.on.contains(&other.on), other.on.contains(&self.on)) {
            (true, _) => &other.on,
            (false, true) => &self.on,
            (false, false) => return false,
        };
        !self.except.iter().chain(&other.except).any(|left_out| left_out.contains(inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(on: &str, except: &[&str]) -> Scope {
        Scope {
            except: except.iter().map(|text| Pattern::new(text).unwrap()).collect(),
            on: Pattern::new(on).unwrap(),
        }
    }

    #[test]
    fn excluded_subtrees_make_room_for_another_scope() {
        let cases = [
            ("all and a subtree", scope("*", &[]), scope("team:a/*", &[]), true),
            ("room made", scope("*", &["team:a/*"]), scope("team:a/*", &[]), false),
            ("room made for less", scope("*", &["team:a/b/*"]), scope("team:a/*", &[]), true),
            ("subtree and its root", scope("team:a/*", &[]), scope("team:a", &[]), false),
            ("room made by the inner one", scope("team:a/*", &["team:a/b"]), scope("team:a/b", &[]), false),
            ("siblings", scope("team:a/*", &[]), scope("team:b/*", &[]), false),
        ];
        for (name, left, right, want) in cases {
            assert_eq!(left.overlaps(&right), want, "case: {name}");
            assert_eq!(right.overlaps(&left), want, "case: {name}, other way round");
        }
    }

    #[test]
    fn a_scope_contains_what_leaves_out_at_least_as_much() {
        let cases = [
            ("all", scope("*", &[]), scope("team:a/*", &[]), true),
            ("less excluded", scope("*", &["team:a/b/*"]), scope("team:a/*", &[]), false),
            ("as much excluded", scope("*", &["team:a/b/*"]), scope("team:a/*", &["team:a/b/*"]), true),
            ("excluded elsewhere", scope("*", &["team:z/*"]), scope("team:a/*", &[]), true),
            ("wider", scope("team:a/*", &[]), scope("*", &[]), false),
        ];
        for (name, outer, inner, want) in cases {
            assert_eq!(outer.contains(&inner), want, "case: {name}");
        }
    }
}
