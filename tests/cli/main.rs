//! The program as its users meet it: arguments, files, exit codes, the dashboard on a terminal.

#[cfg(feature = "tui")]
mod by_hand;
mod compare;
#[cfg(unix)]
mod docs;
mod explain;
mod fidelity;
mod files;
mod model_choice;
mod notices;
#[cfg(feature = "live")]
mod operate;
mod program;
mod reference;
mod scenarios;
#[cfg(all(feature = "tui", target_os = "linux"))]
mod screen_costs;
#[cfg(feature = "tui")]
mod seat;
#[cfg(feature = "tui")]
mod terminal;
mod trace_files;
mod words;
