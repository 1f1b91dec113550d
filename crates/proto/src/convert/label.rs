//! Labels of hosts.

use gantry_types as types;

use crate::v1;

impl From<v1::Label> for types::Label {
    fn from(label: v1::Label) -> Self {
        Self { key: label.key, value: label.value }
    }
}

impl From<types::Label> for v1::Label {
    fn from(label: types::Label) -> Self {
        Self { key: label.key, value: label.value }
    }
}

/// Both label types have the same layout, so collecting reuses the vector's memory.
pub(crate) fn labels<A: Into<B>, B>(labels: Vec<A>) -> Vec<B> {
    labels.into_iter().map(Into::into).collect()
}
