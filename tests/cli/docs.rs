//! The docs do what they say. Every block of shell commands in them runs here, in the order of its page
//! and in a folder of its own; what takes too long for a test runs in `.ci/run` instead, and then stands
//! there. Commands in running text are read by the program's own argument parser.
//!
//! A comment before a block says how it is run here:
//!
//! - `<!-- here: A => B -->` writes B in the place of A, to make a long command short;
//! - `<!-- server: FILE -->` starts the block beside the ones that follow, until FILE is there;
//! - `<!-- server: ADDRESS -->` the same, until something listens at ADDRESS;
//! - `<!-- ci -->` runs it in `.ci/run`, where every line of it stands as it is.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes so long unless it is broken.
const PATIENCE: Duration = Duration::from_secs(120);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn markdown(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a folder of the docs");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            markdown(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// Every page and its text.
fn pages() -> Vec<(PathBuf, String)> {
    let names = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];
    let mut found: Vec<PathBuf> = names.map(|name| root().join(name)).to_vec();
    markdown(&root().join("docs/src"), &mut found);
    assert!(found.len() > 25, "the walk finds the docs");
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{}", path.display()));
        (path, text)
    };
    found.into_iter().map(read).collect()
}

/// A fenced block: its language, its text, and what the comments before it say.
#[derive(Debug)]
struct Block {
    language: String,
    text: String,
    said: Vec<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut said) = (Vec::new(), Vec::new());
    let mut open: Option<Block> = None;
    for line in text.lines() {
        let word = line.trim();
        if let Some(block) = &mut open {
            if word == "```" {
                blocks.extend(open.take());
            } else {
                block.text.push_str(line);
                block.text.push('\n');
            }
        } else if let Some(language) = word.strip_prefix("```") {
            let said = std::mem::take(&mut said);
            open = Some(Block { language: language.to_owned(), text: String::new(), said });
        } else if let Some(comment) = word.strip_prefix("<!--") {
            said.push(comment.trim_end_matches("-->").trim().to_owned());
        } else if !word.is_empty() {
            said.clear();
        }
    }
    assert!(open.is_none(), "a block is closed");
    blocks
}

fn is_shell(block: &Block) -> bool {
    ["sh", "console", "bash", "shell"].contains(&block.language.as_str())
}

/// The ports that the docs name. Here each page gets free ones in their place.
const PORTS: [&str; 2] = ["8080", "8081"];

/// The folder that the commands of a page run in, with what its reader would have.
struct Place {
    folder: tempfile::TempDir,
    ports: [String; PORTS.len()],
    servers: Vec<Child>,
}

impl Drop for Place {
    fn drop(&mut self) {
        for server in &mut self.servers {
            // A group of its own, so that what the shell has started ends with it.
            let group = format!("-{}", server.id());
            let _ = Command::new("kill").args(["-TERM", "--", &group]).status();
            let _ = server.wait();
        }
    }
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        for name in ["scenarios", "examples"] {
            std::os::unix::fs::symlink(root().join(name), at.join(name)).expect("a link");
        }
        // A scenario and traces of the reader's own.
        fs::copy(root().join("scenarios/quickstart.toml"), at.join("my.toml")).expect("copied");
        let azure: String = (0..200)
            .map(|row| {
                format!("2023-11-16 18:15:{:02}.{:03}0000,{},{}\n", row / 5, row % 5 * 200, 300, 40)
            })
            .collect();
        let header = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
        fs::write(at.join("AzureLLMInferenceTrace_conv.csv"), header.to_owned() + &azure)
            .expect("written");
        let mooncake: String = (0..200)
            .map(|row| {
                format!(
                    "{{\"timestamp\": {}, \"input_length\": 600, \"output_length\": 40, \
                     \"hash_ids\": [0, {row}]}}\n",
                    row / 10 * 3_000
                )
            })
            .collect();
        fs::write(at.join("conversation_trace.jsonl"), mooncake).expect("written");
        // Held together, so that they differ.
        let free = PORTS.map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let ports = free.map(|held| held.local_addr().expect("an address").port().to_string());
        Place { folder, ports, servers: Vec::new() }
    }

    /// Puts free ports in the place of those that the docs name.
    fn with_free_ports(&self, text: &str) -> String {
        PORTS.iter().zip(&self.ports).fold(text.to_owned(), |text, (named, free)| {
            text.replace(&format!(":{named}"), &format!(":{free}"))
        })
    }

    fn shell(&self, script: &str) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_plimsoll")).parent().expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command
            .args(["-e", "-c", script])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", program.display()))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// Runs a block to its end.
    fn run(&self, script: &str, page: &Path) {
        let output = self.shell(script).output().expect("a shell");
        assert!(
            output.status.success(),
            "{}:\n{script}\n{}{}",
            page.display(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Starts a block and waits until `sign` is there: a file, or something that listens.
    fn serve(&mut self, script: &str, sign: &str) {
        let mut command = self.shell(script);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
        self.servers.push(command.spawn().expect("a shell"));
        let begun = Instant::now();
        let is_there = || match sign.contains(':') {
            true => TcpStream::connect(sign).is_ok(),
            false => self.folder.path().join(sign).exists(),
        };
        while !is_there() {
            assert!(begun.elapsed() < PATIENCE, "{sign} is not there after\n{script}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Runs the blocks of one page.
fn try_page(page: &Path, text: &str) {
    let ci = fs::read_to_string(root().join(".ci/run")).expect(".ci/run");
    let blocks: Vec<Block> = blocks(text).into_iter().filter(is_shell).collect();
    if blocks.is_empty() {
        return;
    }
    let mut place = Place::new();
    for block in blocks {
        let mut script = block.text.clone();
        if block.said.iter().any(|said| said == "ci") {
            for line in script.lines().map(|line| line.split(" #").next().unwrap_or(line).trim()) {
                assert!(ci.contains(line), "{}: `{line}` is not in .ci/run", page.display());
            }
            continue;
        }
        for (from, to) in block
            .said
            .iter()
            .filter_map(|said| said.strip_prefix("here:").and_then(|said| said.split_once("=>")))
        {
            let (from, to) = (from.trim(), to.trim());
            assert!(script.contains(from), "{}: `{from}` is not in\n{script}", page.display());
            script = script.replace(from, to);
        }
        let script = place.with_free_ports(&script);
        match block.said.iter().find_map(|said| said.strip_prefix("server:")) {
            Some(sign) => place.serve(&script, &place.with_free_ports(sign.trim())),
            None => place.run(&script, page),
        }
    }
}

#[test]
fn every_block_of_commands_in_the_docs_runs() {
    for (page, text) in pages() {
        try_page(&page, &text);
    }
}

/// What stands in backquotes in running text.
fn spans(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push(' ');
        }
    }
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Splits as a shell does: at spaces outside of quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in line.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            None if letter == '\'' || letter == '"' => quote = Some(letter),
            None if letter == ' ' => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            _ => word.push(letter),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[test]
fn every_command_in_running_text_is_one_the_program_takes() {
    let mut read = 0;
    // The page of commands is made by the same parser; its headings are no commands.
    for (page, text) in pages().into_iter().filter(|(page, _)| !page.ends_with("commands.md")) {
        for span in spans(&text) {
            let words = words(&span);
            let place = page.display();
            match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                // A word that stands for a command.
                ["plimsoll"] | ["plimsoll", "COMMAND", ..] | ["plimsoll", _, "--help"] => {}
                // A command by its name alone is spoken of, not given.
                ["plimsoll", name] => {
                    let known = plimsoll::cli::definition();
                    assert!(known.find_subcommand(name).is_some(), "{place}: `{span}`");
                }
                // Numbers are written as `N`, everything else is taken as it stands.
                ["plimsoll", ..] => {
                    let words = words.iter().map(|word| if word == "N" { "7" } else { word });
                    let taken = plimsoll::cli::definition().try_get_matches_from(words);
                    assert!(taken.is_ok(), "{place}: `{span}`: {}", taken.expect_err("checked"));
                    read += 1;
                }
                ["cargo", "test", "--test", program]
                | ["cargo", "test", "--test", program, "--", ..] => {
                    let one = root().join(format!("tests/{program}.rs"));
                    let many = root().join(format!("tests/{program}/main.rs"));
                    assert!(one.exists() || many.exists(), "{place}: `{span}`");
                }
                ["cargo", "test", "--test", program, module, ..] => {
                    let path = root().join(format!("tests/{program}/{module}.rs"));
                    assert!(path.exists(), "{place}: `{span}`");
                }
                ["cargo", "bench", "--bench", name, ..] => {
                    assert!(
                        root().join(format!("benches/{name}.rs")).exists(),
                        "{place}: `{span}`"
                    );
                }
                _ => {}
            }
        }
    }
    assert!(read > 20, "{read} commands");
}

#[test]
fn every_toml_block_is_toml() {
    for (page, text) in pages() {
        for block in blocks(&text).iter().filter(|block| block.language == "toml") {
            let read = toml::from_str::<toml::Table>(&block.text);
            assert!(
                read.is_ok(),
                "{}:\n{}\n{}",
                page.display(),
                block.text,
                read.expect_err("checked")
            );
        }
    }
}

#[test]
fn every_link_leads_to_a_file_and_every_page_is_in_the_summary() {
    for (page, text) in pages() {
        let folder = page.parent().expect("a folder");
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap_or_default();
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(folder.join(target).exists(), "{}: {target}", page.display());
        }
    }
    let book = root().join("docs/src");
    let summary = fs::read_to_string(book.join("SUMMARY.md")).expect("SUMMARY.md");
    let mut found = Vec::new();
    markdown(&book, &mut found);
    for path in found.iter().filter(|path| !path.ends_with("SUMMARY.md")) {
        let name = path.strip_prefix(&book).expect("below the book").display().to_string();
        assert!(summary.contains(&format!("({name})")), "SUMMARY.md does not name {name}");
    }
}

#[test]
fn the_readme_stays_short() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    assert!(readme.lines().count() <= 130, "what is longer than that belongs into docs");
}
