//! Resources: their facts and what governs them.

use countersign_core::event::Tier;
use countersign_core::id::{Label, Process, Resource};
use serde::{Deserialize, Serialize};

use super::stored::Stored;
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
    /// How many live resources it governs directly.
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
    lower: Names,
    records: CowVec<ResourceRecord>,
}

impl Things {
    pub(crate) fn new(key: HashKey) -> Self {
        Self { names: Names::new(key), lower: Names::new(key), records: CowVec::new() }
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
        self.find(name).is_none() && self.lower.lookup(&name.as_str().to_ascii_lowercase()).is_some()
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

    fn record_mut(&mut self, no: ResourceNo) -> &mut ResourceRecord {
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
                self.lower.intern(&name.as_str().to_ascii_lowercase());
                let no = self.names.intern(name.as_str());
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
