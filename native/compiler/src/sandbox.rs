//! Filters system calls. Allowed are memory management, thread synchronisation, and reads and writes of open files.
//!
//! All others fail with `EPERM`: the process cannot open files, make sockets, start or signal processes, or make memory
//! executable. Linux only (seccomp).

/// Filters system calls in all threads. Returns `false` if the system does not support it.
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
/// Filters system calls from now on. Returns whether the system supports it.
pub fn enter() -> Result<bool, Box<dyn std::error::Error>> {
    let arch = std::env::consts::ARCH.try_into()?;
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules()?, refuse, SeccompAction::Allow, arch)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter_all_threads(&program)?;
    Ok(true)
}

/// Not supported.
#[cfg(not(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
)))]
/// Not supported here: returns `false`.
pub fn enter() -> Result<bool, Box<dyn std::error::Error>> {
    Ok(false)
}

#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
use {
    seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
        SeccompFilter, SeccompRule,
    },
    std::collections::BTreeMap,
};

/// The allowed system calls by number, with the allowed arguments (empty: any).
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        // Memory, including partial release.
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        // Thread synchronisation.
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_restart_syscall,
        // For crashes.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        // Hash seeds, and clocks without a vDSO.
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ]
    .into_iter()
    .map(|call| (call, vec![]))
    .collect();

    // Memory that is not executable.
    let protection =
        |call| Ok::<_, BackendError>((call, vec![without(2, libc::PROT_EXEC as u64)?]));
    rules.extend([protection(libc::SYS_mmap)?, protection(libc::SYS_mprotect)?]);
    // `abort` sends the process a signal.
    let own = SeccompCondition::new(
        0,
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        std::process::id().into(),
    )?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![own])?]);
    Ok(rules)
}

/// The bits of `mask` must be clear in this argument.
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    )
))]
fn without(argument: u8, mask: u64) -> Result<SeccompRule, BackendError> {
    let unset = SeccompCmpOp::MaskedEq(mask);
    SeccompRule::new(vec![SeccompCondition::new(
        argument,
        SeccompCmpArgLen::Qword,
        unset,
        0,
    )?])
}
