//! Raw bindings of libcrun 1.8, written by hand: what `mission-runner` calls, and nothing else.
//!
//! A program that is linked with libcrun is not an ordinary one: a constructor of the library runs before `main`, copies
//! the program and executes the copy (a guard of crun against overwriting itself, CVE-2019-5736). And `create` forks, and
//! goes on in the child for thousands of lines. So one small program without threads is linked with it, and no other.
//!
//! The library's structs have no size field, and other versions of it moved fields without a word. [`VERSION`] is what
//! `build.rs` found and accepted; the layouts below are asserted when this crate is compiled.
//!
//! libcrun is LGPL-2.1-or-later. It is linked statically.

#![no_std]
#![allow(unsafe_code)] // Declarations of a C library.
#![allow(non_camel_case_types)] // Its names.

use core::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};
use core::mem::{offset_of, size_of};
use core::ptr;

/// The version of libcrun that this was built with, as `1.8.1`.
pub const VERSION: &str = env!("LIBCRUN_VERSION");

/// `libcrun_container_create`: fork first, so that the calling process stays as it is.
pub const LIBCRUN_RUN_OPTIONS_PREFORK: c_uint = 1;

/// `struct libcrun_error_s`. A function that fails leaves one, to be released by [`libcrun_error_release`].
#[repr(C)]
#[derive(Debug)]
pub struct libcrun_error_s {
    /// An errno, or 0.
    pub status: c_int,
    /// What went wrong.
    pub msg: *mut c_char,
}

/// `libcrun_error_t`: null, or an error.
pub type libcrun_error_t = *mut libcrun_error_s;

/// `crun_output_handler`: what the library says besides errors.
pub type crun_output_handler =
    Option<unsafe extern "C" fn(errno: c_int, msg: *const c_char, warning: bool, arg: *mut c_void)>;

/// A type whose inside is the library's own.
macro_rules! opaque {
    ($(#[$about:meta])* $name:ident) => {
        $(#[$about])*
        #[repr(C)]
        #[derive(Debug)]
        pub struct $name {
            inside: [u8; 0],
        }
    };
}

opaque!(
    /// `struct libcrun_container_s`: a parsed configuration.
    libcrun_container_t
);
opaque!(
    /// `runtime_spec_schema_config_schema`: the same, as the OCI names it.
    runtime_spec_schema_config_schema
);
opaque!(
    /// `struct custom_handler_manager_s`
    custom_handler_manager_s
);
opaque!(
    /// `FILE` of the C library.
    FILE
);

/// `struct libcrun_context_s`. The caller owns it; start from [`libcrun_context_t::new`].
#[repr(C)]
#[derive(Debug)]
pub struct libcrun_context_t {
    /// Where the library keeps what it knows of containers; null: `/run/crun`.
    pub state_root: *const c_char,
    /// The container's name.
    pub id: *const c_char,
    /// The bundle's folder.
    pub bundle: *const c_char,
    /// Where a terminal is handed over.
    pub console_socket: *const c_char,
    /// Where the process's id is written.
    pub pid_file: *const c_char,
    /// systemd's.
    pub notify_socket: *const c_char,
    /// Which handler runs the container; null: the kernel.
    pub handler: *const c_char,
    /// So many file descriptors from 3 on are left open in the container.
    pub preserve_fds: c_int,
    /// systemd's.
    pub listen_fds: c_int,
    /// What the library says goes here.
    pub output_handler: crun_output_handler,
    /// And this with it.
    pub output_handler_arg: *mut c_void,
    /// -1: none. Zero would be the standard input.
    pub fifo_exec_wait_fd: c_int,
    /// systemd makes the cgroups.
    pub systemd_cgroup: bool,
    /// Do not wait for the container.
    pub detach: bool,
    /// Do not become a subreaper.
    pub no_subreaper: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// No cgroups at all.
    pub force_no_cgroup: bool,
    /// MS_MOVE instead of pivot_root.
    pub no_pivot: bool,
    /// The caller's arguments, overwritten to name the process.
    pub argv: *mut *mut c_char,
    /// How many.
    pub argc: c_int,
    /// Handlers for other runtimes.
    pub handler_manager: *mut custom_handler_manager_s,
}

impl libcrun_context_t {
    /// Returns a context with nothing set. All zeroes would be wrong in one field.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state_root: ptr::null(),
            id: ptr::null(),
            bundle: ptr::null(),
            console_socket: ptr::null(),
            pid_file: ptr::null(),
            notify_socket: ptr::null(),
            handler: ptr::null(),
            preserve_fds: 0,
            listen_fds: 0,
            output_handler: None,
            output_handler_arg: ptr::null_mut(),
            fifo_exec_wait_fd: -1,
            systemd_cgroup: false,
            detach: false,
            no_subreaper: false,
            no_new_keyring: false,
            force_no_cgroup: false,
            no_pivot: false,
            argv: ptr::null_mut(),
            argc: 0,
            handler_manager: ptr::null_mut(),
        }
    }
}

impl Default for libcrun_context_t {
    fn default() -> Self {
        Self::new()
    }
}

/// `struct libcrun_container_status_s`: what the library keeps of a container. Zeroed by the caller, filled by
/// [`libcrun_read_container_status`], freed by [`libcrun_free_container_status`].
#[repr(C)]
#[derive(Debug)]
pub struct libcrun_container_status_t {
    /// Its first process, as this namespace counts.
    pub pid: c_int,
    /// When that started, in ticks after the boot: a number that came again belongs to another process.
    pub process_start_time: c_ulonglong,
    /// The bundle's folder.
    pub bundle: *mut c_char,
    /// Its root.
    pub rootfs: *mut c_char,
    /// Its cgroup, below each hierarchy's root.
    pub cgroup_path: *mut c_char,
    /// systemd's.
    pub scope: *mut c_char,
    /// systemd made its cgroups.
    pub systemd_cgroup: c_int,
    /// When it was created.
    pub created: *mut c_char,
    /// Nobody waits for it.
    pub detached: c_int,
    /// For CRIU.
    pub external_descriptors: *mut c_char,
    /// Whose it is.
    pub owner: *mut c_char,
}

/// The layouts of libcrun 1.8.1 on a 64-bit machine, as a C compiler gives them.
#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(size_of::<libcrun_error_s>() == 16);
    assert!(size_of::<libcrun_context_t>() == 120);
    assert!(offset_of!(libcrun_context_t, output_handler) == 64);
    assert!(offset_of!(libcrun_context_t, fifo_exec_wait_fd) == 80);
    assert!(offset_of!(libcrun_context_t, no_subreaper) == 86);
    assert!(offset_of!(libcrun_context_t, force_no_cgroup) == 88);
    assert!(offset_of!(libcrun_context_t, argv) == 96);
    assert!(offset_of!(libcrun_context_t, handler_manager) == 112);
    assert!(size_of::<libcrun_container_status_t>() == 88);
    assert!(offset_of!(libcrun_container_status_t, cgroup_path) == 32);
    assert!(offset_of!(libcrun_container_status_t, created) == 56);
};

unsafe extern "C" {
    /// Parses a configuration in JSON; null: failed.
    pub fn libcrun_container_load_from_memory(
        json: *const c_char,
        err: *mut libcrun_error_t,
    ) -> *mut libcrun_container_t;

    /// Sets what takes the library's messages in this process; with `log_to_stderr` they go to standard error as well. The
    /// handler in a context alone is not enough: what fails in a forked child goes here.
    pub fn crun_set_output_handler(handler: crun_output_handler, arg: *mut c_void, log_to_stderr: bool);

    /// Frees what was parsed.
    pub fn libcrun_container_free(container: *mut libcrun_container_t);

    /// Creates a container that waits to be started. Zero: done. Below zero: failed, with an error. With
    /// [`LIBCRUN_RUN_OPTIONS_PREFORK`] above zero: failed, and what went wrong went to the output handler.
    pub fn libcrun_container_create(
        context: *mut libcrun_context_t,
        container: *mut libcrun_container_t,
        options: c_uint,
        err: *mut libcrun_error_t,
    ) -> c_int;

    /// Lets a created container begin.
    pub fn libcrun_container_start(
        context: *mut libcrun_context_t,
        id: *const c_char,
        err: *mut libcrun_error_t,
    ) -> c_int;

    /// Sends a signal, by its name or number as text, to the container's first process.
    pub fn libcrun_container_kill(
        context: *mut libcrun_context_t,
        id: *const c_char,
        signal: *const c_char,
        err: *mut libcrun_error_t,
    ) -> c_int;

    /// Removes what is left of a container; with `force` kills it first. `def` may be null.
    pub fn libcrun_container_delete(
        context: *mut libcrun_context_t,
        def: *mut runtime_spec_schema_config_schema,
        id: *const c_char,
        force: bool,
        err: *mut libcrun_error_t,
    ) -> c_int;

    /// Freezes a container.
    pub fn libcrun_container_pause(
        context: *mut libcrun_context_t,
        id: *const c_char,
        err: *mut libcrun_error_t,
    ) -> c_int;

    /// Lets a frozen container go on.
    pub fn libcrun_container_unpause(
        context: *mut libcrun_context_t,
        id: *const c_char,
        err: *mut libcrun_error_t,
    ) -> c_int;

    /// Reads what the library keeps of a container.
    pub fn libcrun_read_container_status(
        status: *mut libcrun_container_status_t,
        state_root: *const c_char,
        id: *const c_char,
        err: *mut libcrun_error_t,
    ) -> c_int;

    /// Frees what a status holds, not the status.
    pub fn libcrun_free_container_status(status: *mut libcrun_container_status_t);

    /// Returns `created`, `running`, `paused` or `stopped` in `state`: text of the library's that is not freed.
    pub fn libcrun_get_container_state_string(
        id: *const c_char,
        status: *mut libcrun_container_status_t,
        state_root: *const c_char,
        state: *mut *const c_char,
        running: *mut c_int,
        err: *mut libcrun_error_t,
    ) -> c_int;

    /// Releases an error that is not null. Always zero.
    pub fn libcrun_error_release(err: *mut libcrun_error_t) -> c_int;
}
