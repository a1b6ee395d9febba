//! What the state answers, against what a scan of the model's lists finds.

use countersign_core::event::*;
use countersign_core::id::*;
use countersign_core::time::Timestamp;
use countersign_projection::governance::{Answer, CapacityView, DenyReason, GrantView, State};

use super::desk::Desk;
use super::make::*;
use super::model::*;
use super::random::Random;
use super::rules;

fn end(millis: u64) -> Option<Timestamp> {
    (millis != FOREVER).then(|| instant(millis))
}

fn view(model: &Model, grant: &GrantFacts) -> GrantView {
    GrantView {
        grant: grant.digest,
        seq: grant.seq,
        subject: grant.subject.clone(),
        resource: grant.resource.clone(),
        role: grant.role.clone(),
        until: end(model.grant_until(grant)),
        class: grant.class.map(|class| model.classes[class].definition.class.clone()),
        exception: grant.exception,
    }
}

fn views(model: &Model, at: u64, which: impl Fn(&GrantFacts) -> bool) -> Vec<GrantView> {
    let mut views: Vec<GrantView> =
        model.active(at).filter(|grant| which(grant)).map(|grant| view(model, grant)).collect();
    views.sort_by(|a, b| {
        let key =
            |view: &GrantView| (view.subject.clone(), view.resource.clone(), view.role.clone(), view.seq);
        key(a).cmp(&key(b))
    });
    views
}

/// Instants at which something ends or begins by itself, those before `from` left out.
pub fn turns(model: &Model, from: u64) -> Vec<u64> {
    let grants = model.grants.iter().map(|grant| model.grant_until(grant));
    let requests = model.requests.iter().map(|request| request.expires);
    let rights = model.rights.iter().flat_map(|right| [right.from, right.until]);
    let exceptions = model.personal.iter().map(|personal| personal.until);
    let classes = model.classes.iter().map(|class| class.until);
    let policies = model.book.iter().filter_map(|(_, step)| match step {
        BookStep::Published(policy) => Some(policy.from),
        BookStep::Withdrawn(_) => None,
    });
    let pending = model.pending.iter().map(|pending| pending.due);
    let all =
        grants.chain(requests).chain(rights).chain(exceptions).chain(classes).chain(policies).chain(pending);
    let mut turns: Vec<u64> = all.filter(|at| *at > from && *at != FOREVER).collect();
    turns.sort_unstable();
    turns.dedup();
    turns
}

/// Asks everything as of an instant at or after the last entry.
pub fn compare(desk: &Desk, at: u64, random: &mut Random) {
    let (state, model, when) = (&desk.state, &desk.model, instant(at));
    assert_eq!(state.grants(when), views(model, at, |_| true), "grants at {when}");
    for facts in &model.principals {
        let mine = views(model, at, |grant| grant.subject == facts.name);
        assert_eq!(state.grants_of(&facts.name, when), mine, "grants of {} at {when}", facts.name);
    }
    for facts in &model.resources {
        let here = views(model, at, |grant| grant.resource == facts.name);
        assert_eq!(state.grants_on(&facts.name, when), here, "grants on {} at {when}", facts.name);
    }
    checks(state, model, at, random);
    capacities(state, model, at, random);
    requests(state, model, at);
    let standing: Vec<_> = model
        .personal
        .iter()
        .filter(|personal| model.personal_stands(personal, at))
        .map(|personal| (personal.vote.digest, personal.request, end(personal.until)))
        .collect();
    let mut found: Vec<_> = state
        .exceptions(when)
        .into_iter()
        .map(|view| (view.exception, view.request, Some(view.until)))
        .collect();
    found.sort_by_key(|(exception, _, _)| model.personal.iter().position(|p| p.vote.digest == *exception));
    assert_eq!(found, standing, "exceptions at {when}");
    let mut open: Vec<_> = (0..model.classes.len())
        .filter(|place| model.class_exists(&model.classes[*place], at))
        .map(|place| {
            let class = &model.classes[place];
            let held = model.active(at).filter(|grant| grant.class == Some(place)).count();
            (class.exception, class.definition.class.clone(), instant(class.until), held)
        })
        .collect();
    open.sort();
    let mut found: Vec<_> = state
        .classes(when)
        .into_iter()
        .map(|view| (view.exception, view.class, view.until, view.grants))
        .collect();
    found.sort();
    assert_eq!(found, open, "classes at {when}");
    let mut policies: Vec<_> = model
        .policies(at)
        .into_iter()
        .flat_map(|(_, current, scheduled)| [current, scheduled])
        .flatten()
        .map(|policy| policy.digest)
        .collect();
    let mut found: Vec<_> = state.policies(when).into_iter().map(|view| view.policy).collect();
    policies.sort();
    found.sort();
    assert_eq!(found, policies, "policies at {when}");
}

fn checks(state: &State, model: &Model, at: u64, random: &mut Random) {
    let when = instant(at);
    let held: Vec<(Principal, Resource, Role)> = model
        .grants
        .iter()
        .map(|grant| (grant.subject.clone(), grant.resource.clone(), grant.role.clone()))
        .collect();
    let other = || (principal("user:stranger"), resource("db:unheard-of"), role("reader"));
    let guess = (
        random.pick(&model.principals).name.clone(),
        random.pick(&model.resources).name.clone(),
        role(random.pick::<&str>(super::cast::ROLES)),
    );
    let half = (guess.0.clone(), resource("db:unheard-of"), guess.2.clone());
    for (who, on, as_role) in held.into_iter().chain([other(), guess, half]) {
        let mut fitting: Vec<&GrantFacts> = model
            .active(at)
            .filter(|grant| grant.subject == who && grant.resource == on && grant.role == as_role)
            .collect();
        fitting.sort_by_key(|grant| (model.grant_until(grant), grant.seq));
        let denied = |reason| Answer::Denied { reason };
        let want = match (fitting.last(), model.principal(who.as_str())) {
            (Some(grant), _) => {
                Answer::Allowed { grant: grant.digest, seq: grant.seq, until: end(model.grant_until(grant)) }
            }
            (None, None) => denied(DenyReason::UnknownPrincipal),
            (None, Some(facts)) if facts.departed => denied(DenyReason::PrincipalDeparted),
            (None, Some(_)) if model.resource(&on).is_none() => denied(DenyReason::UnknownResource),
            (None, Some(_)) => denied(DenyReason::NoGrant),
        };
        assert_eq!(state.check(&who, &on, &as_role, when), want, "{who} as {as_role} on {on} at {when}");
        if model.now() > 0 {
            let before = instant(model.now() - 1);
            assert_eq!(state.check(&who, &on, &as_role, before), denied(DenyReason::BeforeState));
        }
    }
}

fn capacities(state: &State, model: &Model, at: u64, random: &mut Random) {
    let when = instant(at);
    let mut held: Vec<CapacityView> = model
        .rights
        .iter()
        .filter(|right| model.stands(right, at))
        .map(|right| CapacityView {
            statement: right.digest,
            seq: right.seq,
            capacity: right.capacity,
            holder: right.holder.clone(),
            scope: right.scope.clone(),
            from: instant(right.from),
            until: end(right.until),
            delegated_by: right.basis.clone(),
        })
        .collect();
    held.sort_by(|a, b| (&a.holder, a.seq).cmp(&(&b.holder, b.seq)));
    assert_eq!(state.capacities(when), held, "capacities at {when}");
    for _ in 0..6 {
        let who = &random.pick(&model.principals).name;
        let on = &random.pick(&model.resources).name;
        let capacity = *random.pick(Capacity::ALL);
        let want = model.holds(who.as_str(), capacity, on, at);
        assert_eq!(state.holds(who, capacity, on, when), want, "{who} is {capacity} over {on} at {when}");
    }
    let owners = [
        Capacity::BusinessOwner,
        Capacity::ApplicationOwner,
        Capacity::PlatformOwner,
        Capacity::OperationsOwner,
    ];
    let facts = random.pick(&model.resources);
    let view = state.resource(&facts.name, when);
    assert_eq!(view.is_some(), facts.live);
    if let Some(view) = view {
        let owned = model
            .principals
            .iter()
            .any(|one| owners.iter().any(|owner| model.holds(one.name.as_str(), *owner, &facts.name, at)));
        assert_eq!(view.unowned, !owned, "{} at {when}", facts.name);
        let above: Vec<Resource> = model.chain(&facts.name).into_iter().skip(1).collect();
        assert_eq!((view.tier, view.governed_by), (facts.tier, above));
    }
}

fn requests(state: &State, model: &Model, at: u64) {
    let when = instant(at);
    let found = state.requests(when);
    let open: Vec<&RequestFacts> = model.open_requests(at).collect();
    let digests = |all: &[countersign_projection::governance::RequestView]| -> Vec<_> {
        all.iter().map(|view| view.request).collect()
    };
    assert_eq!(
        digests(&found),
        open.iter().map(|request| request.digest).collect::<Vec<_>>(),
        "requests at {when}"
    );
    for (view, request) in found.iter().zip(open) {
        let clause = rules::resolve(model, &request.event.resource, &request.event.role, at)
            .map(|resolved| resolved.clause.digest());
        let votes: Vec<_> = request
            .votes
            .iter()
            .filter(|vote| !vote.withdrawn)
            .map(|vote| {
                let counts = model.counts(vote, at) && Some(vote.clause) == clause;
                (vote.digest, vote.author.clone(), vote.capacity, counts)
            })
            .collect();
        let shown: Vec<_> = view
            .approvals
            .iter()
            .map(|approval| (approval.approval, approval.author.clone(), approval.capacity, approval.counts))
            .collect();
        assert_eq!(shown, votes, "approvals at {when}");
        let exception = request.exception.filter(|digest| model.standing(digest, at).is_some());
        assert_eq!(view.exception, exception, "exception at {when}");
        assert_eq!(
            (view.seq, &view.requester, view.opened_at, view.expires),
            (request.seq, &request.requester, instant(request.at), instant(request.expires))
        );
    }
}
