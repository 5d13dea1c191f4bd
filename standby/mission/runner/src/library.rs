//! libcrun's calls, one by one, with their errors in words.
#![allow(unsafe_code)] // A C library.

use libcrun_sys::{
    LIBCRUN_RUN_OPTIONS_PREFORK, crun_set_output_handler, libcrun_container_create, libcrun_container_delete,
    libcrun_container_free, libcrun_container_kill, libcrun_container_load_from_memory, libcrun_container_pause,
    libcrun_container_start, libcrun_container_status_t, libcrun_container_unpause, libcrun_context_t,
    libcrun_error_release, libcrun_error_t, libcrun_free_container_status, libcrun_get_container_state_string,
    libcrun_read_container_status,
};
use mission_wire::{ContainerId, Signal, Status};
use rustix::fs::MemfdFlags;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::ptr;
use std::time::{Duration, Instant};

/// What does not freeze by then is told.
const FROZEN_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Makes a container that waits to be started, and returns its first process.
pub fn create(state: &Path, id: &ContainerId, bundle: &Path, config: &str) -> Result<u32, String> {
    let config = text(config)?;
    let bundle = text(&bundle.to_string_lossy())?;
    let call = Call::new(state, id)?;
    let mut error = ptr::null_mut();
    // SAFETY: the text ends with a zero and outlives the call; `error` is a place for the library's answer.
    let container = unsafe { libcrun_container_load_from_memory(config.as_ptr(), &raw mut error) };
    if container.is_null() {
        return Err(take(error));
    }
    let mut context = call.context();
    context.bundle = bundle.as_ptr();
    context.detach = true;
    // SAFETY: every pointer in `context` is null or text that ends with a zero and outlives the call; the container was
    // loaded above. `PREFORK` makes the library fork before it changes the process, which has one thread.
    let code = unsafe {
        libcrun_container_create(&raw mut context, container, LIBCRUN_RUN_OPTIONS_PREFORK, &raw mut error)
    };
    // SAFETY: it was loaded above, and is used nowhere after this.
    unsafe { libcrun_container_free(container) };
    if code != 0 {
        // The child has failed, and what went wrong is what it said.
        return Err(if error.is_null() { call.said() } else { take(error) });
    }
    with_status(state, id, |status| Ok(status.pid.cast_unsigned()))
}

/// Lets a created container begin.
pub fn start(state: &Path, id: &ContainerId) -> Result<(), String> {
    let call = Call::new(state, id)?;
    // SAFETY: as every call through `Call::done`.
    call.done(|context, id, error| unsafe { libcrun_container_start(context, id, error) })
}

/// Freezes a container, and returns when all of it is frozen: the library asks for it, and a process that is in the middle of
/// something (executing another program, waiting for the disk) runs on for a moment.
pub fn pause(state: &Path, id: &ContainerId) -> Result<(), String> {
    let call = Call::new(state, id)?;
    // SAFETY: as every call through `Call::done`.
    call.done(|context, id, error| unsafe { libcrun_container_pause(context, id, error) })?;
    let until = Instant::now() + FROZEN_WITHIN;
    while status(state, id)? == Status::Running {
        if Instant::now() >= until {
            return Err(format!("its processes do not freeze within {} s", FROZEN_WITHIN.as_secs()));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Lets a frozen container go on.
pub fn resume(state: &Path, id: &ContainerId) -> Result<(), String> {
    let call = Call::new(state, id)?;
    // SAFETY: as every call through `Call::done`.
    call.done(|context, id, error| unsafe { libcrun_container_unpause(context, id, error) })
}

/// Sends a signal to a container's first process.
pub fn kill(state: &Path, id: &ContainerId, signal: Signal) -> Result<(), String> {
    let call = Call::new(state, id)?;
    let name = match signal {
        Signal::Term => c"TERM",
        Signal::Kill => c"KILL",
    };
    // SAFETY: as every call through `Call::done`; the name is text that ends with a zero.
    call.done(|context, id, error| unsafe { libcrun_container_kill(context, id, name.as_ptr(), error) })
}

/// Removes what the library keeps of a container, and kills what runs of it.
pub fn delete(state: &Path, id: &ContainerId) -> Result<(), String> {
    let call = Call::new(state, id)?;
    // SAFETY: as every call through `Call::done`; without a configuration the library reads its own copy.
    call.done(|context, id, error| unsafe { libcrun_container_delete(context, ptr::null_mut(), id, true, error) })
}

/// Returns how a container stands.
pub fn status(state: &Path, id: &ContainerId) -> Result<Status, String> {
    let root = root(state)?;
    let name = text(id.as_str())?;
    with_status(state, id, |status| {
        let (mut word, mut running, mut error): (*const c_char, c_int, libcrun_error_t) =
            (ptr::null(), 0, ptr::null_mut());
        // SAFETY: the texts end with a zero and outlive the call; the rest are places for the library's answers.
        let code = unsafe {
            libcrun_get_container_state_string(
                name.as_ptr(),
                status,
                root.as_ptr(),
                &raw mut word,
                &raw mut running,
                &raw mut error,
            )
        };
        if code < 0 || word.is_null() {
            return Err(take(error));
        }
        // SAFETY: the library's answer is a constant text of its own.
        let word = unsafe { CStr::from_ptr(word) };
        match word.to_bytes() {
            b"created" => Ok(Status::Created),
            b"running" => Ok(Status::Running),
            b"paused" => Ok(Status::Paused),
            b"stopped" => Ok(Status::Stopped),
            _ => Err(format!("libcrun says that it is {word:?}")),
        }
    })
}

/// One call about one container: what its context points at.
struct Call {
    root: CString,
    id: CString,
    /// What the library says; a file, because what it says in a forked child would stay there. In a box: the library holds
    /// its address.
    output: Box<File>,
}

impl Call {
    fn new(state: &Path, id: &ContainerId) -> Result<Self, String> {
        let output = rustix::fs::memfd_create("libcrun", MemfdFlags::CLOEXEC)
            .map_err(|error| format!("making a place for libcrun's messages: {error}"))?;
        let call = Self { root: root(state)?, id: text(id.as_str())?, output: Box::new(File::from(output)) };
        // SAFETY: the file stays where it is until the call is dropped, which takes the address away again.
        unsafe { crun_set_output_handler(Some(on_output), call.output_address(), false) };
        Ok(call)
    }

    fn output_address(&self) -> *mut c_void {
        ptr::from_ref(self.output.as_ref()).cast_mut().cast()
    }

    /// Returns a context that lives no longer than this call.
    fn context(&self) -> libcrun_context_t {
        libcrun_context_t {
            state_root: self.root.as_ptr(),
            id: self.id.as_ptr(),
            output_handler: Some(on_output),
            output_handler_arg: self.output_address(),
            // The keyring is the agent's business.
            no_new_keyring: true,
            ..libcrun_context_t::new()
        }
    }

    /// Makes a call that says by a number below zero that it has failed.
    fn done(
        &self,
        call: impl FnOnce(*mut libcrun_context_t, *const c_char, *mut libcrun_error_t) -> c_int,
    ) -> Result<(), String> {
        let mut context = self.context();
        let mut error = ptr::null_mut();
        match call(&raw mut context, self.id.as_ptr(), &raw mut error) {
            code if code < 0 => Err(take(error)),
            _ => Ok(()),
        }
    }

    /// Returns what the library has said meanwhile.
    fn said(&self) -> String {
        let mut said = String::new();
        let mut output = self.output.as_ref();
        let read = output.rewind().and_then(|()| output.read_to_string(&mut said));
        match read {
            Ok(1..) => said.trim().to_owned(),
            _ => "libcrun says that it failed, and not why".to_owned(),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // SAFETY: without a place the handler drops what it is told.
        unsafe { crun_set_output_handler(Some(on_output), ptr::null_mut(), false) };
    }
}

/// Takes down what the library says.
extern "C" fn on_output(code: c_int, message: *const c_char, _warning: bool, output: *mut c_void) {
    if message.is_null() || output.is_null() {
        return;
    }
    // SAFETY: it is the file of the `Call` in progress, which outlives the library's call.
    let mut output: &File = unsafe { &*output.cast::<File>() };
    // SAFETY: the library's message is a text that ends with a zero.
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    let cause = if code == 0 { String::new() } else { format!(": {}", std::io::Error::from_raw_os_error(code)) };
    // A memory file that is full loses a message.
    let _ = writeln!(output, "{message}{cause}");
}

/// Returns an error's text, and releases it.
fn take(mut error: libcrun_error_t) -> String {
    if error.is_null() {
        return "libcrun says that it failed, and not why".to_owned();
    }
    // SAFETY: a call that fails leaves a valid error, whose message is null or a text that ends with a zero.
    let (code, message) = unsafe { ((*error).status, (*error).msg) };
    let mut text = if message.is_null() {
        String::new()
    } else {
        // SAFETY: as above; the text is copied before it is released.
        unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned()
    };
    if code > 0 {
        text += &format!(": {}", std::io::Error::from_raw_os_error(code));
    }
    // SAFETY: it is an error of the library's that was not released yet.
    unsafe { libcrun_error_release(&raw mut error) };
    text
}

/// Hands what the library keeps of a container to `look`.
fn with_status<T>(
    state: &Path,
    id: &ContainerId,
    look: impl FnOnce(&mut libcrun_container_status_t) -> Result<T, String>,
) -> Result<T, String> {
    let (root, name) = (root(state)?, text(id.as_str())?);
    // SAFETY: numbers and pointers, for which zero is a value: the library asks for a status of zeroes.
    let mut status = unsafe { std::mem::zeroed::<libcrun_container_status_t>() };
    let mut error = ptr::null_mut();
    // SAFETY: the texts end with a zero and outlive the call; the rest are places for the library's answers.
    let code =
        unsafe { libcrun_read_container_status(&raw mut status, root.as_ptr(), name.as_ptr(), &raw mut error) };
    if code < 0 {
        return Err(take(error));
    }
    let looked = look(&mut status);
    // SAFETY: it was filled above, and is used nowhere after this.
    unsafe { libcrun_free_container_status(&raw mut status) };
    looked
}

fn root(state: &Path) -> Result<CString, String> {
    text(&state.join("crun").to_string_lossy())
}

fn text(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("{text:?} has a zero in it"))
}
