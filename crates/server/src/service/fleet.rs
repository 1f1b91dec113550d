//! The hosts: what their agents report, and what operators do with them.

mod agent;
mod image;
mod regions;
mod warm;

use gantry_fleet::{Host, Scheduling};
use gantry_machine::{Effect, RecordImage, RemoveHost, SetRegionAlias, SetScheduling, UpdateHost};
use gantry_proto::{
    WireError, convert,
    v1::{self, fleet_server::Fleet as FleetApi},
};
use gantry_types::Refused;
use tonic::{Request, Response, Status, Streaming};

use super::{deadline, invalid, read};
use crate::{answer, call::Answered, node::Node};

#[derive(Clone, Debug)]
pub(crate) struct FleetService(pub Node);

#[tonic::async_trait]
impl FleetApi for FleetService {
    type AgentStream = agent::Outgoing;
    type WarmImageStream = warm::Outgoing;

    async fn agent(&self, request: Request<Streaming<v1::AgentMessage>>) -> Result<Response<agent::Outgoing>, Status> {
        Ok(Response::new(agent::serve(self.0.clone(), request.into_inner())))
    }

    async fn list_hosts(
        &self,
        request: Request<v1::ListHostsRequest>,
    ) -> Result<Response<v1::ListHostsResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let page = convert::page(message.page_size).map_err(invalid)?;
        let listed = self.0.scan(&metadata, move |fleet, rev| {
            let hosts = fleet.hosts_after(message.after_id);
            let mut hosts = hosts.filter(|host| message.region.is_empty() || host.spec.region == message.region);
            let shown: Vec<v1::Host> = hosts.by_ref().take(page).map(host).collect();
            let next_after_id = hosts.next().and(shown.last()).map_or(0, |last| last.id);
            v1::ListHostsResponse { rev, hosts: shown, next_after_id }
        });
        listed.await
    }

    async fn get_host(&self, request: Request<v1::GetHostRequest>) -> Result<Response<v1::GetHostResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        message.check().map_err(invalid)?;
        let found = self.0.read(&metadata, |fleet, rev| {
            let host = Some(host(fleet.host_named(&message.name)?));
            Some(v1::GetHostResponse { rev, host })
        });
        let (metadata, body, extensions) = found.await?.into_parts();
        let body = body.ok_or_else(|| invalid(Refused::UnknownHost { host: message.name }))?;
        Ok(Response::from_parts(metadata, body, extensions))
    }

    async fn update_host(
        &self,
        request: Request<v1::UpdateHostRequest>,
    ) -> Result<Response<v1::UpdateHostResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let update: convert::host::HostUpdate = read(request.into_inner())?;
        let command = UpdateHost {
            name: update.name,
            set_labels: update.set_labels,
            remove_labels: update.remove_labels,
            cpu_overcommit_percent: update.cpu_overcommit_percent,
        };
        let rev = answer::rev(self.0.command(command, deadline).await)?;
        Ok(Response::new(v1::UpdateHostResponse { rev }))
    }

    async fn set_scheduling(
        &self,
        request: Request<v1::SetSchedulingRequest>,
    ) -> Result<Response<v1::SetSchedulingResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let message = request.into_inner();
        let scheduling = match message.check().map_err(invalid)? {
            v1::Scheduling::Cordoned => Scheduling::Cordoned,
            v1::Scheduling::Draining => Scheduling::Draining,
            v1::Scheduling::Open | v1::Scheduling::Unspecified => Scheduling::Open,
        };
        let command = SetScheduling { name: message.name, scheduling: scheduling as i32 };
        match self.0.command(command, deadline).await? {
            Answered::Did(Effect::SchedulingSet { rev, reservations }) => {
                Ok(Response::new(v1::SetSchedulingResponse { rev, reservations }))
            }
            other => Err(WireError::internal(format!("scheduling was answered with {other:?}")).into()),
        }
    }

    async fn remove_host(
        &self,
        request: Request<v1::RemoveHostRequest>,
    ) -> Result<Response<v1::RemoveHostResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let message = request.into_inner();
        message.check().map_err(invalid)?;
        let rev = answer::rev(self.0.command(RemoveHost { name: message.name }, deadline).await)?;
        Ok(Response::new(v1::RemoveHostResponse { rev }))
    }

    async fn record_image(
        &self,
        request: Request<v1::RecordImageRequest>,
    ) -> Result<Response<v1::RecordImageResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let image = request.into_inner().into_image().map_err(invalid)?;
        let rev = answer::rev(self.0.command(RecordImage { image }, deadline).await)?;
        Ok(Response::new(v1::RecordImageResponse { rev }))
    }

    async fn list_images(
        &self,
        request: Request<v1::ListImagesRequest>,
    ) -> Result<Response<v1::ListImagesResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let page = convert::page(message.page_size).map_err(invalid)?;
        let listed = self.0.scan(&metadata, move |fleet, rev| {
            let mut images = fleet.images_after(&message.after_reference);
            let shown: Vec<v1::ImageSummary> =
                images.by_ref().take(page).map(|entry| image::summary(fleet, entry)).collect();
            let more = images.next().is_some();
            let next_after_reference =
                shown.last().filter(|_| more).map_or_else(String::new, |last| last.reference.clone());
            v1::ListImagesResponse { rev, images: shown, next_after_reference }
        });
        listed.await
    }

    async fn show_image(
        &self,
        request: Request<v1::ShowImageRequest>,
    ) -> Result<Response<v1::ShowImageResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let top = message.check().map_err(invalid)?;
        self.0.images().know(&self.0, &message.reference, deadline::of(&metadata)).await;
        let reference = message.reference.clone();
        let shown = self.0.scan(&metadata, move |fleet, rev| image::shown(fleet, rev, &reference, top)).await?;
        let (metadata, body, extensions) = shown.into_parts();
        let body = body.ok_or_else(|| invalid(Refused::UnknownImage { image: message.reference }))?;
        Ok(Response::from_parts(metadata, body, extensions))
    }

    async fn warm_image(&self, request: Request<v1::WarmImageRequest>) -> Result<Response<warm::Outgoing>, Status> {
        let (metadata, _, message) = request.into_parts();
        warm::warm(&self.0, &metadata, message).await.map(Response::new)
    }

    async fn set_region_alias(
        &self,
        request: Request<v1::SetRegionAliasRequest>,
    ) -> Result<Response<v1::SetRegionAliasResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let alias = convert::region_alias(request.into_inner()).map_err(invalid)?;
        let rev = answer::rev(self.0.command(SetRegionAlias { alias }, deadline).await)?;
        Ok(Response::new(v1::SetRegionAliasResponse { rev }))
    }

    async fn list_regions(
        &self,
        request: Request<v1::ListRegionsRequest>,
    ) -> Result<Response<v1::ListRegionsResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let page = convert::page(message.page_size).map_err(invalid)?;
        self.0.scan(&metadata, move |fleet, rev| regions::page(fleet, rev, page, &message.after_name)).await
    }
}

fn host(host: &Host) -> v1::Host {
    let (spec, usage) = (&*host.spec, host.usage());
    let scheduling = match host.scheduling {
        Scheduling::Open => v1::Scheduling::Open,
        Scheduling::Cordoned => v1::Scheduling::Cordoned,
        Scheduling::Draining => v1::Scheduling::Draining,
    };
    let devices = spec.devices.iter().enumerate();
    v1::Host {
        id: host.id,
        spec: Some(spec.clone().into()),
        scheduling: scheduling as i32,
        free_cpu_shared_milli: spec.cpu_shared_promisable_milli().saturating_sub(usage.cpu_shared_milli),
        free_cpu_performance_milli: spec.cpu_performance_milli.saturating_sub(usage.cpu_performance_milli),
        free_memory_bytes: spec.memory_bytes.saturating_sub(usage.memory_bytes),
        free_volume_bytes: spec.volume_bytes.saturating_sub(usage.volume_bytes),
        free_devices: devices
            .map(|(at, device)| v1::DeviceShare { index: device.index, milli: usage.free_device_milli(at) })
            .collect(),
        reservations: host.reservations().len() as u32,
        volumes: host.volumes().len() as u32,
        layers: host.layers().len() as u32,
        layer_bytes: host.layer_bytes(),
        unreachable: host.unreachable,
        rates: Some(rates(host)),
    }
}

fn rates(host: &Host) -> v1::HostRates {
    let (rates, measured) = (host.rates(), host.measured());
    v1::HostRates {
        stream_bytes_per_s: rates.stream_bytes_per_s,
        link_bytes_per_s: rates.link_bytes_per_s,
        unpack_bytes_per_s: rates.unpack_bytes_per_s,
        stream_measured: measured.stream.is_some(),
        link_measured: measured.link.is_some(),
        unpack_measured: measured.unpack.is_some(),
    }
}
