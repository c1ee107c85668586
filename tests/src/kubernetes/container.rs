//! A container of a built manifest, without a container: its files in a directory, and its command.

use std::{
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Manifests,
    manifests::{lacks, list, text},
};
use crate::{Error, paths, tls::Certificate};

/// A container, whose absolute paths are below a directory of its own.
#[derive(Debug)]
pub struct Container {
    root: TempDir,
    spec: Value,
}

impl Container {
    /// Lays out what the container `name` of a workload mounts: ConfigMaps and Secrets from the
    /// manifests, and the built filter where an image, or an init container, would bring it.
    ///
    /// # Errors
    /// [`Error::Content`] if the workload mounts what the manifests do not have.
    pub fn of(
        manifests: &Manifests,
        kind: &str,
        workload: &str,
        name: &str,
    ) -> Result<Self, Error> {
        let made = tempfile::Builder::new()
            .prefix("portcullis-container-")
            .tempdir();
        let root = made.map_err(Error::file(std::env::temp_dir()))?;
        let pod = manifests
            .object(kind, workload)?
            .pointer("/spec/template/spec");
        let pod = pod.ok_or_else(|| lacks("pod template"))?;
        let mut containers = list(pod, "/containers").chain(list(pod, "/initContainers"));
        let spec = containers.find(|one| text(one, "/name") == Some(name));
        let spec = spec.ok_or_else(|| lacks(&format!("container {name}")))?;
        let container = Self {
            root,
            spec: spec.clone(),
        };
        for mount in list(spec, "/volumeMounts") {
            let volume = list(pod, "/volumes").find(|one| one.get("name") == mount.get("name"));
            let directory = container.path(text(mount, "/mountPath").unwrap_or_default());
            fs::create_dir_all(&directory).map_err(Error::file(&directory))?;
            // A claim's volume is not listed, and empty.
            if let Some(volume) = volume {
                fill(&directory, manifests, volume)?;
            }
        }
        Ok(container)
    }

    /// Where an absolute path of the container is here.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside.trim_start_matches('/'))
    }

    /// The text of one of its files.
    ///
    /// # Errors
    /// [`Error::File`] if it is not there.
    pub fn read(&self, inside: &str) -> Result<String, Error> {
        let path = self.path(inside);
        fs::read_to_string(&path).map_err(Error::file(path))
    }

    /// `command` and `args` of the container, or of a place in it such as `/lifecycle/preStop/exec`:
    /// its paths made those of here.
    #[must_use]
    pub fn words(&self, place: &str) -> Vec<String> {
        let of = |key: &str| list(&self.spec, &format!("{place}/{key}"));
        let words = of("command").chain(of("args")).filter_map(Value::as_str);
        words.map(|word| self.here(word)).collect()
    }

    /// The number of the port with this name.
    ///
    /// # Errors
    /// [`Error::Content`] if there is none.
    pub fn port(&self, name: &str) -> Result<u16, Error> {
        let port = list(&self.spec, "/ports").find(|port| text(port, "/name") == Some(name));
        let number = port.and_then(|port| port.get("containerPort")?.as_u64());
        let number = number.and_then(|number| u16::try_from(number).ok());
        number.ok_or_else(|| lacks(&format!("port {name}")))
    }

    /// A path as it is here, if it is one of a mounted file; else the word as it is.
    #[must_use]
    pub fn here(&self, word: &str) -> String {
        let path = self.path(word);
        if word.starts_with('/') && path.exists() {
            path.display().to_string()
        } else {
            word.to_owned()
        }
    }
}

/// Puts into the directory what a volume holds.
fn fill(directory: &Path, manifests: &Manifests, volume: &Value) -> Result<(), Error> {
    if let Some(name) = text(volume, "/configMap/name") {
        let data = manifests.object("ConfigMap", name)?.get("data");
        return write_all(directory, data, |_, value| Some(value.as_bytes().to_vec()));
    }
    if text(volume, "/name") == Some("certificate") {
        // Its Secret is nobody's manifest.
        return Certificate::make(directory).map(drop);
    }
    if let Some(name) = text(volume, "/secret/secretName") {
        let data = manifests.object("Secret", name)?.get("data");
        let items = list(volume, "/secret/items");
        let chosen: Vec<_> = items.filter_map(|item| text(item, "/key")).collect();
        return write_all(directory, data, |key, value| {
            let wanted = chosen.is_empty() || chosen.contains(&key);
            wanted.then(|| BASE64_STANDARD.decode(value.replace('\n', "")).ok())?
        });
    }
    if text(volume, "/name") == Some("filter") {
        let to = directory.join("plugin.wasm");
        fs::copy(paths::wasm()?, &to).map_err(Error::file(to))?;
        // The image with the module has both.
        if let Ok(module) = paths::starttls() {
            let to = directory.join("libportcullis_starttls.so");
            fs::copy(module, &to).map_err(Error::file(to))?;
        }
    }
    Ok(())
}

/// Writes the entries of a ConfigMap or Secret that `decode` gives octets for.
fn write_all(
    directory: &Path,
    data: Option<&Value>,
    decode: impl Fn(&str, &str) -> Option<Vec<u8>>,
) -> Result<(), Error> {
    let entries = data.and_then(Value::as_object);
    for (key, value) in entries.into_iter().flatten() {
        if let Some(octets) = decode(key, value.as_str().unwrap_or_default()) {
            let path = directory.join(key);
            fs::write(&path, octets).map_err(Error::file(path))?;
        }
    }
    Ok(())
}
