//! Reading and writing typed values as canonical JSON, with closed schemas.
//!
//! A [`Reader`] accepts canonical JSON only: members in sorted order, no space, one spelling of each string and number. So
//! whoever reads a value to its end has checked its form, in one forward pass and with no generic value in between. What a
//! reader refuses is scanned ([`crate::scan`]), since a fault of form goes before one of the schema. [`encode`] is the
//! inverse of [`decode`]: `encode(decode(bytes)) == bytes`.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::digest::{ClauseDigest, Digest, HASH_LEN, KeyId, LeafHash, StatementDigest, read_hex, write_hex};
use crate::fault::{Fault, FaultCode};
use crate::key::{PUBLIC_KEY_LEN, Signature};
use crate::scan::{MAX_INTEGER, Scanner, is_refused_char, plain_len, scan, write_char};

/// A value with exactly one canonical JSON form and a closed schema.
pub trait Wire: Sized {
    /// Reads the value at the reader's place.
    ///
    /// # Errors
    /// The first fault by offset.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault>;

    /// Appends the canonical form.
    fn write(&self, out: &mut Writer);

    /// What a missing member means, for types that may be absent.
    #[must_use]
    fn absent() -> Option<Self> {
        None
    }

    /// Whether the member is left out.
    fn is_absent(&self) -> bool {
        false
    }

    /// The JSON Schema (2020-12) of the value, as JSON text.
    #[must_use]
    fn schema() -> String;
}

/// Reads one canonical value from bytes that nobody trusts.
///
/// # Errors
/// The faults of [`scan`], then those of the schema.
pub fn decode<T: Wire>(bytes: &[u8], max_depth: usize) -> Result<T, Fault> {
    decode_with(bytes, max_depth, T::read)
}

/// As [`decode`], for what `read` reads.
pub(crate) fn decode_with<'a, T>(
    bytes: &'a [u8],
    max_depth: usize,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut reader = Reader(Scanner::new(bytes, max_depth)?);
    let value = read(&mut reader).and_then(|value| reader.end().map(|()| value));
    if value.is_err() {
        scan(bytes, max_depth)?;
    }
    value
}

/// Writes the one canonical form of a value.
#[must_use]
pub fn encode<T: Wire>(value: &T) -> Vec<u8> {
    let mut out = Writer::default();
    value.write(&mut out);
    out.0
}

/// A cursor over text that nobody trusts. What it steps over without a fault, up to the end, is canonical.
///
/// The faults of its own are those that canonical text can have; for other text [`scan`] names them.
#[derive(Debug)]
pub struct Reader<'a>(Scanner<'a>);

impl<'a> Reader<'a> {
    /// Offset of the next byte.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.0.at
    }

    /// A `schema` fault at the reader's place.
    #[must_use]
    pub fn fault(&self, detail: impl Into<String>) -> Fault {
        self.0.fault(FaultCode::Schema, detail)
    }

    /// A reader at the same place, for looking ahead.
    fn ahead(&self) -> Self {
        Self(self.0.clone())
    }

    /// What has not been read yet.
    fn rest(&self) -> &'a [u8] {
        self.0.text.as_bytes().get(self.0.at..).unwrap_or_default()
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<(), Fault> {
        if self.0.peek() != Some(byte) {
            return Err(self.fault(format!("expected {what}")));
        }
        self.0.at += 1;
        Ok(())
    }

    fn open(&mut self, bracket: u8, what: &str) -> Result<(), Fault> {
        if self.0.peek() != Some(bracket) {
            return Err(self.fault(format!("expected {what}")));
        }
        self.0.deeper()
    }

    fn end(&self) -> Result<(), Fault> {
        match self.rest() {
            [] if self.0.is_canonical() => Ok(()),
            [] => Err(self.fault("not canonical")),
            [..] => Err(self.fault("bytes after the value")),
        }
    }

    /// A string, unescaped.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        if self.0.peek() != Some(b'"') {
            return Err(self.fault("expected a string"));
        }
        self.0.string()
    }

    /// The content of a string as it stands, and its offset. Identifiers, digests and the like never need an escape, and have
    /// no backslash: one that has escapes is refused by what it is read as.
    pub(crate) fn plain_str(&mut self) -> Result<(&'a str, usize), Fault> {
        let start = self.0.at + 1;
        self.string()?;
        Ok((&self.0.text[start..self.0.at - 1], start))
    }

    /// A digest. Its digits are checked one by one, so that its string need not be stepped over before.
    fn hash(&mut self) -> Result<[u8; HASH_LEN], Fault> {
        if let Some(([b'"', digits @ .., b'"'], _)) = self.rest().split_first_chunk::<{ 2 * HASH_LEN + 2 }>()
            && let Ok(hash) = read_hex(digits)
        {
            self.0.at += 2 * HASH_LEN + 2;
            return Ok(hash);
        }
        let (text, start) = self.plain_str()?;
        read_hex(text.as_bytes()).map_err(|error| Fault::new(FaultCode::Schema, start, error.to_string()))
    }

    /// A whole number.
    ///
    /// # Errors
    /// `number` for a negative one, `schema` for anything that is no number.
    pub fn integer(&mut self) -> Result<u64, Fault> {
        let start = self.0.at;
        match self.0.peek() {
            Some(b'-') => return Err(Fault::new(FaultCode::Number, start, "a negative number")),
            Some(b'0'..=b'9') => self.0.number()?,
            Some(_) | None => return Err(self.fault("expected a whole number")),
        }
        self.0.text[start..self.0.at].parse().map_err(|_| self.fault("expected a whole number"))
    }

    /// Steps over one value of any form and returns its range.
    ///
    /// # Errors
    /// As [`scan`].
    pub fn skip(&mut self) -> Result<Range<usize>, Fault> {
        let start = self.0.at;
        self.0.value()?;
        Ok(start..self.0.at)
    }

    /// Reads an object through `members`, which asks for its members in sorted order.
    ///
    /// # Errors
    /// What `members` returns, and `schema` where the object has a member that was not asked for.
    pub fn object<T>(
        &mut self,
        members: impl FnOnce(&mut ObjectReader<'_, 'a>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.object_tagged(None, members)
    }

    fn object_tagged<T>(
        &mut self,
        tag: Option<(&'static str, &'static str)>,
        members: impl FnOnce(&mut ObjectReader<'_, 'a>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let start = self.0.at;
        self.open(b'{', "an object")?;
        let mut object = ObjectReader { reader: self, start, first: true, tag };
        let value = members(&mut object)?;
        object.finish()?;
        Ok(value)
    }

    /// The value of the string member `name` of the object at the reader's place, which does not move; and its offset.
    ///
    /// What stands before it is read properly later: here only strings and brackets are told apart.
    fn peek_tag(&self, name: &str) -> Result<(&'a str, usize), Fault> {
        if self.0.peek() != Some(b'{') {
            return Err(self.fault("expected an object"));
        }
        let (bytes, mut at, mut depth) = (self.0.text.as_bytes(), self.0.at, 0_usize);
        while let Some(byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    let start = at;
                    at = string_end(bytes, start);
                    let is_name = depth == 1 && bytes.get(at + 1) == Some(&b':');
                    if is_name && bytes.get(start..at) == Some(name.as_bytes()) {
                        let mut ahead = self.ahead();
                        ahead.0.at = at + 2;
                        return Ok((ahead.plain_str()?.0, at + 2));
                    }
                    at += 1;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth <= 1 => break,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
        }
        Err(self.fault(format!("member `{name}` is missing")))
    }

    /// The name of the first member of the object at the reader's place, which does not move.
    pub(crate) fn peek_first_key(&self) -> Result<&'a str, Fault> {
        let mut ahead = self.ahead();
        ahead.expect(b'{', "an object")?;
        Ok(ahead.plain_str()?.0)
    }

    /// Reads an array item by item.
    pub(crate) fn array(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.open(b'[', "an array")?;
        if self.0.peek() == Some(b']') {
            self.0.closed();
            return Ok(());
        }
        loop {
            item(self)?;
            match self.0.peek() {
                Some(b',') => self.0.at += 1,
                Some(b']') => {
                    self.0.closed();
                    return Ok(());
                }
                Some(_) | None => return Err(self.fault("expected a comma or the end of the array")),
            }
        }
    }
}

/// Where the string ends whose content starts at `start`: at its quotation mark, or where the bytes end.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        at += plain_len(bytes.get(at..).unwrap_or_default());
        match bytes.get(at) {
            Some(b'"') | None => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}

/// The members of one object, in sorted order.
#[derive(Debug)]
pub struct ObjectReader<'r, 'a> {
    reader: &'r mut Reader<'a>,
    start: usize,
    first: bool,
    /// Name and value of the member that told what the object is, until it was stepped over.
    tag: Option<(&'static str, &'static str)>,
}

impl<'a> ObjectReader<'_, 'a> {
    /// Where the name of the next member starts, if there is one.
    fn next(&self) -> Option<usize> {
        match self.reader.0.peek() {
            Some(b'"') if self.first => Some(self.reader.0.at),
            Some(b',') if !self.first => Some(self.reader.0.at + 1),
            Some(_) | None => None,
        }
    }

    /// Steps in front of the value of the next member, if that is `name`.
    fn step(&mut self, name: &str) -> bool {
        let rest = self.next().and_then(|next| self.reader.0.text.as_bytes().get(next..));
        let value = rest
            .and_then(|rest| rest.strip_prefix(b"\""))
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .and_then(|rest| rest.strip_prefix(b"\":"));
        let Some(value) = value else { return false };
        self.reader.0.at = self.reader.0.text.len() - value.len();
        self.first = false;
        true
    }

    /// Refuses a next member that stands before `name`, or before any name: it was not asked for.
    fn refuse_before(&self, name: Option<&str>) -> Result<(), Fault> {
        let next = self.next().and_then(|next| Some((next, self.reader.0.text.get(next + 1..)?)));
        match next.and_then(|(next, rest)| Some((next, rest.split_once('"')?.0))) {
            Some((offset, key)) if name.is_none_or(|name| key < name) => {
                Err(Fault::new(FaultCode::Schema, offset, format!("unknown member `{key}`")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Steps over the tag, if it is the next member.
    fn step_over_tag(&mut self) -> Result<(), Fault> {
        if let Some((name, value)) = self.tag
            && self.step(name)
        {
            if self.reader.plain_str()?.0 != value {
                return Err(self.reader.fault("another type"));
            }
            self.tag = None;
        }
        Ok(())
    }

    /// Steps in front of the value of the member `name`, if the object has it.
    fn find(&mut self, name: &str) -> Result<bool, Fault> {
        if self.tag.is_some_and(|(tag, _)| tag < name) {
            self.step_over_tag()?;
        }
        if self.step(name) {
            return Ok(true);
        }
        self.refuse_before(Some(name))?;
        Ok(false)
    }

    fn missing(&self, name: &str) -> Fault {
        Fault::new(FaultCode::Schema, self.start, format!("member `{name}` is missing"))
    }

    /// The member `name`, or what its absence means.
    ///
    /// # Errors
    /// `schema` where it is missing and required, or another member stands in its place.
    pub fn member<T: Wire>(&mut self, name: &str) -> Result<T, Fault> {
        if !self.find(name)? {
            return T::absent().ok_or_else(|| self.missing(name));
        }
        let value = T::read(self.reader)?;
        if value.is_absent() {
            return Err(self.reader.fault(format!("member `{name}` is empty: leave it out")));
        }
        Ok(value)
    }

    /// The byte range of the required member `name`, whatever its form, and what `read` makes of it.
    pub(crate) fn raw_member<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Reader<'a>) -> Result<T, Fault>,
    ) -> Result<(Range<usize>, Result<T, Fault>), Fault> {
        if !self.find(name)? {
            return Err(self.missing(name));
        }
        let start = self.reader.0.at;
        let mut ahead = self.reader.ahead();
        let value = read(&mut ahead);
        if value.is_ok() {
            *self.reader = ahead;
        } else {
            // Whoever did not read it may stand anywhere in it.
            self.reader.skip()?;
        }
        Ok((start..self.reader.0.at, value))
    }

    /// Offset of the object.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.start
    }

    fn finish(&mut self) -> Result<(), Fault> {
        self.step_over_tag()?;
        self.refuse_before(None)?;
        if self.reader.0.peek() != Some(b'}') || self.tag.is_some() {
            return Err(self.reader.fault("expected the end of the object"));
        }
        self.reader.0.closed();
        Ok(())
    }
}

/// Canonical JSON under construction.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// What was written.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Writes a string.
    pub fn string(&mut self, text: &str) {
        self.0.push(b'"');
        let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
        // Nearly every text needs no escape: one look, one copy.
        if text.bytes().all(is_plain) {
            self.raw(text.as_bytes());
        } else {
            for c in text.chars() {
                write_char(c, &mut self.0);
            }
        }
        self.0.push(b'"');
    }

    /// Writes a whole number.
    pub fn integer(&mut self, value: u64) {
        self.0.extend_from_slice(value.to_string().as_bytes());
    }

    /// Writes an object through `members`, which gives its members in sorted order.
    pub fn object(&mut self, members: impl FnOnce(&mut ObjectWriter<'_>)) {
        self.object_tagged(None, members);
    }

    fn object_tagged(
        &mut self,
        tag: Option<(&'static str, &'static str)>,
        members: impl FnOnce(&mut ObjectWriter<'_>),
    ) {
        self.0.push(b'{');
        let mut object = ObjectWriter { out: self, first: true, tag };
        members(&mut object);
        object.write_tag();
        self.0.push(b'}');
    }

    pub(crate) fn array<T>(&mut self, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.0.push(b'[');
        for (index, value) in items.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            item(self, value);
        }
        self.0.push(b']');
    }
}

/// The members of one object under construction.
#[derive(Debug)]
pub struct ObjectWriter<'w> {
    out: &'w mut Writer,
    first: bool,
    tag: Option<(&'static str, &'static str)>,
}

impl ObjectWriter<'_> {
    fn key(&mut self, name: &str) {
        if !self.first {
            self.out.0.push(b',');
        }
        self.first = false;
        self.out.0.push(b'"');
        self.out.raw(name.as_bytes());
        self.out.raw(b"\":");
    }

    fn write_tag(&mut self) {
        if let Some((name, value)) = self.tag.take() {
            self.key(name);
            self.out.string(value);
        }
    }

    /// Writes the member `name` unless its value is absent. Names must come in sorted order.
    pub fn member<T: Wire>(&mut self, name: &str, value: &T) {
        if self.tag.is_some_and(|(tag, _)| tag < name) {
            self.write_tag();
        }
        if !value.is_absent() {
            self.key(name);
            value.write(self.out);
        }
    }

    /// Writes canonical bytes as they are.
    pub(crate) fn raw_member(&mut self, name: &str, bytes: &[u8]) {
        self.raw_member_at(name, bytes);
    }

    /// As [`Self::raw_member`]; returns the offset of the bytes.
    pub(crate) fn raw_member_at(&mut self, name: &str, bytes: &[u8]) -> usize {
        self.key(name);
        let start = self.out.0.len();
        self.out.raw(bytes);
        start
    }
}

/// A closed object whose members are known at compile time. Made by [`record!`](crate::record).
pub trait Record: Sized {
    /// Its documentation.
    const DOC: &'static str;

    /// Reads the members in sorted order.
    ///
    /// # Errors
    /// As [`Wire::read`].
    fn read_members(object: &mut ObjectReader<'_, '_>) -> Result<Self, Fault>;
    /// Writes the members in sorted order.
    fn write_members(&self, object: &mut ObjectWriter<'_>);
    /// Name, description, schema and whether required, of each member.
    #[must_use]
    fn members() -> Vec<MemberSchema>;
}

/// One member of a [`Record`] in its JSON Schema.
#[derive(Debug, Clone)]
pub struct MemberSchema {
    /// The member's name.
    pub name: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// Its JSON Schema.
    pub schema: String,
    /// Whether it may be left out.
    pub optional: bool,
}

/// The members of the JSON Schema of an object with these members, and with a member `type` of this value where `tag` is given.
#[must_use]
pub fn object_schema(members: &[MemberSchema], tag: Option<&str>) -> String {
    let mut properties: Vec<(String, String)> = members
        .iter()
        .map(|member| {
            let schema = member.schema.strip_prefix('{').unwrap_or(&member.schema);
            (member.name.to_owned(), format!("{{\"description\":{},{schema}", json_doc(member.doc)))
        })
        .collect();
    let mut required: Vec<&str> =
        members.iter().filter(|member| !member.optional).map(|member| member.name).collect();
    if let Some(tag) = tag {
        properties.push(("type".into(), format!("{{\"const\":\"{tag}\"}}")));
        required.push("type");
    }
    properties.sort();
    required.sort_unstable();
    let properties: Vec<String> =
        properties.into_iter().map(|(name, schema)| format!("\"{name}\":{schema}")).collect();
    let required: Vec<String> = required.into_iter().map(|name| format!("\"{name}\"")).collect();
    format!(
        "\"type\":\"object\",\"additionalProperties\":false,\"properties\":{{{}}},\"required\":[{}]",
        properties.join(","),
        required.join(",")
    )
}

/// A JSON Schema that defines `name` beside it and refers to it. `schema` is the text of its members, `doc` its documentation.
///
/// Whoever writes a schema file moves the definitions to its root, where the reference looks for them.
#[must_use]
pub fn named_schema(name: &str, doc: &str, schema: &str) -> String {
    let description = json_doc(doc);
    format!(
        "{{\"$defs\":{{\"{name}\":{{\"description\":{description},{schema}}}}},\"$ref\":\"#/$defs/{name}\"}}"
    )
}

/// The JSON Schema of an object with the one member `name`.
#[must_use]
pub fn lone_member_schema(name: &str, schema: &str) -> String {
    format!(
        "{{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{{\"{name}\":{schema}}},\"required\":[\"{name}\"]}}"
    )
}

/// Documentation as a JSON string on one line, without the brackets of links.
#[must_use]
pub fn json_doc(doc: &str) -> String {
    let line = doc.split_whitespace().collect::<Vec<_>>().join(" ").replace("[`", "`").replace("`]", "`");
    let mut text = Writer::default();
    text.string(&line);
    String::from_utf8_lossy(&text.0).into_owned()
}

/// Declares a struct that is a closed JSON object: its members in sorted order, each a [`Wire`] value.
#[macro_export]
#[doc(hidden)]
macro_rules! record {
    ($(
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $($(#[doc = $member_doc:literal])+ pub $member:ident: $type:ty,)*
        }
    )*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $member_doc])+ pub $member: $type,)*
        }

        impl $crate::wire::Record for $name {
            const DOC: &'static str = concat!($($doc),+);

            fn read_members(
                object: &mut $crate::wire::ObjectReader<'_, '_>,
            ) -> ::std::result::Result<Self, $crate::fault::Fault> {
                Ok(Self { $($member: object.member(stringify!($member))?,)* })
            }

            fn write_members(&self, object: &mut $crate::wire::ObjectWriter<'_>) {
                $(object.member(stringify!($member), &self.$member);)*
            }

            fn members() -> ::std::vec::Vec<$crate::wire::MemberSchema> {
                ::std::vec![$($crate::wire::MemberSchema {
                    name: stringify!($member),
                    doc: concat!($($member_doc),+),
                    schema: <$type as $crate::wire::Wire>::schema(),
                    optional: <$type as $crate::wire::Wire>::absent().is_some(),
                },)*]
            }
        }

        impl $crate::wire::Wire for $name {
            fn read(
                reader: &mut $crate::wire::Reader<'_>,
            ) -> ::std::result::Result<Self, $crate::fault::Fault> {
                reader.object(<Self as $crate::wire::Record>::read_members)
            }

            fn write(&self, out: &mut $crate::wire::Writer) {
                out.object(|object| $crate::wire::Record::write_members(self, object));
            }

            fn schema() -> ::std::string::String {
                let members = $crate::wire::object_schema(&<Self as $crate::wire::Record>::members(), None);
                $crate::wire::named_schema(stringify!($name), <Self as $crate::wire::Record>::DOC, &members)
            }
        }
    )*};
}

/// Declares an enum of records told apart by their member `type`.
#[macro_export]
#[doc(hidden)]
macro_rules! tagged {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident / $kind:ident, unknown $unknown:ident {
            $($(#[doc = $variant_doc:literal])+ $variant:ident = $tag:literal,)*
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(clippy::large_enum_variant, reason = "an event lives in one statement and is not moved about")]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant($variant),)*
        }

        #[doc = concat!("The kinds of [`", stringify!($name), "`], in the order of docs/format.md.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind {
            $($(#[doc = $variant_doc])+ $variant,)*
        }

        impl $kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value of the member `type`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $tag,)* }
            }

            /// What it says, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($variant_doc),+),)* }
            }

            /// The JSON Schema of this kind.
            #[must_use]
            pub fn schema(self) -> String {
                let (members, doc) = match self {
                    $(Self::$variant => (
                        <$variant as $crate::wire::Record>::members(),
                        <$variant as $crate::wire::Record>::DOC,
                    ),)*
                };
                let schema = $crate::wire::object_schema(&members, Some(self.as_str()));
                $crate::wire::named_schema(self.as_str(), doc, &schema)
            }
        }

        impl ::std::fmt::Display for $kind {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $name {
            /// Which kind it is.
            #[must_use]
            pub const fn kind(&self) -> $kind {
                match self { $(Self::$variant(_) => $kind::$variant,)* }
            }
        }

        $(impl From<$variant> for $name {
            fn from(event: $variant) -> Self {
                Self::$variant(event)
            }
        })*

        impl $crate::wire::Wire for $name {
            fn read(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::fault::Fault> {
                let (tag, offset) = reader.peek_type()?;
                match tag {
                    $($tag => reader.tagged_record::<$variant>($tag).map(Self::$variant),)*
                    _ => Err($crate::fault::Fault::new(
                        $crate::fault::FaultCode::$unknown, offset, "an unknown type")),
                }
            }

            fn write(&self, out: &mut $crate::wire::Writer) {
                match self {
                    $(Self::$variant(record) => out.tagged_record($tag, record),)*
                }
            }

            fn schema() -> String {
                let kinds: Vec<String> = $kind::ALL.iter().map(|kind| kind.schema()).collect();
                let schema = format!("\"oneOf\":[{}]", kinds.join(","));
                $crate::wire::named_schema(stringify!($name), concat!($($doc),+), &schema)
            }
        }
    };
}

impl<'a> Reader<'a> {
    #[doc(hidden)]
    pub fn peek_type(&self) -> Result<(&'a str, usize), Fault> {
        self.peek_tag("type")
    }

    #[doc(hidden)]
    pub fn tagged_record<T: Record>(&mut self, tag: &'static str) -> Result<T, Fault> {
        self.object_tagged(Some(("type", tag)), T::read_members)
    }
}

impl Writer {
    #[doc(hidden)]
    pub fn tagged_record<T: Record>(&mut self, tag: &'static str, record: &T) {
        self.object_tagged(Some(("type", tag)), |object| record.write_members(object));
    }
}

/// Declares an enum whose JSON form is one of a closed list of words.
#[macro_export]
#[doc(hidden)]
macro_rules! words {
    ($(
        $(#[doc = $doc:literal])+
        pub enum $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident = $word:literal,)* }
    )*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $variant_doc])+ $variant,)* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word that stands for it in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it means.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($variant_doc),+),)* }
            }

            /// The value that a word stands for.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::wire::Wire for $name {
            fn read(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::fault::Fault> {
                reader.parsed(concat!("a word of ", stringify!($name)), |word| Self::from_word(word))
            }

            fn write(&self, out: &mut $crate::wire::Writer) {
                out.string(self.as_str());
            }

            fn schema() -> String {
                let word = |word: &Self| {
                    format!("{{\"const\":\"{word}\",\"description\":{}}}", $crate::wire::json_doc(word.meaning()))
                };
                let words: Vec<String> = Self::ALL.iter().map(word).collect();
                let schema = format!("\"oneOf\":[{}]", words.join(","));
                $crate::wire::named_schema(stringify!($name), concat!($($doc),+), &schema)
            }
        }
    )*};
}

impl Reader<'_> {
    /// A string that `parse` turns into a value.
    #[doc(hidden)]
    pub fn parsed<T>(&mut self, what: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Fault> {
        let (text, start) = self.plain_str()?;
        parse(text).ok_or_else(|| Fault::new(FaultCode::Schema, start, format!("expected {what}")))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        T::read(reader).map(Some)
    }

    fn write(&self, out: &mut Writer) {
        if let Some(value) = self {
            value.write(out);
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }

    fn schema() -> String {
        T::schema()
    }
}

impl<T: Wire> Wire for Box<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        T::read(reader).map(Self::new)
    }

    fn write(&self, out: &mut Writer) {
        (**self).write(out);
    }

    fn schema() -> String {
        T::schema()
    }
}

/// An ordered list. An empty one is left out.
impl<T: Wire> Wire for Vec<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut items = Self::new();
        reader.array(|reader| {
            items.push(T::read(reader)?);
            Ok(())
        })?;
        Ok(items)
    }

    fn write(&self, out: &mut Writer) {
        out.array(self, |out, item| item.write(out));
    }

    fn absent() -> Option<Self> {
        Some(Self::new())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn schema() -> String {
        format!("{{\"type\":\"array\",\"minItems\":1,\"items\":{}}}", T::schema())
    }
}

/// A set: in JSON an array sorted by the canonical bytes of its items, without repeats. An empty one is left out.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set<T>(Vec<T>);

impl<T> Set<T> {
    /// The items in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// The items in order.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T: PartialEq> Set<T> {
    /// Whether `item` is among them.
    pub fn contains(&self, item: &T) -> bool {
        self.0.contains(item)
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: fmt::Debug> fmt::Debug for Set<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.0).finish()
    }
}

impl<T: Wire> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut keyed: Vec<(Vec<u8>, T)> = items.into_iter().map(|item| (encode(&item), item)).collect();
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        keyed.dedup_by(|a, b| a.0 == b.0);
        Self(keyed.into_iter().map(|(_, item)| item).collect())
    }
}

impl<'a, T> IntoIterator for &'a Set<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Wire> Wire for Set<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut items = Vec::new();
        let mut before: Option<Range<usize>> = None;
        reader.array(|reader| {
            let start = reader.offset();
            items.push(T::read(reader)?);
            let range = start..reader.offset();
            let bytes = reader.0.text.as_bytes();
            if before.clone().is_some_and(|before| bytes[before] >= bytes[range.clone()]) {
                return Err(Fault::new(FaultCode::Schema, start, "a set is not sorted or has a repeat"));
            }
            before = Some(range);
            Ok(())
        })?;
        Ok(Self(items))
    }

    fn write(&self, out: &mut Writer) {
        out.array(&self.0, |out, item| item.write(out));
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn schema() -> String {
        let comment = "sorted by the bytes of the items, without repeats";
        format!(
            "{{\"type\":\"array\",\"$comment\":\"{comment}\",\"minItems\":1,\"uniqueItems\":true,\"items\":{}}}",
            T::schema()
        )
    }
}

impl Wire for bool {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        for (word, value) in [(&b"true"[..], true), (&b"false"[..], false)] {
            if reader.rest().starts_with(word) {
                reader.0.at += word.len();
                return Ok(value);
            }
        }
        Err(reader.fault("expected true or false"))
    }

    fn write(&self, out: &mut Writer) {
        out.raw(if *self { b"true" } else { b"false" });
    }

    fn schema() -> String {
        "{\"type\":\"boolean\"}".into()
    }
}

impl Wire for u64 {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        reader.integer()
    }

    fn write(&self, out: &mut Writer) {
        out.integer(*self);
    }

    fn schema() -> String {
        format!("{{\"type\":\"integer\",\"minimum\":0,\"maximum\":{MAX_INTEGER}}}")
    }
}

macro_rules! wire_digests {
    ($($name:ident: $doc:literal;)*) => {$(
        impl Wire for $name {
            fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
                reader.hash().map(Self::new)
            }

            fn write(&self, out: &mut Writer) {
                out.raw(b"\"");
                out.raw(&write_hex(self.as_bytes()));
                out.raw(b"\"");
            }

            fn schema() -> String {
                named_schema(stringify!($name), $doc, "\"type\":\"string\",\"pattern\":\"^[0-9a-f]{64}$\"")
            }
        }
    )*};
}

wire_digests! {
    StatementDigest: "Identifies a statement: SHA-256 of the pre-authentication encoding of its bytes, in lower-case hexadecimal.";
    LeafHash: "SHA-256 of 0x00 and the bytes of an entry, in lower-case hexadecimal.";
    KeyId: "SHA-256 of the 32 bytes of a public key, in lower-case hexadecimal.";
    ClauseDigest: "SHA-256 of `countersign/clause/v1`, 0x00 and the canonical JSON of a clause, in lower-case hexadecimal.";
    Digest: "SHA-256 of outside material, in lower-case hexadecimal.";
}

/// The raw bytes of a public key as they stand in a statement. Whether they are an acceptable key is judged at enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyBytes(pub [u8; PUBLIC_KEY_LEN]);

impl KeyBytes {
    /// SHA-256 of the bytes.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::new(crate::digest::sha256(&[&self.0]))
    }
}

impl Wire for KeyBytes {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (text, start) = reader.plain_str()?;
        crate::b64::decode_array(text.as_bytes())
            .map(Self)
            .map_err(|error| Fault::new(FaultCode::Base64, start, error.to_string()))
    }

    fn write(&self, out: &mut Writer) {
        out.string(&crate::b64::encode(&self.0));
    }

    fn schema() -> String {
        let doc = "The 32 bytes of an Ed25519 public key in strict base64.";
        named_schema("KeyBytes", doc, r#""type":"string","pattern":"^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$""#)
    }
}

impl Wire for Signature {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (text, start) = reader.plain_str()?;
        crate::b64::decode_array(text.as_bytes())
            .map(Self::new)
            .map_err(|error| Fault::new(FaultCode::Base64, start, error.to_string()))
    }

    fn write(&self, out: &mut Writer) {
        out.string(&crate::b64::encode(self.as_bytes()));
    }

    fn schema() -> String {
        let doc = "The 64 bytes of an Ed25519 signature in strict base64.";
        named_schema("Signature", doc, r#""type":"string","pattern":"^[A-Za-z0-9+/]{85}[AQgw]==$""#)
    }
}

/// Any profile JSON object, kept as its canonical bytes: the `data` of a custom event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawObject(Box<str>);

impl RawObject {
    /// Takes canonical JSON of an object.
    ///
    /// # Errors
    /// The faults of [`scan`], and `schema` where it is no object.
    pub fn new(json: &str) -> Result<Self, Fault> {
        decode(json.as_bytes(), crate::scan::MAX_STATEMENT_DEPTH - 2)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Wire for RawObject {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        if reader.0.peek() != Some(b'{') {
            return Err(reader.fault("expected an object"));
        }
        let range = reader.skip()?;
        Ok(Self(reader.0.text[range].into()))
    }

    fn write(&self, out: &mut Writer) {
        out.raw(self.0.as_bytes());
    }

    fn schema() -> String {
        let doc = "Any object of the JSON profile; negative integers are allowed here.";
        named_schema("RawObject", doc, r#""type":"object","propertyNames":{"pattern":"^[a-z0-9_]{1,64}$"}"#)
    }
}

/// Free text: in the clear, or a commitment to a text that is kept, and may be deleted, elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// `{"text":s}`: not empty, without U+0000 and bidirectional controls.
    Plain(Box<str>),
    /// `{"commitment":hex,"length":n}`: a salted digest of a text, as [`Text::commit`] makes it, and the text's length in bytes.
    /// A verifier reports it withheld.
    Committed {
        /// The salted digest.
        commitment: Digest,
        /// Length of the text in bytes.
        length: u64,
    },
}

impl Text {
    /// Text in the clear.
    ///
    /// # Errors
    /// `text` where it is empty, or has U+0000 or a bidirectional control.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, Fault> {
        let text = text.into();
        if text.is_empty() {
            return Err(Fault::new(FaultCode::Text, 0, "a free text is empty"));
        }
        match text.char_indices().find(|(_, c)| is_refused_char(*c)) {
            Some((at, _)) => {
                Err(Fault::new(FaultCode::Text, at, "U+0000 or a bidirectional control in a text"))
            }
            None => Ok(Self::Plain(text)),
        }
    }

    /// The text, unless it is withheld.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Committed { .. } => None,
        }
    }

    /// Whether it says nothing: blanks only, or a commitment to an empty text (R016).
    #[must_use]
    pub fn is_blank(&self) -> bool {
        match self {
            Self::Plain(text) => text.trim().is_empty(),
            Self::Committed { length, .. } => *length == 0,
        }
    }
}

impl Wire for Text {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let first = reader.peek_first_key()?;
        reader.object(|object| match first {
            "text" => {
                let offset = object.reader.offset();
                let PlainText(text) = object.member("text")?;
                Self::new(text).map_err(|fault| Fault { offset, ..fault })
            }
            _ => Ok(Self::Committed {
                commitment: object.member("commitment")?,
                length: object.member("length")?,
            }),
        })
    }

    fn write(&self, out: &mut Writer) {
        out.object(|object| match self {
            Self::Plain(text) => object.member("text", &PlainText(text.clone())),
            Self::Committed { commitment, length } => {
                object.member("commitment", commitment);
                object.member("length", length);
            }
        });
    }

    fn schema() -> String {
        let committed = object_schema(
            &[
                MemberSchema {
                    name: "commitment",
                    doc: "The salted digest.",
                    schema: Digest::schema(),
                    optional: false,
                },
                MemberSchema {
                    name: "length",
                    doc: "Length of the text in bytes.",
                    schema: u64::schema(),
                    optional: false,
                },
            ],
            None,
        );
        let plain = lone_member_schema("text", &PlainText::schema());
        let doc =
            "Free text: in the clear, or a commitment to a text that is kept, and may be deleted, elsewhere.";
        named_schema("Text", doc, &format!("\"oneOf\":[{plain},{{{committed}}}]"))
    }
}

struct PlainText(Box<str>);

impl Wire for PlainText {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        reader.string().map(|text| Self(text.into()))
    }

    fn write(&self, out: &mut Writer) {
        out.string(&self.0);
    }

    fn schema() -> String {
        let refused = "\\\\u0000\\\\u061c\\\\u200e\\\\u200f\\\\u202a-\\\\u202e\\\\u2066-\\\\u2069";
        format!("{{\"type\":\"string\",\"pattern\":\"^[^{refused}]+$\"}}")
    }
}

/// A value that has its place in a [`Sorted`] list by one of its members.
pub trait Ranked {
    /// The name of the member that the list is sorted by.
    const MEMBER: &'static str;

    /// Its text; no two items share it.
    fn rank(&self) -> &str;
}

/// A list sorted bytewise by one member of its items, which no two share. An empty one is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sorted<T>(Vec<T>);

impl<T> Sorted<T> {
    /// The items in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// The items in order.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ranked> Sorted<T> {
    /// The item with this rank.
    #[must_use]
    pub fn find(&self, rank: &str) -> Option<&T> {
        self.0.binary_search_by(|item| item.rank().cmp(rank)).ok().and_then(|index| self.0.get(index))
    }
}

impl<T: Ranked> FromIterator<T> for Sorted<T> {
    /// Sorts; of items that share a rank the first one stays.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut items: Vec<T> = items.into_iter().collect();
        items.sort_by(|a, b| a.rank().cmp(b.rank()));
        items.dedup_by(|a, b| a.rank() == b.rank());
        Self(items)
    }
}

impl<'a, T> IntoIterator for &'a Sorted<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Wire + Ranked> Wire for Sorted<T> {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut items: Vec<T> = Vec::new();
        reader.array(|reader| {
            let start = reader.offset();
            let item = T::read(reader)?;
            if items.last().is_some_and(|before| before.rank() >= item.rank()) {
                return Err(Fault::new(FaultCode::Schema, start, "a list is not sorted or has a repeat"));
            }
            items.push(item);
            Ok(())
        })?;
        Ok(Self(items))
    }

    fn write(&self, out: &mut Writer) {
        out.array(&self.0, |out, item| item.write(out));
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }

    fn is_absent(&self) -> bool {
        self.is_empty()
    }

    fn schema() -> String {
        let comment = format!("sorted bytewise by `{}`, which no two share", T::MEMBER);
        format!("{{\"type\":\"array\",\"$comment\":\"{comment}\",\"minItems\":1,\"items\":{}}}", T::schema())
    }
}
