//! Certificates for a private server, made by the program `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::finish;

/// An authority, and what it vouches for: a server at `localhost`, and at no address.
#[derive(Debug)]
pub struct Certificates {
    /// The certificate of the authority, in PEM.
    pub authority: PathBuf,
    pub(crate) server: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// New ones in a directory that is there.
    pub(crate) fn new(dir: &Path) -> Self {
        let at = |name: &str| dir.join(name);
        std::fs::write(at("config"), CONFIG).expect("a file of the test");
        let openssl = |args: &[&str]| {
            let words = args.iter().map(|word| word.replace('@', &format!("{}/", dir.display())));
            finish(Command::new("openssl").args(words));
        };
        let key = [
            "req",
            "-config",
            "@config",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ];
        openssl(
            &[&key[..], &["-x509", "-days", "2", "-keyout", "@authority.key", "-out", "@authority.crt"]]
                .concat(),
        );
        openssl(
            &[&key[..], &["-subj", "/CN=server", "-keyout", "@server.key", "-out", "@server.csr"]].concat(),
        );
        openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            "@server.csr",
            "-CA",
            "@authority.crt",
            "-CAkey",
            "@authority.key",
            "-CAcreateserial",
            "-extfile",
            "@config",
            "-extensions",
            "server",
            "-out",
            "@server.crt",
        ]);
        Self { authority: at("authority.crt"), server: at("server.crt"), key: at("server.key") }
    }

    pub(crate) fn can_be_made() -> bool {
        Command::new("openssl").arg("version").output().is_ok_and(|output| output.status.success())
    }
}

const CONFIG: &str = "
[req]
prompt = no
distinguished_name = name
x509_extensions = authority
[name]
CN = authority
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost
";
