//! A file that grows, and is replaced or cut now and then.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Of what was there before, only so many octets are read: some 30,000 sessions.
const BEFORE: u64 = 32 << 20;
/// What is read at once.
const PIECE: usize = 256 << 10;
/// The longest line; the rest of a longer one is dropped. A record has about 1000 octets.
const LINE: usize = 64 << 10;

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Whole lines, each with its end, and how many were dropped for their length.
    Lines {
        /// The lines.
        lines: Vec<u8>,
        /// Lines that were too long.
        dropped: u64,
    },
    /// Nothing new.
    Nothing,
}

/// The end of a file that is followed by its name, as `tail -F` does.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    open: Option<Open>,
    /// What is read of a line whose end is not there yet.
    begun: Vec<u8>,
    /// Whether what comes belongs to a line that is dropped.
    dropping: bool,
    /// Whether a file has been opened before: the next one is read from its beginning.
    followed: bool,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Which file it is: device and number.
    identity: (u64, u64),
    offset: u64,
}

impl Tail {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            open: None,
            begun: Vec::new(),
            dropping: false,
            followed: false,
        }
    }

    /// The next piece of it.
    pub(super) fn take(&mut self) -> io::Result<Taken> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.reopen()?,
        };
        if open.file.metadata()?.len() < open.offset {
            // It was cut: what was begun will never end.
            open.offset = 0;
            self.forget_line(false);
        }
        let mut piece = vec![0; PIECE];
        open.file.seek(SeekFrom::Start(open.offset))?;
        let read = open.file.read(&mut piece)?;
        piece.truncate(read);
        open.offset += read as u64;
        if read == 0 {
            return self.nothing(open);
        }
        self.open = Some(open);
        Ok(self.lines(&piece))
    }

    /// The file is at its end: unless another has its name now, that is all.
    fn nothing(&mut self, open: Open) -> io::Result<Taken> {
        let named = self.path.metadata()?;
        if (named.dev(), named.ino()) == open.identity {
            self.open = Some(open);
            return Ok(Taken::Nothing);
        }
        self.forget_line(false);
        self.take()
    }

    fn reopen(&mut self) -> io::Result<Open> {
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        let offset = match self.followed {
            true => 0,
            false => metadata.len().saturating_sub(BEFORE),
        };
        self.followed = true;
        // In the middle of a file is, in all likelihood, the middle of a line.
        self.forget_line(offset > 0);
        Ok(Open {
            file,
            identity: (metadata.dev(), metadata.ino()),
            offset,
        })
    }

    fn forget_line(&mut self, dropping: bool) {
        self.begun.clear();
        self.dropping = dropping;
    }

    fn lines(&mut self, piece: &[u8]) -> Taken {
        let mut lines = Vec::new();
        let mut dropped = 0;
        for line in piece.split_inclusive(|octet| *octet == b'\n') {
            let ends = line.ends_with(b"\n");
            if !self.dropping && self.begun.len() + line.len() > LINE {
                self.begun.clear();
                self.dropping = true;
                dropped += 1;
            }
            match (self.dropping, ends) {
                (true, _) => self.dropping = !ends,
                (false, true) => {
                    lines.append(&mut self.begun);
                    lines.extend_from_slice(line);
                }
                (false, false) => self.begun.extend_from_slice(line),
            }
        }
        Taken::Lines { lines, dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write as _;
    use tempfile::TempDir;

    /// A log in a directory of its own, and who follows it.
    struct Followed {
        _directory: TempDir,
        path: PathBuf,
        tail: Tail,
    }

    impl Followed {
        fn new() -> Self {
            let directory = TempDir::new().unwrap();
            let path = directory.path().join("access.log");
            Self {
                tail: Tail::new(&path),
                path,
                _directory: directory,
            }
        }

        fn append(&self, text: &str) {
            let mut file = File::options()
                .create(true)
                .append(true)
                .open(&self.path)
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        /// All that can be had, and the lines dropped.
        fn all(&mut self) -> (String, u64) {
            let mut all = (Vec::new(), 0);
            while let Taken::Lines { mut lines, dropped } = self.tail.take().unwrap() {
                all.0.append(&mut lines);
                all.1 += dropped;
            }
            (String::from_utf8(all.0).unwrap(), all.1)
        }

        fn text(&mut self) -> String {
            self.all().0
        }
    }

    #[test]
    fn lines_come_when_they_are_whole() {
        let mut log = Followed::new();
        log.append("one\ntw");
        assert_eq!(log.text(), "one\n");
        assert_eq!(log.text(), "");
        log.append("o\nthree\n");
        assert_eq!(log.text(), "two\nthree\n");
    }

    #[test]
    fn a_file_that_is_not_there_is_told_of_and_waited_for() {
        let mut log = Followed::new();
        assert_eq!(log.tail.take().unwrap_err().kind(), io::ErrorKind::NotFound);
        log.append("one\n");
        assert_eq!(log.text(), "one\n");
    }

    #[test]
    fn a_file_that_is_replaced_is_read_to_its_end_and_then_the_new_one() {
        let mut log = Followed::new();
        log.append("one\n");
        assert_eq!(log.text(), "one\n");
        log.append("two\nhal");
        fs::rename(&log.path, log.path.with_extension("1")).unwrap();
        log.append("three\n");
        assert_eq!(log.text(), "two\nthree\n");
    }

    #[test]
    fn a_file_that_is_cut_is_read_anew() {
        let mut log = Followed::new();
        log.append("one two three\n");
        assert_eq!(log.text(), "one two three\n");
        fs::write(&log.path, "four\n").unwrap();
        assert_eq!(log.text(), "four\n");
    }

    #[test]
    fn of_an_old_file_only_the_end_is_read_from_the_next_line_on() {
        let mut log = Followed::new();
        let line = format!("{}\n", "x".repeat(1023));
        log.append(&line.repeat(40_000));
        log.append("last\n");
        let text = log.text();
        assert!(text.len() as u64 <= BEFORE, "{}", text.len());
        assert!(text.len() as u64 > BEFORE - 2048, "{}", text.len());
        assert!(text.starts_with('x') && text.ends_with("last\n"));
        assert!(text.lines().rev().skip(1).all(|one| one.len() == 1023));
    }

    #[test]
    fn a_line_that_is_too_long_is_dropped_alone() {
        let mut log = Followed::new();
        log.append("before\n");
        log.append(&"y".repeat(3 * PIECE));
        log.append("\nafter\n");
        assert_eq!(log.all(), ("before\nafter\n".to_owned(), 1));
        assert!(log.tail.begun.is_empty());
        // At the bound exactly, its end included.
        let line = format!("{}\n", "z".repeat(LINE - 1));
        log.append(&line);
        assert_eq!(log.all(), (line, 0));
    }
}
