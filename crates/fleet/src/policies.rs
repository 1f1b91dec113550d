//! How the machines of each app are ranked.

use std::{ops::Bound, sync::Arc};

use gantry_types::{AppPolicy, Policy, Refused};

use crate::{Change, Fleet, bounds::room};

impl Fleet {
    /// Lets an app go by a policy in place of the one before; the default takes what was set away.
    pub fn set_policy(&mut self, app_policy: AppPolicy) -> Result<(), Refused> {
        app_policy.validate()?;
        let before = self.policies.get(&app_policy.app).map_or(Policy::DEFAULT, |known| known.policy);
        if app_policy.policy == before {
            return Ok(());
        }
        let app = app_policy.app.clone();
        if app_policy.policy == Policy::DEFAULT {
            self.policies.remove(&app);
        } else {
            if !self.policies.contains_key(&app) {
                room("policies", self.policies.len(), 1, self.bounds.policies)?;
            }
            self.policies.insert(app.clone(), Arc::new(app_policy));
        }
        self.rules_changed(Change::Policy(app));
        Ok(())
    }

    /// What an app's machines are ranked by.
    pub fn policy(&self, app: &str) -> &Policy {
        const DEFAULT: &Policy = &Policy::DEFAULT;
        self.policies.get(app).map_or(DEFAULT, |known| &known.policy)
    }

    /// Policies other than the default, by app, after the given one.
    pub fn policies_after(&self, app: &str) -> impl Iterator<Item = &AppPolicy> {
        self.policies.range::<str, _>((Bound::Excluded(app), Bound::Unbounded)).map(|(_, policy)| &**policy)
    }

    pub(crate) fn load_policy(&mut self, policy: Arc<AppPolicy>) {
        self.policies.insert(policy.app.clone(), policy);
    }

    /// Whether policies are well formed and none is the default.
    pub(crate) fn check_policies(&self) -> Result<(), String> {
        self.policies.iter().try_for_each(|(app, policy)| {
            policy.validate().map_err(|refused| format!("{app}: {refused}"))?;
            let kept = *app == policy.app && policy.policy != Policy::DEFAULT;
            if kept { Ok(()) } else { Err(format!("{app} leads to {policy:?}")) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_ranked_by_the_policy_before_begins_anew() {
        let mut fleet = Fleet::default();
        let set = |fleet: &mut Fleet, spread_milli| {
            let (before, policy) = (fleet.journal().end(), Policy { spread_milli, ..Policy::DEFAULT });
            fleet.set_policy(AppPolicy { app: "app".to_owned(), policy }).unwrap();
            fleet.journal().since(before).is_none()
        };
        let anew =
            [set(&mut fleet, Some(0)), set(&mut fleet, Some(0)), set(&mut fleet, Some(1)), set(&mut fleet, None)];
        assert_eq!(anew, [true, false, true, true]);
        assert!(!set(&mut fleet, None) && fleet.policies_after("").next().is_none());
    }
}
