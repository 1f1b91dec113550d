//! What an operator changed of a host's declaration.

use prost::Message;

use crate::{
    HostSpec, Label, Refused,
    error::name,
    host::{validate_host_labels, validate_overcommit},
    limits,
};

/// Kept apart from the declaration, so that an agent that registers anew does not undo it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HostOverrides {
    /// Labels that the host carries whatever its agent says; one value a key.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Keys that the host does not carry whatever its agent says.
    #[prost(string, repeated, tag = "2")]
    pub removed_labels: Vec<String>,
    /// In place of the declared one.
    #[prost(uint32, optional, tag = "3")]
    pub cpu_overcommit_percent: Option<u32>,
}

impl HostOverrides {
    /// These, changed once more. A key that is both removed and set is set.
    pub fn changed(&self, set: &[Label], remove: &[String], overcommit_percent: Option<u32>) -> Self {
        let is_set = |key: &str| set.iter().any(|label| label.key == key);
        let mut labels = self.labels.clone();
        labels.retain(|label| !remove.contains(&label.key) && !is_set(&label.key));
        labels.extend_from_slice(set);
        labels.sort();
        let mut removed_labels = self.removed_labels.clone();
        removed_labels.extend_from_slice(remove);
        removed_labels.retain(|key| !is_set(key));
        removed_labels.sort();
        removed_labels.dedup();
        let cpu_overcommit_percent = overcommit_percent.or(self.cpu_overcommit_percent);
        Self { labels, removed_labels, cpu_overcommit_percent }
    }

    /// What counts of a declaration.
    pub fn applied_to(&self, declared: &HostSpec) -> HostSpec {
        let mut spec = declared.clone();
        let overridden = |key: &String| self.removed_labels.contains(key) || self.labels.iter().any(|l| l.key == *key);
        spec.labels.retain(|label| !overridden(&label.key));
        spec.labels.extend_from_slice(&self.labels);
        spec.cpu_overcommit_percent = self.cpu_overcommit_percent.unwrap_or(spec.cpu_overcommit_percent);
        spec.normalize();
        spec
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn validate(&self) -> Result<(), Refused> {
        validate_host_labels(&self.labels)?;
        if self.removed_labels.len() > limits::LABELS {
            return Err(Refused::over("host.remove_labels", self.removed_labels.len() as u64, limits::LABELS as u64));
        }
        self.removed_labels.iter().try_for_each(|key| name("host.remove_labels", key))?;
        validate_overcommit(self.cpu_overcommit_percent.unwrap_or_default())
    }
}
