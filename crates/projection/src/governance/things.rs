//! Resources: their facts and what governs them.

use countersign_core::event::Tier;
use countersign_core::id::{Label, Process, Resource};
use serde::{Deserialize, Serialize};

use super::derived::Twins;
use super::stored::{Contradiction, Stored, sound};
use crate::cow::{CowVec, HashKey, Names};

/// Number of a resource in the state.
pub(crate) type ResourceNo = u32;

/// Most resources above one another by `governed_by`.
pub(crate) const MAX_GOVERNING: usize = 16;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResourceRecord {
    pub(crate) live: bool,
    pub(crate) tier: Stored<Tier>,
    pub(crate) environment: Option<Box<Stored<Label>>>,
    pub(crate) process: Option<Box<Stored<Process>>>,
    pub(crate) governed_by: Option<ResourceNo>,
    /// How many live resources it governs directly. Derived.
    #[serde(skip)]
    pub(crate) governs: u32,
}

/// The facts that registering or changing a resource states.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) tier: Tier,
    pub(crate) environment: Option<&'a Label>,
    pub(crate) process: Option<&'a Process>,
    pub(crate) governed_by: Option<&'a Resource>,
}

/// Every resource ever registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Things {
    names: Names,
    /// Derived.
    #[serde(skip)]
    twins: Twins,
    records: CowVec<ResourceRecord>,
}

impl Things {
    pub(crate) fn new(key: HashKey) -> Self {
        Self { names: Names::new(key), twins: Twins::default(), records: CowVec::new() }
    }

    /// Derives what reading leaves out, and checks the rest.
    pub(crate) fn index(&mut self, key: HashKey) -> Result<(), Contradiction> {
        sound(self.names.key() == key, "resources are hashed with another key")?;
        sound(
            self.names.len() == self.records.len(),
            "there are more or fewer resources than names of them",
        )?;
        self.twins = Twins::of(&self.names);
        let mut governing = Vec::new();
        for ((no, name), record) in (0..).zip(self.names.iter()).zip(&self.records) {
            sound(Resource::new(name).is_ok(), "a resource has a name that none has")?;
            if let Some(above) = record.governed_by {
                let both_live =
                    record.live && self.records.get(above as usize).is_some_and(|above| above.live);
                sound(both_live, "what governs, or is governed, is no live resource")?;
                governing.push((no, above));
            }
        }
        let is_short = |(no, _): &(ResourceNo, _)| self.chain(*no).count() <= MAX_GOVERNING;
        sound(governing.iter().all(is_short), "more resources are above one another than may be")?;
        for (_, above) in governing {
            self.record_mut(above).governs += 1;
        }
        Ok(())
    }

    pub(crate) fn has(&self, no: ResourceNo) -> bool {
        (no as usize) < self.records.len()
    }

    /// Names of resources, by number.
    pub(crate) fn spellings(&self) -> &Names {
        &self.names
    }

    pub(crate) fn find(&self, name: &Resource) -> Option<ResourceNo> {
        self.names.lookup(name.as_str())
    }

    pub(crate) fn live(&self, name: &Resource) -> Option<ResourceNo> {
        self.find(name).filter(|no| self.record(*no).live)
    }

    pub(crate) fn is_twin(&self, name: &Resource) -> bool {
        self.find(name).is_none() && !self.twins.find(name.as_str(), &self.names).is_empty()
    }

    pub(crate) fn resource(&self, no: ResourceNo) -> Resource {
        Resource::new(self.names.name(no)).expect("INVARIANT: only parsed resources are registered")
    }

    pub(crate) fn record(&self, no: ResourceNo) -> &ResourceRecord {
        self.records.get(no as usize).expect("INVARIANT: every number has a record")
    }

    /// The resource and what governs it, nearest first.
    pub(crate) fn chain(&self, no: ResourceNo) -> impl Iterator<Item = ResourceNo> + '_ {
        // Acyclic by the rules; the bound keeps even a broken state finite.
        std::iter::successors(Some(no), |no| self.record(*no).governed_by).take(MAX_GOVERNING + 1)
    }

    pub(crate) fn record_mut(&mut self, no: ResourceNo) -> &mut ResourceRecord {
        self.records.get_mut(no as usize).expect("INVARIANT: every number has a record")
    }

    /// Registers a resource, or states its facts anew.
    pub(crate) fn put(&mut self, name: &Resource, facts: Facts<'_>) -> ResourceNo {
        let governed_by = facts.governed_by.and_then(|above| self.find(above));
        let record = ResourceRecord {
            live: true,
            tier: Stored(facts.tier),
            environment: facts.environment.map(|environment| Box::new(Stored(environment.clone()))),
            process: facts.process.map(|process| Box::new(Stored(process.clone()))),
            governed_by,
            governs: 0,
        };
        let no = match self.find(name) {
            Some(no) => {
                self.release_parent(no);
                let governs = self.record(no).governs;
                *self.record_mut(no) = ResourceRecord { governs, ..record };
                no
            }
            None => {
                let no = self.names.intern(name.as_str());
                self.twins.add(no, &self.names);
                self.records.push(record);
                no
            }
        };
        if let Some(above) = governed_by {
            self.record_mut(above).governs += 1;
        }
        no
    }

    pub(crate) fn retire(&mut self, no: ResourceNo) {
        self.release_parent(no);
        self.record_mut(no).live = false;
    }

    fn release_parent(&mut self, no: ResourceNo) {
        if let Some(above) = self.record_mut(no).governed_by.take() {
            let record = self.record_mut(above);
            record.governs = record.governs.saturating_sub(1);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ResourceNo, &str, &ResourceRecord)> {
        (0..).zip(self.names.iter()).zip(self.records.iter()).map(|((no, name), record)| (no, name, record))
    }
}

#[cfg(test)]
impl Things {
    pub(crate) fn spoil_key(&mut self) {
        self.names = Names::new(HashKey([7; 16]));
    }

    pub(crate) fn spoil_names(&mut self, spoil: impl FnOnce(HashKey, &Names) -> Names) {
        self.names = spoil(self.names.key(), &self.names);
    }
}
