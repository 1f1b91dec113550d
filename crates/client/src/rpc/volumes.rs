//! The calls of `gantry.v1.Volumes`.

use gantry_proto::v1::{self, volumes_client::VolumesClient};
use tonic::transport::Channel;

use crate::{
    Client, Error,
    call::{RESPONSE_BYTES, Repeat},
    request_id::fill,
};

fn volumes(channel: Channel) -> VolumesClient<Channel> {
    VolumesClient::new(channel).max_decoding_message_size(RESPONSE_BYTES)
}

impl Client {
    /// Creates a volume. An empty `request_id` gets a fresh one.
    pub async fn create_volume(&self, mut request: v1::CreateVolumeRequest) -> Result<v1::CreateVolumeResponse, Error> {
        fill(&mut request.request_id);
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { volumes(attempt.channel).create(request).await }
        })
        .await
    }

    /// Deletes a volume that no machine uses. An empty `request_id` gets a fresh one.
    pub async fn delete_volume(&self, mut request: v1::DeleteVolumeRequest) -> Result<v1::DeleteVolumeResponse, Error> {
        fill(&mut request.request_id);
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { volumes(attempt.channel).delete(request).await }
        })
        .await
    }

    pub async fn get_volume(&self, request: v1::GetVolumeRequest) -> Result<v1::GetVolumeResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request);
            async move { volumes(attempt.channel).get(request).await }
        })
        .await
    }

    /// One page of volumes.
    pub async fn list_volumes(&self, request: v1::ListVolumesRequest) -> Result<v1::ListVolumesResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { volumes(attempt.channel).list(request).await }
        })
        .await
    }
}
