//! Stages: named pieces of work with a budget, one after the other, and lanes of them beside that. Each is timed, and each is run
//! whatever became of the others, unless it needs what failed.

use crate::program::{Call, Failed, say};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where stages that run beside others leave what they say.
pub(crate) const LOGS: &str = "target/workshop";
/// So many of a failed stage's last lines are shown.
const LINES_SHOWN: usize = 40;

/// Does it, and keeps what it says in the file that it is handed.
type Work = Box<dyn FnOnce(&Path) -> Result<(), Failed> + Send>;

/// A piece of work.
pub(crate) struct Stage {
    /// What it is called at the end.
    name: &'static str,
    /// How long it may take from nothing on 2 cores, beside what runs beside it.
    budget: Duration,
    work: Work,
}

impl Stage {
    /// A stage that does `work`, which is handed the file for what it says.
    pub(crate) fn new(
        name: &'static str,
        budget_s: u64,
        work: impl FnOnce(&Path) -> Result<(), Failed> + Send + 'static,
    ) -> Self {
        Self { name, budget: Duration::from_secs(budget_s), work: Box::new(work) }
    }

    /// A stage of `calls`, in order, which give way to everything else on the machine.
    pub(crate) fn of_calls(name: &'static str, budget_s: u64, calls: Vec<Call>) -> Self {
        Self::new(name, budget_s, move |log| calls.into_iter().try_for_each(|call| call.into_log(log)?.run()))
    }
}

/// How a stage ended.
#[derive(Debug)]
struct Done {
    name: &'static str,
    budget: Duration,
    took: Duration,
    problem: Option<Failed>,
}

/// The stages of one call of `./dev`.
#[derive(Debug)]
pub(crate) struct Stages {
    done: Vec<Done>,
    tell: Sender<Done>,
    told: Receiver<Done>,
}

/// Stages that run one after the other beside everything else.
#[derive(Debug)]
pub(crate) struct Lane(JoinHandle<()>);

impl Stages {
    pub(crate) fn new() -> Result<Self, Failed> {
        fs::create_dir_all(LOGS).map_err(|error| Failed::Machine(format!("{LOGS}: {error}")))?;
        let (tell, told) = channel();
        Ok(Self { done: Vec::new(), tell, told })
    }

    /// Runs a stage here and now, and returns whether it went well. What it says is shown.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        budget_s: u64,
        work: impl FnOnce() -> Result<(), Failed>,
    ) -> bool {
        say(name);
        let begun = Instant::now();
        let problem = work().err();
        if let Some(problem) = &problem {
            eprintln!("error: {problem}");
        }
        let is_well = problem.is_none();
        self.done.push(Done { name, budget: Duration::from_secs(budget_s), took: begun.elapsed(), problem });
        is_well
    }

    /// Begins to run `stages`, one after the other, beside everything else.
    pub(crate) fn beside(&self, stages: Vec<Stage>) -> Lane {
        let tell = self.tell.clone();
        Lane(thread::spawn(move || {
            for Stage { name, budget, work } in stages {
                let begun = Instant::now();
                let log = log_of(name);
                // Of an earlier call; there may be none.
                let _ = fs::remove_file(&log);
                let problem = work(&log).err();
                // Whoever does not listen any more has given up.
                drop(tell.send(Done { name, budget, took: begun.elapsed(), problem }));
            }
        }))
    }

    /// Waits for a lane, shows what went wrong in it, and returns whether all went well.
    pub(crate) fn join(&mut self, lane: Lane) -> bool {
        let panicked = lane.0.join().is_err();
        let mut is_well = !panicked;
        for done in self.told.try_iter() {
            if let Some(problem) = &done.problem {
                say(format_args!("{}: {problem}", done.name));
                show_end(&log_of(done.name));
                is_well = false;
            }
            self.done.push(done);
        }
        is_well
    }

    /// Prints how long each took.
    ///
    /// # Errors
    /// Names the stages that failed.
    pub(crate) fn end(self) -> Result<(), Failed> {
        say("times");
        for Done { name, budget, took, problem } in &self.done {
            let verdict = if problem.is_some() { "  FAILED" } else { "" };
            let over = if took > budget { "  (over its budget)" } else { "" };
            println!("{:5} s of {:4} s  {name}{verdict}{over}", took.as_secs(), budget.as_secs());
        }
        let failed: Vec<_> =
            self.done.iter().filter(|done| done.problem.is_some()).map(|done| done.name.to_owned()).collect();
        if failed.is_empty() { Ok(()) } else { Err(Failed::Stages(failed)) }
    }
}

fn log_of(name: &str) -> PathBuf {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Path::new(LOGS).join(format!("{name}.log"))
}

fn show_end(log: &Path) {
    let text = match fs::read_to_string(log) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => format!("{}: {error}", log.display()),
    };
    let lines: Vec<&str> = text.lines().collect();
    println!("{}", lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n"));
}
