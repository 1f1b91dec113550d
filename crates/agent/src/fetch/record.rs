//! Names for whole images, so that whoever pulls or runs one by its name finds it.

use containerd_client::{
    services::v1::{CreateImageRequest, GetImageRequest, Image, UpdateImageRequest, images_client::ImagesClient},
    tonic::{Code, transport::Channel},
    types::Descriptor,
};
use gantry_types::Digest;
use prost_types::FieldMask;

use super::{
    error::FetchError,
    store::{Store, call, code, there},
};

impl Store {
    fn images(&self) -> ImagesClient<Channel> {
        ImagesClient::new(self.channel.clone())
    }

    /// What a name stands for here; nothing where there is no such name.
    pub(super) async fn named(&self, name: &str) -> Result<Option<Digest>, FetchError> {
        let wanted = GetImageRequest { name: name.to_owned() };
        let found = there(call("an image cannot be looked up", self.images().get(self.request(wanted))).await)?;
        let target = found.and_then(|found| found.image?.target);
        Ok(target.and_then(|target| Digest::parse("image", &target.digest).ok()))
    }

    /// Lets a name stand for an index or a manifest; one that stands for another is moved, as a pull moves it.
    pub(super) async fn name(&self, name: &str, target: Descriptor) -> Result<(), FetchError> {
        const WHAT: &str = "an image cannot be named";
        let image = Image { name: name.to_owned(), target: Some(target), ..Image::default() };
        let wanted = CreateImageRequest { image: Some(image.clone()), ..CreateImageRequest::default() };
        match call(WHAT, self.images().create(self.request(wanted))).await {
            Err(error) if code(&error) == Some(Code::AlreadyExists) => {
                let mask = FieldMask { paths: vec!["target".to_owned()] };
                let wanted =
                    UpdateImageRequest { image: Some(image), update_mask: Some(mask), ..UpdateImageRequest::default() };
                call(WHAT, self.images().update(self.request(wanted))).await.map(drop)
            }
            created => created.map(drop),
        }
    }
}
