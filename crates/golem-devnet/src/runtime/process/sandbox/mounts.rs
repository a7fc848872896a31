//! The parts of an activity's root: folders, links, and a table of mounts in the form of fstab(5), which one call of
//! `mount` carries out.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::super::super::folder::Folder;
use super::super::super::{Deployment, RuntimeError};

/// Names right under the root that are the activity's own, whatever the host has there.
const OWN: [&str; 8] = ["golem", "tmp", "root", "home", "run", "dev", "proc", "sys"];
/// Folders among them that are built from the host's or the kernel's things: no files are moved in or out there.
const BUILT: [&str; 3] = ["dev", "proc", "sys"];
/// The names of machines; each activity has its own, and may add to it.
const HOSTS: &str = "/etc/hosts";
/// More mounts than these are left as they came along.
const MAX_MOUNTS: usize = 100;

/// Makes the folders and links of the root, and the list of mounts that go onto them.
pub(super) fn prepare(folder: &mut Folder, deployment: &Deployment) -> Result<PathBuf, RuntimeError> {
    let host = Host::read().map_err(RuntimeError::Folder)?;
    let mut table = String::new();
    for name in BUILT {
        folder.set_foreign(name.into());
    }
    let volumes: Vec<&OsStr> = deployment.volumes.iter().filter_map(|path| top(Path::new(path))).collect();
    let mut shown = Vec::new();
    for (name, link) in &host.entries {
        if OWN.iter().any(|own| name == own) || name == "lost+found" || volumes.contains(&name.as_os_str()) {
            continue;
        }
        folder.set_foreign(name.clone());
        let inside = folder.root().join(name);
        if let Some(target) = link {
            std::os::unix::fs::symlink(target, inside).map_err(RuntimeError::Folder)?;
        } else {
            fs::create_dir(&inside).map_err(RuntimeError::Folder)?;
            shown.push(Path::new("/").join(name));
        }
    }
    for path in host.read_only_binds(&shown) {
        bind(&mut table, &path.source, &inside(folder, &path.source), &format!("rbind,ro{}", path.flags));
    }
    built_folders(folder, &mut table).map_err(RuntimeError::Folder)?;
    hosts_file(folder, deployment, &mut table).map_err(RuntimeError::Folder)?;
    // The user's home and other activities' folders are hidden, also where they lie elsewhere.
    let hidden = folder.outer().join("hidden");
    fs::create_dir(&hidden).map_err(RuntimeError::Folder)?;
    let home = std::env::var_os("HOME").map(PathBuf::from).and_then(|home| home.canonicalize().ok());
    for path in home.iter().map(PathBuf::as_path).chain(folder.outer().parent()) {
        let system = ["/usr", "/etc", "/opt", "/bin", "/lib"]
            .iter()
            .any(|dir| Path::new(dir).starts_with(path) || path.starts_with(dir));
        if !system && shown.iter().any(|dir| path.starts_with(dir)) {
            bind(&mut table, &hidden, &inside(folder, path), "bind,ro");
        }
    }
    let fstab = folder.outer().join("fstab");
    fs::write(&fstab, table).map_err(RuntimeError::Folder)?;
    Ok(fstab)
}

/// Mounts of a sandbox, seen by its first process, that are neither read-only nor its own.
pub(super) fn writable(init: i32) -> Vec<PathBuf> {
    writable_in(&fs::read(format!("/proc/{init}/mountinfo")).unwrap_or_default())
}

fn writable_in(table: &[u8]) -> Vec<PathBuf> {
    // The last of several mounts on one spot covers the others.
    let mounts = table.split(|byte| *byte == b'\n').filter_map(Mount::parse);
    let visible: BTreeMap<PathBuf, String> = mounts.map(|mount| (mount.path, mount.flags)).collect();
    let foreign = visible.into_iter().filter(|(path, flags)| {
        let own = top(path).is_none_or(|name| OWN.iter().any(|own| name == *own));
        !own && path != Path::new("/var/tmp") && path != Path::new(HOSTS) && !flags.contains(",ro")
    });
    foreign.map(|(path, _)| path).collect()
}

/// `/tmp`, `/var/tmp`, `/dev`, `/sys` and `/proc`.
fn built_folders(folder: &Folder, table: &mut String) -> io::Result<()> {
    let root = folder.root();
    for dir in ["root", "home", "run/lock", "proc", "dev/pts", "dev/shm", "tmp"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    if folder.is_foreign(OsStr::new("var")) && Path::new("/var/tmp").is_dir() {
        let own = folder.outer().join("var-tmp");
        fs::create_dir(&own)?;
        fs::set_permissions(&own, fs::Permissions::from_mode(0o1777))?;
        bind(table, &own, &root.join("var/tmp"), "bind");
    }
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        let device = Path::new("/dev").join(name);
        if device.exists() {
            fs::write(root.join("dev").join(name), "")?;
            bind(table, &device, &root.join("dev").join(name), "bind");
        }
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        std::os::unix::fs::symlink(target, root.join("dev").join(name))?;
    }
    entry(table, Path::new("devpts"), &root.join("dev/pts"), "devpts", "newinstance,ptmxmode=0666,mode=0620");
    for name in ["devices", "class", "bus", "dev"] {
        let dir = Path::new("/sys").join(name);
        if dir.is_dir() {
            fs::create_dir_all(root.join("sys").join(name))?;
            bind(table, &dir, &root.join("sys").join(name), "bind,ro");
        }
    }
    name_servers(root, table)?;
    // The kernel gives the inner namespaces a /proc of their own only where the outer one has a whole one.
    bind(table, Path::new("/proc"), &root.join("proc"), "rbind");
    Ok(())
}

/// A machine knows itself and those that `deploy` names; one that uses the host's network also knows the host's names.
fn hosts_file(folder: &Folder, deployment: &Deployment, table: &mut String) -> io::Result<()> {
    // A file can only be put where the host has one.
    if !Path::new(HOSTS).is_file() || !folder.is_foreign(OsStr::new("etc")) {
        return Ok(());
    }
    let mut names = if deployment.networks.is_empty() {
        fs::read_to_string(HOSTS).unwrap_or_default()
    } else {
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_owned()
    };
    if !names.is_empty() && !names.ends_with('\n') {
        names.push('\n');
    }
    if let Some(name) = &deployment.hostname {
        let own = deployment
            .networks
            .first()
            .map_or_else(|| IpAddr::from([127, 0, 1, 1]), |place| place.address.into());
        writeln!(names, "{own}\t{name}").expect("writing into a string can't fail");
    }
    for (name, address) in &deployment.hosts {
        writeln!(names, "{address}\t{name}").expect("writing into a string can't fail");
    }
    let own = folder.outer().join("hosts");
    fs::write(&own, names)?;
    bind(table, &own, &inside(folder, Path::new(HOSTS)), "bind");
    Ok(())
}

/// `/run` is the activity's own, but many hosts keep there what `/etc/resolv.conf` leads to.
fn name_servers(root: &Path, table: &mut String) -> io::Result<()> {
    let Ok(file) = fs::canonicalize("/etc/resolv.conf") else {
        return Ok(());
    };
    let Ok(path) = file.strip_prefix("/run") else {
        return Ok(());
    };
    let inside = root.join("run").join(path);
    if let Some(dir) = inside.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(&inside, "")?;
    bind(table, &file, &inside, "bind,ro");
    Ok(())
}

/// The host's entries: those of its root, with their targets where they are links, and its mounts.
struct Host {
    entries: Vec<(OsString, Option<PathBuf>)>,
    mounts: Vec<Mount>,
}

struct Mount {
    path: PathBuf,
    /// Those of its flags that a mount of it in a user namespace must keep.
    flags: String,
}

struct ReadOnlyBind {
    source: PathBuf,
    flags: String,
}

impl Host {
    fn read() -> io::Result<Self> {
        let mut entries = Vec::new();
        for entry in fs::read_dir("/")? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                entries.push((entry.file_name(), Some(fs::read_link(entry.path())?)));
            } else if kind.is_dir() {
                entries.push((entry.file_name(), None));
            }
        }
        let mounts =
            fs::read("/proc/self/mountinfo")?.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect();
        Ok(Self { entries, mounts })
    }

    /// The folders, and after each the mounts below it that would otherwise come along writable.
    fn read_only_binds(&self, shown: &[PathBuf]) -> Vec<ReadOnlyBind> {
        let mut binds = Vec::new();
        for dir in shown {
            binds.push(ReadOnlyBind { source: dir.clone(), flags: self.flags_at(dir) });
            let below = self.mounts.iter().filter(|mount| mount.path != *dir && mount.path.starts_with(dir));
            for mount in below.filter(|mount| !mount.flags.contains(",ro")).take(MAX_MOUNTS) {
                binds.push(ReadOnlyBind { source: mount.path.clone(), flags: mount.flags.clone() });
            }
        }
        binds
    }

    fn flags_at(&self, path: &Path) -> String {
        let mount = self.mounts.iter().filter(|mount| path.starts_with(&mount.path));
        // The last of several mounts on one spot covers the others.
        mount
            .max_by_key(|mount| mount.path.as_os_str().len())
            .map(|mount| mount.flags.clone())
            .unwrap_or_default()
    }
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let path = PathBuf::from(OsStr::from_bytes(&unescape(fields.nth(4)?)));
        let options = std::str::from_utf8(fields.next()?).ok()?;
        // To touch one of these may start a mount, and wait for a server that is off.
        if fields.skip_while(|field| *field != b"-").nth(1) == Some(b"autofs") {
            return None;
        }
        let kept = ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"];
        let mut flags = String::new();
        for option in options.split(',').filter(|option| kept.contains(option)) {
            flags.push(',');
            flags.push_str(option);
        }
        Some(Self { path, flags })
    }
}

/// Undoes the kernel's `\ooo` for blanks and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let octal = (*byte == b'\\').then(|| after.get(..3)).flatten();
        let code = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(code.unwrap_or(*byte));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    plain
}

fn bind(table: &mut String, source: &Path, target: &Path, options: &str) {
    entry(table, source, target, "none", options);
}

fn entry(table: &mut String, source: &Path, target: &Path, kind: &str, options: &str) {
    // A path that is no UTF-8 can't be written into the table: it isn't shown.
    if let (Some(source), Some(target)) = (source.to_str(), target.to_str()) {
        writeln!(table, "{} {} {kind} {options} 0 0", escape(source), escape(target))
            .expect("writing into a string can't fail");
    }
}

fn escape(path: &str) -> String {
    path.replace('\\', "\\134")
        .replace(' ', "\\040")
        .replace('\t', "\\011")
        .replace('\n', "\\012")
        .replace('#', "\\043")
}

fn inside(folder: &Folder, path: &Path) -> PathBuf {
    folder.root().join(path.strip_prefix("/").unwrap_or(path))
}

/// The first name of an absolute path.
fn top(path: &Path) -> Option<&OsStr> {
    path.strip_prefix("/").ok()?.iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_keep_the_flags_the_kernel_locks() {
        let mount =
            Mount::parse(b"28 27 0:25 / /mnt/with\\040blank rw,nosuid,nodev,relatime - tmpfs x ro,size=4k")
                .unwrap();
        assert_eq!(mount.path, Path::new("/mnt/with blank"));
        assert_eq!(mount.flags, ",nosuid,nodev,relatime");
        assert!(Mount::parse(b"").is_none());
        assert!(Mount::parse(b"28 27 0:25 / /net rw,relatime shared:1 - autofs auto rw").is_none());
    }

    #[test]
    fn what_stays_writable_is_found() {
        let table = b"1 0 8:1 /a / rw - ext4 d rw\n2 1 8:1 /usr /usr ro,relatime - ext4 d rw\n\
            3 1 8:1 /srv /srv rw,nosuid - ext4 d rw\n4 1 0:5 /null /dev/null rw - devtmpfs d rw\n\
            7 1 8:1 /c /opt rw - ext4 d rw\n8 1 8:1 /c /opt ro - ext4 d rw\n5 1 8:1 /t /var/tmp rw - ext4 d rw\n6 1 8:1 /v /var/disk rw - ext4 d rw\n";
        assert_eq!(writable_in(table), [Path::new("/srv"), Path::new("/var/disk")]);
    }

    #[test]
    fn only_writable_mounts_below_are_bound_again() {
        let mount = |path: &str, flags: &str| Mount { path: path.into(), flags: flags.into() };
        let host = Host {
            entries: Vec::new(),
            mounts: vec![
                mount("/", ",relatime"),
                mount("/var/lib/disk", ",nodev"),
                mount("/var/ro", ",ro"),
                mount("/srv", ""),
            ],
        };
        let binds = host.read_only_binds(&["/var".into(), "/srv".into()]);
        let seen: Vec<_> =
            binds.iter().map(|bind| (bind.source.to_str().unwrap(), bind.flags.as_str())).collect();
        assert_eq!(seen, [("/var", ",relatime"), ("/var/lib/disk", ",nodev"), ("/srv", "")]);
    }

    #[test]
    fn blanks_survive_the_table() {
        let mut table = String::new();
        bind(&mut table, Path::new("/a b\\c"), Path::new("/d#e"), "bind");
        assert_eq!(table, "/a\\040b\\134c /d\\043e none bind 0 0\n");
        assert_eq!(unescape(b"/a\\040b\\134c\\"), b"/a b\\c\\");
    }
}
