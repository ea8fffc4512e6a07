//! Where an export goes: a file that has its name only once it is whole and safe on disk, or standard output.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Stdout, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use flate2::{Compression, write::GzEncoder};

use crate::operate::{dlq::export, output::written};

/// What is written to.
pub(super) struct Target {
    stream: Stream,
    file: Option<(File, PathBuf, PathBuf)>,
}

enum Stream {
    Plain(BufWriter<Counted>),
    Gzip(GzEncoder<BufWriter<Counted>>),
}

/// A sink that counts.
struct Counted {
    sink: Sink,
    bytes: u64,
}

enum Sink {
    File(File),
    Stdout(Stdout),
}

impl Write for Counted {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = match &mut self.sink {
            Sink::File(file) => file.write(buffer)?,
            Sink::Stdout(stdout) => {
                let mut count = 0;
                written(stdout.write(buffer).map(|some| count = some))?;
                count
            }
        };
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::File(file) => file.flush(),
            Sink::Stdout(stdout) => written(stdout.flush()),
        }
    }
}

impl Target {
    /// Opens `path`, or standard output for `-`. Until the end the file has `.part` behind its name.
    ///
    /// # Errors
    /// The file exists already, or cannot be made.
    pub(super) fn open(path: &Path, gzip: bool) -> anyhow::Result<Self> {
        let (sink, file) = if path.as_os_str() == "-" {
            (Sink::Stdout(io::stdout()), None)
        } else {
            ensure!(!path.exists(), "{} exists already", path.display());
            let mut part = path.as_os_str().to_owned();
            part.push(".part");
            let part = PathBuf::from(part);
            let file = export::create(&part)?;
            (Sink::File(file.try_clone()?), Some((file, part, path.to_owned())))
        };
        let buffered = BufWriter::with_capacity(1 << 16, Counted { sink, bytes: 0 });
        let stream = match gzip {
            true => Stream::Gzip(GzEncoder::new(buffered, Compression::default())),
            false => Stream::Plain(buffered),
        };
        Ok(Self { stream, file })
    }

    /// Bytes written so far, compressed.
    pub(super) fn bytes(&self) -> u64 {
        match &self.stream {
            Stream::Plain(stream) => stream.get_ref().bytes,
            Stream::Gzip(stream) => stream.get_ref().get_ref().bytes,
        }
    }

    /// No more comes: everything leaves the buffers.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if let Stream::Gzip(stream) = &mut self.stream {
            stream.try_finish()?;
        }
        match &mut self.stream {
            Stream::Plain(stream) => stream.flush(),
            Stream::Gzip(stream) => stream.get_mut().flush(),
        }
    }

    /// The file is whole: it and its name are made to survive a power cut. A name taken meanwhile is not taken over.
    pub(super) fn keep(self) -> anyhow::Result<()> {
        let Some((file, part, path)) = self.file else { return Ok(()) };
        file.sync_all().with_context(|| format!("{} may not be whole on disk", part.display()))?;
        fs::hard_link(&part, &path)
            .with_context(|| format!("{} is whole, but cannot have its name", part.display()))?;
        fs::remove_file(&part)?;
        export::keep(&file, &path)
    }

    /// The file is not whole: it goes.
    pub(super) fn abandon(self) {
        if let Some((_, part, _)) = &self.file {
            let _ = fs::remove_file(part);
        }
    }
}

impl Write for Target {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write(buffer),
            Stream::Gzip(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.flush(),
            Stream::Gzip(stream) => stream.flush(),
        }
    }
}
