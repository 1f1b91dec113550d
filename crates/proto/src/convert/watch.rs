//! Watching.

use gantry_types::{Refused, error::optional_name};

use crate::v1;

impl v1::WatchRequest {
    pub fn check(&self) -> Result<(), Refused> {
        optional_name("app", &self.app)?;
        optional_name("host", &self.host)
    }
}
