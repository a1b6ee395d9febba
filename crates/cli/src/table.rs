//! Columns for people, and tab-separated lines for programs.

/// Rows under headings, in columns as wide as they need to be.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::new();
        for (cell, width) in cells.zip(&widths) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count()) + 2));
        }
        format!("{}\n", out.trim_end())
    };
    let mut out = line(&mut headings.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// One line a row, tabs between, sorted bytewise, without twins and without headings.
pub(crate) fn tsv(rows: &[Vec<String>]) -> String {
    let mut lines: Vec<String> = rows.iter().map(|row| row.join("\t")).collect();
    lines.sort_unstable();
    lines.dedup();
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_as_bytes_and_stand_once() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = [row(["b", "x"]), row(["B", "x"]), row(["a-b", "x"]), row(["a", "x"]), row(["b", "x"])];
        assert_eq!(tsv(&rows), "B\tx\na\tx\na-b\tx\nb\tx\n");
        assert_eq!(table(&["n", "long"], &rows[..1]), "n  long\nb  x\n");
    }
}
