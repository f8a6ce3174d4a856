//! The unsafe part: fork, clone, signals. Each block says why it is sound.

use std::ffi::{CString, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::ptr;

/// Which side of a fork this is.
pub(crate) enum Forked {
    Parent(i32),
    Child,
}

/// Forks. The caller has made sure that this process has one thread, so that the child may allocate and lock.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: no arguments. With a single thread no lock can be held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Ends the process at once: no destructors, no flushing of what the forking process had buffered.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any code and does not return.
    unsafe { libc::_exit(code) }
}

/// Moves `fd` to the first number after the standard streams and closes everything else from there on. Only for a fresh fork, which uses
/// no other descriptor it has inherited, and never runs the destructors of their owners.
pub(crate) fn keep_only(fd: OwnedFd) -> io::Result<OwnedFd> {
    const KEPT: RawFd = 3;
    let fd = fd.into_raw_fd();
    // SAFETY: whatever had number 3 belonged to the forking process; from here on the new owner has it.
    let kept = unsafe {
        if fd != KEPT && libc::dup3(fd, KEPT, libc::O_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(KEPT)
    };
    close_from(KEPT + 1);
    Ok(kept)
}

/// Marks every descriptor from `first` on as closed in programs that are started from now on.
pub(crate) fn close_on_exec_from(first: RawFd) {
    const CLOEXEC: libc::c_uint = 4;
    // SAFETY: plain integers; only a flag of the descriptors changes.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOEXEC) };
    if done != 0 {
        // Kernels before 5.11.
        for fd in open_descriptors().into_iter().filter(|fd| *fd >= first) {
            // SAFETY: as above; a number that is no longer open gives an error.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Collected first: the listing itself is one of the descriptors.
fn open_descriptors() -> Vec<RawFd> {
    std::fs::read_dir("/proc/self/fd")
        .map(|d| d.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect())
        .unwrap_or_default()
}

/// Closes every descriptor from `first` on.
fn close_from(first: RawFd) {
    // SAFETY: plain integers. The caller is a fresh fork that uses none of these descriptors again.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
    if done != 0 {
        // Kernels before 5.9.
        for fd in open_descriptors().into_iter().filter(|fd| *fd >= first) {
            // SAFETY: as above; closing a number that is no longer open has no effect.
            unsafe { libc::close(fd) };
        }
    }
}

/// Gives every signal its default disposition and blocks all of them. Nothing can interrupt the nursery or a shim, which read the
/// few signals they care about from a descriptor; and an agent gets everything back with one call before it is started.
pub(crate) fn nursery_signals() {
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is a valid disposition; numbers that cannot be changed (9, 19, 32, 33) fail without effect.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut all = MaybeUninit::uninit();
    // SAFETY: `sigfillset` initialises the set, which is then only read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut());
    }
}

/// A descriptor that becomes readable when a child changes state or SIGTERM arrives. Both are blocked already.
pub(crate) fn signal_fd() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set before it is changed and read; the new descriptor is owned by nobody else.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        match libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// What a wait without waiting found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wait {
    Ended {
        pid: i32,
        status: c_int,
        user_ms: u64,
        system_ms: u64,
        max_rss_kb: u64,
    },
    /// There are children and none has ended.
    Running,
    /// There are no children.
    None,
}

/// Reaps one child, without waiting.
pub(crate) fn wait_any() -> Wait {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: both pointers are to live, writable values of the right type; an all-zero `rusage` is valid.
    let (pid, usage) = unsafe {
        let pid = libc::wait4(-1, &raw mut status, libc::WNOHANG, usage.as_mut_ptr());
        (pid, usage.assume_init())
    };
    let ms = |t: libc::timeval| {
        u64::try_from(t.tv_sec).unwrap_or(0) * 1_000 + u64::try_from(t.tv_usec).unwrap_or(0) / 1_000
    };
    match pid {
        0 => Wait::Running,
        pid if pid > 0 => Wait::Ended {
            pid,
            status,
            user_ms: ms(usage.ru_utime),
            system_ms: ms(usage.ru_stime),
            max_rss_kb: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        },
        _ => Wait::None,
    }
}

/// A program to start, everything prepared so that the new process only makes system calls.
pub(crate) struct ChildPlan {
    /// Paths to try in order.
    pub(crate) candidates: Vec<CString>,
    pub(crate) argv: Vec<CString>,
    pub(crate) env: Vec<CString>,
    pub(crate) cwd: CString,
    /// Standard input, output and error; all above 2.
    pub(crate) stdio: [RawFd; 3],
    pub(crate) umask: u32,
    /// Die with the starting thread.
    pub(crate) tied_to_parent: bool,
}

/// Why a program did not start.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The new process could not be made.
    Process(io::Error),
    /// It could not be set up.
    Setup(io::Error),
    /// Its directory could not be entered.
    Directory(io::Error),
    /// The program could not be executed.
    Program(io::Error),
}

/// What the new process works with. It shares memory with this one until it has become the program.
struct Shared {
    candidates: Vec<*const c_char>,
    argv: Vec<*const c_char>,
    /// `/bin/sh`, a place for the candidate, and the arguments: for scripts without `#!`.
    shell: Vec<*const c_char>,
    env: Vec<*const c_char>,
    cwd: *const c_char,
    stdio: [RawFd; 3],
    umask: u32,
    parent: Option<c_int>,
    stage: u8,
    errno: c_int,
}

const STAGE_SETUP: u8 = 1;
const STAGE_DIRECTORY: u8 = 2;
const STAGE_PROGRAM: u8 = 3;

/// Starts a program in a session of its own, with default signals and nothing but the three given descriptors.
///
/// It is started as `posix_spawn` does it: the new process borrows this one's memory while this one stands still, so that the
/// cost does not depend on its size, and an error comes back through memory.
pub(crate) fn start_child(plan: &ChildPlan) -> Result<i32, StartError> {
    let pointers = |list: &[CString]| -> Vec<*const c_char> {
        list.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
    };
    let argv = pointers(&plan.argv);
    let mut shell = vec![c"/bin/sh".as_ptr(), ptr::null()];
    shell.extend(argv.iter().skip(1));
    let mut shared = Shared {
        candidates: plan.candidates.iter().map(|s| s.as_ptr()).collect(),
        argv,
        shell,
        env: pointers(&plan.env),
        cwd: plan.cwd.as_ptr(),
        stdio: plan.stdio,
        umask: plan.umask,
        parent: plan.tied_to_parent.then(|| rustix::process::getpid().as_raw_nonzero().get()),
        stage: 0,
        errno: 0,
    };
    const STACK: usize = 64 << 10;
    let mut stack: Vec<MaybeUninit<u8>> = Vec::with_capacity(STACK);
    // SAFETY: the stack is this call's own and outlives the child's use of it, because CLONE_VFORK suspends this thread until the
    // child has executed a program or ended. Its top is within the allocation and aligned to 16 bytes. `shared` is touched by
    // nobody else meanwhile. `in_child` only makes system calls: it neither allocates, locks, unwinds nor returns into this
    // frame. Signals are blocked here and all dispositions are default, so no handler can run in the shared memory.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(STACK).cast::<u8>();
        let top = top.sub(top as usize % 16);
        libc::clone(
            in_child,
            top.cast(),
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut shared).cast::<c_void>(),
        )
    };
    if pid == -1 {
        return Err(StartError::Process(io::Error::last_os_error()));
    }
    // SAFETY: `shared` was changed through the raw pointer; the child is done with it.
    let (stage, errno) =
        unsafe { (ptr::read_volatile(&raw const shared.stage), ptr::read_volatile(&raw const shared.errno)) };
    if stage == 0 {
        return Ok(pid);
    }
    let mut status = 0;
    // SAFETY: waits for a child of this process that has already ended; the pointer is to a live integer.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    let error = io::Error::from_raw_os_error(errno);
    Err(match stage {
        STAGE_DIRECTORY => StartError::Directory(error),
        STAGE_PROGRAM => StartError::Program(error),
        _ => StartError::Setup(error),
    })
}

/// Runs in the new process, in borrowed memory.
extern "C" fn in_child(shared: *mut c_void) -> c_int {
    let shared = shared.cast::<Shared>();
    // SAFETY: `start_child` passes its own `Shared` and stands still. Everything below is a system call with valid arguments:
    // descriptors are integers, strings are NUL-terminated and the vectors end in a null pointer.
    unsafe {
        let s = &mut *shared;
        let mut none = MaybeUninit::uninit();
        libc::setsid();
        if let Some(parent) = s.parent {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                fail(s, STAGE_SETUP);
            }
            // If the parent died before that took hold, nobody would ever end this process.
            if libc::getppid() != parent {
                libc::_exit(127);
            }
        }
        for (target, fd) in (0..).zip(s.stdio) {
            if libc::dup2(fd, target) < 0 {
                fail(s, STAGE_SETUP);
            }
        }
        libc::umask(s.umask);
        if libc::chdir(s.cwd) != 0 {
            fail(s, STAGE_DIRECTORY);
        }
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut());
        // As a shell does: go on where a folder lacks the program, and rather report one that may not be executed.
        let mut error = libc::ENOENT;
        for i in 0..s.candidates.len() {
            let candidate = s.candidates[i];
            libc::execve(candidate, s.argv.as_ptr(), s.env.as_ptr());
            let mut errno = *libc::__errno_location();
            if errno == libc::ENOEXEC {
                s.shell[1] = candidate;
                libc::execve(s.shell[0], s.shell.as_ptr(), s.env.as_ptr());
                errno = *libc::__errno_location();
            }
            match errno {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => error = errno,
                _ => {
                    error = errno;
                    break;
                }
            }
        }
        *libc::__errno_location() = error;
        fail(s, STAGE_PROGRAM)
    }
}

/// Ends the new process with its error where the parent finds it.
fn fail(s: &mut Shared, stage: u8) -> ! {
    s.stage = stage;
    // SAFETY: `__errno_location` is valid in any thread; `_exit` does not return.
    unsafe {
        s.errno = *libc::__errno_location();
        libc::_exit(127)
    }
}
