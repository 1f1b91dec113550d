//! Lists of which only so much is kept, however long somebody made them.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

/// The first `LIMIT` items, and how many there were.
#[derive(Debug)]
pub(super) struct Listed<T, const LIMIT: usize> {
    items: Vec<T>,
    count: usize,
}

impl<T, const LIMIT: usize> Listed<T, LIMIT> {
    /// All of them; their number where that is too large.
    pub(super) fn all(self) -> Result<Vec<T>, usize> {
        if self.count > LIMIT { Err(self.count) } else { Ok(self.items) }
    }
}

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for Listed<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

struct Items<T, const LIMIT: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for Items<T, LIMIT> {
    type Value = Listed<T, LIMIT>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < LIMIT {
            let Some(item) = list.next_element()? else { return Ok(Listed { count: items.len(), items }) };
            items.push(item);
        }
        let mut count = items.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Listed { items, count })
    }
}
