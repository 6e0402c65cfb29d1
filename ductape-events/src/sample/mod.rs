//! An example of an event.
//!
//! It is made from the type's schema, with the values of `#[sample(…)]` in their places, and held against both promises:
//! it fits the schema, and it decodes into the type. A `#[sample(…)]` that breaks one of them is left out, with a
//! warning in the log.

mod make;
mod pattern;
mod text;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::envelope;
use crate::schema::schema_of;
use make::{Maker, Strategy};

/// The value that `#[sample(…)]` gives to one field.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Where it belongs.
    pub at: SampleAt,
    /// Makes it.
    pub value: fn() -> Value,
}

/// Where a sample belongs within the event, or within its variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampleAt {
    /// It is the whole, as in a struct of one nameless field.
    Whole,
    /// Its fields are those of the event, as with `#[serde(flatten)]`.
    Merge,
    /// Under this name on the wire.
    Field(&'static str),
    /// At this place of an array.
    Index(usize),
}

/// The variant of an enum that the sample is of.
#[derive(Clone, Copy, Debug)]
pub struct SampleVariant {
    /// Its name on the wire.
    pub name: &'static str,
    /// How serde tells it from others.
    pub tagging: Tagging,
}

/// How serde tells the variants of an enum apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tagging {
    /// By an object around it that has the variant's name as its only key.
    External,
    /// By the field of this name.
    Internal(&'static str),
    /// By the field of the first name, beside the content under the second.
    Adjacent(&'static str, &'static str),
    /// By its content alone; this is its place among the variants.
    Untagged(usize),
}

/// What the expression in `#[sample(…)]` serialises to; null when it does not.
pub fn sample_value<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The sample of a type without `#[sample(…)]`.
pub fn sample_of_schema<T: JsonSchema + DeserializeOwned>() -> Value {
    sample_of::<T>(None, &[])
}

/// The sample of `T`, of the given variant where it is an enum, with `samples` in their places.
pub fn sample_of<T: JsonSchema + DeserializeOwned>(
    variant: Option<SampleVariant>,
    samples: &[Sample],
) -> Value {
    let decodes =
        |value: &Value| serde_json::to_vec(value).is_ok_and(|json| envelope::open::<T>(&json).is_ok());
    build(&schema_of::<T>(), variant, samples, &decodes)
}

/// All of [`sample_of`] that does not depend on the type.
fn build(
    schema: &Value,
    variant: Option<SampleVariant>,
    samples: &[Sample],
    decodes: &dyn Fn(&Value) -> bool,
) -> Value {
    let validator = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(schema);
    let fits = |value: &Value| {
        validator
            .as_ref()
            .is_ok_and(|validator| validator.is_valid(value))
            && decodes(value)
    };
    let with_all = |mut value: Value| {
        for sample in samples {
            place(&mut value, variant, sample);
        }
        value
    };
    let mut plain = None;
    for strategy in Strategy::all() {
        let Some(made) = Maker::new(schema, strategy).whole(variant) else {
            continue;
        };
        let complete = with_all(made.clone());
        // The samples may be what makes it fit.
        if fits(&complete) {
            return complete;
        }
        if plain.is_none() && fits(&made) {
            plain = Some(made);
        }
    }
    let Some(mut value) = plain else {
        let first = Maker::new(schema, Strategy::default())
            .whole(variant)
            .unwrap_or_default();
        tracing::warn!(title = %schema["title"], "no sample that fits its schema and decodes could be made");
        return with_all(first);
    };
    for sample in samples {
        let before = value.clone();
        place(&mut value, variant, sample);
        if !fits(&value) {
            tracing::warn!(title = %schema["title"], at = ?sample.at, "a #[sample] does not fit its field; it is left out");
            value = before;
        }
    }
    value
}

/// Puts `sample` where it belongs in `value`.
fn place(value: &mut Value, variant: Option<SampleVariant>, sample: &Sample) {
    let within = match variant.map(|variant| (variant.tagging, variant.name)) {
        Some((Tagging::External, name)) => value.get_mut(name),
        Some((Tagging::Adjacent(_, content), _)) => value.get_mut(content),
        _ => Some(value),
    };
    let Some(within) = within else { return };
    let new = (sample.value)();
    match (sample.at, within, new) {
        (SampleAt::Field(name), Value::Object(fields), new) => {
            fields.insert(name.to_owned(), new);
        }
        // The content of an internally tagged newtype variant stands beside the tag.
        (SampleAt::Merge | SampleAt::Whole, Value::Object(fields), Value::Object(new)) => fields.extend(new),
        (SampleAt::Index(index), Value::Array(elements), new) => {
            if let Some(element) = elements.get_mut(index) {
                *element = new;
            }
        }
        (SampleAt::Whole, within, new) => *within = new,
        _ => {}
    }
}
