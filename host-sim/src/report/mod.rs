//! Reports for people: one HTML file with charts, which needs nothing else.
//!
//! The page loads nothing and runs no script, and its content security policy says
//! so. Charts are inline SVG whose colours follow the reader's light or dark scheme.

mod attack;
mod chart;
mod what_if;

use maud::{DOCTYPE, Markup, PreEscaped, html};

pub use attack::attack_page;
pub(crate) use attack::{percent, seconds};
pub use chart::{Chart, ChartError, Line, Scale, Tone};
pub use what_if::what_if_page;

const STYLE: &str = include_str!("page.css");
/// Nothing is loaded, nothing runs.
const SECURITY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// A whole page, for reports of others as well.
#[must_use]
pub fn page(title: &str, lead: &Markup, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(SECURITY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    (lead)
                    (content)
                }
            }
        }
    };
    page.into_string()
}

/// A chart with its heading, its legend and a word on what it shows.
///
/// # Errors
/// When it cannot be drawn.
pub fn figure(chart: &Chart, caption: &str) -> Result<Markup, ChartError> {
    let svg = chart.svg()?;
    Ok(html! {
        figure id=(chart.id) {
            h2 { (chart.title) }
            figcaption { (caption) }
            (PreEscaped(svg))
            ul.legend {
                @for line in &chart.lines {
                    li data-series=(line.tone.variable()) {
                        i style={ "background:" (line.tone.variable()) } {}
                        (line.name)
                    }
                }
            }
        }
    })
}

/// A key figure: what it is, the figure, and what stands beside it.
#[must_use]
pub fn key_figure(name: &str, figure: &str, beside: &str) -> Markup {
    // A unit stays with its number.
    let figure = figure.replace(" s", "\u{a0}s");
    html! {
        div {
            dt { (name) }
            dd { (figure) small { (beside) } }
        }
    }
}

/// A whole number with its thousands set apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let table = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (number, text) in table {
            assert_eq!(grouped(number), text);
        }
    }
}
