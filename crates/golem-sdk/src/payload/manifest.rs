//! The demands of a manifest on the machine that its payload runs on.

use golem_core::payload::Payload;
use yagna_api::Clock;
use yagna_api::properties::name;

use super::{PayloadError, require};
use crate::clock::SystemClock;
use crate::manifest::{Manifest, ManifestError, SealedManifest};

/// The format of VM images, the only one there is.
const VM_FORMAT: &str = "gvmkit-squash";

/// Adds the manifest to what the demand says, and what it needs of a provider to what the demand asks.
///
/// **Errors**: those of [`SealedManifest::check`].
pub(super) fn ask(machine: &mut Payload, manifest: &SealedManifest) -> Result<(), ManifestError> {
    manifest.check(SystemClock.now())?;
    for (property, value) in &manifest.properties() {
        machine.properties.set(property, value.clone());
    }
    machine.properties.set(name::VM_PACKAGE_FORMAT, VM_FORMAT);
    for capability in manifest.capabilities() {
        require(machine, capability.to_owned());
    }
    Ok(())
}

/// Makes a manifest of the image and these addresses, in the place of the image.
///
/// **Errors**: [`PayloadError::OutboundWithoutImage`] where no image is named, or a manifest is; what is wrong with an
/// address.
pub(super) fn reach_out(machine: &mut Payload, urls: &[String]) -> Result<(), PayloadError> {
    let image = machine.image.take().ok_or(PayloadError::OutboundWithoutImage)?;
    let manifest = Manifest::new(&image, SystemClock.now()).outbound(urls.iter().cloned());
    Ok(ask(machine, &manifest.seal()?)?)
}
