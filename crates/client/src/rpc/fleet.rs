//! The calls of `gantry.v1.Fleet`.

use gantry_proto::v1::{self, fleet_client::FleetClient};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Streaming, transport::Channel};

use crate::{
    Client, Error,
    call::{RESPONSE_BYTES, Repeat},
};

/// Messages between an agent's channel and its stream.
const AGENT_QUEUE: usize = 16;

fn fleet(channel: Channel) -> FleetClient<Channel> {
    FleetClient::new(channel).max_decoding_message_size(RESPONSE_BYTES)
}

impl Client {
    /// Opens the stream that an agent holds. The first message must be `register`. When the stream ends, open a new one
    /// and register again: messages without an answer may or may not have had their effect, and all of them may be sent
    /// again.
    pub async fn agent(
        &self,
        mut outbound: mpsc::Receiver<v1::AgentMessage>,
    ) -> Result<Streaming<v1::AgentEvent>, Error> {
        let (sender, events) = self
            .call(Repeat::Always, |attempt| {
                // Nothing is taken from `outbound` before the stream stands, so that opening it can be tried again.
                let (sender, receiver) = mpsc::channel(AGENT_QUEUE);
                let request = attempt.streaming(ReceiverStream::new(receiver));
                async move {
                    let response = fleet(attempt.channel).agent(request).await?;
                    let (metadata, events, extensions) = response.into_parts();
                    Ok(Response::from_parts(metadata, (sender, events), extensions))
                }
            })
            .await?;
        tokio::spawn(async move {
            while let Some(message) = outbound.recv().await {
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(events)
    }

    /// One page of hosts.
    pub async fn list_hosts(&self, request: v1::ListHostsRequest) -> Result<v1::ListHostsResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { fleet(attempt.channel).list_hosts(request).await }
        })
        .await
    }

    pub async fn get_host(&self, request: v1::GetHostRequest) -> Result<v1::GetHostResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { fleet(attempt.channel).get_host(request).await }
        })
        .await
    }

    pub async fn update_host(&self, request: v1::UpdateHostRequest) -> Result<v1::UpdateHostResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { fleet(attempt.channel).update_host(request).await }
        })
        .await
    }

    /// Opens, cordons or drains a host.
    pub async fn set_scheduling(&self, request: v1::SetSchedulingRequest) -> Result<v1::SetSchedulingResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { fleet(attempt.channel).set_scheduling(request).await }
        })
        .await
    }

    /// Removes a host that holds nothing. Not repeated when it is not known whether it happened: the host would not be
    /// found then.
    pub async fn remove_host(&self, request: v1::RemoveHostRequest) -> Result<v1::RemoveHostResponse, Error> {
        self.call(Repeat::IfDefinite, |attempt| {
            let request = attempt.unary(request.clone());
            async move { fleet(attempt.channel).remove_host(request).await }
        })
        .await
    }

    pub async fn record_image(&self, request: v1::RecordImageRequest) -> Result<v1::RecordImageResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { fleet(attempt.channel).record_image(request).await }
        })
        .await
    }

    /// One page of images.
    pub async fn list_images(&self, request: v1::ListImagesRequest) -> Result<v1::ListImagesResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { fleet(attempt.channel).list_images(request).await }
        })
        .await
    }

    /// An image, who has its layers, and where it would be ready first.
    pub async fn show_image(&self, request: v1::ShowImageRequest) -> Result<v1::ShowImageResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { fleet(attempt.channel).show_image(request).await }
        })
        .await
    }

    /// Has hosts fetch an image ahead of need, and tells how far they are. Where the stream breaks, ask again: what is done
    /// by then is found done.
    pub async fn warm_image(&self, request: v1::WarmImageRequest) -> Result<Streaming<v1::WarmImageResponse>, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.streaming(request.clone());
            async move { fleet(attempt.channel).warm_image(request).await }
        })
        .await
    }

    /// Lets a name stand for a list of regions; an empty list takes it away.
    pub async fn set_region_alias(
        &self,
        request: v1::SetRegionAliasRequest,
    ) -> Result<v1::SetRegionAliasResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { fleet(attempt.channel).set_region_alias(request).await }
        })
        .await
    }

    /// One page of regions and aliases.
    pub async fn list_regions(&self, request: v1::ListRegionsRequest) -> Result<v1::ListRegionsResponse, Error> {
        self.call(Repeat::Always, |attempt| {
            let request = attempt.unary(request.clone());
            async move { fleet(attempt.channel).list_regions(request).await }
        })
        .await
    }
}
