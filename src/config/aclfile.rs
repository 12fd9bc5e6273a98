//! The file of users (`aclfile`): read and written as a whole. What stands in it is known to `command::acl`.

use super::Config;
use super::error::system_word;
use super::rewrite::{RewriteError, replace_file};
use std::fs;
use std::path::Path;

impl Config {
    /// The text of the file.
    ///
    /// # Errors
    /// Redis' text, with the system's word.
    pub fn read_aclfile(&self) -> Result<Vec<u8>, String> {
        let path = &self.settings.aclfile;
        fs::read(path).map_err(|error| format!("Error loading ACLs, opening file '{path}': {}", system_word(&error)))
    }

    /// Makes `text` the content of the file: as a rewrite of the configuration, all of it or nothing.
    ///
    /// # Errors
    /// What failed; the old content stays.
    pub fn write_aclfile(&self, text: &[u8]) -> Result<(), RewriteError> {
        replace_file(Path::new(&self.settings.aclfile), text, &|from, to| fs::rename(from, to))
    }
}
