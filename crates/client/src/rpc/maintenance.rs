//! The calls of `gantry.v1.Maintenance`.

use gantry_proto::v1::{self, maintenance_client::MaintenanceClient};
use tonic::Streaming;

use crate::{
    Client, Error,
    call::{RESPONSE_BYTES, Repeat},
};

impl Client {
    /// A backup file in parts, from the node at `endpoint`. What is received has to be checked as a whole.
    pub async fn backup(
        &self,
        endpoint: &str,
        request: v1::BackupRequest,
    ) -> Result<Streaming<v1::BackupResponse>, Error> {
        self.on(endpoint)?
            .call(Repeat::Always, |attempt| {
                let request = attempt.streaming(request);
                async move {
                    MaintenanceClient::new(attempt.channel)
                        .max_decoding_message_size(RESPONSE_BYTES)
                        .backup(request)
                        .await
                }
            })
            .await
    }

    /// Compares the states of all members. Costs each of them a pass over its rows.
    pub async fn verify(&self) -> Result<v1::VerifyResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(v1::VerifyRequest {});
            async move { MaintenanceClient::new(attempt.channel).verify(request).await }
        })
        .await
    }
}
