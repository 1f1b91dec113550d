//! What clients asked for and what they were told: the cluster is judged by it.

use std::collections::BTreeMap;

use gantry_proto::v1;

/// Everything that was ever asked.
#[derive(Debug, Default)]
pub struct History {
    requests: BTreeMap<String, Asked>,
    grants: BTreeMap<u64, Granted>,
    /// Answers that contradict each other.
    contradictions: Vec<String>,
    pub answers: u64,
    calls: u64,
}

/// A placement that was asked for.
#[derive(Debug)]
struct Asked {
    message: v1::PlaceRequest,
    /// Calls under way, or ended without a word.
    open: u64,
    unknown: bool,
    answer: Option<Answer>,
}

/// What must be the same in each answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    grants: Vec<Grant>,
    missing: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    id: u64,
    fence: u64,
    host: u32,
    devices: Vec<(u32, u32)>,
}

/// A reservation that a client was told of.
#[derive(Clone, Debug)]
pub struct Granted {
    pub id: u64,
    pub fence: u64,
    pub host: u32,
    pub cpu_milli: u64,
    pub memory_bytes: u64,
    /// Index and thousandths of each GPU.
    pub devices: Vec<(u32, u32)>,
    pub request_id: String,
    /// It stands in every state from here on.
    pub rev: u64,
    pub released: Released,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    No,
    /// Nobody knows whether it is.
    Asked,
    /// It stands in no state from there on.
    Done {
        rev: u64,
    },
}

impl History {
    /// A client is about to ask.
    pub fn ask(&mut self, message: &v1::PlaceRequest) {
        let new = || Asked { message: message.clone(), open: 0, unknown: false, answer: None };
        self.requests.entry(message.request_id.clone()).or_insert_with(new).open += 1;
    }

    /// It was told that nothing happened.
    pub fn refused(&mut self, request_id: &str) {
        if let Some(asked) = self.requests.get_mut(request_id) {
            asked.open -= 1;
        }
    }

    /// It was told nothing, or that nobody knows.
    pub fn unknown(&mut self, request_id: &str) {
        if let Some(asked) = self.requests.get_mut(request_id) {
            asked.open -= 1;
            asked.unknown = true;
        }
    }

    pub fn placed(&mut self, request_id: &str, response: &v1::PlaceResponse) {
        self.answers += 1;
        let Some(asked) = self.requests.get_mut(request_id) else { return };
        asked.open -= 1;
        let grant =
            |row: &v1::Reservation| Grant { id: row.id, fence: row.fence, host: row.host_id, devices: devices(row) };
        let grants = response.reservations.iter().map(grant).collect();
        let answer = Answer { grants, missing: response.missing };
        match &asked.answer {
            Some(earlier) if *earlier != answer => {
                let why = format!("request {request_id} was answered {earlier:?}, and then {answer:?}");
                return self.contradictions.push(why);
            }
            Some(_) => return,
            None => asked.answer = Some(answer),
        }
        for row in &response.reservations {
            let shape = row.shape.clone().unwrap_or_default();
            let granted = Granted {
                id: row.id,
                fence: row.fence,
                host: row.host_id,
                cpu_milli: shape.cpu_milli,
                memory_bytes: shape.memory_bytes,
                devices: devices(row),
                request_id: request_id.to_owned(),
                rev: response.rev,
                released: Released::No,
            };
            if let Some(other) = self.grants.insert(row.id, granted) {
                let why = format!("reservation {} was given to {} and to {request_id}", row.id, other.request_id);
                self.contradictions.push(why);
            }
        }
    }

    pub fn release_asked(&mut self, id: u64) {
        if let Some(granted) = self.grants.get_mut(&id)
            && granted.released == Released::No
        {
            granted.released = Released::Asked;
        }
    }

    pub fn release_done(&mut self, id: u64, rev: u64) {
        self.answers += 1;
        if let Some(granted) = self.grants.get_mut(&id)
            && !matches!(granted.released, Released::Done { .. })
        {
            granted.released = Released::Done { rev };
        }
    }

    /// The message of some request that was sent before, told by `number`.
    pub fn some_request(&self, number: u64) -> Option<v1::PlaceRequest> {
        let at = usize::try_from(number % (self.requests.len() as u64).max(1)).ok()?;
        self.requests.values().nth(at).map(|asked| asked.message.clone())
    }

    /// Requests of which nobody knows whether they were granted.
    pub fn unresolved(&self) -> Vec<v1::PlaceRequest> {
        let unresolved = self.requests.values().filter(|asked| asked.unknown && asked.answer.is_none());
        unresolved.map(|asked| asked.message.clone()).collect()
    }

    pub fn grants(&self) -> impl Iterator<Item = &Granted> {
        self.grants.values()
    }

    pub fn granted(&self, id: u64) -> Option<&Granted> {
        self.grants.get(&id)
    }

    /// Whether a reservation made for this request can stand anywhere.
    pub fn may_stand(&self, request_id: &str) -> bool {
        // What follows a slash was added on the way, by a bug.
        let asked = request_id.split('/').next().and_then(|id| self.requests.get(id));
        asked.is_some_and(|asked| asked.open > 0 || asked.unknown || asked.answer.is_some())
    }

    /// Tells one call from every other.
    pub fn number_a_call(&mut self) -> u64 {
        self.calls += 1;
        self.calls
    }

    pub fn contradictions(&self) -> &[String] {
        &self.contradictions
    }

    pub fn asked(&self) -> usize {
        self.requests.len()
    }
}

fn devices(row: &v1::Reservation) -> Vec<(u32, u32)> {
    row.devices.iter().map(|share| (share.index, share.milli)).collect()
}
