//! The wheel: the binary as a script of a Python package without Python code, for `pip install` and `uvx`.

use std::io::Write;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{Parts, VERSION};
use crate::error::Error;

/// A static binary runs beside any C library: the oldest that pip and uv know of both kinds.
const PLATFORM: &str = "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64";
const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;

/// Writes it; the same parts give the same bytes.
pub(super) fn make(parts: &Parts<'_>) -> Result<PathBuf, Error> {
    let path = parts.out.join(format!("testbox-{VERSION}-py3-none-{PLATFORM}.whl"));
    let (file, _) = fs_err::File::create(&path)?.into_parts();
    let mut wheel = Wheel { zip: ZipWriter::new(file), record: String::new() };
    let info = format!("testbox-{VERSION}.dist-info");
    let text = |name: &str| fs_err::read_to_string(parts.workspace.root.join(name));
    wheel.add(&format!("testbox-{VERSION}.data/scripts/testbox"), PROGRAM, &fs_err::read(parts.binary)?)?;
    wheel.add(&format!("{info}/METADATA"), FILE, metadata(&text("README.md")?).as_bytes())?;
    wheel.add(&format!("{info}/WHEEL"), FILE, tags().as_bytes())?;
    wheel.add(&format!("{info}/licenses/LICENSE"), FILE, text("LICENSE")?.as_bytes())?;
    wheel.finish(&format!("{info}/RECORD"))?;
    Ok(path)
}

/// Core metadata (packaging.python.org).
fn metadata(readme: &str) -> String {
    format!(
        "Metadata-Version: 2.4\n\
         Name: testbox\n\
         Version: {VERSION}\n\
         Summary: Run tests in a box that they cannot break, and learn what went wrong.\n\
         License-Expression: MIT OR Apache-2.0\n\
         License-File: LICENSE\n\
         Classifier: Operating System :: POSIX :: Linux\n\
         Classifier: Topic :: Software Development :: Testing\n\
         Requires-Python: >=3.8\n\
         Description-Content-Type: text/markdown\n\n{readme}"
    )
}

fn tags() -> String {
    let tags = PLATFORM.split('.').map(|platform| format!("Tag: py3-none-{platform}\n"));
    format!("Wheel-Version: 1.0\nGenerator: testbox-xtask\nRoot-Is-Purelib: false\n{}", tags.collect::<String>())
}

struct Wheel {
    zip: ZipWriter<std::fs::File>,
    record: String,
}

impl Wheel {
    fn add(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<(), Error> {
        self.write(name, mode, bytes)?;
        let hash = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(bytes));
        self.record.push_str(&format!("{name},sha256={hash},{}\n", bytes.len()));
        Ok(())
    }

    /// The record does not hold a hash of itself.
    fn finish(mut self, record: &str) -> Result<(), Error> {
        let text = format!("{}{record},,\n", self.record);
        self.write(record, FILE, text.as_bytes())?;
        self.zip.finish().map_err(std::io::Error::from)?;
        Ok(())
    }

    fn write(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<(), Error> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(zip::DateTime::DEFAULT)
            .unix_permissions(mode);
        self.zip.start_file(name, options).map_err(std::io::Error::from)?;
        Ok(self.zip.write_all(bytes)?)
    }
}
