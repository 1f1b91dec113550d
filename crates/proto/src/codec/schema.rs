//! Which fields each message has, from the compiled protos.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorSet};

use crate::FILE_DESCRIPTOR_SET;

/// Messages inside messages; the protos themselves are far less deep.
const DEPTH: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Schema {
    messages: Vec<Fields>,
    /// Positions of the messages that callers send, by full name.
    requests: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Fields {
    name: String,
    /// Sorted by number; with the position of the field's message, where it has one.
    fields: Vec<(u32, Option<usize>)>,
}

/// A field that no proto has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// The message that it is in.
    pub inside: String,
    pub number: u32,
}

impl Schema {
    pub(super) fn get() -> &'static Self {
        static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
            let protos = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET);
            Schema::of(&protos.expect("the descriptor set is what this crate's build wrote"))
        });
        &SCHEMA
    }

    fn of(protos: &FileDescriptorSet) -> Self {
        let mut found = Vec::new();
        let mut sent = BTreeSet::new();
        for file in &protos.file {
            file.message_type.iter().for_each(|message| collect(file.package(), message, &mut found));
            let methods = file.service.iter().flat_map(|service| &service.method);
            sent.extend(methods.map(|method| method.input_type().trim_start_matches('.').to_owned()));
        }
        let positions: BTreeMap<&str, usize> =
            found.iter().enumerate().map(|(at, (name, _))| (name.as_str(), at)).collect();
        let messages = found.iter().map(|(_, message)| {
            let fields = message.field.iter().map(|field| {
                let inner = positions.get(field.type_name().trim_start_matches('.')).copied();
                (field.number() as u32, inner)
            });
            let mut fields: Vec<_> = fields.collect();
            fields.sort_unstable();
            Fields { name: message.name().to_owned(), fields }
        });
        let messages = messages.collect();
        let requests = sent.into_iter().filter_map(|name| positions.get(name.as_str()).map(|&at| (name, at))).collect();
        Self { messages, requests }
    }

    /// The position of a message that callers send.
    pub(super) fn request(&self, full_name: &str) -> Option<usize> {
        self.requests.get(full_name).copied()
    }

    /// Walks an encoded message. What is not well-formed passes: decoding will say so better.
    pub(super) fn check(&self, message: usize, bytes: &[u8]) -> Result<(), Unknown> {
        self.walk(message, bytes, DEPTH)
    }

    fn walk(&self, message: usize, mut bytes: &[u8], depth: usize) -> Result<(), Unknown> {
        let message = &self.messages[message];
        while let Some(key) = varint(&mut bytes) {
            let number = (key >> 3) as u32;
            let Ok(at) = message.fields.binary_search_by_key(&number, |field| field.0) else {
                return Err(Unknown { inside: message.name.clone(), number });
            };
            let Some(value) = value(key & 7, &mut bytes) else { return Ok(()) };
            if let (Some(inner), 2, true) = (message.fields[at].1, key & 7, depth > 0) {
                self.walk(inner, value, depth - 1)?;
            }
        }
        Ok(())
    }
}

fn collect<'a>(inside: &str, message: &'a DescriptorProto, found: &mut Vec<(String, &'a DescriptorProto)>) {
    let name = format!("{inside}.{}", message.name());
    message.nested_type.iter().for_each(|nested| collect(&name, nested, found));
    found.push((name, message));
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// The bytes of a value of the given wire type; of those with a length, without it.
fn value<'a>(wire_type: u64, bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = match wire_type {
        0 => {
            varint(bytes)?;
            0
        }
        1 => 8,
        2 => usize::try_from(varint(bytes)?).ok()?,
        5 => 4,
        _ => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(value)
}
