//! From TOML values with their places to the types of whoever reads.
//!
//! The `toml` crate has a reader of its own, whose errors are finished sentences. This one keeps what serde says about
//! a misfit (which key, which ones are allowed, which type was given), so that the sentence can be a helpful one.

use super::problem::{Problem, Step};
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Expected, IntoDeserializer as _, Visitor};
use std::fmt;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// A value to be read.
#[derive(Clone, Copy)]
pub(super) struct Value<'a>(&'a Spanned<DeValue<'a>>);

impl<'a> Value<'a> {
    pub(super) const fn new(value: &'a Spanned<DeValue<'a>>) -> Self {
        Self(value)
    }
}

impl<'a> de::Deserializer<'a> for Value<'a> {
    type Error = Problem;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        match self.0.get_ref() {
            DeValue::String(text) => visitor.visit_str(text),
            DeValue::Boolean(is) => visitor.visit_bool(*is),
            DeValue::Datetime(date) => visitor.visit_string(date.to_string()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => match u64::try_from(number) {
                    Ok(number) => visitor.visit_u64(number),
                    Err(_) => visitor.visit_i64(number),
                },
                Err(_) => Err(de::Error::custom(format!("the integer {number} is too large"))),
            },
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => visitor.visit_f64(number),
                Err(_) => Err(de::Error::custom(format!("the number {number} cannot be read"))),
            },
            DeValue::Array(items) => {
                let mut items = Items { items, next: 0 };
                let value = visitor.visit_seq(&mut items)?;
                let (read, length) = (items.next, items.items.len());
                if read >= length { Ok(value) } else { Err(de::Error::invalid_length(length, &Pair)) }
            }
            DeValue::Table(table) => visitor.visit_map(Entries::of(table)),
        }
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Problem> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Problem> {
        match self.0.get_ref().as_str() {
            Some(word) => {
                let word: StrDeserializer<'_, Problem> = word.into_deserializer();
                de::Deserializer::deserialize_enum(word, name, variants, visitor)
            }
            None => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// The one sort of list that may be too long.
struct Pair;

impl Expected for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of length 2")
    }
}

struct Items<'a> {
    items: &'a DeArray<'a>,
    next: usize,
}

impl<'a> de::SeqAccess<'a> for Items<'a> {
    type Error = Problem;

    fn next_element_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<Option<T::Value>, Problem> {
        let index = self.next;
        self.next = self.next.saturating_add(1);
        let Some(item) = self.items.get(index) else {
            return Ok(None);
        };
        seed.deserialize(Value(item)).map(Some).map_err(|problem| problem.within(Step::Item(index), item.span()))
    }
}

type Entry<'a> = (&'a Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>);

struct Entries<'a> {
    /// In the order of the file, so that its first mistake is the one that is told.
    rest: std::vec::IntoIter<Entry<'a>>,
    value: Option<Entry<'a>>,
}

impl<'a> Entries<'a> {
    fn of(table: &'a DeTable<'a>) -> Self {
        let mut entries: Vec<Entry<'a>> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        Self { rest: entries.into_iter(), value: None }
    }
}

impl<'a> de::MapAccess<'a> for Entries<'a> {
    type Error = Problem;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Problem> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some((key, value));
        let word: StrDeserializer<'_, Problem> = key.get_ref().as_ref().into_deserializer();
        seed.deserialize(word).map(Some).map_err(|mut problem| {
            problem.span.get_or_insert(key.span());
            problem
        })
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, Problem> {
        let Some((key, value)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let span = if value.get_ref().is_table() { key.span() } else { value.span() };
        let step = Step::Key(key.get_ref().to_string());
        seed.deserialize(Value(value)).map_err(|problem| problem.within(step, span))
    }
}
