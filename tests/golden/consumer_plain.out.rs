#[allow(clippy::unused_async)]
async fn notify(order: OrderCreated) {}
#[doc(hidden)]
#[allow(
    dead_code,
    missing_debug_implementations,
    non_camel_case_types,
    unreachable_pub,
    clippy::empty_structs_with_brackets
)]
struct notify {}
#[allow(deprecated)]
const _: () = {
    static __DUCTAPE_CONSUMER: ::ductape_events::__private::ConsumerDescriptor = ::ductape_events::__private::ConsumerDescriptor {
        name: "notify",
        location: ::core::concat!(::core::file!(), ":", ::core::line!()),
        topic: ::ductape_events::__private::consumed::<OrderCreated>().topic,
        options: ::ductape_events::__private::ConsumerOptions::DEFAULT,
        requires: |_| {},
        handler: ::ductape_events::__private::Handler::Single(__ductape_call),
    };
    fn __ductape_call(
        __ductape_delivery: &::ductape_events::__private::Delivery,
    ) -> ::ductape_events::__private::BoxFuture<
        '_,
        ::ductape_events::__private::Verdict,
    > {
        ::std::boxed::Box::pin(async move {
            let __ductape_event = match (::ductape_events::__private::consumed::<
                OrderCreated,
            >()
                .decode)(__ductape_delivery)
            {
                ::core::result::Result::Ok(__ductape_ready) => __ductape_ready,
                ::core::result::Result::Err(__ductape_error) => return __ductape_error,
            };
            let __ductape_returned = notify(__ductape_event).await;
            ::ductape_events::__private::finish(__ductape_returned, __ductape_delivery)
                .known()
                .await
        })
    }
    #[automatically_derived]
    impl ::ductape_events::__private::Consumer for notify {
        fn descriptor() -> &'static ::ductape_events::__private::ConsumerDescriptor {
            &__DUCTAPE_CONSUMER
        }
    }
    ::ductape_events::__private::inventory::submit! {
        ::ductape_events::__private::RegisteredConsumer(& __DUCTAPE_CONSUMER)
    }
};
