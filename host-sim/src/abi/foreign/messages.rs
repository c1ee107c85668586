//! The arguments of Envoy's foreign functions: `source/extensions/common/wasm/ext/*.proto`.

use prost::Message;

/// `SetEnvoyFilterStateArguments`; how long the value lives makes no difference here.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SetFilterState {
    #[prost(string, tag = "1")]
    pub(super) path: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

/// `DeclarePropertyArguments`; what type a value has makes no difference to who reads it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeclareProperty {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(bool, tag = "2")]
    pub(super) readonly: bool,
}

/// `VerifySignatureArguments`, as far as Envoy refuses it by its keys.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VerifySignature {
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(string, tag = "5")]
    public_key_pem: String,
}

/// `SignArguments`, as far as Envoy refuses it by its keys.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Sign {
    #[prost(bytes = "vec", tag = "2")]
    private_key: Vec<u8>,
    #[prost(string, tag = "4")]
    private_key_pem: String,
}

impl VerifySignature {
    /// Either kind, and not both.
    pub(super) fn has_a_key(&self) -> bool {
        self.public_key.is_empty() != self.public_key_pem.is_empty()
    }
}

impl Sign {
    /// Either kind, and not both.
    pub(super) fn has_a_key(&self) -> bool {
        self.private_key.is_empty() != self.private_key_pem.is_empty()
    }
}
