//! What the changes of a root file system delete, in Podman's words.
//!
//! In an OCI layer a file `.wh.NAME` says that NAME is gone (image-spec, layer.md). Podman unpacks it as
//! a file, and removes afterwards what `deleted.files` lists (`CRRemoveDeletedFiles`): so both are listed.
//! It has no word for a directory of which everything else is gone (`.wh..wh..opq`).

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

/// With which a name begins that stands for another.
const WHITEOUT: &str = ".wh.";

/// The paths to be removed, from the root.
pub(super) fn list(layer: impl Read) -> io::Result<Vec<String>> {
    let mut layer = BufReader::new(layer);
    let layer: Box<dyn Read + '_> = match layer.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(layer)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(layer)?),
        _ => Box::new(layer),
    };
    let mut paths = Vec::new();
    for entry in tar::Archive::new(layer).entries()? {
        let path = entry?.path()?.to_string_lossy().into_owned();
        let path = path.trim_start_matches("./").trim_start_matches('/');
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(gone) = name.strip_prefix(WHITEOUT) else {
            continue;
        };
        let slash = if directory.is_empty() { "" } else { "/" };
        if !gone.starts_with(WHITEOUT) {
            paths.push(format!("/{directory}{slash}{gone}"));
        }
        paths.push(format!("/{directory}{slash}{name}"));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_listed_whatever_the_compression() {
        let mut tar = tar::Builder::new(Vec::new());
        for name in ["etc/new", "etc/.wh.old", ".wh.root", "x/.wh..wh..opq"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            tar.append_data(&mut header, name, io::empty()).unwrap();
        }
        let plain = tar.into_inner().unwrap();
        let expected = [
            "/etc/old",
            "/etc/.wh.old",
            "/root",
            "/.wh.root",
            "/x/.wh..wh..opq",
        ];
        assert_eq!(list(plain.as_slice()).unwrap(), expected);
        let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
        assert_eq!(list(zstd.as_slice()).unwrap(), expected);
        let mut gzip = Vec::new();
        let level = flate2::Compression::fast();
        let mut encoder = flate2::read::GzEncoder::new(plain.as_slice(), level);
        encoder.read_to_end(&mut gzip).unwrap();
        assert_eq!(list(gzip.as_slice()).unwrap(), expected);
        assert!(list(&b"no tar, and long enough for a header"[..]).is_err());
    }
}
