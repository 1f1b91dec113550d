//! Forks: what a new volume takes over from the one whose content it begins with.

use gantry_types::{Inherited, Refused, VolumeRequest};

use crate::Fleet;

impl Fleet {
    /// What a fork takes from its source and from the machine there; nothing for a volume that is no fork. Its region is
    /// the source's unless it names regions.
    pub fn inherited(&self, request: &VolumeRequest) -> Result<Option<Inherited>, Refused> {
        let id = request.fork_of;
        if id == 0 {
            return Ok(None);
        }
        let refused = |why: String| Err(Refused::invalid("fork_of", why));
        let Some(source) = self.volumes.get(&id) else {
            return refused(format!("is volume {id}, which does not exist (see `gantry volume ls`)"));
        };
        if source.app != request.app {
            return refused(format!("is volume {id} of app {:?}: a fork is of the same app", source.app));
        }
        if request.size_bytes != 0 && request.size_bytes < source.size_bytes {
            let (have, want) = (request.size_bytes, source.size_bytes);
            return Err(Refused::invalid("size_bytes", format!("is {have}: volume {id} has {want}, and all is kept")));
        }
        let machine = self.reservations.get(&source.used_by);
        if request.hold_ms != 0 && request.compute.is_none() && machine.is_none() {
            let why = format!("is given without compute, and no machine uses volume {id}: say what to hold");
            return Err(Refused::invalid("hold_ms", why));
        }
        let region = self.host_ref(source.host).spec.region.clone();
        Ok(Some(Inherited {
            size_bytes: source.size_bytes,
            compute: machine.map(|row| row.shape.clone()).filter(|_| request.compute.is_none()),
            compute_image: machine.map(|row| row.image.clone()).unwrap_or_default(),
            region: if request.constraints.regions.is_empty() { region } else { String::new() },
        }))
    }
}
