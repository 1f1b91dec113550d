//! The call of `gantry.v1.Watch`.

use gantry_proto::v1::{self, watch_client::WatchClient};
use tonic::Streaming;

use crate::{
    Client, Error,
    call::{RESPONSE_BYTES, Repeat},
};

impl Client {
    /// Every event after a rev, and then as they come. When the stream ends, watch again from the last `rev` it gave.
    pub async fn watch(&self, request: v1::WatchRequest) -> Result<Streaming<v1::WatchResponse>, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.streaming(request.clone());
            async move {
                WatchClient::new(attempt.channel)
                    .max_decoding_message_size(RESPONSE_BYTES)
                    .watch(request)
                    .await
            }
        })
        .await
    }
}
