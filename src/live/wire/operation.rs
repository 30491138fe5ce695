//! What clients may ask an endpoint for, and how its answers are read.

/// A call of the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// A conversation goes on.
    #[default]
    Chat,
    /// A text goes on.
    Completions,
    /// Texts to vectors.
    Embeddings,
    /// OpenAI's newer conversations, which the endpoint may keep.
    Responses,
    /// A conversation as Anthropic has it.
    Messages,
    /// How many tokens such a conversation has.
    CountTokens,
    /// Whether a text is harmful.
    Moderations,
    /// Which documents fit a question.
    Rerank,
    /// Pictures from words.
    ImageGenerations,
    /// Pictures from pictures and words.
    ImageEdits,
    /// Pictures like a picture.
    ImageVariations,
    /// Words to sound.
    Speech,
    /// Sound to words.
    Transcriptions,
    /// Sound to English words.
    Translations,
    /// Anything that is said to an agent or a tool by HTTP.
    Http,
}

/// How answers are shaped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Choices, and `[DONE]` at the end of a stream.
    #[default]
    Choices,
    /// Events of a response.
    Responses,
    /// Events of a message.
    Messages,
    /// An object of any shape: only errors and usage are looked for.
    Json,
    /// Anything at all, as sound.
    Plain,
}

impl Operation {
    /// All that have a path of their own.
    pub const ALL: [Operation; 14] = [
        Operation::Chat,
        Operation::Completions,
        Operation::Embeddings,
        Operation::Responses,
        Operation::Messages,
        Operation::CountTokens,
        Operation::Moderations,
        Operation::Rerank,
        Operation::ImageGenerations,
        Operation::ImageEdits,
        Operation::ImageVariations,
        Operation::Speech,
        Operation::Transcriptions,
        Operation::Translations,
    ];

    /// The table: its path below the base of an API, and how its answers are shaped.
    const fn row(self) -> (&'static str, Protocol) {
        match self {
            Operation::Chat => ("/chat/completions", Protocol::Choices),
            Operation::Completions => ("/completions", Protocol::Choices),
            Operation::Embeddings => ("/embeddings", Protocol::Json),
            Operation::Responses => ("/responses", Protocol::Responses),
            Operation::Messages => ("/messages", Protocol::Messages),
            Operation::CountTokens => ("/messages/count_tokens", Protocol::Json),
            Operation::Moderations => ("/moderations", Protocol::Json),
            Operation::Rerank => ("/rerank", Protocol::Json),
            Operation::ImageGenerations => ("/images/generations", Protocol::Json),
            Operation::ImageEdits => ("/images/edits", Protocol::Json),
            Operation::ImageVariations => ("/images/variations", Protocol::Json),
            Operation::Speech => ("/audio/speech", Protocol::Plain),
            Operation::Transcriptions => ("/audio/transcriptions", Protocol::Plain),
            Operation::Translations => ("/audio/translations", Protocol::Plain),
            Operation::Http => ("", Protocol::Plain),
        }
    }

    /// Returns its path below the base of an API.
    #[must_use]
    pub const fn path(self) -> &'static str {
        self.row().0
    }

    /// Returns how its answers are shaped.
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        self.row().1
    }

    /// Returns the one with this path below the base of an API.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| operation.path() == path)
    }

    /// Returns its place in [`Operation::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns whether its streams end with their usage only for who asks for it.
    #[must_use]
    pub const fn hides_usage(self) -> bool {
        matches!(self, Operation::Chat | Operation::Completions)
    }

    /// Returns whether errors are told as Anthropic tells them.
    #[must_use]
    pub const fn is_anthropic(self) -> bool {
        matches!(self, Operation::Messages | Operation::CountTokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_found_by_its_path_and_its_place() {
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(Operation::of_path(operation.path()), Some(operation));
            assert_eq!(operation.index(), place);
        }
        assert_eq!(Operation::of_path("/chat"), None);
    }
}
