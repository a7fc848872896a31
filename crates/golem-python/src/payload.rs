//! Payloads from dictionaries.

use std::path::PathBuf;

use golem_sdk::image::Registry;
use golem_sdk::manifest::{Certificates, SealedManifest};
use golem_sdk::payload::{PayloadSpec, Vm};
use golem_sdk::text::chain;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::bridge::{Bridge, spawn};
use crate::{error, json};

/// The payload of these settings.
///
/// **Errors**: `TypeError` and `ValueError` that name the setting.
pub(crate) fn spec(settings: &Bound<'_, PyDict>, devnet: bool) -> PyResult<PayloadSpec> {
    let text = |name: &str| get::<String>(settings, name);
    let runtime = text("runtime")?;
    let mut spec = if let Some(manifest) = text("manifest")? {
        Vm::manifest(sealed(settings, &manifest)?)
    } else if let Some(url) = text("image_url")? {
        Vm::image_url(url, text("image_hash")?.unwrap_or_default())
    } else if let Some(file) = get::<PathBuf>(settings, "image_file")? {
        Vm::image_file(file)
    } else if let Some(image) = text("image")? {
        if is_hash(&image) { Vm::image_hash(image) } else { Vm::image_tag(image) }
    } else if let Some(hash) = text("image_hash")? {
        Vm::image_hash(hash)
    } else if runtime.is_some() || settings.contains("task_package")? {
        PayloadSpec::runtime(runtime.clone().unwrap_or_else(|| "vm".to_owned()))
    } else {
        return Err(PyValueError::new_err(
            "The payload has no image. Name one by image=\"golem/alpine:latest\", by its hash, its address or its file.",
        ));
    };
    for (name, value) in settings.iter() {
        let name = name.cast::<PyString>()?.to_cow()?.into_owned();
        if value.is_none() {
            continue;
        }
        let read = |error: PyErr| named(&value, &name, &error);
        spec = match name.as_str() {
            "image"
            | "image_url"
            | "image_hash"
            | "image_file"
            | "manifest"
            | "manifest_signature"
            | "manifest_certificate"
            | "manifest_algorithm"
            | "manifest_node_descriptor" => spec,
            "runtime" => spec.on_runtime(value.extract::<String>().map_err(read)?),
            "version_at_least" => spec.version_at_least(value.extract::<String>().map_err(read)?),
            "version_below" => spec.version_below(value.extract::<String>().map_err(read)?),
            "task_package" => spec.task_package(value.extract::<String>().map_err(read)?),
            "min_mem_gib" => spec.min_mem_gib(value.extract().map_err(read)?),
            "min_storage_gib" => spec.min_storage_gib(value.extract().map_err(read)?),
            "min_cpu_threads" => spec.min_cpu_threads(value.extract().map_err(read)?),
            "min_cpu_cores" => spec.min_cpu_cores(value.extract().map_err(read)?),
            "capabilities" => spec.capabilities(value.extract::<Vec<String>>().map_err(read)?),
            "properties" => {
                let properties = value.cast::<PyDict>().map_err(|error| read(error.into()))?;
                properties.iter().try_fold(spec, |spec, (name, value)| {
                    PyResult::Ok(spec.property(name.extract::<String>()?, json::value(&value)?))
                })?
            }
            "constraints" => {
                let constraints = value.extract::<Vec<String>>().map_err(read)?;
                constraints.into_iter().fold(spec, PayloadSpec::constraint)
            }
            "registry" => {
                let registry = value.extract::<String>().map_err(read)?;
                spec.registry(if registry == "devnet" { Registry::devnet() } else { Registry::at(registry) })
            }
            "https" => spec.https(value.extract().map_err(read)?),
            other => return Err(PyValueError::new_err(format!("A payload has no setting {other:?}."))),
        };
    }
    if devnet && !settings.contains("registry")? {
        spec = spec.registry(Registry::devnet());
    }
    Ok(spec)
}

/// The length of a SHA3-224 hash in hexadecimal digits, as images are named by.
const HASH: usize = 56;

fn is_hash(image: &str) -> bool {
    image.len() == HASH && image.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn sealed(settings: &Bound<'_, PyDict>, manifest: &str) -> PyResult<SealedManifest> {
    let wrong = |error: &(dyn std::error::Error + 'static)| {
        PyValueError::new_err(error::sentence(&format!("the manifest isn't right: {}", chain(error))))
    };
    let sealed = SealedManifest::from_text(manifest).map_err(|error| wrong(&error))?;
    if let Some(descriptor) = settings.get_item("manifest_node_descriptor")?.filter(|value| !value.is_none())
    {
        return Ok(sealed.node_descriptor(json::value(&descriptor)?));
    }
    let Some(signature) = get::<Vec<u8>>(settings, "manifest_signature")? else { return Ok(sealed) };
    let algorithm = get::<String>(settings, "manifest_algorithm")?.unwrap_or_else(|| "sha256".to_owned());
    let certificate = get::<String>(settings, "manifest_certificate")?.unwrap_or_default();
    let _checked = Certificates::from_pem(certificate.as_bytes()).map_err(|error| wrong(&error))?;
    sealed.signature(signature, algorithm, certificate).map_err(|error| wrong(&error))
}

/// A setting; none where it is left out or `None`.
pub(crate) fn get<'py, T>(settings: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    match settings.get_item(name)?.filter(|value| !value.is_none()) {
        None => Ok(None),
        Some(value) => {
            let read: Result<T, PyErr> = value.extract().map_err(Into::into);
            read.map(Some).map_err(|error| named(&value, name, &error))
        }
    }
}

/// The error of a setting that can't be read, with its name.
fn named(value: &Bound<'_, PyAny>, name: &str, error: &PyErr) -> PyErr {
    let shown = value.repr().map_or_else(|_| "a value".to_owned(), |shown| shown.to_string());
    let problem = error.value(value.py()).to_string();
    PyTypeError::new_err(format!("The setting {name} can't be {shown}: {problem}."))
}

/// The properties and constraints of a demand for a payload.
#[pyfunction]
#[pyo3(signature = (payload, devnet = false))]
pub(crate) fn resolve_payload<'py>(
    py: Python<'py>,
    payload: &Bound<'py, PyDict>,
    devnet: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let bridge = Bridge::current(py)?;
    let spec = spec(payload, devnet)?;
    let work = async move { spec.resolve().await };
    spawn(py, &bridge, work, |py, resolved| {
        let payload = resolved.map_err(|problem| error::plain(py, "payload", &problem))?;
        let told = PyDict::new(py);
        told.set_item("properties", json::of(py, &payload.properties())?)?;
        told.set_item("constraints", payload.constraints().to_string())?;
        Ok(told.into_any().unbind())
    })
}
