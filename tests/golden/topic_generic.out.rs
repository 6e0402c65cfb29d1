#[derive(
    ::ductape_events::__private::serde::Serialize,
    ::ductape_events::__private::serde::Deserialize,
    ::ductape_events::__private::schemars::JsonSchema
)]
#[serde(crate = "::ductape_events::__private::serde")]
#[schemars(crate = "::ductape_events::__private::schemars")]
pub struct Paid<C> {
    pub cents: i64,
    pub currency: C,
}
#[allow(deprecated)]
const _: () = {
    static __DUCTAPE_TOPIC: ::ductape_events::__private::TopicDescriptor = ::ductape_events::__private::TopicDescriptor {
        event: "payments:paid",
        version: 1u32,
        type_name: "Paid<Usd>",
        name: "Paid",
        description: "",
        key: ::core::option::Option::None,
        compatibility: ::core::option::Option::None,
        portable: false,
        location: ::core::concat!(::core::file!(), ":", ::core::line!()),
        schema: ::ductape_events::__private::schema_of::<Paid<Usd>>,
        sample: ::ductape_events::__private::sample_of_schema::<Paid<Usd>>,
        key_of: ::ductape_events::__private::key_of::<Paid<Usd>>,
    };
    #[automatically_derived]
    impl ::ductape_events::__private::Topic for Paid<Usd> {
        const EVENT: &'static ::core::primitive::str = "payments:paid";
        const VERSION: ::core::primitive::u32 = 1u32;
        fn descriptor() -> &'static ::ductape_events::__private::TopicDescriptor {
            &__DUCTAPE_TOPIC
        }
        fn write_key(&self, _: &mut ::ductape_events::__private::KeyWriter<'_>) {}
    }
    ::ductape_events::__private::inventory::submit! {
        ::ductape_events::__private::RegisteredTopic(& __DUCTAPE_TOPIC)
    }
};
#[cfg(test)]
#[allow(unnameable_test_items)]
#[::core::prelude::v1::test]
fn contract_of_payments_paid_v1() {
    ::ductape_events::__private::contract_test::<
        Paid<Usd>,
    >(::core::env!("CARGO_MANIFEST_DIR"));
}
#[allow(deprecated)]
const _: () = {
    static __DUCTAPE_TOPIC: ::ductape_events::__private::TopicDescriptor = ::ductape_events::__private::TopicDescriptor {
        event: "payments:paid-eur",
        version: 1u32,
        type_name: "Paid<Eur>",
        name: "Paid",
        description: "",
        key: ::core::option::Option::None,
        compatibility: ::core::option::Option::None,
        portable: false,
        location: ::core::concat!(::core::file!(), ":", ::core::line!()),
        schema: ::ductape_events::__private::schema_of::<Paid<Eur>>,
        sample: ::ductape_events::__private::sample_of_schema::<Paid<Eur>>,
        key_of: ::ductape_events::__private::key_of::<Paid<Eur>>,
    };
    #[automatically_derived]
    impl ::ductape_events::__private::Topic for Paid<Eur> {
        const EVENT: &'static ::core::primitive::str = "payments:paid-eur";
        const VERSION: ::core::primitive::u32 = 1u32;
        fn descriptor() -> &'static ::ductape_events::__private::TopicDescriptor {
            &__DUCTAPE_TOPIC
        }
        fn write_key(&self, _: &mut ::ductape_events::__private::KeyWriter<'_>) {}
    }
    ::ductape_events::__private::inventory::submit! {
        ::ductape_events::__private::RegisteredTopic(& __DUCTAPE_TOPIC)
    }
};
#[cfg(test)]
#[allow(unnameable_test_items)]
#[::core::prelude::v1::test]
fn contract_of_payments_paid_eur_v1() {
    ::ductape_events::__private::contract_test::<
        Paid<Eur>,
    >(::core::env!("CARGO_MANIFEST_DIR"));
}
