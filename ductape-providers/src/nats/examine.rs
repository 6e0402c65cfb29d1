//! What is unsafe or wrong with how the server is set up.

use super::error;
use super::provider::Nats;
use crate::error::Result;
use crate::examine::Finding;
use crate::spec::TopicSpec;

#[allow(clippy::unused_async)]
pub(super) async fn examine(nats: &Nats, _topics: &[TopicSpec]) -> Result<Vec<Finding>> {
    if nats.is_closed() {
        return Err(error::closed());
    }
    Ok(Vec::new())
}
