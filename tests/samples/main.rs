//! A sample fits its schema, formats included, and decodes into its type, whatever the type is.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails where it unwraps

mod names;
mod types;

use ductape_events::Topic;
use serde_json::{Value, json};

use types::*;

/// Holds the sample of `T` to both promises, and returns it.
fn sample<T: Topic>() -> Value {
    let (schema, sample) = (T::schema(), T::sample());
    let validator = jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&schema);
    let validator =
        validator.unwrap_or_else(|error| panic!("{}: not a schema: {error}\n{schema:#}", T::EVENT));
    let errors: Vec<String> = validator
        .iter_errors(&sample)
        .map(|error| error.to_string())
        .collect();
    assert!(
        errors.is_empty(),
        "{}: {errors:?}\n{sample:#}\n{schema:#}",
        T::EVENT
    );
    let event: T = match serde_json::from_value(sample.clone()) {
        Ok(event) => event,
        Err(error) => panic!("{}: does not decode: {error}\n{sample:#}\n{schema:#}", T::EVENT),
    };
    // What it is encoded as again fits as well.
    let again = serde_json::to_value(&event).unwrap();
    assert!(validator.is_valid(&again), "{}: {again:#}\n{schema:#}", T::EVENT);
    sample
}

macro_rules! fits_and_decodes {
    ($($test:ident: $ty:ty;)*) => {
        $(
            #[test]
            fn $test() {
                sample::<$ty>();
            }
        )*
    };
}

fits_and_decodes! {
    plain_fields: Plain;
    a_unit_struct: Unit;
    a_newtype: Newtype;
    nested_structs: Nested;
    options: Options;
    collections: Collections;
    maps_with_keys_that_are_not_text: Maps;
    tuples_and_arrays: Tuples;
    renamed_fields: Renamed;
    flattened_fields: Flattened;
    unknown_fields_denied: Denied;
    defaults: Defaults;
    an_enum_tagged_outside: External;
    an_enum_tagged_inside: Internal;
    an_enum_tagged_beside: Adjacent;
    an_enum_without_tag: Untagged;
    an_enum_of_one_variant: Single;
    an_enum_of_units: Units;
    an_enum_within: EnumWithin;
    texts_of_formats: Formats;
    numbers_within_bounds: Bounds;
    texts_within_lengths: Lengths;
    texts_of_patterns: Patterns;
    a_type_that_contains_itself: Tree;
    two_types_that_contain_each_other: Ping;
    a_recursive_enum: Expression;
    any_value: Anything;
    extremes_of_integers: Extremes;
    times_and_durations: Times;
    a_generic_instance: Generic<Plain>;
    a_type_with_its_own_decoding: Strict;
    a_type_from_another: Converted;
}

#[test]
fn samples_stand_where_they_are_given() {
    let given = sample::<Given>();
    assert_eq!(given["orderId"], "12345");
    assert_eq!(given["SUM"], 99.5);
    assert_eq!(given["lines"], json!([{ "sku": "a", "count": 2 }]));
    assert_eq!(given["note"], Value::Null);
    assert_eq!(given["inner"], "flat");
}

#[test]
fn samples_choose_the_variant() {
    assert_eq!(
        sample::<GivenExternal>(),
        json!({ "shipped": { "order_id": "7" } })
    );
    assert_eq!(
        sample::<GivenInternal>(),
        json!({ "kind": "shipped", "orderId": "7" })
    );
    assert_eq!(
        sample::<GivenAdjacent>(),
        json!({ "t": "Shipped", "c": { "order_id": "7" } })
    );
    assert_eq!(sample::<GivenUntagged>(), json!({ "order_id": "7" }));
    assert_eq!(sample::<GivenUnit>(), json!("Second"));
    assert_eq!(sample::<GivenTuple>(), json!({ "Pair": [1, "two"] }));
}

#[test]
fn a_sample_that_does_not_fit_is_left_out() {
    let sample = sample::<Misgiven>();
    assert_eq!(sample["good"], 7);
    assert!(sample["bad"].is_u64(), "{sample}");
    assert!(
        sample["short"].as_str().is_some_and(|text| text.len() <= 3),
        "{sample}"
    );
}

#[test]
fn a_sample_is_always_the_same() {
    assert_eq!(sample::<Collections>(), sample::<Collections>());
}
