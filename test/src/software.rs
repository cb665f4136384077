//! Real software for the tests: which packages of Debian it is, and which of their files a
//! container needs.

use std::fmt;

/// Something that people run in containers, and that uses shared memory or files on `/dev/shm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Software {
    /// The database, with the client library of Python.
    Postgres,
    /// The key-value store.
    Redis,
    /// The web server.
    Nginx,
    /// A Java virtual machine.
    Java,
    /// OpenMPI, with its binding for Python.
    OpenMpi,
}

/// What every image with software needs, and what is needed to find its libraries (`ldd` is
/// a script of bash, and base-files has the symlinks such as `/lib`).
const BASE: &[&str] = &[
    "base-files",
    "bash",
    "busybox-static",
    "libc-bin",
    "python3",
];

impl Software {
    /// The name under which `ctr image import` stores its image.
    #[must_use]
    pub fn image(self) -> &'static str {
        match self {
            Self::Postgres => "remap.test/postgresql:1",
            Self::Redis => "remap.test/redis:1",
            Self::Nginx => "remap.test/nginx:1",
            Self::Java => "remap.test/java:1",
            Self::OpenMpi => "remap.test/openmpi:1",
        }
    }

    /// Debian's packages of it, and of what an image needs anyway.
    pub(crate) fn packages(self) -> Vec<&'static str> {
        let own: &[&str] = match self {
            Self::Postgres => &["postgresql", "python3-psycopg2"],
            Self::Redis => &["redis-server"],
            Self::Nginx => &["nginx"],
            Self::Java => &["default-jre-headless"],
            Self::OpenMpi => &["openmpi-bin", "python3-mpi4py"],
        };
        [BASE, own].concat()
    }

    /// Its files and directories, relative to the root. A name with a `*` stands for all that it
    /// matches, if anything.
    pub(crate) fn paths(self) -> &'static [&'static str] {
        match self {
            Self::Postgres => &[
                "usr/lib/postgresql",
                "usr/lib/python3/dist-packages",
                "usr/share/postgresql",
                "usr/share/zoneinfo",
            ],
            Self::Redis => &["usr/bin/redis-server"],
            Self::Nginx => &["usr/sbin/nginx"],
            Self::Java => &["etc/java-*", "usr/lib/jvm"],
            Self::OpenMpi => &[
                "etc/openmpi",
                "usr/bin/mpirun.openmpi",
                "usr/bin/prte",
                "usr/bin/prted",
                "usr/bin/prterun",
                "usr/lib/*-linux-gnu/openmpi",
                // Parts that are loaded at run time, where the suite has them.
                "usr/lib/*-linux-gnu/pmix*",
                "usr/lib/*-linux-gnu/prrte*",
                "usr/lib/*-linux-gnu/prte*",
                "usr/lib/python3/dist-packages",
                "usr/share/openmpi",
                "usr/share/pmix*",
                "usr/share/prte",
            ],
        }
    }

    /// Names of files and directories below [`Self::paths`] that cost space and are not used.
    pub(crate) fn left_out(self) -> &'static [&'static str] {
        match self {
            // For the compiler of queries, which a test does not need.
            Self::Postgres => &["bitcode", "llvmjit.so", "llvmjit_types.bc", "pgxs"],
            // To develop with; and for fonts and sound, with libraries that headless ones lack.
            Self::Java => &[
                "include",
                "jmods",
                "libfontmanager.so",
                "libjsound.so",
                "src.zip",
            ],
            Self::OpenMpi => &["include"],
            Self::Redis | Self::Nginx => &[],
        }
    }
}

impl fmt::Display for Software {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgresql",
            Self::Redis => "redis",
            Self::Nginx => "nginx",
            Self::Java => "java",
            Self::OpenMpi => "openmpi",
        })
    }
}
