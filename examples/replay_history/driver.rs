//! The driver: makes, signs and hands in the statements that the steps of the plan ask for.

use std::collections::HashMap;
use std::sync::Arc;

use countersign::core::digest::StatementDigest;
use countersign::core::entry::Head;
use countersign::core::event::*;
use countersign::core::id::{LedgerId, Principal, Process, Resource};
use countersign::core::statement::SignedStatement;
use countersign::core::time::Timestamp;
use countersign::core::wire::Text;
use countersign::ledger::{Author, Clock as _};
use countersign::projection::governance::Refusal;
use countersign::store::Store;

use super::cast::{self, Office};
use super::desk::{Desk, DeskError, ReplayClock};
use super::history::{ChangeSet, ROOT_SCOPE};
use super::plan::{Step, World};
use super::{BoxError, Tally};

/// Everything that is worked on has the one tier.
const TIER: Tier = Tier::Medium;

/// How statements are handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// One after the other: every replay gives the same bytes.
    #[allow(dead_code, reason = "the tests and the example each use their own")]
    OneByOne,
    /// What does not wait for anything else in its change set goes together, so that a store has to sync less often.
    #[allow(dead_code, reason = "the tests and the example each use their own")]
    InStages,
}

/// Replays `sets` into a ledger of its own in `store`. `done` is told of every change set, `refused` of every statement that was refused.
pub(crate) async fn replay<S: Store>(
    sets: &[ChangeSet],
    store: S,
    pace: Pace,
    mut done: impl FnMut(&ChangeSet),
    mut refused: impl FnMut(&ChangeSet, &Step, &Refusal),
) -> Result<Tally, BoxError> {
    let start = sets.first().ok_or("the history is empty")?.at;
    let mut driver = Driver::open(store, start).await?;
    driver.bootstrap().await?;
    let mut world = World::new();
    for set in sets {
        driver.clock.set(set.at);
        let words = Words::of(set)?;
        let steps = world.steps(set)?;
        for stage in steps.chunk_by(|one, next| pace == Pace::InStages && one.stage() == next.stage()) {
            for (step, refusal) in driver.take(stage, &words).await? {
                refused(set, step, &refusal);
            }
        }
        done(set);
    }
    let mut tally = driver.desk.close().await?;
    tally.exceptions = driver.exceptions;
    Ok(tally)
}

/// What a change set says of itself, in the words of the statements.
struct Words {
    need: Text,
}

impl Words {
    fn of(set: &ChangeSet) -> Result<Self, BoxError> {
        let reason = set.reason.as_deref().unwrap_or("another scope governs");
        let source = match set.pr {
            Some(pr) => format!("pull request {pr}, change {}", set.change),
            None => format!("change {}", set.change),
        };
        Ok(Self { need: Text::new(format!("{reason} ({source})"))? })
    }
}

struct Driver<S: Store> {
    clock: Arc<ReplayClock>,
    desk: Desk<S>,
    authors: HashMap<Principal, Author>,
    ledger: LedgerId,
    /// The head that everyone has seen: the one after the last entry.
    seen: Head,
    /// By which statement a login owns a resource.
    owners: HashMap<(Resource, String), StatementDigest>,
    /// By which statement a login holds something on a resource.
    grants: HashMap<(Resource, String), StatementDigest>,
    exceptions: u64,
}

impl<S: Store> Driver<S> {
    async fn open(store: S, start: Timestamp) -> Result<Self, BoxError> {
        let clock = Arc::new(ReplayClock::new(start));
        let event = cast::genesis();
        let [author, second, recorder] =
            [Office::GovernorA, Office::GovernorB, Office::Recorder].map(|office| {
                let principal = office.principal();
                let key = cast::key(&principal);
                Author::founding(principal, key, event.name.clone()).clock(clock.clone())
            });
        let genesis = author.state(event).cosigned_by([&second, &recorder]).sign()?;
        let desk = Desk::open(store, genesis, clock.clone()).await?;
        let state = desk.state();
        let ledger = state.ledger_id().ok_or("the ledger has no id")?.clone();
        let founders = [author, second].map(|author| author.joined(ledger.clone()));
        Ok(Self {
            clock,
            desk,
            authors: founders.map(|author| (author.principal().clone(), author)).into(),
            ledger,
            seen: state.head(),
            owners: HashMap::new(),
            grants: HashMap::new(),
            exceptions: 0,
        })
    }

    /// Offices, root scope, policy and class. Until the policy is published, the governors stand in for registrars.
    async fn bootstrap(&mut self) -> Result<(), BoxError> {
        let (first, second) = (Office::GovernorA.principal(), Office::GovernorB.principal());
        for (office, capacity) in Office::ASSIGNED {
            let principal = office.principal();
            let human = office.kind() == PrincipalKind::Human;
            let person = || Some(office.person());
            let registered = PrincipalRegistered {
                controllers: person().filter(|_| !human).into_iter().collect(),
                kind: office.kind(),
                person: person().filter(|_| human),
                principal: principal.clone(),
            };
            let enrolled = self.enrol(&first, &second, registered)?;
            self.record(enrolled).await?;
            let assigned = CapacityAssigned {
                capacity,
                from: None,
                holder: principal,
                scope: Scope::everything(),
                until: None,
            };
            let assigned = self.say(&first, &[&second], assigned)?;
            self.record(vec![assigned]).await?;
        }
        let (registrar, owner) = (Office::RegistrarA.principal(), Office::PolicyOwner.principal());
        let root = self.say(&registrar, &[&owner], registered(Resource::new(ROOT_SCOPE)?, None))?;
        self.record(vec![root]).await?;
        let longest =
            cast::until_review(self.clock.wall()).ok_or("the history begins after the review date")?;
        let published = PolicyPublished {
            document: cast::policy(longest),
            from: None,
            name: cast::policy_name(),
            scope: Scope::everything(),
        };
        let published = self.say(&owner, &[&first], published)?;
        let policy = published.digest();
        self.record(vec![published]).await?;
        let opened = ExceptionGranted {
            covers: ExceptionOf::Class(ClassException {
                class: cast::class(),
                policy,
                until: cast::review_date(),
            }),
            need: Text::new("memberships of the replayed history are held until revoked")?,
            owner: owner.clone(),
        };
        let opened = self.say(&Office::ExceptionApprover.principal(), &[&owner], opened)?;
        self.record(vec![opened]).await?;
        let enforcer = self.author(&Office::Enforcer.principal());
        self.desk.attach(enforcer);
        Ok(())
    }

    /// Has statements recorded that the replay can not do without.
    async fn record(&mut self, signed: Vec<SignedStatement>) -> Result<(), BoxError> {
        for answer in self.desk.submit(signed).await {
            self.seen = answer?;
        }
        Ok(())
    }

    /// Takes the steps of one stage, and tells what was refused.
    async fn take<'s>(
        &mut self,
        stage: &'s [Step],
        words: &Words,
    ) -> Result<Vec<(&'s Step, Refusal)>, BoxError> {
        if stage.iter().any(|step| matches!(step, Step::Grant { .. })) {
            return self.take_grants(stage, words).await;
        }
        let mut made = Vec::new();
        for step in stage {
            made.extend(self.make(step, words)?.into_iter().map(|signed| (step, signed)));
        }
        let refused = self.submit(made).await?.1;
        for (step, _) in &refused {
            if let Step::Own { resource, login } = step {
                self.owners.remove(&(resource.clone(), login.clone()));
            }
        }
        Ok(refused)
    }

    /// Has statements recorded, each for the sake of something. What those are for that were recorded, and what was refused.
    async fn submit<T>(
        &mut self,
        made: Vec<(T, SignedStatement)>,
    ) -> Result<(Vec<(T, StatementDigest)>, Vec<(T, Refusal)>), BoxError> {
        let (whys, signed): (Vec<T>, Vec<SignedStatement>) = made.into_iter().unzip();
        let digests: Vec<_> = signed.iter().map(SignedStatement::digest).collect();
        let (mut recorded, mut refused) = (Vec::new(), Vec::new());
        let answers = self.desk.submit(signed).await;
        for ((why, digest), answer) in whys.into_iter().zip(digests).zip(answers) {
            match answer {
                Ok(head) => {
                    self.seen = head;
                    recorded.push((why, digest));
                }
                Err(DeskError::Refused(refusal)) => refused.push((why, refusal)),
                Err(DeskError::Fatal(error)) => return Err(error),
            }
        }
        Ok((recorded, refused))
    }

    /// Grants: what is asked for together is decided together, and granted by the enforcer.
    async fn take_grants<'s>(
        &mut self,
        stage: &'s [Step],
        words: &Words,
    ) -> Result<Vec<(&'s Step, Refusal)>, BoxError> {
        let mut asked = Vec::new();
        for step in stage {
            asked.extend(self.make(step, words)?.into_iter().map(|signed| (step, signed)));
        }
        let (requested, mut refused) = self.submit(asked).await?;
        let mut decisions = Vec::new();
        for (step, request) in requested {
            match self.decide(request, step, words) {
                Ok(decided) => decisions.push(((step, request), decided)),
                Err(DeskError::Refused(refusal)) => refused.push((step, refusal)),
                Err(DeskError::Fatal(error)) => return Err(error),
            }
        }
        let (decided, denied) = self.submit(decisions).await?;
        refused.extend(denied.into_iter().map(|((step, _), refusal)| (step, refusal)));
        let size = self.seen.size;
        for ((step, request), _) in decided {
            match self.desk.granted(&request, size).await {
                Ok(head) => self.seen = head,
                Err(DeskError::Refused(refusal)) => {
                    refused.push((step, refusal));
                    continue;
                }
                Err(DeskError::Fatal(error)) => return Err(error),
            }
            if let Step::Grant { subject, resource, approver, .. } = step {
                let held = (resource.clone(), subject.clone());
                let grant = self.grant_on(&held).ok_or_else(|| BoxError::from("a grant is missing"))?;
                self.grants.insert(held, grant);
                self.exceptions += u64::from(approver.is_none());
            }
        }
        Ok(refused)
    }

    /// The statements that a step consists of; of a grant, its request.
    fn make(&mut self, step: &Step, words: &Words) -> Result<Vec<SignedStatement>, BoxError> {
        let (registrar, second) = (Office::RegistrarA.principal(), Office::RegistrarB.principal());
        let policy_owner = Office::PolicyOwner.principal();
        let signed = match step {
            Step::Enrol { login } => {
                let registered = PrincipalRegistered {
                    controllers: Default::default(),
                    kind: PrincipalKind::Human,
                    person: Some(cast::person(login)?),
                    principal: cast::login(login)?,
                };
                return self.enrol(&registrar, &second, registered);
            }
            Step::Register { resource, under } => {
                let registered = registered(resource.clone(), Some(under.clone()));
                self.say(&registrar, &[&policy_owner], registered)
            }
            Step::Move { resource, under, owner } => {
                let changed = ResourceChanged {
                    environment: None,
                    governed_by: Some(under.clone()),
                    process: None,
                    reason: words.need.clone(),
                    resource: resource.clone(),
                    tier: TIER,
                };
                let mut cosigners = vec![policy_owner];
                match owner {
                    Some(owner) => cosigners.push(cast::login(owner)?),
                    None => cosigners.extend([Office::GovernorA, Office::GovernorB].map(Office::principal)),
                }
                let cosigners: Vec<&Principal> = cosigners.iter().collect();
                self.say(&registrar, &cosigners, changed)
            }
            Step::Unown { resource, login } => {
                let Some(assignment) = self.owners.remove(&(resource.clone(), login.clone())) else {
                    return Ok(Vec::new()); // Its assignment was refused, and counted.
                };
                let withdrawn = CapacityWithdrawn { assignment, reason: words.need.clone() };
                self.say(&registrar, &[], withdrawn)
            }
            Step::Own { resource, login } => {
                let assigned = CapacityAssigned {
                    capacity: Capacity::BusinessOwner,
                    from: None,
                    holder: cast::login(login)?,
                    scope: Scope::of(resource.into()),
                    until: None,
                };
                let assigned = self.say(&registrar, &[&second], assigned)?;
                self.owners.insert((resource.clone(), login.clone()), assigned.digest());
                Ok(assigned)
            }
            Step::Revoke { subject, resource, by } => {
                let Some(grant) = self.grants.remove(&(resource.clone(), subject.clone())) else {
                    return Ok(Vec::new()); // The grant was refused, and counted.
                };
                let author = match by {
                    Some(login) => cast::login(login)?,
                    None => Office::Enforcer.principal(),
                };
                let revoked = AccessRevoked { grant, reason: words.need.clone() };
                self.say(&author, &[], revoked)
            }
            Step::Grant { requester, subject, resource, role, replaces, approver: _ } => {
                let held = (resource.clone(), subject.clone());
                let requested = AccessRequested {
                    ends_on: Default::default(),
                    expires: None,
                    hold: Hold::Class(cast::class()),
                    need: words.need.clone(),
                    purpose: Process::new("membership").expect("a literal"),
                    replaces: self.grants.get(&held).filter(|_| *replaces).copied(),
                    resource: resource.clone(),
                    role: role.clone(),
                    subject: cast::login(subject)?,
                    tier: TIER,
                };
                let requester = cast::login(requester)?;
                self.say(&requester, &[], requested)
            }
            Step::Retire { resource } => {
                let retired = ResourceRetired { reason: words.need.clone(), resource: resource.clone() };
                self.owners.retain(|(owned, _), _| owned != resource);
                self.say(&registrar, &[], retired)
            }
        };
        Ok(vec![signed?])
    }

    /// An owner approves; where there is none who may, the exception approver permits.
    fn decide(
        &mut self,
        request: StatementDigest,
        step: &Step,
        words: &Words,
    ) -> Result<SignedStatement, DeskError> {
        let approver = if let Step::Grant { approver, .. } = step { approver.as_deref() } else { None };
        let clause = self.desk.state().clause_of_request(&request, self.clock.wall());
        let clause = clause.map_err(|refusal| self.desk.refused(refusal))?;
        let need = words.need.clone();
        let signed = match approver {
            Some(login) => {
                let author = cast::login(login).map_err(BoxError::from)?;
                let capacity = Capacity::BusinessOwner;
                let approved = AccessApproved { capacity, clause, need, request, seconds: None };
                self.say(&author, &[], approved)
            }
            None => {
                let seconds = cast::until_review(self.clock.wall())
                    .ok_or_else(|| BoxError::from("the history goes on after the review date"))?;
                let granted = ExceptionGranted {
                    covers: ExceptionOf::Personal(PersonalException { clause, request, seconds }),
                    need,
                    owner: Office::PolicyOwner.principal(),
                };
                self.say(&Office::ExceptionApprover.principal(), &[], granted)
            }
        };
        Ok(signed?)
    }

    fn enrol(
        &mut self,
        author: &Principal,
        second: &Principal,
        registered: PrincipalRegistered,
    ) -> Result<Vec<SignedStatement>, BoxError> {
        let principal = registered.principal.clone();
        let registered = self.say(author, &[second], registered)?;
        let enrolled =
            KeyEnrolled { enrolment: Enrolment::First, key: cast::key_bytes(&principal), principal };
        Ok(vec![registered, self.say(author, &[second], enrolled)?])
    }

    /// Makes a statement, and has it signed by everyone it needs.
    fn say(
        &mut self,
        author: &Principal,
        cosigners: &[&Principal],
        event: impl Into<Event>,
    ) -> Result<SignedStatement, BoxError> {
        let event = event.into();
        let proves = if let Event::KeyEnrolled(event) = &event { Some(&event.principal) } else { None };
        let proves: Vec<Author> = proves.into_iter().map(|name| self.author(name)).collect();
        let cosigners: Vec<Author> = cosigners.iter().map(|name| self.author(name)).collect();
        let author = self.author(author);
        let draft = author.state(event).cosigned_by(&cosigners).proved_by(&proves).seen(self.seen);
        Ok(draft.sign()?)
    }

    fn author(&mut self, principal: &Principal) -> Author {
        let new = || {
            let key = cast::key(principal);
            Author::new(principal.clone(), key, self.ledger.clone()).clock(self.clock.clone())
        };
        self.authors.entry(principal.clone()).or_insert_with(new).clone()
    }

    /// The grant that a login has on a resource: it never has two.
    fn grant_on(&self, (resource, login): &(Resource, String)) -> Option<StatementDigest> {
        let subject = cast::login(login).ok()?;
        let held = self.desk.state().grants_of(&subject, self.clock.wall());
        held.into_iter().find(|grant| grant.resource == *resource).map(|grant| grant.grant)
    }
}

fn registered(resource: Resource, governed_by: Option<Resource>) -> ResourceRegistered {
    ResourceRegistered { environment: None, governed_by, process: None, resource, tier: TIER }
}
