//! States with one thing changed, as a recorder's mistake could: a number that is another's, an element too few or twice, a name
//! that stands elsewhere too. Written as the tree that postcard writes, changed there, and written out.

use std::fmt;

use serde::ser::{self, Serialize, Serializer};

use super::random::Random;

/// What postcard writes, before it is bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// One byte as it is: a small number, a truth value.
    Byte(u8),
    /// A number of more than a byte, in 7 bits a byte.
    Number(u64),
    /// Bytes or a text, after their length.
    Bytes(Vec<u8>),
    /// There or not.
    Maybe(Option<Box<Tree>>),
    /// Elements after their number.
    List(Vec<Tree>),
    /// Parts whose number is known.
    Parts(Vec<Tree>),
}

impl Tree {
    pub fn of(value: &impl Serialize) -> Self {
        value.serialize(Writer).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Byte(byte) => out.push(*byte),
            Self::Number(number) => write_number(*number, out),
            Self::Bytes(bytes) => {
                write_number(bytes.len() as u64, out);
                out.extend(bytes);
            }
            Self::Maybe(None) => out.push(0),
            Self::Maybe(Some(value)) => {
                out.push(1);
                value.write(out);
            }
            Self::List(all) => {
                write_number(all.len() as u64, out);
                all.iter().for_each(|one| one.write(out));
            }
            Self::Parts(all) => all.iter().for_each(|one| one.write(out)),
        }
    }

    /// Changes one thing.
    pub fn spoil(&mut self, random: &mut Random) {
        let mut all = Vec::new();
        self.collect(&mut all);
        let donor = all[random.below(all.len())].clone();
        let wanted = random.below(all.len());
        let mut left = wanted;
        self.at(&mut left, &mut |found| found.change(&donor, random));
    }

    /// All but parts, which are their parts.
    fn collect(&self, all: &mut Vec<Tree>) {
        match self {
            Self::Parts(parts) => return parts.iter().for_each(|part| part.collect(all)),
            Self::List(parts) => parts.iter().for_each(|part| part.collect(all)),
            Self::Maybe(value) => value.iter().for_each(|value| value.collect(all)),
            Self::Byte(_) | Self::Number(_) | Self::Bytes(_) => {}
        }
        all.push(self.clone());
    }

    /// Visits the one that `collect` gives this number.
    fn at(&mut self, left: &mut usize, visit: &mut dyn FnMut(&mut Tree)) -> bool {
        let is_own = !matches!(self, Self::Parts(_));
        let parts: &mut [Tree] = match self {
            Self::Parts(parts) | Self::List(parts) => parts,
            Self::Maybe(Some(value)) => std::slice::from_mut(&mut **value),
            Self::Maybe(None) | Self::Byte(_) | Self::Number(_) | Self::Bytes(_) => &mut [],
        };
        if parts.iter_mut().any(|part| part.at(left, visit)) {
            return true;
        }
        if is_own && *left == 0 {
            visit(self);
            return true;
        }
        *left -= usize::from(is_own);
        false
    }

    fn change(&mut self, donor: &Tree, random: &mut Random) {
        match self {
            Self::Byte(byte) => *byte = random.next() as u8,
            Self::Number(number) => {
                let near = [number.wrapping_sub(1), number.saturating_add(1)];
                let far = *random.pick(&[0, 1, 127, u64::from(u32::MAX), u64::MAX]);
                let of_donor = if let Self::Number(other) = donor { *other } else { near[1] };
                *number = *random.pick(&[near[0], near[1], of_donor, of_donor, far]);
            }
            Self::Bytes(bytes) => match (random.below(4), donor) {
                (0, Self::Bytes(other)) => bytes.clone_from(other),
                (1, Self::Bytes(other)) if !bytes.is_empty() && !other.is_empty() => {
                    // A run of one in the other's place, as records stand in one run of bytes.
                    let width = *random.pick(&[1, 4, 8, 32, 64]);
                    let (to, from) = (random.below(bytes.len()), random.below(other.len()));
                    let (to, from) = (to / width * width, from / width * width);
                    let length = width.min(bytes.len() - to).min(other.len() - from);
                    bytes[to..to + length].copy_from_slice(&other[from..from + length]);
                }
                (2, _) => drop(bytes.pop()),
                _ if bytes.is_empty() => bytes.push(b'a'),
                _ => {
                    let at = random.below(bytes.len());
                    bytes[at] = random.next() as u8;
                }
            },
            Self::Maybe(value) => match donor {
                Self::Maybe(other) => value.clone_from(other),
                _ => *value = None,
            },
            Self::List(all) => match random.below(6) {
                0 => all.clear(),
                1 => drop(all.pop()),
                2 if !all.is_empty() => drop(all.remove(random.below(all.len()))),
                3 if !all.is_empty() => all.push(random.pick(all).clone()),
                4 if !all.is_empty() => {
                    let (one, other) = (random.below(all.len()), random.below(all.len()));
                    all.swap(one, other);
                }
                _ => {
                    if let Self::List(other) = donor {
                        all.clone_from(other);
                    }
                }
            },
            Self::Parts(_) => unreachable!("parts are not visited"),
        }
    }
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Writer;

/// Parts as they come, and what becomes of them.
struct Many(Vec<Tree>, fn(Vec<Tree>) -> Tree);

#[derive(Debug)]
pub struct Unwritten(String);

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwritten {}

impl ser::Error for Unwritten {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

type Written = Result<Tree, Unwritten>;

macro_rules! numbers {
    ($($method:ident $number:ty)*) => {$(
        fn $method(self, value: $number) -> Written {
            Ok(Tree::Number(value.into()))
        }
    )*};
}

macro_rules! unused {
    ($($method:ident $value:ty)*) => {$(
        fn $method(self, _: $value) -> Written {
            Err(ser::Error::custom(concat!("no state has a value for ", stringify!($method))))
        }
    )*};
}

impl Serializer for Writer {
    type Ok = Tree;
    type Error = Unwritten;
    type SerializeSeq = Many;
    type SerializeTuple = Many;
    type SerializeTupleStruct = Many;
    type SerializeTupleVariant = Many;
    type SerializeMap = Many;
    type SerializeStruct = Many;
    type SerializeStructVariant = Many;

    numbers! { serialize_u16 u16 serialize_u32 u32 serialize_u64 u64 }
    unused! {
        serialize_i8 i8 serialize_i16 i16 serialize_i32 i32 serialize_i64 i64
        serialize_f32 f32 serialize_f64 f64 serialize_char char
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Written {
        Ok(Tree::Byte(value.into()))
    }
    fn serialize_u8(self, value: u8) -> Written {
        Ok(Tree::Byte(value))
    }
    fn serialize_str(self, value: &str) -> Written {
        Ok(Tree::Bytes(value.as_bytes().to_vec()))
    }
    fn serialize_bytes(self, value: &[u8]) -> Written {
        Ok(Tree::Bytes(value.to_vec()))
    }
    fn serialize_none(self) -> Written {
        Ok(Tree::Maybe(None))
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Written {
        Ok(Tree::Maybe(Some(Box::new(value.serialize(Self)?))))
    }
    fn serialize_unit(self) -> Written {
        Ok(Tree::Parts(Vec::new()))
    }
    fn serialize_unit_struct(self, _: &'static str) -> Written {
        self.serialize_unit()
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Written {
        self.serialize_u32(index)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Written {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Written {
        Ok(Tree::Parts(vec![Tree::Number(index.into()), value.serialize(self)?]))
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Many, Unwritten> {
        Ok(Many(Vec::new(), Tree::List))
    }
    fn serialize_tuple(self, _: usize) -> Result<Many, Unwritten> {
        Ok(Many(Vec::new(), Tree::Parts))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Many, Unwritten> {
        Ok(Many(Vec::new(), Tree::Parts))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Many, Unwritten> {
        Ok(Many(vec![Tree::Number(index.into())], Tree::Parts))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Many, Unwritten> {
        Ok(Many(Vec::new(), Tree::List))
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Many, Unwritten> {
        Ok(Many(Vec::new(), Tree::Parts))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Many, Unwritten> {
        Ok(Many(vec![Tree::Number(index.into())], Tree::Parts))
    }
}

macro_rules! many {
    ($($kind:ident $method:ident)*) => {$(
        impl ser::$kind for Many {
            type Ok = Tree;
            type Error = Unwritten;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritten> {
                self.0.push(value.serialize(Writer)?);
                Ok(())
            }
            fn end(self) -> Written {
                Ok(self.1(self.0))
            }
        }
    )*};
}

many! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

impl ser::SerializeMap for Many {
    type Ok = Tree;
    type Error = Unwritten;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unwritten> {
        self.0.push(key.serialize(Writer)?);
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritten> {
        let key = self.0.pop().ok_or_else(|| <Unwritten as ser::Error>::custom("a value without a key"))?;
        self.0.push(Tree::Parts(vec![key, value.serialize(Writer)?]));
        Ok(())
    }
    fn end(self) -> Written {
        Ok(self.1(self.0))
    }
}

macro_rules! fields {
    ($($kind:ident)*) => {$(
        impl ser::$kind for Many {
            type Ok = Tree;
            type Error = Unwritten;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Result<(), Unwritten> {
                self.0.push(value.serialize(Writer)?);
                Ok(())
            }
            fn end(self) -> Written {
                Ok(self.1(self.0))
            }
        }
    )*};
}

fields! { SerializeStruct SerializeStructVariant }
