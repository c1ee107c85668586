//! TLS: certificates made when they are needed, and a client that says which one it saw.

use std::{
    fs,
    io::{self, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use clap::ValueEnum;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
};

use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use crate::{Error, paths};

/// The name that clients ask for.
const NAME: &str = "mx.example.test";

/// The kind of key that a certificate is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Key {
    /// ECDSA on P-256.
    Ec,
    /// RSA with 2048 bits, which most mail servers have.
    Rsa,
}

/// A directory with a certificate and its key, `tls.crt` and `tls.key`.
#[derive(Debug, Clone)]
pub struct Certificate {
    directory: PathBuf,
    /// Removed with the last that knows it.
    _temporary: Option<Arc<TempDir>>,
}

impl Certificate {
    /// The one in this directory, whether it is there already or not.
    #[must_use]
    pub fn in_directory(directory: PathBuf) -> Self {
        Self {
            directory,
            _temporary: None,
        }
    }

    /// Makes one that goes away with its last copy.
    ///
    /// # Errors
    /// As [`Certificate::make`].
    pub fn temporary() -> Result<Self, Error> {
        Self::temporary_of(Key::Ec)
    }

    /// The same with this kind of key.
    ///
    /// # Errors
    /// As [`Certificate::make`].
    pub fn temporary_of(key: Key) -> Result<Self, Error> {
        let made = tempfile::Builder::new().prefix("portcullis-tls-").tempdir();
        let directory = made.map_err(Error::file(std::env::temp_dir()))?;
        let mut certificate = Self::make_of(key, directory.path())?;
        certificate._temporary = Some(Arc::new(directory));
        Ok(certificate)
    }

    /// Puts another one in its place, the key first.
    ///
    /// # Errors
    /// As [`Certificate::make`], or [`Error::File`].
    pub fn replace(&self) -> Result<(), Error> {
        let next = Self::make(&self.directory.join("next"))?;
        for (from, to) in [(next.key(), self.key()), (next.chain(), self.chain())] {
            fs::rename(&from, to).map_err(Error::file(from))?;
        }
        fs::remove_dir(next.directory()).map_err(Error::file(next.directory()))
    }

    /// Makes a self-signed one in this directory, if it has none.
    ///
    /// # Errors
    /// [`Error::Spawn`] or [`Error::Content`] if the script, or openssl below it, fails.
    pub fn make(directory: &Path) -> Result<Self, Error> {
        Self::make_of(Key::Ec, directory)
    }

    fn make_of(key: Key, directory: &Path) -> Result<Self, Error> {
        let script = paths::repository().join("scripts/certificate");
        let kind = match key {
            Key::Ec => "ec",
            Key::Rsa => "rsa",
        };
        let output = Command::new(script).arg(directory).arg(kind).output();
        let output = output.map_err(|source| Error::Spawn {
            name: "scripts/certificate".into(),
            source,
        })?;
        if !output.status.success() {
            return Err(Error::Content {
                path: directory.into(),
                reason: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        Ok(Self::in_directory(directory.into()))
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The certificate's file.
    #[must_use]
    pub fn chain(&self) -> PathBuf {
        self.directory.join("tls.crt")
    }

    /// The key's file.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.directory.join("tls.key")
    }

    /// The certificate itself.
    ///
    /// # Errors
    /// [`Error::Content`] if the file is none.
    pub fn read(&self) -> Result<CertificateDer<'static>, Error> {
        CertificateDer::from_pem_file(self.chain()).map_err(|error| Error::Content {
            path: self.chain(),
            reason: error.to_string(),
        })
    }

    fn read_key(&self) -> Result<PrivateKeyDer<'static>, Error> {
        PrivateKeyDer::from_pem_file(self.key()).map_err(|error| Error::Content {
            path: self.key(),
            reason: error.to_string(),
        })
    }
}

/// A connection to the guard, in cleartext or under TLS.
#[derive(Debug)]
pub enum Wire {
    /// Cleartext.
    Clear(TcpStream),
    /// TLS.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Tls(stream) => stream.get_ref(),
        }
    }

    /// The server's certificate, once there was a handshake.
    #[must_use]
    pub fn certificate(&self) -> Option<CertificateDer<'static>> {
        match self {
            Self::Clear(_) => None,
            Self::Tls(stream) => {
                let chain = stream.conn.peer_certificates()?;
                chain.first().map(|first| first.clone().into_owned())
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// How a client does TLS.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// One that takes any certificate, as mail clients do with STARTTLS, and shows none. Nothing is
    /// kept from one session for the next.
    #[must_use]
    pub fn new() -> Self {
        let builder = builder().with_no_client_auth();
        Self::with(builder)
    }

    /// The same, which shows this certificate if it is asked to.
    ///
    /// # Errors
    /// [`Error::Content`] if the files hold none.
    pub fn showing(own: &Certificate) -> Result<Self, Error> {
        let config = builder().with_client_auth_cert(vec![own.read()?], own.read_key()?);
        let config = config.map_err(|error| Error::Content {
            path: own.chain(),
            reason: error.to_string(),
        })?;
        Ok(Self::with(config))
    }

    fn with(mut config: ClientConfig) -> Self {
        config.resumption = rustls::client::Resumption::disabled();
        Self {
            config: Arc::new(config),
        }
    }

    /// The same for connections of tokio.
    #[must_use]
    pub fn connector(&self) -> TlsConnector {
        Arc::clone(&self.config).into()
    }

    /// Does the handshake on a connection.
    ///
    /// # Errors
    /// [`Error::Smtp`] if it fails.
    pub fn handshake(&self, mut socket: TcpStream) -> Result<Wire, Error> {
        let mut shake = || {
            let connection = ClientConnection::new(Arc::clone(&self.config), server_name()?);
            let mut connection = connection.map_err(io::Error::other)?;
            while connection.is_handshaking() {
                connection.complete_io(&mut socket)?;
            }
            Ok(connection)
        };
        let connection = shake().map_err(Error::smtp("the TLS handshake"))?;
        Ok(Wire::Tls(Box::new(StreamOwned::new(connection, socket))))
    }
}

impl Default for TlsClient {
    fn default() -> Self {
        Self::new()
    }
}

/// The name that clients ask for.
pub(crate) fn server_name() -> io::Result<ServerName<'static>> {
    ServerName::try_from(NAME).map_err(io::Error::other)
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn builder() -> Builder {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Anybody(Arc::clone(&provider)));
    let versions =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(rustls::ALL_VERSIONS);
    // The provider has cipher suites for both versions.
    let versions = versions.unwrap_or_else(|_| ClientConfig::builder());
    versions
        .dangerous()
        .with_custom_certificate_verifier(verifier)
}

/// Takes any certificate whose key the server has.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
