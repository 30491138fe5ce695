//! Fills the addresses of nodes into the text of a scenario and leaves everything else as it is:
//! order, comments, layout.

use toml_edit::{Array, DocumentMut, Item, TableLike, Value};

/// Returns the text with `url` set for every node: `urls` are by node, in file order. A group of
/// `count` nodes gets a list, one address for each, so that it stays a group for those who name it.
///
/// # Errors
/// A sentence, if the text is not TOML or has another number of nodes.
pub fn with_urls(text: &str, urls: &[String]) -> Result<String, String> {
    let mut document: DocumentMut =
        text.parse().map_err(|error: toml_edit::TomlError| error.message().to_owned())?;
    let mut left = urls.iter();
    let mut short = false;
    for pool in document.get_mut("pool").map(tables).unwrap_or_default() {
        for node in pool.get_mut("node").map(tables).unwrap_or_default() {
            // A group that grows has as many nodes as it may ever have.
            let most = node.get("autoscale").and_then(|rule| rule.get("max"));
            let count = most.or_else(|| node.get("count")).and_then(Item::as_integer);
            let number = usize::try_from(count.unwrap_or(1)).unwrap_or(0);
            let own: Vec<&String> = left.by_ref().take(number).collect();
            short |= own.len() < number;
            let value = match (count, own.as_slice()) {
                (None, [url]) => Value::from(url.as_str()),
                _ => list(&own),
            };
            node.insert("url", Item::Value(value));
        }
    }
    if short || left.next().is_some() {
        return Err(format!("the text does not have {} nodes", urls.len()));
    }
    Ok(document.to_string())
}

/// A list with a line for each address.
fn list(urls: &[&String]) -> Value {
    let mut array = Array::new();
    for url in urls {
        array.push_formatted(Value::from(url.as_str()).decorated("\n    ", ""));
    }
    array.set_trailing("\n");
    array.set_trailing_comma(true);
    Value::Array(array)
}

/// The tables of an array, however it is written.
fn tables(item: &mut Item) -> Vec<&mut dyn TableLike> {
    match item {
        Item::ArrayOfTables(list) => {
            list.iter_mut().map(|table| table as &mut dyn TableLike).collect()
        }
        Item::Value(Value::Array(list)) => list
            .iter_mut()
            .filter_map(|value| value.as_inline_table_mut())
            .map(|table| table as &mut dyn TableLike)
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_and_comments_stay() {
        let text = "# top\n[[pool]]\nname = \"p\" # why\n[[pool.node]]\nname = \"a\"\n\n\
                    [pool.node.backend.api]\nttft = \"1s\"\n[[pool]]\n\
                    node = [{ name = \"b\", count = 2 }]\n# end\n";
        let urls: Vec<String> = ["u", "v", "w"].map(str::to_owned).to_vec();
        let filled = with_urls(text, &urls).unwrap();
        for part in ["# top", "# why", "# end", "name = \"a\"\nurl = \"u\"\n", "\"v\"", "\"w\""] {
            assert!(filled.contains(part), "{part}: {filled}");
        }
        assert!(with_urls(text, &urls[..2]).is_err());
        assert!(with_urls(text, &[urls.clone(), urls].concat()).is_err());
        assert!(with_urls("= 1", &[]).is_err());
    }
}
