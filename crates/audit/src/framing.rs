//! Bytes to lines, in windows of bounded size. Every entry is one line, ended by a line feed.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use countersign_core::entry::MAX_ENTRY_LEN;
use countersign_core::fault::FaultCode;

use crate::source::{Damage, Segment, SegmentPlace, Source, SourceError};

/// How many bytes are read before a window is cut, and how many lines it has at most.
pub(crate) const WINDOW_LEN: usize = 1 << 20;
const WINDOW_LINES: usize = 4_096;

/// Where a line stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The segment's name, where there are several.
    pub(crate) segment: Option<Arc<str>>,
    /// 1-based, in its segment.
    pub(crate) line: u64,
    /// 0-based offset of the line's first byte, in its segment.
    pub(crate) offset: u64,
}

/// Consecutive lines, of one segment or of several that are small.
#[derive(Debug, Default)]
pub(crate) struct Window {
    pieces: Vec<Vec<u8>>,
    lines: Vec<Line>,
    /// How many bytes its lines have.
    length: usize,
    /// What is wrong with the framing right after these lines. Nothing follows then.
    pub(crate) stop: Option<Stop>,
    /// Whether nothing follows.
    pub(crate) is_last: bool,
    /// How many bytes were read up to here, over all segments.
    pub(crate) bytes_read: u64,
}

/// A line of a window: in which piece, where in it, and where in its segment.
#[derive(Debug)]
struct Line {
    piece: usize,
    range: Range<usize>,
    place: Place,
}

impl Window {
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The bytes of a line without its line feed, and where it stands.
    pub(crate) fn line(&self, index: usize) -> Option<(&[u8], &Place)> {
        let Line { piece, range, place } = self.lines.get(index)?;
        Some((&self.pieces[*piece][range.clone()], place))
    }

    fn is_full(&self) -> bool {
        self.length >= WINDOW_LEN || self.lines.len() >= WINDOW_LINES
    }
}

/// A fault of framing, at the position after the lines of its window.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    pub(crate) code: FaultCode,
    pub(crate) place: Place,
    /// From the start of the line.
    pub(crate) offset: u64,
    pub(crate) detail: String,
}

/// Cuts the bytes of a source into windows.
pub(crate) struct Framer<'s> {
    source: &'s mut dyn Source,
    segment: Option<Open>,
    /// How many lines there were, over all segments.
    position: u64,
    bytes_read: u64,
    is_done: bool,
}

/// A segment that is being read.
struct Open {
    name: Option<Arc<str>>,
    bytes: Box<dyn Read + Send>,
    /// Bytes that were read and belong to no window yet.
    pending: Vec<u8>,
    next: Place,
    /// What ended it, where that was not its end.
    damage: Option<Damage>,
}

impl Open {
    fn new(segment: Segment) -> Self {
        let name: Option<Arc<str>> = segment.name.map(Into::into);
        let next = Place { segment: name.clone(), line: 1, offset: 0 };
        Self { name, bytes: segment.bytes, pending: Vec::new(), next, damage: None }
    }

    /// Reads until `pending` has `length` bytes, or the segment ends. Tells how many bytes it read.
    fn fill(&mut self, length: usize) -> Result<u64, SourceError> {
        if self.damage.is_some() {
            return Ok(0);
        }
        let before = self.pending.len();
        let wanted = (length - before) as u64;
        if let Err(error) = (&mut self.bytes).take(wanted).read_to_end(&mut self.pending) {
            let damage = error.get_ref().and_then(|cause| cause.downcast_ref::<Damage>());
            let damage = damage.cloned().ok_or_else(|| self.error(error))?;
            self.damage = Some(damage);
        }
        // What was read before an error stays.
        Ok((self.pending.len() - before) as u64)
    }

    /// Whether a line feed follows somewhere. What is read is dropped: nothing after an overlong line is looked at.
    fn finds_line_feed(&mut self) -> Result<bool, SourceError> {
        loop {
            self.pending.clear();
            if self.fill(WINDOW_LEN)? == 0 {
                return Ok(false);
            }
            if memchr::memchr(b'\n', &self.pending).is_some() {
                return Ok(true);
            }
        }
    }

    fn error(&self, source: io::Error) -> SourceError {
        SourceError::Read { name: self.name.as_deref().unwrap_or("ledger").to_owned(), source }
    }
}

impl<'s> Framer<'s> {
    pub(crate) fn new(source: &'s mut dyn Source) -> Self {
        Self { source, segment: None, position: 0, bytes_read: 0, is_done: false }
    }

    /// The next lines. After the last window it gives empty ones.
    pub(crate) fn next_window(&mut self) -> Result<Window, SourceError> {
        let mut window = Window::default();
        loop {
            if self.is_done {
                window.is_last = true;
                break;
            }
            if window.is_full() {
                break;
            }
            let Some(open) = &mut self.segment else {
                self.open_segment(&mut window)?;
                continue;
            };
            self.bytes_read += open.fill(WINDOW_LEN - window.length)?;
            let lines = cut_lines(open, &mut window);
            self.position += lines;
            if lines > 0 {
                continue;
            }
            if let Some(Damage { detail, .. }) = open.damage.take() {
                let place = open.next.clone();
                self.stop(&mut window, FaultCode::Store, place, detail);
                continue;
            }
            // No line feed in all that was read: the segment is at its end, or its next line is too long.
            if open.pending.is_empty() {
                self.end_segment(&mut window)?;
                continue;
            }
            if window.length > 0 {
                // The rest of this window may have been too little for the line. The next one has room.
                break;
            }
            // A line that a whole window has no room for is too long, if it is one.
            let is_ended_by_line_feed = open.pending.len() == WINDOW_LEN && open.finds_line_feed()?;
            window.stop = Some(unframed(open.next.clone(), is_ended_by_line_feed));
            self.is_done = true;
        }
        window.bytes_read = self.bytes_read;
        Ok(window)
    }

    fn open_segment(&mut self, window: &mut Window) -> Result<(), SourceError> {
        match self.source.next_segment()? {
            None => self.is_done = true,
            Some(segment) => self.begin_segment(segment, window),
        }
        Ok(())
    }

    fn begin_segment(&mut self, segment: Segment, window: &mut Window) {
        let detail = match segment.place {
            SegmentPlace::From(seq) if seq != self.position => {
                Some(format!("the segment's first entry is at position {}", self.position))
            }
            SegmentPlace::Misnamed => Some("its name is not 20 digits and `.jsonl`".to_owned()),
            SegmentPlace::Whole | SegmentPlace::From(_) => None,
        };
        let open = Open::new(segment);
        if let Some(detail) = detail {
            self.stop(window, FaultCode::SegmentName, open.next.clone(), detail);
        }
        self.segment = Some(open);
    }

    /// Moves on from a segment that has been read to its end. An empty one may only be the last.
    fn end_segment(&mut self, window: &mut Window) -> Result<(), SourceError> {
        let ended = self.segment.take().map(|open| open.next).unwrap_or_default();
        let Some(next) = self.source.next_segment()? else {
            self.is_done = true;
            return Ok(());
        };
        // What is misnamed is no segment that could come after it.
        if ended.line == 1 && next.place != SegmentPlace::Misnamed {
            self.stop(window, FaultCode::EmptySegment, ended, "an empty segment is not the last".into());
        } else {
            self.begin_segment(next, window);
        }
        Ok(())
    }

    fn stop(&mut self, window: &mut Window, code: FaultCode, place: Place, detail: String) {
        window.stop = Some(Stop { code, place, offset: 0, detail });
        self.is_done = true;
    }
}

/// Moves the complete lines of `pending`, as many as fit, into the window. Tells how many.
fn cut_lines(open: &mut Open, window: &mut Window) -> u64 {
    let mut start = 0;
    let piece = window.pieces.len();
    let room = WINDOW_LINES - window.lines.len();
    for end in memchr::memchr_iter(b'\n', &open.pending).take(room) {
        let place = open.next.clone();
        open.next.line += 1;
        open.next.offset += (end + 1 - start) as u64;
        window.lines.push(Line { piece, range: start..end, place });
        start = end + 1;
    }
    if start == 0 {
        return 0;
    }
    let rest = open.pending.split_off(start);
    window.length += start;
    window.pieces.push(std::mem::replace(&mut open.pending, rest));
    (window.lines.len() - (WINDOW_LINES - room)) as u64
}

fn unframed(place: Place, is_ended_by_line_feed: bool) -> Stop {
    if is_ended_by_line_feed {
        let detail = "an entry has at most 65,535 bytes".to_owned();
        Stop { code: FaultCode::LineTooLong, place, offset: MAX_ENTRY_LEN as u64, detail }
    } else {
        let detail =
            "the last line does not end in a line feed: it was cut off, or is being written".to_owned();
        Stop { code: FaultCode::TornTail, place, offset: 0, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{CheckpointFile, LedgerBytes};
    use std::io::Cursor;

    /// Every line with its place, and how the framing ends.
    fn frame(source: &mut dyn Source) -> (Vec<(Vec<u8>, Place)>, Option<Stop>) {
        let mut framer = Framer::new(source);
        let mut lines: Vec<(Vec<u8>, Place)> = Vec::new();
        let mut framed = 0;
        loop {
            let window = framer.next_window().unwrap();
            assert!(window.length <= WINDOW_LEN && window.len() <= WINDOW_LINES);
            // What was read and is in no window yet is less than a window.
            framed += window.length as u64;
            assert!((framed..=framed + WINDOW_LEN as u64).contains(&window.bytes_read));
            for index in 0..window.len() {
                let (bytes, place) = window.line(index).unwrap();
                lines.push((bytes.to_vec(), place.clone()));
            }
            if window.is_last || window.stop.is_some() {
                return (lines, window.stop);
            }
        }
    }

    fn code(stop: &Option<Stop>) -> Option<FaultCode> {
        stop.as_ref().map(|stop| stop.code)
    }

    #[test]
    fn lines_have_their_bytes_and_places() {
        let (lines, stop) = frame(&mut LedgerBytes::new("a\n\nbcd\r\n"));
        let got: Vec<_> = lines.iter().map(|(b, p)| (&b[..], p.line, p.offset)).collect();
        assert_eq!(got, [(&b"a"[..], 1, 0), (b"", 2, 2), (b"bcd\r", 3, 3)]);
        assert_eq!(code(&stop), None);
        assert_eq!(frame(&mut LedgerBytes::new("")).0.len(), 0);
    }

    #[test]
    fn what_a_store_says_of_an_entry_is_a_fault_at_its_place_and_ends_the_lines() {
        /// Lines, then an error, and then no end.
        struct Breaks(Cursor<Vec<u8>>, Option<Damage>);
        impl Read for Breaks {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let read = self.0.read(buffer)?;
                match self.1.take() {
                    Some(damage) if read == 0 => Err(io::Error::other(damage)),
                    damage => {
                        self.1 = damage;
                        if read == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(read) }
                    }
                }
            }
        }
        for count in [0, 1, 3, WINDOW_LINES, WINDOW_LINES + 1] {
            let damage = Damage { seq: count as u64, detail: "gone".into() };
            let bytes = Breaks(Cursor::new(b"{}\n".repeat(count)), Some(damage));
            let (lines, stop) = frame(&mut Whole(Some(Box::new(bytes))));
            let stop = stop.unwrap();
            assert_eq!((lines.len(), stop.code, &stop.detail[..]), (count, FaultCode::Store, "gone"));
            assert_eq!((stop.place.line, stop.place.offset), (count as u64 + 1, count as u64 * 3));
        }
        let broken = Breaks(Cursor::new(b"{}\n".to_vec()), None);
        let mut source = Whole(Some(Box::new(broken)));
        assert!(matches!(Framer::new(&mut source).next_window(), Err(SourceError::Read { .. })));
    }

    #[test]
    fn windows_do_not_lose_or_split_lines() {
        let mut text = String::new();
        for index in 0..30_000_usize {
            text += &"x".repeat(index * 7919 % 400);
            text.push('\n');
        }
        let (lines, stop) = frame(&mut LedgerBytes::new(text.clone()));
        assert_eq!(code(&stop), None);
        let again: Vec<u8> = lines.iter().flat_map(|(bytes, _)| [&bytes[..], b"\n"].concat()).collect();
        assert_eq!(again, text.as_bytes());
        let mut offset = 0;
        for (index, (bytes, place)) in lines.iter().enumerate() {
            assert_eq!((place.line, place.offset), (index as u64 + 1, offset));
            offset += bytes.len() as u64 + 1;
        }
    }

    #[test]
    fn long_lines_fill_windows_to_the_byte() {
        // Sixteen of the longest lines are a window; of the others some are left for the next one.
        for length in [65_535, 65_534, 60_000, 9] {
            let text = ["x".repeat(length), "\n".into()].concat().repeat(5 * WINDOW_LEN / (length + 1));
            let (lines, stop) = frame(&mut LedgerBytes::new(text.clone()));
            assert_eq!((lines.len(), code(&stop)), (5 * WINDOW_LEN / (length + 1), None), "length {length}");
            assert!(lines.iter().all(|(bytes, _)| bytes.len() == length));
            let mut source = LedgerBytes::new(text.clone());
            let mut framer = Framer::new(&mut source);
            let mut windows = 0;
            while !framer.next_window().unwrap().is_last {
                windows += 1;
            }
            let full = text.len().div_ceil(WINDOW_LEN).max(lines.len().div_ceil(WINDOW_LINES));
            assert!((full - 1..=full + 1).contains(&windows), "{windows} windows of lines of {length}");
            assert_eq!(framer.bytes_read, text.len() as u64);
        }
    }

    #[test]
    fn a_line_without_its_end_is_torn_however_long() {
        for length in [1, 65_535, 65_536, WINDOW_LEN - 3, WINDOW_LEN, WINDOW_LEN + 1, 4 * WINDOW_LEN] {
            let bytes = [b"ab\n".to_vec(), vec![0; length]].concat();
            let (lines, stop) = frame(&mut LedgerBytes::new(bytes.clone()));
            assert_eq!((lines.len(), code(&stop)), (1, Some(FaultCode::TornTail)), "length {length}");
            let place = stop.unwrap().place;
            assert_eq!((place.line, place.offset), (2, 3));
            // With an end it is a line: given on where it fits a window, else named here.
            let (lines, stop) = frame(&mut LedgerBytes::new([bytes, b"\n".to_vec()].concat()));
            if length < WINDOW_LEN {
                assert_eq!((lines.len(), code(&stop)), (2, None), "length {length}");
            } else {
                assert_eq!((lines.len(), code(&stop)), (1, Some(FaultCode::LineTooLong)), "length {length}");
            }
        }
    }

    #[test]
    fn small_segments_share_windows() {
        let mut parts = Vec::new();
        let mut want = Vec::new();
        for seq in 0..10_000 {
            let line = "x".repeat(seq * 7919 % 500);
            want.push(line.clone());
            parts.push((seq as u64, &*Box::leak((line + "\n").into_boxed_str())));
        }
        let mut source = Segments(parts);
        let mut framer = Framer::new(&mut source);
        let (mut windows, mut got) = (0, Vec::new());
        loop {
            let window = framer.next_window().unwrap();
            assert!(window.stop.is_none() && window.length <= WINDOW_LEN && window.len() <= WINDOW_LINES);
            for index in 0..window.len() {
                let (bytes, place) = window.line(index).unwrap();
                assert_eq!((place.line, place.offset), (1, 0));
                assert_eq!(place.segment.as_deref(), Some(got.len().to_string().as_str()));
                got.push(String::from_utf8(bytes.to_vec()).unwrap());
            }
            if window.is_last {
                break;
            }
            windows += 1;
        }
        assert_eq!(got, want);
        assert!(windows < 10, "{windows}");
    }

    struct Whole(Option<Box<dyn Read + Send>>);

    impl Source for Whole {
        fn next_segment(&mut self) -> Result<Option<Segment>, SourceError> {
            let whole = |bytes| Segment { name: None, place: SegmentPlace::Whole, bytes };
            Ok(self.0.take().map(whole))
        }

        fn checkpoints(&mut self) -> Result<Vec<CheckpointFile>, SourceError> {
            Ok(Vec::new())
        }
    }

    struct Segments(Vec<(u64, &'static str)>);

    const MISNAMED: u64 = u64::MAX;

    impl Source for Segments {
        fn next_segment(&mut self) -> Result<Option<Segment>, SourceError> {
            if self.0.is_empty() {
                return Ok(None);
            }
            let (seq, text) = self.0.remove(0);
            let bytes = Box::new(Cursor::new(text.as_bytes()));
            let place = if seq == MISNAMED { SegmentPlace::Misnamed } else { SegmentPlace::From(seq) };
            Ok(Some(Segment { name: Some(seq.to_string()), place, bytes }))
        }

        fn checkpoints(&mut self) -> Result<Vec<CheckpointFile>, SourceError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn segments_are_named_by_their_first_entry_and_only_the_last_may_be_empty() {
        use FaultCode::{EmptySegment, SegmentName, TornTail};
        let cases = [
            (vec![(0, "a\nb\n"), (2, "c\n")], 3, None),
            (vec![(0, "a\n"), (1, "")], 1, None),
            (vec![(0, "")], 0, None),
            (vec![(1, "a\n")], 0, Some(SegmentName)),
            (vec![(0, "a\nb\n"), (1, "c\n")], 2, Some(SegmentName)),
            (vec![(0, "a\n"), (1, ""), (1, "b\n")], 1, Some(EmptySegment)),
            // Emptied: what follows has the right name, and the first wrong segment is named.
            (vec![(0, "a\n"), (1, ""), (2, "b\n")], 1, Some(EmptySegment)),
            (vec![(0, "a\n"), (MISNAMED, "b\n")], 1, Some(SegmentName)),
            (vec![(0, "a\n"), (1, ""), (MISNAMED, "b\n")], 1, Some(SegmentName)),
            (vec![(0, "a\n"), (1, ""), (3, ""), (MISNAMED, "b\n")], 1, Some(EmptySegment)),
            (vec![(0, ""), (0, "")], 0, Some(EmptySegment)),
            (vec![(0, "a\nb"), (1, "c\n")], 1, Some(TornTail)),
        ];
        for (segments, lines, want) in cases {
            let name = format!("{segments:?}");
            let (got, stop) = frame(&mut Segments(segments));
            assert_eq!((got.len(), code(&stop)), (lines, want), "case: {name}");
        }
    }
}
