//! What the documentation links to.

/// Where the links of a text lead that stay in the repository.
pub fn links(markdown: &str) -> impl Iterator<Item = &str> {
    let targets = markdown.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')'));
    targets
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://"))
}

/// Whether a text has a heading with this anchor.
#[must_use]
pub fn has_heading(markdown: &str, wanted: &str) -> bool {
    markdown.lines().any(|line| anchor(line) == wanted)
}

/// The anchor of a heading, as Git forges make it; empty for other lines.
fn anchor(line: &str) -> String {
    let heading = line.trim_start_matches('#');
    if heading == line {
        return String::new();
    }
    let lower = heading.trim().to_lowercase();
    let kept = lower.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        letter if letter.is_alphanumeric() || letter == '-' || letter == '_' => Some(letter),
        _ => None,
    });
    kept.collect()
}
