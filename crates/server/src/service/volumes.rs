//! Disks that outlive their machines.

use gantry_machine::{DeleteVolume, fingerprint};
use gantry_proto::{
    WireError, convert,
    v1::{self, volumes_server::Volumes},
};
use gantry_types::{Refused, VolumeRequest};
use tonic::{Request, Response, Status};

use super::{deadline, invalid, read};
use crate::{
    answer,
    call::{Answered, What},
    node::Node,
};

#[derive(Clone, Debug)]
pub(crate) struct VolumesService(pub Node);

#[tonic::async_trait]
impl Volumes for VolumesService {
    async fn create(
        &self,
        request: Request<v1::CreateVolumeRequest>,
    ) -> Result<Response<v1::CreateVolumeResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let request: VolumeRequest = read(request.into_inner())?;
        match self.0.decide(What::create_volume(request), deadline).await? {
            Answered::Volume { rev, volume, host } => {
                let volume = Some(convert::volume(&volume, &host));
                Ok(Response::new(v1::CreateVolumeResponse { rev, volume }))
            }
            other => Err(WireError::internal(format!("a volume was answered with {other:?}")).into()),
        }
    }

    async fn delete(
        &self,
        request: Request<v1::DeleteVolumeRequest>,
    ) -> Result<Response<v1::DeleteVolumeResponse>, Status> {
        let deadline = deadline::of(request.metadata());
        let message = request.into_inner();
        message.check().map_err(invalid)?;
        let mut delete = DeleteVolume { request_id: message.request_id, fingerprint: 0, volume: message.volume_id };
        delete.fingerprint = fingerprint(&delete);
        let rev = answer::rev(self.0.command(delete, deadline).await)?;
        Ok(Response::new(v1::DeleteVolumeResponse { rev }))
    }

    async fn get(&self, request: Request<v1::GetVolumeRequest>) -> Result<Response<v1::GetVolumeResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        message.check().map_err(invalid)?;
        let id = message.volume_id;
        let found = self.0.read(&metadata, |fleet, rev| {
            let row = fleet.volume(id)?;
            let volume = convert::volume(row, fleet.host_spec(row.host)?);
            Some(v1::GetVolumeResponse { rev, volume: Some(volume) })
        });
        let (metadata, body, extensions) = found.await?.into_parts();
        let body = body.ok_or_else(|| invalid(Refused::UnknownVolume { volume: id }))?;
        Ok(Response::from_parts(metadata, body, extensions))
    }

    async fn list(
        &self,
        request: Request<v1::ListVolumesRequest>,
    ) -> Result<Response<v1::ListVolumesResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let page = message.check().map_err(invalid)?;
        let listed = self.0.scan(&metadata, move |fleet, rev| {
            let rows = fleet.volumes_after(message.after_id);
            let mut rows = rows.filter(|row| message.app.is_empty() || row.app == message.app);
            let shown = rows.by_ref().take(page);
            let volumes: Vec<_> =
                shown.filter_map(|row| Some(convert::volume(row, fleet.host_spec(row.host)?))).collect();
            let next_after_id = rows.next().and(volumes.last()).map_or(0, |last| last.id);
            v1::ListVolumesResponse { rev, volumes, next_after_id }
        });
        listed.await
    }
}
