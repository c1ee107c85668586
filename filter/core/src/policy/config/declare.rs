//! How the parts of the configuration are declared: once for its types, its reader and its schema.
//!
//! Serde's own readers would be a sixth of the filter, which every worker loads: one of its own for
//! each part, and each of them for sequences too.

/// A part with fields, all of them optional: it needs a `Default`.
macro_rules! section {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl $crate::policy::config::read::Section for $name {
            fn fields(&mut self) -> Vec<$crate::policy::config::read::Field<'_>> {
                vec![$((stringify!($field), &mut self.$field)),*]
            }
        }

        impl $crate::policy::config::read::Read for $name {
            fn read(&mut self, piece: $crate::policy::config::read::Piece<'_>) {
                $crate::policy::config::read::section(self, piece);
            }
        }
    };
}

/// One of several words.
macro_rules! choice {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name { $($(#[$word_doc])* #[serde(rename = $word)] $variant,)* }

        impl $crate::policy::config::read::Read for $name {
            fn read(&mut self, piece: $crate::policy::config::read::Piece<'_>) {
                let index = $crate::policy::config::read::choice(&[$($word),*], piece);
                if let Some(chosen) = index.and_then(|index| [$(Self::$variant),*].get(index).copied()) {
                    *self = chosen;
                }
            }
        }
    };
}
