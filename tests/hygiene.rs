//! A program as unfriendly to generated code as one can be: every lint an error, its own things under the names that
//! generated code might lean on, and modules without a prelude.
//!
//! What schemars derives leans on the prelude itself; where that is missing, a topic has its `JsonSchema` by hand.

#![forbid(unsafe_code)]
#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    elided_lifetimes_in_paths,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unused_lifetimes,
    unused_results,
    let_underscore_drop,
    clippy::pedantic,
    clippy::unused_async,
    clippy::empty_structs_with_brackets,
    clippy::unwrap_used
)]

use ::ductape_events::consumer::Consumer as _;
use ::ductape_events::{Topic as _, consumer, payload, topic};

/// In the way of `core`.
pub mod core {}
/// In the way of `std`.
pub mod std {}
/// In the way of `serde`.
pub mod serde {}
/// In the way of `schemars`.
pub mod schemars {}
/// In the way of `ductape_events`.
pub mod ductape_events {}

/// In the way of `Result`.
#[derive(Debug)]
pub struct Result;
/// In the way of `Option`.
#[derive(Debug)]
pub struct Option;
/// In the way of `Vec`.
#[derive(Debug)]
pub struct Box;
/// In the way of `Send`.
pub trait Send {}
/// In the way of `Sized`.
pub trait Sized {}
/// In the way of the traits that generated code implements.
pub trait Topic {}
/// As is this one.
pub trait Consumer {}
/// In the way of a local.
#[allow(non_upper_case_globals)]
pub const value: u8 = 1;
/// In the way of another.
#[allow(non_upper_case_globals)]
pub static event: u8 = 1;

type Text = ::std::string::String;

/// A topic with a raw name and fields that are keywords.
#[topic("hygiene:raw", key = (r#type, __ductape_key))]
#[derive(Debug)]
pub struct r#Raw {
    /// A keyword.
    #[sample("kind")]
    pub r#type: Text,
    /// The name of a local in generated code.
    #[allow(clippy::pub_underscore_fields)]
    pub __ductape_key: u32,
    /// A default without a prelude.
    #[serde(default)]
    pub r#match: u32,
}

/// A topic with variants under names of the prelude.
#[topic("hygiene:variants", key = id)]
#[derive(Debug)]
pub enum Variants {
    /// As in `Option`.
    Some {
        /// The key.
        id: u32,
    },
    /// As in `Result`.
    #[sample]
    Err {
        /// The key.
        #[sample(3)]
        id: u32,
    },
}

/// A generic topic.
#[topic("hygiene:generic", instances(Generic<u32>, Generic<Part, 2> = "hygiene:generic-part"))]
#[derive(Debug)]
pub struct Generic<T, const N: usize = 1> {
    /// Something.
    pub content: T,
}

/// A part.
#[payload]
#[derive(Debug)]
pub struct Part {
    /// Something.
    pub note: Text,
}

/// A topic with what is deprecated.
#[topic("hygiene:deprecated", key = old)]
#[derive(Debug)]
pub struct Deprecated {
    /// Replaced.
    #[deprecated(note = "by nothing")]
    pub old: u32,
}

macro_rules! made {
    ($topic:ident, $consumer:ident, $name:literal, $field:ident: $ty:ty, $group:literal, $number:expr) => {
        /// Made by a macro.
        #[topic($name, key = $field)]
        #[derive(Debug)]
        pub struct $topic {
            /// Made by a macro.
            #[sample($number)]
            pub $field: $ty,
        }

        /// Made by a macro.
        #[consumer(group = $group, concurrency = 2)]
        pub async fn $consumer(
            first: &$topic,
            second: &::ductape_events::Context,
            third: ::ductape_events::consumer::Attempt,
        ) {
            let _: (_, _, _) = (first.$field, second, third);
        }
    };
}

made!(Made, takes_made, "hygiene:made", number: u32, "made", 40 + 2);

/// Without a prelude, and with things in the way of its functions.
#[no_implicit_prelude]
pub mod bare {
    use ::ductape_events::consumer::FromDelivery;
    use ::ductape_events::{consumer, topic};

    use super::Raw;

    /// In the way of `core`.
    pub mod core {}
    /// In the way of `std`.
    pub mod std {}
    /// In the way of `Some`.
    #[derive(Debug)]
    pub struct Some;
    /// In the way of `Ok`.
    #[derive(Debug)]
    pub struct Ok;
    /// In the way of `Err`.
    #[derive(Debug)]
    pub struct Err;

    /// A topic whose schema is written by hand.
    #[topic("hygiene:bare", key = id, manual(JsonSchema))]
    #[derive(Debug)]
    pub struct Bare {
        /// The key.
        #[sample(5)]
        pub id: u32,
    }

    impl ::schemars::JsonSchema for Bare {
        fn schema_name() -> ::std::borrow::Cow<'static, str> {
            ::std::borrow::Cow::Borrowed("Bare")
        }

        fn json_schema(generator: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
            <super::Part as ::schemars::JsonSchema>::json_schema(generator)
        }
    }

    /// An extractor.
    #[derive(Debug)]
    pub struct Own;

    impl FromDelivery for Own {
        fn from_delivery(
            _: &::ductape_events::consumer::Delivery,
        ) -> ::std::result::Result<Self, ::ductape_events::consumer::HandlerError> {
            ::std::result::Result::Ok(Self)
        }
    }

    /// A consumer under a keyword.
    ///
    /// # Errors
    ///
    /// None.
    #[consumer(
        once,
        retry(attempts = 2, base = "1s"),
        timeout = "1s",
        ordering = "strict",
        start = "latest"
    )]
    pub async fn r#match(raw: Raw, own: &Own, _: Own) -> ::std::result::Result<(), ::std::fmt::Error> {
        ::std::mem::drop((raw, own));
        ::std::result::Result::Ok(())
    }

    /// A batch.
    #[consumer(batch = 10)]
    pub async fn batch(raws: ::std::vec::Vec<Raw>) {
        ::std::mem::drop(raws);
    }

    #[consumer]
    pub(super) async fn hidden(bare: &Bare) {
        let _: &Bare = bare;
    }
}

#[test]
fn raw_names_lose_their_prefix() {
    ::std::assert_eq!(Raw::descriptor().type_name, "Raw");
    ::std::assert_eq!(
        Raw::descriptor().key,
        ::std::option::Option::Some("type/__ductape_key")
    );
    ::std::assert_eq!(Raw::sample()["type"], "kind");
    ::std::assert_eq!(bare::r#match::descriptor().name, "match");
}

#[test]
fn what_a_macro_makes_is_a_topic_and_a_consumer() {
    ::std::assert_eq!(Made::sample()["number"], 42);
    ::std::assert_eq!(
        takes_made::descriptor().options.group,
        ::std::option::Option::Some("made")
    );
    ::std::assert_eq!((bare::batch::descriptor().topic)().event, "hygiene:raw");
    ::std::assert_eq!(bare::hidden::descriptor().name, "hidden");
}

#[test]
fn names_in_the_way_change_nothing() {
    ::std::assert_eq!(Variants::sample()["Err"]["id"], 3);
    ::std::assert_eq!(Generic::<Part, 2>::EVENT, "hygiene:generic-part");
    ::std::assert_eq!(Deprecated::descriptor().key, ::std::option::Option::Some("old"));
}
