#[derive(::ductape_events::__private::schemars::JsonSchema)]
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[serde(crate = "::ductape_events::__private::serde")]
#[schemars(crate = "::ductape_events::__private::schemars")]
struct OrderShipped {
    tenant: u32,
    order_id: String,
}
#[allow(deprecated)]
const _: () = {
    static __DUCTAPE_TOPIC: ::ductape_events::__private::TopicDescriptor = ::ductape_events::__private::TopicDescriptor {
        event: "order-events:order-shipped",
        version: 2u32,
        type_name: "OrderShipped",
        name: "Shipped",
        description: "",
        key: ::core::option::Option::Some("tenant/orderId"),
        compatibility: ::core::option::Option::Some("full"),
        portable: true,
        location: ::core::concat!(::core::file!(), ":", ::core::line!()),
        schema: ::ductape_events::__private::schema_of::<OrderShipped>,
        sample: ::ductape_events::__private::sample_of_schema::<OrderShipped>,
        key_of: ::ductape_events::__private::key_of::<OrderShipped>,
    };
    #[automatically_derived]
    impl ::ductape_events::__private::Topic for OrderShipped {
        const EVENT: &'static ::core::primitive::str = "order-events:order-shipped";
        const VERSION: ::core::primitive::u32 = 2u32;
        fn descriptor() -> &'static ::ductape_events::__private::TopicDescriptor {
            &__DUCTAPE_TOPIC
        }
        fn write_key(
            &self,
            __ductape_key: &mut ::ductape_events::__private::KeyWriter<'_>,
        ) {
            ::ductape_events::__private::KeyWriter::write(__ductape_key, &self.tenant);
            ::ductape_events::__private::KeyWriter::write(__ductape_key, "/");
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
fn contract_of_order_events_order_shipped_v2() {
    ::ductape_events::__private::contract_test::<
        OrderShipped,
    >(::core::env!("CARGO_MANIFEST_DIR"));
}
