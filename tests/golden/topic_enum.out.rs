#[derive(
    ::ductape_events::__private::serde::Serialize,
    ::ductape_events::__private::serde::Deserialize,
    ::ductape_events::__private::schemars::JsonSchema
)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[serde(crate = "::ductape_events::__private::serde")]
#[schemars(crate = "::ductape_events::__private::schemars")]
enum StockMoved {
    Received { sku: String, amount: u32 },
    Sold { sku: String },
}
#[allow(deprecated)]
const _: () = {
    static __DUCTAPE_TOPIC: ::ductape_events::__private::TopicDescriptor = ::ductape_events::__private::TopicDescriptor {
        event: "stock:stock-moved",
        version: 1u32,
        type_name: "StockMoved",
        name: "Stock Moved",
        description: "",
        key: ::core::option::Option::Some("sku"),
        compatibility: ::core::option::Option::None,
        portable: false,
        location: ::core::concat!(::core::file!(), ":", ::core::line!()),
        schema: ::ductape_events::__private::schema_of::<StockMoved>,
        sample: || ::ductape_events::__private::sample_of::<
            StockMoved,
        >(
            ::core::option::Option::Some(::ductape_events::__private::SampleVariant {
                name: "sold",
                tagging: ::ductape_events::__private::Tagging::Internal("kind"),
            }),
            &[
                ::ductape_events::__private::Sample {
                    at: ::ductape_events::__private::SampleAt::Field("sku"),
                    value: || ::ductape_events::__private::sample_value(&("sku-1")),
                },
            ],
        ),
        key_of: ::ductape_events::__private::key_of::<StockMoved>,
    };
    #[automatically_derived]
    impl ::ductape_events::__private::Topic for StockMoved {
        const EVENT: &'static ::core::primitive::str = "stock:stock-moved";
        const VERSION: ::core::primitive::u32 = 1u32;
        fn descriptor() -> &'static ::ductape_events::__private::TopicDescriptor {
            &__DUCTAPE_TOPIC
        }
        fn write_key(
            &self,
            __ductape_key: &mut ::ductape_events::__private::KeyWriter<'_>,
        ) {
            match self {
                Self::Received { sku: __ductape_key_0, .. } => {
                    ::ductape_events::__private::KeyWriter::write(
                        __ductape_key,
                        __ductape_key_0,
                    );
                }
                Self::Sold { sku: __ductape_key_0, .. } => {
                    ::ductape_events::__private::KeyWriter::write(
                        __ductape_key,
                        __ductape_key_0,
                    );
                }
            }
        }
    }
    ::ductape_events::__private::inventory::submit! {
        ::ductape_events::__private::RegisteredTopic(& __DUCTAPE_TOPIC)
    }
};
#[cfg(test)]
#[allow(unnameable_test_items)]
#[::core::prelude::v1::test]
fn contract_of_stock_stock_moved_v1() {
    ::ductape_events::__private::contract_test::<
        StockMoved,
    >(::core::env!("CARGO_MANIFEST_DIR"));
}
