//! The driver: makes, signs and hands in the statements that the steps of the plan ask for.

use std::collections::HashMap;
use std::sync::Arc;

use countersign::core::digest::StatementDigest;
use countersign::core::entry::Head;
use countersign::core::event::*;
use countersign::core::id::{LedgerId, Principal, Process, Resource};
use countersign::core::time::Timestamp;
use countersign::core::wire::Text;
use countersign::ledger::{Author, Clock as _};
use countersign::store::MemoryStore;

use super::cast::{self, Office};
use super::desk::{Desk, DeskError, ReplayClock};
use super::history::{ChangeSet, ROOT_SCOPE};
use super::plan::{Step, World};
use super::{BoxError, Tally};

/// Everything that is worked on has the one tier.
const TIER: Tier = Tier::Medium;

/// Replays `sets` into a ledger of its own. `done` is told of every change set, `refused` of every statement that was refused.
pub(crate) async fn replay(
    sets: &[ChangeSet],
    mut done: impl FnMut(&ChangeSet),
    mut refused: impl FnMut(&ChangeSet, &Step, &countersign::projection::governance::Refusal),
) -> Result<(MemoryStore, Tally), BoxError> {
    let start = sets.first().ok_or("the history is empty")?.at;
    let mut driver = Driver::open(start).await?;
    driver.bootstrap().await?;
    let mut world = World::new();
    for set in sets {
        driver.clock.set(set.at);
        let words = Words::of(set)?;
        for step in world.steps(set)? {
            match driver.take(&step, &words).await {
                Ok(()) => {}
                Err(DeskError::Refused(refusal)) => refused(set, &step, &refusal),
                Err(DeskError::Fatal(error)) => return Err(error),
            }
        }
        done(set);
    }
    let (store, mut tally) = driver.desk.close().await?;
    tally.exceptions = driver.exceptions;
    Ok((store, tally))
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

struct Driver {
    clock: Arc<ReplayClock>,
    desk: Desk,
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

impl Driver {
    async fn open(start: Timestamp) -> Result<Self, BoxError> {
        let clock = Arc::new(ReplayClock::new(start));
        let event = cast::genesis();
        let [author, second, recorder] =
            [Office::GovernorA, Office::GovernorB, Office::Recorder].map(|office| {
                let principal = office.principal();
                let key = cast::key(&principal);
                Author::founding(principal, key, event.name.clone()).clock(clock.clone())
            });
        let genesis = author.state(event).cosigned_by([&second, &recorder]).sign()?;
        let desk = Desk::open(genesis, clock.clone()).await?;
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
            self.enrol(&first, &second, registered).await?;
            let assigned = CapacityAssigned {
                capacity,
                from: None,
                holder: principal,
                scope: Scope::everything(),
                until: None,
            };
            self.say(&first, &[&second], assigned).await?;
        }
        let (registrar, owner) = (Office::RegistrarA.principal(), Office::PolicyOwner.principal());
        self.say(&registrar, &[&owner], registered(Resource::new(ROOT_SCOPE)?, None)).await?;
        let longest =
            cast::until_review(self.clock.wall()).ok_or("the history begins after the review date")?;
        let published = PolicyPublished {
            document: cast::policy(longest),
            from: None,
            name: cast::policy_name(),
            scope: Scope::everything(),
        };
        let policy = self.say(&owner, &[&first], published).await?;
        let opened = ExceptionGranted {
            covers: ExceptionOf::Class(ClassException {
                class: cast::class(),
                policy,
                until: cast::review_date(),
            }),
            need: Text::new("memberships of the replayed history are held until revoked")?,
            owner: owner.clone(),
        };
        self.say(&Office::ExceptionApprover.principal(), &[&owner], opened).await?;
        let enforcer = self.author(&Office::Enforcer.principal());
        self.desk.attach(enforcer);
        Ok(())
    }

    async fn take(&mut self, step: &Step, words: &Words) -> Result<(), DeskError> {
        let (registrar, second) = (Office::RegistrarA.principal(), Office::RegistrarB.principal());
        let policy_owner = Office::PolicyOwner.principal();
        match step {
            Step::Enrol { login } => {
                let registered = PrincipalRegistered {
                    controllers: Default::default(),
                    kind: PrincipalKind::Human,
                    person: Some(cast::person(login).map_err(BoxError::from)?),
                    principal: cast::login(login).map_err(BoxError::from)?,
                };
                self.enrol(&registrar, &second, registered).await
            }
            Step::Register { resource, under } => {
                let registered = registered(resource.clone(), Some(under.clone()));
                self.say(&registrar, &[&policy_owner], registered).await.map(drop)
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
                    Some(owner) => cosigners.push(cast::login(owner).map_err(BoxError::from)?),
                    None => cosigners.extend([Office::GovernorA, Office::GovernorB].map(Office::principal)),
                }
                let cosigners: Vec<&Principal> = cosigners.iter().collect();
                self.say(&registrar, &cosigners, changed).await.map(drop)
            }
            Step::Unown { resource, login } => {
                let Some(assignment) = self.owners.remove(&(resource.clone(), login.clone())) else {
                    return Ok(()); // Its assignment was refused, and counted.
                };
                let withdrawn = CapacityWithdrawn { assignment, reason: words.need.clone() };
                self.say(&registrar, &[], withdrawn).await.map(drop)
            }
            Step::Own { resource, login } => {
                let assigned = CapacityAssigned {
                    capacity: Capacity::BusinessOwner,
                    from: None,
                    holder: cast::login(login).map_err(BoxError::from)?,
                    scope: Scope::of(resource.into()),
                    until: None,
                };
                let assignment = self.say(&registrar, &[&second], assigned).await?;
                self.owners.insert((resource.clone(), login.clone()), assignment);
                Ok(())
            }
            Step::Revoke { subject, resource, by } => {
                let Some(grant) = self.grants.remove(&(resource.clone(), subject.clone())) else {
                    return Ok(()); // The grant was refused, and counted.
                };
                let author = match by {
                    Some(login) => cast::login(login).map_err(BoxError::from)?,
                    None => Office::Enforcer.principal(),
                };
                let revoked = AccessRevoked { grant, reason: words.need.clone() };
                self.say(&author, &[], revoked).await.map(drop)
            }
            Step::Grant { requester, subject, resource, role, approver, replaces } => {
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
                    subject: cast::login(subject).map_err(BoxError::from)?,
                    tier: TIER,
                };
                let requester = cast::login(requester).map_err(BoxError::from)?;
                let request = self.say(&requester, &[], requested).await?;
                self.decide(request, approver.as_deref(), words).await?;
                self.seen = self.desk.granted(&request, self.seen.size).await?;
                let grant = self.grant_on(&held).ok_or_else(|| BoxError::from("a grant is missing"))?;
                self.grants.insert(held, grant);
                self.exceptions += u64::from(approver.is_none());
                Ok(())
            }
            Step::Retire { resource } => {
                let retired = ResourceRetired { reason: words.need.clone(), resource: resource.clone() };
                self.owners.retain(|(owned, _), _| owned != resource);
                self.say(&registrar, &[], retired).await.map(drop)
            }
        }
    }

    /// An owner approves; where there is none who may, the exception approver permits.
    async fn decide(
        &mut self,
        request: StatementDigest,
        approver: Option<&str>,
        words: &Words,
    ) -> Result<(), DeskError> {
        let clause = self.desk.state().clause_of_request(&request, self.clock.wall());
        let clause = clause.map_err(DeskError::Refused)?;
        let need = words.need.clone();
        match approver {
            Some(login) => {
                let author = cast::login(login).map_err(BoxError::from)?;
                let capacity = Capacity::BusinessOwner;
                let approved = AccessApproved { capacity, clause, need, request, seconds: None };
                self.say(&author, &[], approved).await.map(drop)
            }
            None => {
                let seconds = cast::until_review(self.clock.wall())
                    .ok_or_else(|| BoxError::from("the history goes on after the review date"))?;
                let granted = ExceptionGranted {
                    covers: ExceptionOf::Personal(PersonalException { clause, request, seconds }),
                    need,
                    owner: Office::PolicyOwner.principal(),
                };
                self.say(&Office::ExceptionApprover.principal(), &[], granted).await.map(drop)
            }
        }
    }

    async fn enrol(
        &mut self,
        author: &Principal,
        second: &Principal,
        registered: PrincipalRegistered,
    ) -> Result<(), DeskError> {
        let principal = registered.principal.clone();
        self.say(author, &[second], registered).await?;
        let enrolled =
            KeyEnrolled { enrolment: Enrolment::First, key: cast::key_bytes(&principal), principal };
        self.say(author, &[second], enrolled).await.map(drop)
    }

    /// Makes a statement, has it signed by everyone it needs, and hands it in.
    async fn say(
        &mut self,
        author: &Principal,
        cosigners: &[&Principal],
        event: impl Into<Event>,
    ) -> Result<StatementDigest, DeskError> {
        let event = event.into();
        let proves = if let Event::KeyEnrolled(event) = &event { Some(&event.principal) } else { None };
        let proves: Vec<Author> = proves.into_iter().map(|name| self.author(name)).collect();
        let cosigners: Vec<Author> = cosigners.iter().map(|name| self.author(name)).collect();
        let author = self.author(author);
        let draft = author.state(event).cosigned_by(&cosigners).proved_by(&proves).seen(self.seen);
        let signed = draft.sign().map_err(BoxError::from)?;
        let digest = signed.digest();
        self.seen = self.desk.submit(signed).await?;
        Ok(digest)
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
