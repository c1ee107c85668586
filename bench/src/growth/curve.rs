//! A curve, and what is to be said of its shape.

use serde::Serialize;

/// How something grows.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// Its name in the page and the JSON.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What grows, and its unit.
    pub across: &'static str,
    /// What grows with it, and its unit.
    pub upwards: &'static str,
    /// Where it was measured.
    pub place: &'static str,
    /// By contestant, or by what is told apart.
    pub lines: Vec<CurveLine>,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
pub struct CurveLine {
    /// Whose.
    pub name: String,
    /// In order of the first.
    pub points: Vec<(f64, f64)>,
}

impl Curve {
    /// A sentence for each line.
    #[must_use]
    pub fn said(&self) -> String {
        let each = self
            .lines
            .iter()
            .map(|line| format!("{}: {}.", line.name, shape(&line.points)));
        each.collect::<Vec<_>>().join(" ")
    }
}

/// What a line does from its first point to its last.
#[must_use]
pub fn shape(points: &[(f64, f64)]) -> String {
    let ends = points.first().zip(points.last());
    let Some(((x0, y0), (x1, y1))) = ends.filter(|((x0, _), (x1, _))| x0 < x1) else {
        return "one point, which has no shape".to_owned();
    };
    let (wider, higher) = (x1 / x0, y1 / y0);
    let times = crate::print::short(wider);
    if !(higher.is_finite() && *y0 > 0.0) {
        return format!("from nothing to {}", crate::print::short(*y1));
    }
    // The power of the growth: 0 is flat, 1 in proportion.
    let power = higher.ln() / wider.ln();
    let how = match power {
        fall if fall < -0.05 => "falls",
        flat if flat < 0.05 => "stays about the same",
        slow if slow < 0.9 => "grows more slowly",
        even if even <= 1.1 => "grows in proportion",
        _ => "grows faster",
    };
    format!(
        "over {times} times, {how}: {} times",
        crate::print::short(higher)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_told_by_both_ends() {
        let table = [
            (vec![(1.0, 5.0), (100.0, 5.1)], "stays about the same"),
            (vec![(1.0, 5.0), (100.0, 500.0)], "grows in proportion"),
            (vec![(1.0, 5.0), (100.0, 50.0)], "grows more slowly"),
            (vec![(1.0, 5.0), (10.0, 500.0)], "grows faster"),
            (vec![(1.0, 5.0), (10.0, 1.0)], "falls"),
            (vec![(1.0, 0.0), (10.0, 1.0)], "from nothing"),
            (vec![(1.0, 5.0)], "no shape"),
            (vec![], "no shape"),
        ];
        for (points, told) in table {
            let shape = shape(&points);
            assert!(shape.contains(told), "{points:?}: {shape}");
        }
    }
}
