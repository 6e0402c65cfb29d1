#[allow(clippy::unused_async)]
async fn reserve_stock(
    orders: &[OrderCreated],
    stock: State<Stock>,
    metas: &[Meta],
) -> Result<(), StockError> {
    Ok(())
}
#[doc(hidden)]
#[allow(
    dead_code,
    missing_debug_implementations,
    non_camel_case_types,
    unreachable_pub,
    clippy::empty_structs_with_brackets
)]
struct reserve_stock {}
#[allow(deprecated)]
const _: () = {
    static __DUCTAPE_CONSUMER: ::ductape_events::__private::ConsumerDescriptor = ::ductape_events::__private::ConsumerDescriptor {
        name: "reserve_stock",
        location: ::core::concat!(::core::file!(), ":", ::core::line!()),
        topic: ::ductape_events::__private::consumed::<OrderCreated>().topic,
        options: ::ductape_events::__private::ConsumerOptions {
            batch: ::core::option::Option::Some(100),
            ..::ductape_events::__private::ConsumerOptions::DEFAULT
        },
        requires: |__ductape_requirements| {
            <State<
                Stock,
            > as ::ductape_events::__private::FromBatch>::require(
                __ductape_requirements,
            );
            <::std::vec::Vec<
                Meta,
            > as ::ductape_events::__private::FromBatch>::require(
                __ductape_requirements,
            );
        },
        handler: ::ductape_events::__private::Handler::Batch(__ductape_call),
    };
    fn __ductape_call(
        __ductape_delivery: &::ductape_events::__private::BatchDelivery,
    ) -> ::ductape_events::__private::BoxFuture<
        '_,
        ::std::vec::Vec<::ductape_events::__private::Verdict>,
    > {
        ::std::boxed::Box::pin(async move {
            let (__ductape_event, __ductape_decoded) = (::ductape_events::__private::consumed::<
                OrderCreated,
            >()
                .decode_batch)(__ductape_delivery);
            if __ductape_event.is_empty() {
                return __ductape_decoded.nothing();
            }
            let __ductape_parameter_0 = match <State<
                Stock,
            > as ::ductape_events::__private::FromBatch>::from_batch(
                &__ductape_decoded,
            ) {
                ::core::result::Result::Ok(__ductape_ready) => __ductape_ready,
                ::core::result::Result::Err(__ductape_error) => {
                    return __ductape_decoded.failed(__ductape_error);
                }
            };
            let __ductape_parameter_1 = match <::std::vec::Vec<
                Meta,
            > as ::ductape_events::__private::FromBatch>::from_batch(
                &__ductape_decoded,
            ) {
                ::core::result::Result::Ok(__ductape_ready) => __ductape_ready,
                ::core::result::Result::Err(__ductape_error) => {
                    return __ductape_decoded.failed(__ductape_error);
                }
            };
            let __ductape_returned = reserve_stock(
                    &__ductape_event,
                    __ductape_parameter_0,
                    &__ductape_parameter_1,
                )
                .await;
            ::ductape_events::__private::finish_batch(
                    __ductape_returned,
                    __ductape_decoded,
                )
                .known()
                .await
        })
    }
    #[automatically_derived]
    impl ::ductape_events::__private::Consumer for reserve_stock {
        fn descriptor() -> &'static ::ductape_events::__private::ConsumerDescriptor {
            &__DUCTAPE_CONSUMER
        }
    }
    ::ductape_events::__private::inventory::submit! {
        ::ductape_events::__private::RegisteredConsumer(& __DUCTAPE_CONSUMER)
    }
};
