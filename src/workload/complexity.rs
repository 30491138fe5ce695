//! How hard a prompt looks, from what is cheap to see: a number from 0 to 1 for routes that choose a model
//! by complexity, where the client does not say.
//!
//! It is a rule of thumb, not a classifier: no model is asked, nothing is allocated for more than a word,
//! and at most [`READ_MAX`] bytes of the last message are read, each once. What is seen, and whence it is
//! taken:
//!
//! | feature | part | from |
//! |---|---|---|
//! | length of all messages | 0.15 | LiteLLM's and Bifrost's complexity routers (`tokenCount`) |
//! | code | 0.20 | the same (`codePresence`) |
//! | mathematics | 0.15 | MATH and GSM8K are where RouteLLM (Ong et al. 2024) finds weak models weak |
//! | words of reasoning, in ten languages | 0.25 | the same routers (`reasoningMarkers`); "reasoning" of NVIDIA's prompt classifier |
//! | parts: listed points, questions | 0.10 | the same routers (`multiStepPatterns`, `questionComplexity`); "constraints" of NVIDIA's |
//! | turns of the conversation before | 0.10 | "contextual knowledge" of NVIDIA's classifier |
//! | length that is wanted | 0.05 | Hybrid LLM (Ding et al. 2024): long answers are where models differ |
//! | begins as a greeting or a plain look-up | -0.10 | the same routers (`simpleIndicators`) |
//!
//! The parts are our own choice. A route goes by the order of scores only, so what matters of them is which
//! of two prompts looks harder.

/// Of the last message so many bytes are read.
pub const READ_MAX: usize = 32 * 1_024;

/// Longer words are none that we look for.
const WORD_MAX: usize = 48;

/// Beginnings of words that ask for reasoning, in order of their bytes; none begins another one. English,
/// French, German, Portuguese, Spanish, then Russian and Arabic.
const REASONING: &[&str] = &[
    "analis",
    "analiz",
    "analys",
    "argument",
    "begründ",
    "beurteil",
    "beweis",
    "bewert",
    "calcul",
    "compar",
    "contrast",
    "critic",
    "critiqu",
    "debug",
    "deduc",
    "demonstr",
    "demuestr",
    "deriv",
    "design",
    "devis",
    "diseñ",
    "démontr",
    "entwerf",
    "entwirf",
    "erklär",
    "evalu",
    "explain",
    "explic",
    "expliq",
    "herleit",
    "implement",
    "justif",
    "optimi",
    "porqu",
    "pourquoi",
    "proof",
    "prouv",
    "prove",
    "reason",
    "refactor",
    "schrittweise",
    "solve",
    "strateg",
    "synthes",
    "vergleich",
    "warum",
    "why",
    "widerleg",
    "wieso",
    "анализ",
    "докаж",
    "объясн",
    "почему",
    "сравн",
    "اشرح",
    "حلل",
    "قارن",
    "لماذا",
];

/// The same where words are not kept apart: Chinese, Japanese, Korean.
const REASONING_UNSPACED: &[&str] = &[
    "为什么",
    "為什麼",
    "证明",
    "證明",
    "解释",
    "比较",
    "分析",
    "推导",
    "设计",
    "计算",
    "优化",
    "步骤",
    "なぜ",
    "証明",
    "説明",
    "比較",
    "設計",
    "計算",
    "왜 ",
    "증명",
    "설명",
    "비교",
    "분석",
    "설계",
];

/// Words of programs, in order of their bytes.
const CODE: &[&str] = &[
    "async",
    "await",
    "class",
    "const",
    "def",
    "elif",
    "enum",
    "fn",
    "func",
    "function",
    "impl",
    "import",
    "lambda",
    "let",
    "null",
    "nullptr",
    "printf",
    "println",
    "return",
    "select",
    "sizeof",
    "std",
    "struct",
    "traceback",
    "typedef",
    "var",
    "void",
];

/// What a greeting or a plain look-up begins with, in order of their bytes.
const PLAIN: &[&str] = &[
    "bonjour",
    "danke",
    "define",
    "definiere",
    "gracias",
    "guten",
    "hallo",
    "hello",
    "hey",
    "hi",
    "hola",
    "list",
    "merci",
    "obrigado",
    "ok",
    "thank",
    "thanks",
    "traduce",
    "traduis",
    "translate",
    "wann",
    "was",
    "wer",
    "what",
    "when",
    "where",
    "who",
    "wo",
    "yes",
    "über",
    "übersetze",
    "привет",
    "спасибо",
];

/// The same where words are not kept apart.
const PLAIN_UNSPACED: &[&str] = &["你好", "谢谢", "翻译", "こんにちは", "ありがとう", "안녕"];

/// What is read of a message.
fn beginning(message: &str) -> &str {
    let most = message.len().min(READ_MAX);
    let end = (0..=most).rev().find(|end| message.is_char_boundary(*end));
    &message[..end.unwrap_or(0)]
}

/// What is cheap to see of a prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptFeatures {
    /// Bytes of all messages.
    pub bytes: u64,
    /// Signs and words of programs.
    pub code: u32,
    /// Signs of mathematics.
    pub mathematics: u32,
    /// Words that ask for reasoning.
    pub reasoning: u32,
    /// Points of lists, and questions.
    pub parts: u32,
    /// Whether it begins as a greeting or a plain look-up does.
    pub plain: bool,
    /// Messages before the last one of who asks.
    pub turns: u32,
    /// The most tokens that are wanted, if that is said.
    pub wanted: Option<u64>,
}

impl PromptFeatures {
    /// What there is to see in the last message of who asks. Its length, the turns before it and what is
    /// wanted are for the caller to say.
    #[must_use]
    pub fn of(message: &str) -> PromptFeatures {
        let text = beginning(message);
        let mut seen = PromptFeatures { bytes: message.len() as u64, ..PromptFeatures::default() };
        seen.words(text);
        seen.signs(text);
        seen
    }

    fn words(&mut self, text: &str) {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let mut low = String::with_capacity(WORD_MAX);
        for (place, word) in words.enumerate() {
            low.clear();
            low.extend(word.chars().take(WORD_MAX).flat_map(char::to_lowercase));
            let word = low.as_str();
            // Since none begins another one, the only beginning there may be comes just before.
            let before = REASONING.partition_point(|stem| *stem <= word);
            let begins = before.checked_sub(1).is_some_and(|at| word.starts_with(REASONING[at]));
            self.reasoning += u32::from(begins);
            self.code += u32::from(CODE.binary_search(&word).is_ok());
            self.plain |= place == 0 && PLAIN.binary_search(&word).is_ok();
        }
        self.plain |= PLAIN_UNSPACED.iter().any(|start| text.trim_start().starts_with(start));
    }

    /// Signs between words, and what is written without spaces: each place is looked at once.
    fn signs(&mut self, text: &str) {
        let (mut blank, mut last) = (true, ' ');
        for (at, sign) in text.char_indices() {
            let rest = &text[at..];
            match sign {
                '{' | '}' | ';' | '`' | '<' | '>' => self.code += 1,
                '=' if last == '=' || last == '!' => self.code += 1,
                '^' | '∑' | '∫' | '√' | '∞' | '≤' | '≥' | '≠' | '∈' | '∀' | '∃' | 'π' | '∂'
                | '×' | '÷' => {
                    self.mathematics += 2;
                }
                '\\' if rest[1..].starts_with(|c: char| c.is_ascii_lowercase()) => {
                    self.mathematics += 2;
                }
                '=' | '+' | '*' | '/' if last.is_ascii_digit() || last == ' ' => {
                    self.mathematics += 1;
                }
                '?' | '？' | '؟' => self.parts += 1,
                '-' | '*' | '•' if blank && rest[sign.len_utf8()..].starts_with(' ') => {
                    self.parts += 1;
                }
                '0'..='9' if blank && rest[1..].starts_with(['.', ')']) => self.parts += 1,
                '\u{3040}'.. => {
                    let found = REASONING_UNSPACED.iter().any(|word| rest.starts_with(word));
                    self.reasoning += u32::from(found);
                }
                _ => {}
            }
            blank = sign == '\n' || blank && sign.is_whitespace();
            last = sign;
        }
    }

    /// Returns how hard it looks, from 0 to 1.
    #[must_use]
    pub fn complexity(&self) -> f64 {
        // Half of a part is given at this many, all of it never.
        let some = |count: f64, half: f64| count / (count + half);
        let parts = [
            (0.15, some(self.bytes as f64, 4_000.0)),
            (0.20, some(f64::from(self.code), 4.0)),
            (0.15, some(f64::from(self.mathematics), 4.0)),
            (0.25, some(f64::from(self.reasoning), 1.0)),
            // One question is what every prompt has.
            (0.10, some(f64::from(self.parts.saturating_sub(1)), 2.0)),
            (0.10, some(f64::from(self.turns), 6.0)),
            (0.05, some(self.wanted.unwrap_or(0) as f64, 1_000.0)),
            (-0.10, f64::from(u8::from(self.plain))),
        ];
        parts.iter().map(|(part, seen)| part * seen).sum::<f64>().clamp(0.0, 1.0)
    }

    /// Returns the same in thousandths, as a request says it.
    #[must_use]
    pub fn thousandths(&self) -> u32 {
        (self.complexity() * 1e3).round() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of prompts of about one length, the easier one first.
    const PAIRS: &[(&str, &str)] = &[
        ("What is the capital of France?", "Prove that there are infinitely many primes."),
        ("Hi there, how are you today?", "Why does this deadlock? `lock(a); lock(b);`"),
        ("Translate `good morning` to Welsh", "Derive the gradient of x^2 + 3*x = 0, step by step"),
        ("Was ist die Hauptstadt von Peru?", "Beweise, dass die Wurzel aus 2 irrational ist."),
        (
            "Hallo, wie geht es dir heute so?",
            "Vergleiche beide Verträge und begründe, welcher besser ist.",
        ),
        (
            "Bonjour, quelle heure est-il ?",
            "Démontre le théorème et explique pourquoi il est utile.",
        ),
        (
            "Hola, ¿qué tiempo hace hoy aquí?",
            "Analiza los datos y explica por qué bajan las ventas.",
        ),
        ("Привет! Как дела сегодня у тебя?", "Почему небо голубое? Объясни и докажи формулой."),
        ("你好，今天天气怎么样？", "请证明根号二是无理数，并解释每个步骤。"),
        ("こんにちは、元気ですか？", "なぜ空は青いのか、光の散乱を比較して説明して。"),
        ("안녕, 오늘 날씨 어때?", "두 알고리즘을 비교하고 정확성을 증명해 줘."),
        ("مرحبا كيف حالك اليوم؟", "لماذا السماء زرقاء؟ اشرح ثم قارن بين اللونين"),
        (
            "List three red fruits",
            "fn main() { let x = vec![1]; println!(\"{}\", x[2]); } panics, why?",
        ),
    ];

    #[test]
    fn in_every_language_what_asks_for_reasoning_looks_harder() {
        for (easy, hard) in PAIRS {
            let [low, high] = [easy, hard].map(|text| PromptFeatures::of(text).complexity());
            assert!(low + 0.08 < high, "{low:.3} `{easy}`, {high:.3} `{hard}`");
        }
    }

    #[test]
    fn more_of_anything_never_looks_easier_and_all_lies_between_zero_and_one() {
        let more: [fn(&mut PromptFeatures, u32); 7] = [
            |seen, by| seen.bytes += u64::from(by),
            |seen, by| seen.code += by,
            |seen, by| seen.mathematics += by,
            |seen, by| seen.reasoning += by,
            |seen, by| seen.parts += by,
            |seen, by| seen.turns += by,
            |seen, by| seen.wanted = Some(seen.wanted.unwrap_or(0) + u64::from(by)),
        ];
        for grow in more {
            let mut seen = PromptFeatures::of("prove it");
            let mut last = seen.complexity();
            for by in [1, 10, 1_000, 1_000_000_000] {
                grow(&mut seen, by);
                let now = seen.complexity();
                assert!((last..=1.0).contains(&now), "{now} after {last}: {seen:?}");
                last = now;
            }
            assert!(last > PromptFeatures::of("prove it").complexity(), "it counts");
        }
        let plain = PromptFeatures { plain: true, ..PromptFeatures::default() };
        assert_eq!(plain.thousandths(), 0, "never below zero");
    }

    #[test]
    fn tables_are_in_order_and_no_beginning_begins_another() {
        for table in [CODE, PLAIN, REASONING] {
            assert!(table.is_sorted(), "{:?}", table.windows(2).find(|pair| pair[0] > pair[1]));
        }
        assert!(REASONING.windows(2).all(|pair| !pair[1].starts_with(pair[0])));
        for word in REASONING {
            assert_eq!(PromptFeatures::of(&format!("x {word}ing")).reasoning, 1, "{word}");
        }
        for word in REASONING_UNSPACED {
            assert_eq!(PromptFeatures::of(word).reasoning, 1, "{word}");
        }
    }

    #[test]
    fn of_a_long_message_the_beginning_is_read_and_its_length_counts() {
        let long = format!("{}why", "字 ".repeat(READ_MAX));
        let seen = PromptFeatures::of(&long);
        assert_eq!((seen.reasoning, seen.bytes), (0, long.len() as u64));
        for odd in ["", "\\", "\\\\", "1", "-", "\u{10ffff}", "é^", "= ", "\u{301}"] {
            assert!(PromptFeatures::of(odd).complexity() <= 1.0);
        }
    }
}
