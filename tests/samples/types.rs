//! The types that samples are made of: one for each way of serde and of JSON Schema to shape a value.

#![allow(dead_code, missing_debug_implementations, unreachable_pub)] // only their shapes matter
#![allow(clippy::struct_field_names)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::{NonZeroI8, NonZeroU32};
use std::time::{Duration, SystemTime};

use ductape_events::prelude::*;
use serde::{Deserialize as _, Deserializer};
use serde_json::Value;

#[topic("samples:plain")]
pub struct Plain {
    pub text: String,
    pub flag: bool,
    pub letter: char,
    pub small: u8,
    pub signed: i64,
    pub ratio: f64,
}

#[topic("samples:unit")]
pub struct Unit;

#[topic("samples:newtype")]
pub struct Newtype(pub Plain);

#[topic("samples:nested")]
pub struct Nested {
    pub first: Part,
    pub second: Vec<Part>,
    pub boxed: Box<Part>,
}

#[payload]
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    pub name: String,
    pub count: NonZeroU32,
}

#[topic("samples:options")]
pub struct Options {
    pub maybe: Option<String>,
    pub part: Option<Part>,
    pub deep: Option<Vec<Option<u8>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u32>,
}

#[topic("samples:collections")]
pub struct Collections {
    pub list: Vec<u16>,
    pub set: BTreeSet<Part>,
    pub map: HashMap<String, Vec<Part>>,
    pub empty: [u8; 0],
}

#[topic("samples:maps")]
pub struct Maps {
    pub by_number: BTreeMap<u32, String>,
    pub by_signed: BTreeMap<i8, bool>,
    pub by_unit: BTreeMap<Unitary, u8>,
}

#[payload]
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub enum Unitary {
    First,
    Second,
}

#[topic("samples:tuples")]
pub struct Tuples {
    pub pair: (u8, String),
    pub fixed: [i32; 3],
    pub nested: Vec<(Part, [bool; 2])>,
    pub unit: (),
}

#[topic("samples:renamed")]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub struct Renamed {
    pub order_id: String,
    #[serde(rename = "the sum", alias = "sum")]
    pub total: f32,
    #[serde(rename(serialize = "both", deserialize = "both"))]
    pub third: u8,
}

#[topic("samples:flattened")]
pub struct Flattened {
    pub own: u8,
    #[serde(flatten)]
    pub part: Part,
    #[serde(flatten)]
    pub kind: Internal,
    #[serde(flatten)]
    pub rest: HashMap<String, Value>,
}

#[topic("samples:denied")]
#[serde(deny_unknown_fields)]
pub struct Denied {
    pub known: Option<u8>,
}

#[topic("samples:defaults")]
#[serde(default)]
#[derive(Default)]
pub struct Defaults {
    pub text: String,
    pub number: i32,
    #[serde(skip)]
    pub skipped: u8,
}

#[topic("samples:external")]
pub enum External {
    Named { sku: String },
    Newtype(Part),
    Pair(u8, String),
    Unit,
}

#[topic("samples:internal")]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Internal {
    FirstOne { sku: String },
    Newtype(Part),
    Unit,
}

#[topic("samples:adjacent")]
#[serde(tag = "t", content = "c")]
pub enum Adjacent {
    Pair(u8, String),
    Named { sku: String },
    Unit,
}

#[topic("samples:untagged")]
#[serde(untagged)]
pub enum Untagged {
    Text(String),
    Number(u64),
    Named { sku: String },
}

#[topic("samples:single")]
pub enum Single {
    Only { id: u8 },
}

#[topic("samples:units")]
#[serde(rename_all = "kebab-case")]
pub enum Units {
    /// With a comment, it has a schema of its own.
    FirstOne,
    SecondOne,
}

#[topic("samples:enum-within")]
pub struct EnumWithin {
    pub external: External,
    pub adjacent: Option<Adjacent>,
    pub untagged: Vec<Untagged>,
    pub units: Units,
}

#[topic("samples:formats")]
pub struct Formats {
    #[schemars(extend("format" = "date-time"))]
    pub at: String,
    #[schemars(extend("format" = "date"))]
    pub day: String,
    #[schemars(extend("format" = "time"))]
    pub time: String,
    #[schemars(extend("format" = "duration"))]
    pub duration: String,
    #[schemars(extend("format" = "uuid"))]
    pub uuid: String,
    #[schemars(email)]
    pub email: String,
    #[schemars(url)]
    pub url: String,
    #[schemars(extend("format" = "hostname"))]
    pub host: String,
    pub v4: std::net::Ipv4Addr,
    pub v6: std::net::Ipv6Addr,
    pub either: std::net::IpAddr,
    #[schemars(extend("format" = "json-pointer"))]
    pub pointer: String,
    #[schemars(extend("format" = "regex"))]
    pub regex: String,
    #[schemars(extend("format" = "of-our-own"))]
    pub unknown: String,
}

#[topic("samples:bounds")]
pub struct Bounds {
    #[schemars(range(min = 10, max = 20))]
    pub between: i32,
    #[schemars(range(max = -5))]
    pub below: i32,
    #[schemars(range(min = 0.25, max = 0.75))]
    pub ratio: f64,
    #[schemars(extend("exclusiveMinimum" = 3))]
    pub above: u32,
    #[schemars(extend("exclusiveMinimum" = 0.0, "exclusiveMaximum" = 0.1))]
    pub thin: f64,
    #[schemars(extend("multipleOf" = 7))]
    pub sevens: u32,
    #[schemars(length(min = 3, max = 4))]
    pub several: Vec<u8>,
    pub not_zero: NonZeroI8,
}

#[topic("samples:lengths")]
pub struct Lengths {
    #[schemars(length(min = 20))]
    pub long: String,
    #[schemars(length(max = 2))]
    pub short: String,
    #[schemars(length(equal = 7))]
    pub exact: String,
}

#[topic("samples:patterns")]
pub struct Patterns {
    #[schemars(regex(pattern = r"^[A-Z]{3}$"))]
    pub currency: String,
    #[schemars(regex(pattern = r"^ORD-\d{4,8}(-[a-f0-9]+)?$"))]
    pub order: String,
    #[schemars(regex(pattern = r"^(?:EUR|USD) \d+\.\d{2}$"))]
    pub amount: String,
    #[schemars(length(min = 12), regex(pattern = r"^[a-z]+$"))]
    pub both: String,
}

#[topic("samples:tree")]
pub struct Tree {
    pub value: u8,
    pub children: Vec<Tree>,
    pub parent: Option<Box<Tree>>,
}

#[topic("samples:ping")]
pub struct Ping {
    pub pong: Option<Box<Pong>>,
}

#[payload]
pub struct Pong {
    pub ping: Ping,
}

#[topic("samples:expression")]
#[serde(tag = "op")]
pub enum Expression {
    Sum {
        left: Box<Expression>,
        right: Box<Expression>,
    },
    Number {
        value: f64,
    },
}

#[topic("samples:anything")]
pub struct Anything {
    pub value: Value,
    pub list: Vec<Value>,
    pub object: serde_json::Map<String, Value>,
}

#[topic("samples:extremes")]
pub struct Extremes {
    #[schemars(range(min = i64::MAX))]
    pub most: i64,
    #[schemars(range(max = i64::MIN))]
    pub least: i64,
    #[schemars(range(min = u64::MAX))]
    pub beyond: u64,
}

#[topic("samples:times")]
pub struct Times {
    pub at: SystemTime,
    pub took: Duration,
}

#[topic("samples:generic", instances(Generic<Plain>))]
pub struct Generic<T> {
    pub content: T,
    pub all: Vec<T>,
}

#[topic("samples:strict")]
pub struct Strict {
    #[serde(deserialize_with = "even")]
    #[schemars(extend("multipleOf" = 2))]
    pub even: u32,
    #[serde(deserialize_with = "given")]
    #[schemars(extend("examples" = ["given"]))]
    pub given: String,
}

fn even<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    if number % 2 == 0 {
        Ok(number)
    } else {
        Err(serde::de::Error::custom("odd"))
    }
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text == "given" {
        Ok(text)
    } else {
        Err(serde::de::Error::custom("another text"))
    }
}

#[topic("samples:converted")]
#[serde(try_from = "u8", into = "u8")]
#[derive(Clone)]
pub struct Converted {
    pub inner: u8,
}

impl TryFrom<u8> for Converted {
    type Error = &'static str;

    fn try_from(inner: u8) -> Result<Self, Self::Error> {
        if inner == 0 {
            Err("zero")
        } else {
            Ok(Self { inner })
        }
    }
}

impl From<Converted> for u8 {
    fn from(converted: Converted) -> Self {
        converted.inner
    }
}

#[topic("samples:given")]
#[serde(rename_all = "camelCase")]
pub struct Given {
    #[sample("12345")]
    pub order_id: String,
    #[sample(99.5)]
    #[serde(rename = "SUM")]
    pub total: f64,
    #[sample([serde_json::json!({ "sku": "a", "count": 2 })])]
    pub lines: Vec<Line>,
    #[sample(None::<String>)]
    pub note: Option<String>,
    #[sample(Inner { inner: "flat".to_owned() })]
    #[serde(flatten)]
    pub inner: Inner,
}

#[payload]
pub struct Line {
    pub sku: String,
    pub count: u32,
}

#[payload]
pub struct Inner {
    pub inner: String,
}

#[topic("samples:given-external")]
#[serde(rename_all = "lowercase")]
pub enum GivenExternal {
    Created {
        order_id: String,
    },
    Shipped {
        #[sample("7")]
        order_id: String,
    },
}

#[topic("samples:given-internal")]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum GivenInternal {
    Created {
        order_id: String,
    },
    Shipped {
        #[sample("7")]
        order_id: String,
    },
}

#[topic("samples:given-adjacent")]
#[serde(tag = "t", content = "c")]
pub enum GivenAdjacent {
    Created,
    Shipped {
        #[sample("7")]
        order_id: String,
    },
}

#[topic("samples:given-untagged")]
#[serde(untagged)]
pub enum GivenUntagged {
    Text(String),
    #[serde(skip)]
    Hidden,
    Shipped {
        #[sample("7")]
        order_id: String,
    },
}

#[topic("samples:given-unit")]
pub enum GivenUnit {
    First,
    #[sample]
    Second,
}

#[topic("samples:given-tuple")]
pub enum GivenTuple {
    Nothing,
    Pair(#[sample(1)] u8, #[sample("two")] String),
}

#[topic("samples:misgiven")]
pub struct Misgiven {
    #[sample(7)]
    pub good: u32,
    #[sample("not a number")]
    pub bad: u32,
    #[sample("too long")]
    #[schemars(length(max = 3))]
    pub short: String,
}
