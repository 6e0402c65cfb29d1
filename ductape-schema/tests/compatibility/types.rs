//! Changes of Rust types, through the schemas that `schemars` makes of them.

use std::collections::{BTreeMap, HashMap};

use ductape_schema::compatibility::{Break, Mode, check};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

fn told(breaks: &[Break]) -> String {
    let lines: Vec<String> = breaks.iter().map(Break::to_string).collect();
    lines.join("\n")
}

/// Holds a change to what it breaks: `""` where it breaks nothing, else a part of what is told.
fn change<Old: JsonSchema, New: JsonSchema>(backward: &str, forward: &str) {
    let (old, new) = (schema::<Old>(), schema::<New>());
    for (mode, expected) in [(Mode::Backward, backward), (Mode::Forward, forward)] {
        let told = told(&check(&old, &new, mode));
        let holds = if expected.is_empty() {
            told.is_empty()
        } else {
            told.contains(expected)
        };
        assert!(
            holds,
            "{mode}: expected `{expected}`, got `{told}`\n{old:#}\n{new:#}"
        );
    }
}

macro_rules! changes {
    ($($test:ident: { $($old:item)+ } => { $($new:item)+ } $backward:literal, $forward:literal;)*) => {
        $(
            #[test]
            fn $test() {
                mod old {
                    use super::*;
                    $(#[derive(JsonSchema)] $old)+
                }
                mod new {
                    use super::*;
                    $(#[derive(JsonSchema)] $new)+
                }
                change::<old::T, new::T>($backward, $forward);
            }
        )*
    };
}

changes! {
    nothing_changed: { pub struct T { a: String } } => { pub struct T { a: String } } "", "";
    an_optional_field_is_added:
        { pub struct T { a: String } } => { pub struct T { a: String, b: Option<u32> } } "", "";
    an_optional_field_is_removed:
        { pub struct T { a: String, b: Option<u32> } } => { pub struct T { a: String } } "", "";
    a_field_with_a_default_is_added:
        { pub struct T { a: String } } => { pub struct T { a: String, #[serde(default)] b: u32 } } "", "";
    a_required_field_is_added:
        { pub struct T { a: String } } => { pub struct T { a: String, b: u32 } }
        "`$.b`: new consumers break on old messages: new consumers require it, and old messages don't have it", "";
    a_required_field_is_removed:
        { pub struct T { a: String, b: u32 } } => { pub struct T { a: String } }
        "", "`$.b`: old consumers break on new messages: old consumers require it, and new messages don't have it";
    a_field_is_renamed:
        { pub struct T { a: String } } => { pub struct T { #[serde(rename = "c")] a: String } }
        "`$.c`", "`$.a`";
    a_field_becomes_optional:
        { pub struct T { a: String } } => { pub struct T { a: Option<String> } }
        "", "`$.a`: old consumers break on new messages: old consumers require it, and new messages may lack it";
    a_field_becomes_required:
        { pub struct T { a: Option<String> } } => { pub struct T { a: String } }
        "may lack it", "";
    an_integer_is_widened:
        { pub struct T { a: u8 } } => { pub struct T { a: u32 } } "", "out of the range of old consumers";
    an_integer_without_bounds_is_widened:
        { pub struct T { a: i32 } } => { pub struct T { a: i64 } } "", "`int32` of old consumers does not hold";
    an_unsigned_integer_becomes_signed_and_wider:
        { pub struct T { a: u32 } } => { pub struct T { a: i64 } } "", "out of the range of old consumers";
    an_unsigned_integer_becomes_signed:
        { pub struct T { a: u64 } } => { pub struct T { a: i64 } }
        "`int64` of new consumers does not hold", "out of the range of old consumers";
    an_integer_becomes_a_number:
        { pub struct T { a: i64 } } => { pub struct T { a: f64 } }
        "", "old consumers take an integer here, and new messages may have a number";
    a_float_is_widened: { pub struct T { a: f32 } } => { pub struct T { a: f64 } } "", "";
    a_text_becomes_a_number:
        { pub struct T { a: String } } => { pub struct T { a: u32 } }
        "`$.a`: new consumers break on old messages: new consumers take an integer here, and old messages may have a string",
        "old consumers take a string here, and new messages may have an integer";
    a_character_becomes_a_text:
        { pub struct T { a: char } } => { pub struct T { a: String } }
        "", "old consumers take 1 characters at most";
    an_option_of_an_option:
        { pub struct T { a: Option<Option<u32>> } } => { pub struct T { a: Option<u32> } } "", "";
    one_becomes_many:
        { pub struct T { a: u32 } } => { pub struct T { a: Vec<u32> } } "an array here, and old", "an integer here";
    an_item_is_widened:
        { pub struct T { a: Vec<u8> } } => { pub struct T { a: Vec<u16> } } "", "`$.a[*]`";
    an_array_becomes_a_list:
        { pub struct T { a: [u8; 3] } } => { pub struct T { a: Vec<u8> } } "", "3 items or more";
    a_tuple_grows:
        { pub struct T { a: (u8, u8) } } => { pub struct T { a: (u8, u8, u8) } } "3 items", "2 items at most";
    a_map_is_widened:
        { pub struct T { a: HashMap<String, u8> } } => { pub struct T { a: BTreeMap<String, u16> } } "", "`$.a.*`";
    keys_of_a_map_become_signed:
        { pub struct T { a: HashMap<u32, u8> } } => { pub struct T { a: HashMap<i32, u8> } } "", "`$.a.*`";
    keys_of_a_map_become_text:
        { pub struct T { a: HashMap<u32, u8> } } => { pub struct T { a: HashMap<String, u8> } } "", "`$.a.*`";
    a_struct_becomes_a_map:
        { pub struct T { a: u8, b: u8 } } => { #[schemars(transparent)] pub struct T(HashMap<String, u16>); } "", "`$.a`";
    unknown_fields_are_refused_from_now_on:
        { pub struct T { a: u8 } } => { #[serde(deny_unknown_fields)] pub struct T { a: u8 } } "", "";
    a_field_is_added_where_unknown_ones_are_refused:
        { #[serde(deny_unknown_fields)] pub struct T { a: u8 } }
        => { #[serde(deny_unknown_fields)] pub struct T { a: u8, b: Option<u8> } }
        "", "`$.b`: old consumers break on new messages: new messages may have it, and old consumers refuse fields";
    a_field_is_removed_where_unknown_ones_are_refused:
        { pub struct T { a: u8, b: Option<u8> } } => { #[serde(deny_unknown_fields)] pub struct T { a: u8 } }
        "`$.b`: new consumers break on old messages: old messages may have it, and new consumers refuse fields", "";
    a_unit_variant_is_added:
        { pub enum T { A, B } } => { pub enum T { A, B, C } }
        "", "`$`: old consumers break on new messages: new messages may have `\"C\"` here, which old consumers don't know";
    a_unit_variant_is_removed:
        { pub enum T { A, B, C } } => { pub enum T { A, B } } "`\"C\"`", "";
    a_unit_variant_is_renamed:
        { pub enum T { A, B } } => { #[serde(rename_all = "lowercase")] pub enum T { A, B } } "`\"A\"`", "`\"a\"`";
    a_variant_with_fields_is_added:
        { pub enum T { A { x: u8 }, B } } => { pub enum T { A { x: u8 }, B, C(u8) } }
        "", "an object with `C` here, which none of the 2 alternatives of old consumers is";
    a_variant_gets_an_optional_field:
        { pub enum T { A { x: u8 }, B } } => { pub enum T { A { x: u8, y: Option<u8> }, B } } "", "";
    a_variant_gets_a_required_field:
        { pub enum T { A { x: u8 }, B } } => { pub enum T { A { x: u8, y: u8 }, B } } "`$.A.y`", "";
    a_tagged_enum_gets_a_variant:
        { #[serde(tag = "kind")] pub enum T { A { x: u8 }, B } }
        => { #[serde(tag = "kind")] pub enum T { A { x: u8, y: Option<u8> }, B, C { z: u8 } } }
        "", "an object with `kind` `\"C\"` here";
    a_field_of_a_tagged_variant_changes:
        { #[serde(tag = "kind")] pub enum T { A { x: u8 }, B { x: u8 } } }
        => { #[serde(tag = "kind")] pub enum T { A { x: String }, B { x: u8 } } } "`$.x`", "`$.x`";
    a_tagged_newtype_variant_refers_to_its_struct:
        { pub struct Inner { x: u8 } #[serde(tag = "kind")] pub enum T { A(Inner), B } }
        => { pub struct Inner { x: u16, y: Option<u8> } #[serde(tag = "kind")] pub enum T { A(Inner), B } } "", "`$.x`";
    an_adjacently_tagged_enum_gets_a_variant:
        { #[serde(tag = "t", content = "c")] pub enum T { A(u8), B } }
        => { #[serde(tag = "t", content = "c")] pub enum T { A(u16), B, C } } "", "`$.c`";
    an_untagged_enum_gets_a_variant:
        { #[serde(untagged)] pub enum T { A(u8), B(String) } }
        => { #[serde(untagged)] pub enum T { A(u8), B(String), C(Vec<u8>) } } "", "an array";
    an_untagged_enum_of_structs_gets_a_field:
        { #[serde(untagged)] pub enum T { A { id: u8 }, B { name: String } } }
        => { #[serde(untagged)] pub enum T { A { id: u8, note: Option<String> }, B { name: String } } } "", "";
    a_flattened_struct_gets_a_field:
        { pub struct Inner { x: u8 } pub struct T { a: u8, #[serde(flatten)] inner: Inner } }
        => { pub struct Inner { x: u8, y: Option<u8> } pub struct T { a: u8, #[serde(flatten)] inner: Inner } } "", "";
    fields_move_into_a_flattened_struct:
        { pub struct T { a: u8, x: u8 } }
        => { pub struct Inner { x: u8 } pub struct T { a: u8, #[serde(flatten)] inner: Inner } } "", "";
    a_flattened_enum_gets_a_variant:
        { pub enum Inner { X { n: u8 }, Y } pub struct T { a: u8, #[serde(flatten)] inner: Inner } }
        => { pub enum Inner { X { n: u8 }, Y, Z(u8) } pub struct T { a: u8, #[serde(flatten)] inner: Inner } } "", "`Z`";
    a_field_beside_a_flattened_map_that_holds_the_same:
        { pub struct T { a: u8, #[serde(flatten)] rest: HashMap<String, u8> } }
        => { pub struct T { a: u8, b: Option<u16>, #[serde(flatten)] rest: HashMap<String, u8> } } "", "`$.b`";
    a_field_beside_a_flattened_map_that_holds_another:
        { pub struct T { a: u8, #[serde(flatten)] rest: HashMap<String, u8> } }
        => { pub struct T { a: u8, b: Option<String>, #[serde(flatten)] rest: HashMap<String, u8> } } "`$.b`", "`$.b`";
    what_may_be_anything_takes_a_type:
        { pub struct T { a: Value } } => { pub struct T { a: u8 } } "`$.a`", "";
    a_recursive_type_gets_a_field:
        { pub struct T { a: u8, next: Option<Box<T>>, all: Vec<T> } }
        => { pub struct T { a: u16, next: Option<Box<T>>, all: Vec<T>, b: Option<u8> } }
        "", "`$.a`: old consumers break on new messages: new messages may have a number here that is out of the range";
    a_nested_type_is_renamed:
        { pub struct Line { price: f64 } pub struct T { lines: Vec<Line> } }
        => { pub struct Row { price: f64 } pub struct T { lines: Vec<Row> } } "", "";
    a_field_of_a_nested_type_changes:
        { pub struct Line { price: f64 } pub struct T { lines: Vec<Line> } }
        => { pub struct Line { price: String } pub struct T { lines: Vec<Line> } }
        "`$.lines[*].price`", "`$.lines[*].price`";
    a_nested_type_becomes_optional:
        { pub struct A { x: u8 } pub struct T { a: A } } => { pub struct A { x: u8 } pub struct T { a: Option<A> } }
        "", "may lack it";
    lengths_are_bounded_from_now_on:
        { pub struct T { a: String } } => { pub struct T { #[schemars(length(max = 5))] a: String } } "5 characters", "";
    a_pattern_is_asked_for:
        { pub struct T { a: String } } => { pub struct T { #[schemars(regex(pattern = "^a"))] a: String } }
        "it can't be shown", "";
    only_words_for_people_change:
        { /** One. */ pub struct T { /** One. */ a: String } } => { /** Two. */ pub struct T { /** Two. */ a: String } } "", "";
    a_generic_type: { pub struct P<X> { x: X } pub struct T { a: P<u8> } }
        => { pub struct P<X> { x: X } pub struct T { a: P<u16> } } "", "`$.a.x`";
}
