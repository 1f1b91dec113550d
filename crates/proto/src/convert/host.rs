//! Hosts: their declarations, and what operators do with them.

use gantry_types::{
    self as types, Refused,
    error::{name, optional_name},
    limits,
};

use crate::{convert::label::labels, v1};

impl TryFrom<v1::HostSpec> for types::HostSpec {
    type Error = Refused;

    fn try_from(message: v1::HostSpec) -> Result<Self, Refused> {
        let mut spec = Self {
            name: message.name,
            region: message.region,
            zone: message.zone,
            labels: labels(message.labels),
            cpu_shared_milli: message.cpu_shared_milli,
            cpu_overcommit_percent: message.cpu_overcommit_percent,
            cpu_performance_milli: message.cpu_performance_milli,
            memory_bytes: message.memory_bytes,
            volume_bytes: message.volume_bytes,
            cache_bytes: message.cache_bytes,
            devices: message.devices.into_iter().map(Into::into).collect(),
        };
        spec.normalize();
        spec.validate()?;
        Ok(spec)
    }
}

impl From<types::HostSpec> for v1::HostSpec {
    fn from(spec: types::HostSpec) -> Self {
        Self {
            name: spec.name,
            region: spec.region,
            zone: spec.zone,
            labels: labels(spec.labels),
            cpu_shared_milli: spec.cpu_shared_milli,
            cpu_overcommit_percent: spec.cpu_overcommit_percent,
            cpu_performance_milli: spec.cpu_performance_milli,
            memory_bytes: spec.memory_bytes,
            volume_bytes: spec.volume_bytes,
            cache_bytes: spec.cache_bytes,
            devices: spec.devices.into_iter().map(Into::into).collect(),
        }
    }
}

/// A change of what an operator may change on a registered host, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUpdate {
    pub name: String,
    pub set_labels: Vec<types::Label>,
    pub remove_labels: Vec<String>,
    pub cpu_overcommit_percent: Option<u32>,
}

impl TryFrom<v1::UpdateHostRequest> for HostUpdate {
    type Error = Refused;

    fn try_from(message: v1::UpdateHostRequest) -> Result<Self, Refused> {
        name("name", &message.name)?;
        for (field, have) in [("set_labels", message.set_labels.len()), ("remove_labels", message.remove_labels.len())]
        {
            if have > limits::LABELS {
                return Err(Refused::over(field, have as u64, limits::LABELS as u64));
            }
        }
        for label in &message.set_labels {
            name("set_labels.key", &label.key)?;
            optional_name("set_labels.value", &label.value)?;
        }
        message.remove_labels.iter().try_for_each(|key| name("remove_labels", key))?;
        Ok(Self {
            name: message.name,
            set_labels: labels(message.set_labels),
            remove_labels: message.remove_labels,
            cpu_overcommit_percent: message.cpu_overcommit_percent,
        })
    }
}

impl v1::SetSchedulingRequest {
    /// What the host is to be set to; refuses a value that is not known, or none.
    pub fn check(&self) -> Result<v1::Scheduling, Refused> {
        name("name", &self.name)?;
        match v1::Scheduling::try_from(self.scheduling) {
            Ok(v1::Scheduling::Unspecified) => {
                Err(Refused::invalid("scheduling", "is missing: use open, cordoned or draining"))
            }
            Ok(scheduling) => Ok(scheduling),
            Err(_) => Err(Refused::invalid(
                "scheduling",
                format!("is {}: not a known value, use open (1), cordoned (2) or draining (3)", self.scheduling),
            )),
        }
    }
}

impl v1::RemoveHostRequest {
    pub fn check(&self) -> Result<(), Refused> {
        name("name", &self.name)
    }
}

impl v1::GetHostRequest {
    pub fn check(&self) -> Result<(), Refused> {
        name("name", &self.name)
    }
}

impl v1::RefuseReservation {
    pub fn check(&self) -> Result<(), Refused> {
        optional_name("refuse.reason", &self.reason)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;
    use crate::convert::arbitrary;

    proptest! {
        #[test]
        fn round_trips(spec in arbitrary::host_spec()) {
            prop_assert_eq!(types::HostSpec::try_from(v1::HostSpec::from(spec.clone())), Ok(spec));
        }
    }

    fn good() -> v1::HostSpec {
        v1::HostSpec { name: "h1".into(), region: "ams".into(), zone: "a".into(), ..v1::HostSpec::default() }
    }

    #[test]
    fn bad_input_names_the_field() {
        type Spoil = fn(&mut v1::HostSpec);
        let cases: &[(&str, Spoil)] = &[
            ("host.name", |h| h.name.clear()),
            ("host.region", |h| h.region.clear()),
            ("host.zone", |h| h.zone = "\u{7}".into()),
            ("host.cpu_shared_milli", |h| h.cpu_shared_milli = u64::MAX),
            ("host.cpu_overcommit_percent", |h| h.cpu_overcommit_percent = 10_001),
            ("host.memory_bytes", |h| h.memory_bytes = u64::MAX),
            ("host.devices", |h| h.devices = vec![v1::Device { kind: "H100".into(), ..v1::Device::default() }; 2]),
            ("host.devices.kind", |h| h.devices = vec![v1::Device::default()]),
            ("host.devices.parent", |h| {
                let device =
                    |index, parent| v1::Device { index, kind: index.to_string(), parent, ..v1::Device::default() };
                h.devices = vec![device(0, None), device(1, Some(0))];
            }),
            ("host.labels", |h| {
                let label = |value: &str| v1::Label { key: "disk".into(), value: value.into() };
                h.labels = vec![label("ssd"), v1::Label { key: "a".into(), value: String::new() }, label("hdd")];
            }),
        ];
        for (expected, spoil) in cases {
            let mut message = good();
            spoil(&mut message);
            let refused = types::HostSpec::try_from(message).expect_err("a bad host was accepted");
            assert!(
                matches!(&refused, Refused::Invalid { field, .. } if field == expected),
                "{refused:?} instead of an error about {expected}"
            );
        }
    }

    #[test]
    fn scheduling_must_be_a_known_value() {
        let request = |scheduling| v1::SetSchedulingRequest { name: "h1".into(), scheduling };
        assert_eq!(request(2).check(), Ok(v1::Scheduling::Cordoned));
        for unknown in [0, 4, -1] {
            assert!(matches!(request(unknown).check(), Err(Refused::Invalid { field: "scheduling", .. })));
        }
    }
}
