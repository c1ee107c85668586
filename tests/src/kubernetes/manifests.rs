//! What `kubectl kustomize` builds from a directory.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::{Error, paths};

/// The objects that a kustomization makes.
#[derive(Debug, Clone)]
pub struct Manifests {
    yaml: String,
    objects: Vec<Value>,
}

impl Manifests {
    /// Builds a directory.
    ///
    /// # Errors
    /// [`Error::Missing`] if kubectl is not installed, [`Error::Content`] with its words if it does
    /// not build.
    pub fn build(directory: &Path) -> Result<Self, Error> {
        let mut kubectl = Command::new(paths::kubernetes_tools()?.join("kubectl"));
        kubectl.arg("kustomize").arg(directory);
        let built = kubectl.output().map_err(|source| Error::Spawn {
            name: "kubectl".into(),
            source,
        })?;
        let content = |reason: String| Error::Content {
            path: directory.to_path_buf(),
            reason,
        };
        if !built.status.success() {
            return Err(content(String::from_utf8_lossy(&built.stderr).into_owned()));
        }
        let yaml = String::from_utf8_lossy(&built.stdout).into_owned();
        let objects = yaml.split("\n---\n").map(serde_saphyr::from_str);
        let objects: Result<Vec<Value>, _> = objects.collect();
        let objects = objects.map_err(|error| content(error.to_string()))?;
        Ok(Self { yaml, objects })
    }

    /// What `kubectl` wrote.
    #[must_use]
    pub fn yaml(&self) -> &str {
        &self.yaml
    }

    /// All objects.
    #[must_use]
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// The object of this kind and name.
    ///
    /// # Errors
    /// [`Error::Content`] if there is none.
    pub fn object(&self, kind: &str, name: &str) -> Result<&Value, Error> {
        let is = |object: &&Value| {
            text(object, "/kind") == Some(kind) && text(object, "/metadata/name") == Some(name)
        };
        let found = self.objects.iter().find(is);
        found.ok_or_else(|| lacks(&format!("{kind} {name}")))
    }

    /// The object whose name, before the hash that kustomize puts behind it, is this.
    ///
    /// # Errors
    /// As [`Manifests::object`].
    pub fn generated(&self, kind: &str, name: &str) -> Result<&Value, Error> {
        let is = |object: &&Value| {
            let named = text(object, "/metadata/name").and_then(|full| full.strip_prefix(name));
            let hash = named.and_then(|rest| rest.strip_prefix('-'));
            text(object, "/kind") == Some(kind) && hash.is_some_and(|hash| hash.len() == 10)
        };
        let found = self.objects.iter().find(is);
        found.ok_or_else(|| lacks(&format!("{kind} {name}-HASH")))
    }
}

/// The string at a place.
pub(super) fn text<'a>(tree: &'a Value, pointer: &str) -> Option<&'a str> {
    tree.pointer(pointer).and_then(Value::as_str)
}

/// The entries of the list at a place; none if there is no list.
pub(super) fn list<'a>(
    tree: &'a Value,
    pointer: &str,
) -> impl Iterator<Item = &'a Value> + use<'a> {
    let list = tree.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// For what a manifest should have and does not.
pub(super) fn lacks(what: &str) -> Error {
    Error::Content {
        path: paths::kubernetes(),
        reason: format!("what is built there has no {what}"),
    }
}
