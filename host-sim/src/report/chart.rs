//! Charts as inline SVG, in colours that the page's style chooses.

use std::ops::Range;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use thiserror::Error;

/// The drawing's size in its own units. It is stretched to its column; narrow
/// enough for its letters to stay legible on a phone.
const SIZE: (u32, u32) = (420, 280);
const FONT: (&str, u32) = ("sans-serif", 15);
/// About so many ticks on each axis.
const TICKS: usize = 5;

// Each stands for a variable of the page's style.
const INK: RGBColor = RGBColor(1, 2, 3);
const GRID: RGBColor = RGBColor(4, 5, 6);

/// A chart that cannot be drawn.
#[derive(Debug, Error)]
#[error("cannot draw the chart `{title}`: {message}")]
pub struct ChartError {
    /// Its title.
    pub title: &'static str,
    /// What the plotter said.
    pub message: String,
}

/// Who a line stands for, and so its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// The server without the filter, or the first of two policies.
    Before,
    /// The server behind the filter, or the second of two policies.
    After,
    /// Something else.
    Other,
}

impl Tone {
    const ALL: [Self; 3] = [Self::Before, Self::After, Self::Other];

    fn colour(self) -> RGBColor {
        match self {
            Self::Before => RGBColor(7, 8, 9),
            Self::After => RGBColor(10, 11, 12),
            Self::Other => RGBColor(13, 14, 15),
        }
    }

    /// The later line is the thinner one: where both meet, both are seen.
    fn width(self) -> u32 {
        match self {
            Self::Before => 4,
            Self::After | Self::Other => 2,
        }
    }

    /// The variable of the page's style.
    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::Before => "var(--before)",
            Self::After => "var(--after)",
            Self::Other => "var(--other)",
        }
    }
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Line {
    /// What the legend calls it.
    pub name: String,
    /// Its colour.
    pub tone: Tone,
    /// From left to right.
    pub points: Vec<(f64, f64)>,
}

/// How the horizontal axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero.
    Even,
    /// By powers of ten, from the smallest value on.
    Powers,
}

/// A chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// Its name in the page.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What the horizontal axis shows.
    pub across: String,
    /// What the vertical axis shows.
    pub upwards: &'static str,
    /// How the horizontal axis is divided.
    pub scale: Scale,
    /// In the order in which they are drawn.
    pub lines: Vec<Line>,
}

impl Chart {
    /// Draws it.
    pub(super) fn svg(&self) -> Result<String, ChartError> {
        let mut svg = String::new();
        let drawn = match self.scale {
            Scale::Even => self.draw(&mut svg, 0.0..self.right()),
            Scale::Powers => self.draw(&mut svg, (self.left()..self.right()).log_scale()),
        };
        drawn.map_err(|message| ChartError {
            title: self.title,
            message,
        })?;
        Ok(self.dress(&svg))
    }

    fn draw<X>(&self, svg: &mut String, across: X) -> Result<(), String>
    where
        X: AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_right(18)
            .x_label_area_size(44)
            .y_label_area_size(58)
            .build_cartesian_2d(across, self.upwards_range())
            .map_err(|error| said(&error))?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(TICKS)
            .y_labels(TICKS)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(FONT.into_font().color(&INK))
            .axis_desc_style(FONT.into_font().color(&INK))
            .x_label_formatter(&|value| short(*value))
            .y_label_formatter(&|value| short(*value))
            .x_desc(&self.across)
            .y_desc(self.upwards)
            .draw()
            .map_err(|error| said(&error))?;
        for line in &self.lines {
            let style = line.tone.colour().stroke_width(line.tone.width());
            let points = line.points.iter().copied();
            chart
                .draw_series(LineSeries::new(points, style))
                .map_err(|error| said(&error))?;
        }
        area.present().map_err(|error| said(&error))
    }

    fn upwards_range(&self) -> Range<f64> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let top = points.map(|(_, y)| *y).fold(0.0, f64::max);
        // A little air above the highest line.
        0.0..if top > 0.0 { top * 1.05 } else { 1.0 }
    }

    fn right(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let right = points.map(|(x, _)| *x).fold(0.0, f64::max);
        if right > 0.0 { right } else { 1.0 }
    }

    fn left(&self) -> f64 {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let left = points.map(|(x, _)| *x).filter(|x| *x > 0.0);
        left.fold(self.right() / 10.0, f64::min)
    }

    /// Gives the drawing its title for those who do not see it, and its colours.
    fn dress(&self, svg: &str) -> String {
        let (_, drawing) = svg.split_once('>').unwrap_or(("", svg));
        let (width, height) = SIZE;
        let label = self.title;
        let mut dressed = format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{label}\">{drawing}"
        );
        let tones = Tone::ALL.map(|tone| (tone.colour(), tone.variable()));
        let colours = [(INK, "var(--ink)"), (GRID, "var(--grid)")];
        for (RGBColor(r, g, b), variable) in colours.into_iter().chain(tones) {
            dressed = dressed.replace(&format!("#{r:02X}{g:02X}{b:02X}"), variable);
        }
        dressed
    }
}

/// A number as an axis shows it.
pub(super) fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        large if large >= 999_500.0 => (value / 1_000_000.0, "M"),
        large if large >= 1000.0 => (value / 1000.0, "k"),
        _ => (value, ""),
    };
    let text = match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    };
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(scale: Scale) -> Chart {
        let line = |tone, points| Line {
            name: String::new(),
            tone,
            points,
        };
        Chart {
            id: "c",
            title: "Look-ups",
            across: "minutes".to_owned(),
            upwards: "per second",
            scale,
            lines: vec![
                line(Tone::Before, vec![(0.5, 0.0), (1.0, 2000.0), (2.0, 1500.0)]),
                line(Tone::After, vec![(0.5, 0.0), (1.0, 3.0)]),
            ],
        }
    }

    #[test]
    fn a_chart_has_axes_and_a_line_for_each_series() {
        for scale in [Scale::Even, Scale::Powers] {
            let svg = chart(scale).svg().unwrap();
            for tone in [Tone::Before, Tone::After] {
                let stroke = format!("stroke=\"{}\"", tone.variable());
                assert_eq!(svg.matches(&stroke).count(), 1, "{svg}");
            }
            assert!(svg.contains(">\nminutes\n<") && svg.contains("per second"));
            assert!(svg.matches("<text").count() > 6, "labels of both axes");
            assert!(
                !svg.contains('#'),
                "no colour is left that no style chooses"
            );
        }
    }

    #[test]
    fn a_chart_of_nothing_is_drawn_all_the_same() {
        for points in [vec![], vec![(0.0, 0.0)]] {
            let mut chart = chart(Scale::Even);
            chart.lines.truncate(1);
            chart
                .lines
                .iter_mut()
                .for_each(|line| line.points.clone_from(&points));
            chart.svg().unwrap();
            chart.scale = Scale::Powers;
            chart.svg().unwrap();
        }
    }

    #[test]
    fn numbers_stay_short() {
        let table = [
            (0.0, "0"),
            (0.25, "0.25"),
            (12.5, "12.5"),
            (300.0, "300"),
            (1500.0, "1.5k"),
            (20_000.0, "20k"),
            (999_999.0, "1M"),
        ];
        for (value, text) in table {
            assert_eq!(short(value), text);
        }
    }
}
