//! The program as its users meet it: arguments, files, exit codes, the dashboard on a terminal.

mod compare;
mod explain;
mod model_choice;
mod program;
mod scenarios;
#[cfg(feature = "tui")]
mod terminal;
mod trace_files;
