//! One thread on each core, for what is done to a machine and not to a program.

use crate::scheduling::{Core, cores};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

/// One thread on each core, all stopped together, at the latest when this is dropped.
#[derive(Debug)]
pub struct CoreThreads<T> {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<T>>>,
}

impl<T: Send + 'static> CoreThreads<T> {
    /// Starts `work` on each core and returns when each has called the `ready` it was given.
    ///
    /// # Errors
    /// The kernel's, or what the first failing `work` said before it was ready.
    pub fn start<W>(name: &str, work: W) -> io::Result<Self>
    where
        W: Fn(Core, &AtomicBool, &dyn Fn()) -> io::Result<T> + Clone + Send + 'static,
    {
        let mut all = Self { stop: Arc::new(AtomicBool::new(false)), threads: Vec::new() };
        for core in cores()? {
            let (tell, told) = sync_channel(1);
            let (stop, work) = (Arc::clone(&all.stop), work.clone());
            let run = move || {
                let tell: SyncSender<()> = tell;
                // `start` listens until it hears of this thread, so that sending cannot fail.
                work(core, &stop, &|| {
                    let _ = tell.send(());
                })
            };
            all.threads.push(thread::Builder::new().name(format!("{name}-{}", core.0)).spawn(run)?);
            if told.recv().is_err() {
                let outcome = all.stop().pop();
                let unexplained = || io::Error::other(format!("thread {name}-{} ended", core.0));
                return Err(outcome.and_then(Result::err).unwrap_or_else(unexplained));
            }
        }
        Ok(all)
    }

    /// Ends all threads and returns what each has to say.
    pub fn stop(&mut self) -> Vec<io::Result<T>> {
        self.stop.store(true, Ordering::Relaxed);
        let panicked = |_| Err(io::Error::other("a thread on a core panicked"));
        self.threads.drain(..).map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    }
}

impl<T> Drop for CoreThreads<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}
