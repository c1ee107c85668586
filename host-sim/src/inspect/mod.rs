//! What a WebAssembly module asks of a proxy-wasm host and offers it, without
//! running it.

mod known;

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use thiserror::Error;
use wasmparser::{ExternalKind, MemoryType, Parser, Payload, TypeRef};

use crate::error::HostError;
use crate::module::FilterModule;

/// Bytes of a page of linear memory.
const PAGE: u64 = 65_536;

/// What was found in a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its size in bytes.
    pub size: usize,
    /// The versions of the ABI that its exports name. Envoy takes the first it knows.
    pub abi: Vec<String>,
    /// What it imports.
    pub imports: Vec<Import>,
    /// The callbacks of proxy-wasm that it exports.
    pub callbacks: Vec<String>,
    /// Everything else that it exports.
    pub exports: Vec<String>,
    /// Its sections and their sizes in bytes, in order; custom ones by their name.
    pub sections: Vec<Section>,
    /// Its linear memory, if it has one.
    pub memory: Option<Memory>,
    /// Why Envoy would not load it; nothing when it would.
    pub envoy_objections: Vec<String>,
    /// Why this host does not load it.
    pub host_sim_objection: Option<String>,
}

/// Something a module imports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// The module it comes from, and its name there.
    pub name: String,
    /// What Envoy has for it.
    pub envoy: Provision,
}

/// What Envoy has for an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provision {
    /// A hostcall of proxy-wasm that does something for a network filter.
    Hostcall,
    /// A hostcall of proxy-wasm for HTTP filters: a network filter gets an error status.
    HttpOnly,
    /// One of the calls of WASI that Envoy has. This host has none.
    Wasi,
    /// Nothing: it would not load.
    Missing,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: usize,
}

/// A linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Bytes it begins with.
    pub initial: u64,
    /// Bytes it may grow to; `None` where the module names no limit.
    pub maximum: Option<u64>,
}

/// Bytes that cannot be read as a WebAssembly module.
#[derive(Debug, Error)]
pub enum NoModule {
    /// They begin otherwise.
    #[error("this is no WebAssembly module; a text (.wat) has to be translated first")]
    Beginning,
    /// Something in them is wrong.
    #[error("this WebAssembly module is damaged: {0}")]
    Damaged(#[from] wasmparser::BinaryReaderError),
}

impl fmt::Display for Provision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hostcall => "hostcall",
            Self::HttpOnly => "for HTTP filters only",
            Self::Wasi => "WASI, in Envoy only",
            Self::Missing => "UNKNOWN to Envoy",
        })
    }
}

impl Inspection {
    /// Looks into a module.
    ///
    /// # Errors
    /// When the bytes cannot be read as WebAssembly at all.
    pub fn of(bytes: &[u8]) -> Result<Self, NoModule> {
        if !bytes.starts_with(b"\0asm") {
            return Err(NoModule::Beginning);
        }
        let mut found = Self {
            size: bytes.len(),
            ..Self::default()
        };
        let mut exported = BTreeSet::new();
        for payload in Parser::new(0).parse_all(bytes) {
            found.take_in(payload?, &mut exported)?;
        }
        found.envoy_objections = found.objections(&exported);
        found.host_sim_objection = host_sim_objection(bytes, &found, &exported);
        Ok(found)
    }

    fn take_in(
        &mut self,
        payload: Payload<'_>,
        exported: &mut BTreeSet<String>,
    ) -> Result<(), NoModule> {
        if let Some((id, range)) = payload.as_section() {
            let name = match &payload {
                Payload::CustomSection(custom) => format!("custom {}", custom.name()),
                _ => known::section(id).to_owned(),
            };
            self.sections.push(Section {
                name,
                size: usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX),
            });
        }
        match payload {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let kind = matches!(import.ty, TypeRef::Func(_));
                    self.imports.push(Import {
                        name: format!("{}.{}", import.module, import.name),
                        envoy: known::provision(import.module, import.name, kind),
                    });
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    self.memory = Some(memory?.into());
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    self.export(export.name, export.kind);
                    exported.insert(export.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn export(&mut self, name: &str, kind: ExternalKind) {
        let version = name.strip_prefix(known::ABI_PREFIX);
        match (version, kind) {
            (Some(version), ExternalKind::Func) => self.abi.push(version.replace('_', ".")),
            (None, ExternalKind::Func) if known::is_callback(name) => {
                self.callbacks.push(name.to_owned());
            }
            _ => self.exports.push(name.to_owned()),
        }
    }

    /// What Envoy holds against it, besides what its functions' types may be.
    fn objections(&self, exported: &BTreeSet<String>) -> Vec<String> {
        let mut objections = Vec::new();
        match self.abi.iter().find(|version| known::abi(version)) {
            Some(_) => {}
            None => objections.push(format!(
                "it exports none of {}, by which Envoy takes the ABI's version",
                known::ABI_VERSIONS.map(known::abi_export).join(", ")
            )),
        }
        if !known::ALLOCATORS
            .iter()
            .any(|name| exported.contains(*name))
        {
            objections.push(format!(
                "it exports none of {}",
                known::ALLOCATORS.join(", ")
            ));
        }
        let missing = self.imports.iter();
        let missing = missing.filter(|import| import.envoy == Provision::Missing);
        objections.extend(
            missing.map(|import| format!("it imports {}, which Envoy has not", import.name)),
        );
        objections
    }
}

/// Why this host does not run it; found out by compiling it.
fn host_sim_objection(
    bytes: &[u8],
    found: &Inspection,
    exported: &BTreeSet<String>,
) -> Option<String> {
    if let Err(error) = FilterModule::from_bytes(bytes) {
        return Some(error.to_string());
    }
    let needed = [
        (
            "memory",
            found.memory.is_some() && exported.contains("memory"),
        ),
        (
            "proxy_on_memory_allocate",
            known::ALLOCATORS
                .iter()
                .any(|name| exported.contains(*name)),
        ),
    ];
    let missing = needed.into_iter().find(|(_, there)| !there);
    missing.map(|(name, _)| HostError::MissingExport { name }.to_string())
}

impl From<MemoryType> for Memory {
    fn from(memory: MemoryType) -> Self {
        let page = memory
            .page_size_log2
            .map_or(PAGE, |log2| 1_u64 << log2.min(63));
        Self {
            initial: memory.initial.saturating_mul(page),
            maximum: memory.maximum.map(|pages| pages.saturating_mul(page)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(text: &str) -> Inspection {
        Inspection::of(&wat::parse_str(text).unwrap()).unwrap()
    }

    const GOOD: &str = r#"(module
        (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
        (memory (export "memory") 2 4)
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 0)
        (func (export "proxy_on_tick") (param i32)) (func (export "mine")))"#;

    #[test]
    fn a_filter_is_described() {
        let found = inspect(GOOD);
        assert_eq!(found.abi, ["0.2.1"]);
        assert_eq!(
            found.callbacks,
            ["proxy_on_memory_allocate", "proxy_on_tick"]
        );
        assert_eq!(found.exports, ["memory", "mine"]);
        let memory = Memory {
            initial: 2 * PAGE,
            maximum: Some(4 * PAGE),
        };
        assert_eq!(found.memory, Some(memory));
        assert_eq!(found.imports[0].envoy, Provision::Hostcall);
        assert!(found.envoy_objections.is_empty(), "{found:?}");
        assert_eq!(found.host_sim_objection, None);
        let sizes: usize = found.sections.iter().map(|section| section.size).sum();
        assert!(sizes > 0 && sizes < found.size);
    }

    #[test]
    fn what_would_not_load_is_told_why() {
        let found = inspect(r#"(module (import "env" "magic" (func)))"#);
        assert_eq!(found.imports[0].envoy, Provision::Missing);
        let objections = found.envoy_objections.join("; ");
        for part in ["proxy_abi_version_0_2_1", "malloc", "env.magic"] {
            assert!(objections.contains(part), "{objections}");
        }
        let objection = found.host_sim_objection.unwrap();
        assert!(objection.contains("env.magic"), "{objection}");
        assert!(Inspection::of(b"no module").is_err());
    }

    #[test]
    fn wasi_is_envoys_alone() {
        let wasi = r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
              (func (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0"))
            (func (export "malloc") (param i32) (result i32) i32.const 0))"#;
        let found = inspect(wasi);
        assert_eq!(found.imports[0].envoy, Provision::Wasi);
        assert!(found.envoy_objections.is_empty(), "{found:?}");
        assert!(found.host_sim_objection.is_some());
    }
}
