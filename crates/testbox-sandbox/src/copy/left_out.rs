//! What a copy of the project lacks, told in a bounded number of sentences.

use std::path::Path;

use rustix::io::Errno;

/// Sentences at most; the last says how many more there are.
const SENTENCES: usize = 20;
/// Characters of a path that are told.
const PATH_CHARACTERS: usize = 300;

#[derive(Debug, Default)]
pub(super) struct LeftOut {
    sentences: Vec<String>,
    more: usize,
}

impl LeftOut {
    /// It cannot be opened; what is gone meanwhile is not missed.
    pub(super) fn unreadable(&mut self, path: &Path, errno: Errno) {
        match errno {
            Errno::NOENT => {}
            Errno::ACCESS | Errno::PERM => self.other(path, "the box's user may not read it"),
            errno => self.other(path, &format!("it cannot be read: {errno}")),
        }
    }

    /// A folder on which something is mounted.
    pub(super) fn mounted(&mut self, path: &Path) {
        self.say(format!(
            "`{}` is a mount of its own, and empty in the copy of the project (`--ro PATH` shows it)",
            shown(path)
        ));
    }

    /// A file that was being written.
    pub(super) fn changed(&mut self, path: &Path) {
        self.say(format!("`{}` changed while the project was copied", shown(path)));
    }

    /// A file whose end could not be read.
    pub(super) fn broken(&mut self, path: &Path, errno: Errno) {
        self.say(format!("`{}` is not whole in the copy of the project: it cannot be read: {errno}", shown(path)));
    }

    pub(super) fn other(&mut self, path: &Path, why: &str) {
        self.say(format!("`{}` is not in the copy of the project: {why}", shown(path)));
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.sentences.push(format!("{} more are not in the copy of the project, or not whole", self.more));
        }
        self.sentences
    }

    fn say(&mut self, sentence: String) {
        if self.sentences.len() < SENTENCES - 1 {
            self.sentences.push(sentence);
        } else {
            self.more += 1;
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().take(PATH_CHARACTERS).collect()
}
