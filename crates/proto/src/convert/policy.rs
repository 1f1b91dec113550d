//! How machines of an app are ranked.

use gantry_types::{self as types, Refused, error::name};

use crate::v1;

impl TryFrom<v1::SetPolicyRequest> for types::AppPolicy {
    type Error = Refused;

    fn try_from(message: v1::SetPolicyRequest) -> Result<Self, Refused> {
        let policy = message.policy.unwrap_or_default();
        let v1::Policy { preset, ready_milli, stranded_milli, share_milli, spread_milli } = policy;
        let preset = match v1::Preset::try_from(preset) {
            Ok(v1::Preset::Unspecified | v1::Preset::Default) => types::Preset::Default,
            Ok(v1::Preset::Pack) => types::Preset::Pack,
            Ok(v1::Preset::Spread) => types::Preset::Spread,
            Err(_) => {
                let why = format!("is {preset}: not a known value, use default (1), pack (2) or spread (3)");
                return Err(Refused::invalid("policy.preset", why));
            }
        };
        let policy = types::Policy { preset: preset as i32, ready_milli, stranded_milli, share_milli, spread_milli };
        let policy = Self { app: message.app, policy };
        policy.validate()?;
        Ok(policy)
    }
}

impl From<&types::Policy> for v1::Policy {
    fn from(policy: &types::Policy) -> Self {
        let preset = match policy.preset() {
            types::Preset::Default => v1::Preset::Default,
            types::Preset::Pack => v1::Preset::Pack,
            types::Preset::Spread => v1::Preset::Spread,
        };
        let types::Policy { preset: _, ready_milli, stranded_milli, share_milli, spread_milli } = *policy;
        Self { preset: preset as i32, ready_milli, stranded_milli, share_milli, spread_milli }
    }
}

impl From<&types::AppPolicy> for v1::AppPolicy {
    fn from(policy: &types::AppPolicy) -> Self {
        Self { app: policy.app.clone(), policy: Some((&policy.policy).into()) }
    }
}

impl v1::GetPolicyRequest {
    pub fn check(&self) -> Result<(), Refused> {
        name("app", &self.app)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_make_the_round_trip() {
        for preset in [types::Preset::Default, types::Preset::Pack, types::Preset::Spread] {
            let policy = types::Policy {
                preset: preset as i32,
                ready_milli: Some(0),
                stranded_milli: None,
                share_milli: Some(7),
                spread_milli: Some(100_000),
            };
            let message = v1::SetPolicyRequest { app: "app".into(), policy: Some((&policy).into()) };
            assert_eq!(types::AppPolicy::try_from(message), Ok(types::AppPolicy { app: "app".into(), policy }));
        }
        let none = v1::SetPolicyRequest { app: "app".into(), policy: None };
        assert_eq!(types::AppPolicy::try_from(none).map(|policy| policy.policy), Ok(types::Policy::DEFAULT));
    }

    #[test]
    fn a_preset_must_be_known() {
        let policy = Some(v1::Policy { preset: 4, ..v1::Policy::default() });
        let refused = types::AppPolicy::try_from(v1::SetPolicyRequest { app: "app".into(), policy });
        assert!(matches!(refused, Err(Refused::Invalid { field: "policy.preset", .. })), "{refused:?}");
    }
}
