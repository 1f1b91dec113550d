//! Just enough of Rust's lexing to tell code from comments and literals.

/// What [`strip`] leaves of string and character literals.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Literals {
    Keep,
    Blank,
}

/// `source` with comments (and literals) turned into spaces; every other character keeps its line and column.
pub(super) fn strip(source: &str, literals: Literals) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, blank) = token(&chars, at, literals);
        for &c in &chars[at..end] {
            out.push(if blank && c != '\n' { ' ' } else { c });
        }
        at = end;
    }
    out
}

/// Where the token that starts at `at` ends, and whether it is to be blanked.
fn token(chars: &[char], at: usize, literals: Literals) -> (usize, bool) {
    let blank_literal = literals == Literals::Blank;
    match (chars[at], chars.get(at + 1)) {
        ('/', Some('/')) => (chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |n| at + n), true),
        ('/', Some('*')) => (block_comment_end(chars, at), true),
        ('"', _) => (quoted_end(chars, at, '"'), blank_literal),
        ('\'', Some('\\')) => (quoted_end(chars, at, '\''), blank_literal),
        // Anything else after a single quote that is no `'x'` is a lifetime.
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => (at + 3, blank_literal),
        (c, _) if is_word(c) => {
            let end = chars[at..].iter().position(|c| !is_word(*c)).map_or(chars.len(), |n| at + n);
            let prefix: String = chars[at..end].iter().collect();
            match ["r", "br", "cr"].contains(&prefix.as_str()).then(|| raw_end(chars, end)).flatten() {
                Some(end) => (end, blank_literal),
                None => (end, false),
            }
        }
        _ => (at + 1, false),
    }
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a raw string whose `#`s or quote start at `start`, `None` when it is something else (`r#type`).
fn raw_end(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start..].iter().take_while(|c| **c == '#').count();
    if chars.get(start + hashes) != Some(&'"') {
        return None;
    }
    let body = start + hashes + 1;
    let closes =
        |at: &usize| chars[*at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    Some((body..chars.len()).find(closes).map_or(chars.len(), |at| at + 1 + hashes))
}

/// The words (identifiers and numbers) of a line, each with the column (in bytes) it starts at.
pub(super) fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    line.split(|c| !is_word(c)).filter_map(move |word| {
        let start = at;
        // A word is followed by exactly one separator, of whatever width.
        at += word.len() + line[at + word.len()..].chars().next().map_or(0, char::len_utf8);
        (!word.is_empty()).then_some((start, word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_go_code_stays() {
        let source = r####"let a = "f32 \" // no"; // f64
let b = r#"quote " inside"# + br"x"; /* one /* two */ still */ let c = 'x';
fn d<'a>(e: &'a str, r#type: u8) -> char { '\'' }"####;
        let expected = r####"let a =               ;       
let b =                     +      ;                           let c =    ;
fn d<'a>(e: &'a str, r#type: u8) -> char {      }"####;
        assert_eq!(strip(source, Literals::Blank), expected);
        assert!(strip(source, Literals::Keep).contains("f32") && !strip(source, Literals::Keep).contains("f64"));
    }

    #[test]
    fn words_know_their_columns() {
        assert_eq!(words("let é = a::b_1;").collect::<Vec<_>>(), [(0, "let"), (4, "é"), (9, "a"), (12, "b_1")]);
    }
}
