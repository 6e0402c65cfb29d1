//! What is unsafe or wrong with how the server is set up.

use super::provider::Server;
use crate::error::Result;
use crate::examine::Finding;
use crate::spec::TopicSpec;

pub(super) async fn examine(server: &Server, _topics: &[TopicSpec]) -> Result<Vec<Finding>> {
    server.link.ready().await?;
    Ok(Vec::new())
}
