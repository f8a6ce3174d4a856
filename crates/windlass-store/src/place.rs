//! Where a store may be: on a file system of this machine, in a folder of this user.

use crate::artifact::io_error;
use crate::error::StoreError;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Kinds of file system that are shared with other machines, by their magic number on Linux.
#[cfg_attr(not(any(target_os = "linux", test)), expect(dead_code, reason = "other systems name the kind"))]
const SHARED_MAGICS: &[(u32, &str)] = &[
    (0x6969, "nfs"),
    (0x517b, "smb"),
    (0xfe53_4d42, "smb2"),
    (0xff53_4d42, "cifs"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x564c, "ncp"),
    (0x00c3_6400, "ceph"),
    (0x4750_4653, "gpfs"),
    (0x0bd0_0bd0, "lustre"),
    (0x7461_636f, "ocfs2"),
    (0x0116_1970, "gfs2"),
    (0x2003_0528, "orangefs"),
    (0x786f_4256, "vboxsf"),
];

/// What all user-space file systems say; which one it is stands in the mount table.
const FUSE_MAGIC: u32 = 0x6573_5546;
/// Plan 9: the folders of the Windows side under WSL, and container roots that are as good as local.
const P9_MAGIC: u32 = 0x0102_1997;

/// Names of file systems in the mount table that are shared with other machines or cannot lock.
const SHARED_TYPES: &[&str] = &[
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "afpfs",
    "webdav",
    "davfs",
    "ceph",
    "lustre",
    "drvfs",
    "vmhgfs",
    "ftp",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "fuse.goofys",
    "fuse.davfs",
    "fuse.davfs2",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.ceph-fuse",
    "fuse.curlftpfs",
    "fuse.smbnetfs",
    "fuse.vmhgfs-fuse",
    "fuse.juicefs",
    "fuse.blobfuse",
    "fuse.blobfuse2",
    "fuse.mount-s3",
    "fuse.mergerfs-nfs",
    "fuse.google-drive-ocamlfuse",
    "fuse.onedriver",
    "fuse.moosefs",
];

/// Refuses a folder that is not local or not the caller's. Nothing is written.
///
/// # Errors
/// [`StoreError::NotLocal`], [`StoreError::ForeignOwner`], or why the folder cannot be examined.
pub fn check(dir: &Path) -> Result<(), StoreError> {
    owned(dir)?;
    local(dir)
}

/// Refuses a folder on a file system that is not local, or, if it is not there, where it would be made.
pub(crate) fn local(dir: &Path) -> Result<(), StoreError> {
    let dir = dir.ancestors().find(|d| d.exists()).unwrap_or(Path::new("."));
    if let Some(kind) = shared_kind(dir).map_err(|e| io_error(dir, &e))? {
        return Err(StoreError::NotLocal { path: dir.to_owned(), kind });
    }
    Ok(())
}

/// Refuses what another user owns.
pub(crate) fn owned(path: &Path) -> Result<(), StoreError> {
    let owner = std::fs::symlink_metadata(path).map_err(|e| io_error(path, &e))?.uid();
    let me = rustix::process::geteuid().as_raw();
    if owner == me { Ok(()) } else { Err(StoreError::ForeignOwner { path: path.to_owned(), owner, me }) }
}

#[cfg(target_os = "linux")]
fn shared_kind(dir: &Path) -> std::io::Result<Option<String>> {
    let magic = rustix::fs::statfs(dir)?.f_type;
    // The kernel's number has 32 bits; its type differs between platforms.
    let magic = magic as u32;
    let named = || {
        let device = std::fs::metadata(dir).ok()?.dev();
        let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        mounted_type(&table, device)
    };
    let wsl = || {
        std::fs::read_to_string("/proc/sys/kernel/osrelease")
            .is_ok_and(|r| r.to_lowercase().contains("microsoft"))
    };
    Ok(judge(magic, named, wsl))
}

#[cfg(target_os = "macos")]
fn shared_kind(dir: &Path) -> std::io::Result<Option<String>> {
    let name = rustix::fs::statfs(dir)?.f_fstypename;
    let name: String = name.iter().map(|c| char::from(*c as u8)).take_while(|c| *c != '\0').collect();
    Ok(SHARED_TYPES.contains(&name.as_str()).then_some(name))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn shared_kind(_: &Path) -> std::io::Result<Option<String>> {
    Ok(None)
}

/// The kind of a shared file system, or `None` for one that may hold a store.
#[cfg_attr(not(any(target_os = "linux", test)), expect(dead_code, reason = "other systems name the kind"))]
fn judge(magic: u32, named: impl Fn() -> Option<String>, wsl: impl Fn() -> bool) -> Option<String> {
    if let Some((_, name)) = SHARED_MAGICS.iter().find(|(m, _)| *m == magic) {
        return Some((*name).to_owned());
    }
    match magic {
        FUSE_MAGIC => named().filter(|name| SHARED_TYPES.contains(&name.as_str())),
        P9_MAGIC if wsl() => Some("9p (the Windows side of WSL)".to_owned()),
        _ => None,
    }
}

/// The file system type that `/proc/self/mountinfo` gives for a device.
#[cfg_attr(not(any(target_os = "linux", test)), expect(dead_code, reason = "other systems name the kind"))]
fn mounted_type(table: &str, device: u64) -> Option<String> {
    let number = format!("{}:{}", major(device), minor(device));
    table.lines().find_map(|line| {
        let (head, tail) = line.split_once(" - ")?;
        (head.split(' ').nth(2)? == number).then(|| tail.split(' ').next().unwrap_or_default().to_owned())
    })
}

fn major(device: u64) -> u64 {
    (device >> 8 & 0xfff) | (device >> 32 & !0xfff)
}

fn minor(device: u64) -> u64 {
    (device & 0xff) | (device >> 12 & !0xff & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_refused_and_local_ones_are_not() {
        let fuse = |name: &'static str| judge(FUSE_MAGIC, || Some(name.to_owned()), || false);
        assert_eq!(judge(0x6969, || None, || false).as_deref(), Some("nfs"));
        assert_eq!(judge(0xff53_4d42, || None, || false).as_deref(), Some("cifs"));
        assert_eq!(fuse("fuse.sshfs").as_deref(), Some("fuse.sshfs"));
        assert_eq!(fuse("fuse.fuse-overlayfs"), None);
        assert!(judge(P9_MAGIC, || None, || true).is_some());
        for (magic, wsl) in [(0xef53, false), (0x0102_1994, true), (0x794c_7630, false), (P9_MAGIC, false)] {
            assert_eq!(judge(magic, || None, || wsl), None);
        }
    }

    #[test]
    fn the_mount_table_is_read_by_device() {
        let table = "22 1 0:20 / /proc rw - proc proc rw\n90 22 0:48 / /mnt rw,x shared:1 - fuse.sshfs h:/ rw\nbroken\n";
        assert_eq!(mounted_type(table, 48).as_deref(), Some("fuse.sshfs"));
        assert_eq!(mounted_type(table, 49), None);
    }

    #[test]
    fn a_temporary_folder_is_fine_and_the_root_folder_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        check(dir.path()).unwrap();
        if !rustix::process::geteuid().is_root() {
            assert!(matches!(check(Path::new("/")), Err(StoreError::ForeignOwner { .. })));
        }
    }
}
