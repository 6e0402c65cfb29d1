#[allow(dead_code, clippy::unused_async)]
fn bill(&mut self) {}
::core::compile_error! {
    "unknown option `grup` of #[consumer]; did you mean `group`? known options: `group`, `broadcast`, `concurrency`, `prefetch`, `batch`, `retry`, `timeout`, `once`, `ordering`, `start` and `crate`"
}
::core::compile_error! {
    "#[consumer] needs an async fn; add `async` before `fn`"
}
::core::compile_error! {
    "a consumer is a free function without `self`; take what it needs as a `State<T>`"
}
