#[allow(clippy::unused_async)]
pub(crate) async fn bill(
    order: &OrderCreated,
    ctx: &Context,
    Attempt(attempt): Attempt,
) -> Result<OrderBilled, BillingError> {
    todo!()
}
#[doc(hidden)]
#[allow(
    dead_code,
    missing_debug_implementations,
    non_camel_case_types,
    unreachable_pub,
    clippy::empty_structs_with_brackets
)]
pub(crate) struct bill {}
#[allow(deprecated)]
const _: () = {
    static __DUCTAPE_CONSUMER: ::ductape_events::__private::ConsumerDescriptor = ::ductape_events::__private::ConsumerDescriptor {
        name: "bill",
        location: ::core::concat!(::core::file!(), ":", ::core::line!()),
        topic: ::ductape_events::__private::consumed::<OrderCreated>().topic,
        options: ::ductape_events::__private::ConsumerOptions {
            group: ::core::option::Option::Some("billing"),
            once: true,
            concurrency: ::core::option::Option::Some(16),
            prefetch: ::core::option::Option::Some(64),
            timeout: ::core::option::Option::Some(
                ::core::time::Duration::from_millis(1500u64),
            ),
            ordering: ::core::option::Option::Some(
                ::ductape_events::__private::Ordering::Relaxed,
            ),
            start: ::core::option::Option::Some(
                ::ductape_events::__private::Start::Earliest,
            ),
            retry: ::ductape_events::__private::RetryOptions {
                attempts: ::core::option::Option::Some(5),
                backoff: ::core::option::Option::Some(
                    ::ductape_events::__private::Backoff::Exponential,
                ),
                base: ::core::option::Option::Some(
                    ::core::time::Duration::from_millis(200u64),
                ),
                max: ::core::option::Option::Some(
                    ::core::time::Duration::from_millis(60000u64),
                ),
                ..::ductape_events::__private::RetryOptions::DEFAULT
            },
            ..::ductape_events::__private::ConsumerOptions::DEFAULT
        },
        requires: |__ductape_requirements| {
            <Context as ::ductape_events::__private::FromDelivery>::require(
                __ductape_requirements,
            );
            <Attempt as ::ductape_events::__private::FromDelivery>::require(
                __ductape_requirements,
            );
        },
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
            let __ductape_parameter_0 = match <Context as ::ductape_events::__private::FromDelivery>::from_delivery(
                __ductape_delivery,
            ) {
                ::core::result::Result::Ok(__ductape_ready) => __ductape_ready,
                ::core::result::Result::Err(__ductape_error) => {
                    return <::ductape_events::__private::Verdict as ::core::convert::From<
                        _,
                    >>::from(__ductape_error);
                }
            };
            let __ductape_parameter_1 = match <Attempt as ::ductape_events::__private::FromDelivery>::from_delivery(
                __ductape_delivery,
            ) {
                ::core::result::Result::Ok(__ductape_ready) => __ductape_ready,
                ::core::result::Result::Err(__ductape_error) => {
                    return <::ductape_events::__private::Verdict as ::core::convert::From<
                        _,
                    >>::from(__ductape_error);
                }
            };
            let __ductape_returned = bill(
                    &__ductape_event,
                    &__ductape_parameter_0,
                    __ductape_parameter_1,
                )
                .await;
            ::ductape_events::__private::finish(__ductape_returned, __ductape_delivery)
                .known()
                .await
        })
    }
    #[automatically_derived]
    impl ::ductape_events::__private::Consumer for bill {
        fn descriptor() -> &'static ::ductape_events::__private::ConsumerDescriptor {
            &__DUCTAPE_CONSUMER
        }
    }
    ::ductape_events::__private::inventory::submit! {
        ::ductape_events::__private::RegisteredConsumer(& __DUCTAPE_CONSUMER)
    }
};
