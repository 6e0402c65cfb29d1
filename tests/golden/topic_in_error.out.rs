#[derive(
    ::ductape_events::__private::serde::Serialize,
    ::ductape_events::__private::serde::Deserialize,
    ::ductape_events::__private::schemars::JsonSchema
)]
#[serde(crate = "::ductape_events::__private::serde")]
#[schemars(crate = "::ductape_events::__private::schemars")]
struct Refunded {
    id: u32,
}
::core::compile_error! {
    "`version = 0` is out of range; it must be from 1 to 4294967295"
}
::core::compile_error! {
    "event name `Payments` has no topic; write `broker:topic`, for example `order-events:order-created`"
}
::core::compile_error! {
    "`Refunded` has no field `idd`; did you mean `id`? its fields: `id`"
}
#[allow(deprecated)]
const _: () = {
    #[automatically_derived]
    impl ::ductape_events::__private::Topic for Refunded {
        const EVENT: &'static ::core::primitive::str = "";
        const VERSION: ::core::primitive::u32 = 1;
        fn descriptor() -> &'static ::ductape_events::__private::TopicDescriptor {
            ::core::unimplemented!()
        }
        fn write_key(&self, _: &mut ::ductape_events::__private::KeyWriter<'_>) {}
    }
};
