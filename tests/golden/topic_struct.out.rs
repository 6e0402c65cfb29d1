#[derive(
    ::ductape_events::__private::serde::Serialize,
    ::ductape_events::__private::serde::Deserialize,
    ::ductape_events::__private::schemars::JsonSchema
)]
/// Emitted when an order is created.
///
/// Once for each order.
#[serde(crate = "::ductape_events::__private::serde")]
#[schemars(crate = "::ductape_events::__private::schemars")]
pub struct OrderCreated {
    pub order_id: String,
    pub total: f64,
}
#[allow(deprecated)]
const _: () = {
    static __DUCTAPE_TOPIC: ::ductape_events::__private::TopicDescriptor = ::ductape_events::__private::TopicDescriptor {
        event: "order-events:order-created",
        version: 1u32,
        type_name: "OrderCreated",
        name: "Order Created",
        description: "Emitted when an order is created.\n\nOnce for each order.",
        key: ::core::option::Option::Some("order_id"),
        compatibility: ::core::option::Option::None,
        portable: false,
        location: ::core::concat!(::core::file!(), ":", ::core::line!()),
        schema: ::ductape_events::__private::schema_of::<OrderCreated>,
        sample: || ::ductape_events::__private::sample_of::<
            OrderCreated,
        >(
            ::core::option::Option::None,
            &[
                ::ductape_events::__private::Sample {
                    at: ::ductape_events::__private::SampleAt::Field("order_id"),
                    value: || ::ductape_events::__private::sample_value(&("12345")),
                },
                ::ductape_events::__private::Sample {
                    at: ::ductape_events::__private::SampleAt::Field("total"),
                    value: || ::ductape_events::__private::sample_value(&(99.99)),
                },
            ],
        ),
        key_of: ::ductape_events::__private::key_of::<OrderCreated>,
    };
    #[automatically_derived]
    impl ::ductape_events::__private::Topic for OrderCreated {
        const EVENT: &'static ::core::primitive::str = "order-events:order-created";
        const VERSION: ::core::primitive::u32 = 1u32;
        fn descriptor() -> &'static ::ductape_events::__private::TopicDescriptor {
            &__DUCTAPE_TOPIC
        }
        fn write_key(
            &self,
            __ductape_key: &mut ::ductape_events::__private::KeyWriter<'_>,
        ) {
            ::ductape_events::__private::KeyWriter::write(__ductape_key, &self.order_id);
        }
    }
    ::ductape_events::__private::inventory::submit! {
        ::ductape_events::__private::RegisteredTopic(& __DUCTAPE_TOPIC)
    }
};
#[cfg(test)]
#[allow(unnameable_test_items)]
#[::core::prelude::v1::test]
fn contract_of_order_events_order_created_v1() {
    ::ductape_events::__private::contract_test::<
        OrderCreated,
    >(::core::env!("CARGO_MANIFEST_DIR"));
}
