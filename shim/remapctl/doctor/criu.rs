//! CRIU, and what it says of the kernel.

use remap_engine::criu::version::CriuVersion;
use remap_engine::obstacle::kernel_answers_passcred;

use super::Check;
use super::ground::{Ground, install};
use crate::host::program::{self, Answer};

/// Kubernetes' interface needs as much (`CheckpointContainer` in containerd's CRI).
const FIRST: CriuVersion = CriuVersion::new(3, 16);

/// What this project knows of.
const KNOWN: std::ops::Range<CriuVersion> = CriuVersion::new(3, 17)..CriuVersion::new(4, 3);

/// The first that does without an answer that new kernels do not give, so that it can dump sockets.
const SOCKETS: CriuVersion = CriuVersion::new(4, 2);

/// The first that knows the vDSO of Linux 6.15.
const VDSO: CriuVersion = CriuVersion::new(4, 1);
const VDSO_KERNEL: (u32, u32) = (6, 15);

pub(super) fn checks(ground: &Ground) -> Vec<Check> {
    const NAME: &str = "criu";
    if ground.path().is_none() {
        return vec![Check::unknown(NAME, "containerd's PATH is not known")];
    }
    let Some(program) = ground.program(NAME) else {
        let missing = ground.missing(NAME, "so that nothing can be saved or restored");
        return missing.into_iter().collect();
    };
    let shown = program.display();
    let said = match program::check(&program, ground.path(), &["--version"]) {
        Ok(said) => said,
        Err(error) => {
            return vec![
                Check::failure(NAME, remap_engine::phase::report(&error)).remedy(install(NAME)),
            ];
        }
    };
    let line = said.lines().next().unwrap_or_default();
    let Ok(version) = line.parse::<CriuVersion>() else {
        return vec![Check::unknown(
            NAME,
            format!("{shown} says that it is {line:?}"),
        )];
    };
    let mut checks = vec![of_version(version, kernel(), &shown.to_string())];
    if version < SOCKETS && !kernel_answers_passcred() {
        let what = format!(
            "CRIU {version} cannot dump sockets of the network on this kernel: checkpoints of \
             containers that listen or are connected are refused; {SOCKETS} can"
        );
        checks.push(Check::warning("sockets", what).remedy(install(NAME)));
    } else {
        checks.push(Check::ok(
            "sockets",
            "CRIU can dump sockets of the network on this kernel",
        ));
    }
    checks.push(match program::ask(&program, ground.path(), &["check"]) {
        Ok(answer) => of_kernel(&answer),
        Err(error) => Check::unknown("criu-check", remap_engine::phase::report(&error)),
    });
    checks
}

fn of_version(version: CriuVersion, kernel: Option<(u32, u32)>, shown: &str) -> Check {
    const NAME: &str = "criu";
    let what = format!("{shown}, version {version}");
    if version < FIRST {
        let what = format!("{what}; {FIRST} is needed");
        return Check::failure(NAME, what).remedy(install(NAME));
    }
    if version < VDSO && kernel.is_some_and(|kernel| kernel >= VDSO_KERNEL) {
        let what = format!("{what}, which restores nothing on Linux 6.15 and later; {VDSO} does");
        return Check::failure(NAME, what).remedy(install(NAME));
    }
    if !KNOWN.contains(&version) {
        let what = format!(
            "{what}; this project knows {} and later, before {}: what others cannot do they find out by themselves",
            KNOWN.start, KNOWN.end
        );
        return Check::warning(NAME, what);
    }
    Check::ok(NAME, what)
}

/// `criu check` (criu(8)) says whether the kernel has what is needed.
fn of_kernel(answer: &Answer) -> Check {
    const NAME: &str = "criu-check";
    let text = format!("{}{}", answer.output, answer.error);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<&str> = lines.collect();
    if answer.status.success() {
        return Check::ok(NAME, "the kernel has what CRIU needs");
    }
    Check::failure(NAME, format!("CRIU lacks something: {}", lines.join("; "))).remedy("criu check")
}

fn kernel() -> Option<(u32, u32)> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut numbers = release
        .split(|char: char| !char.is_ascii_digit())
        .map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn old_ones_fail_and_new_ones_are_not_known() {
        let outcome = |major, minor, kernel| {
            of_version(CriuVersion::new(major, minor), Some(kernel), "/x").outcome
        };
        assert_eq!(outcome(3, 15, (6, 1)), Outcome::Failure);
        assert_eq!(outcome(3, 16, (6, 1)), Outcome::Warning);
        assert_eq!(outcome(3, 17, (6, 1)), Outcome::Ok);
        assert_eq!(outcome(3, 17, (6, 15)), Outcome::Failure);
        assert_eq!(outcome(4, 1, (6, 18)), Outcome::Ok);
        assert_eq!(outcome(4, 3, (6, 18)), Outcome::Warning);
    }

    #[test]
    fn this_kernel_has_a_version() {
        assert!(kernel() > Some((4, 0)), "{:?}", kernel());
    }
}
